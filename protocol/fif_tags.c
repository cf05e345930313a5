#include "protocol/fif_tags.h"

static const struct {
    int32_t kind;
    const char *name;
} kinds[] = {
    {FIF_FILE_ID, "file id"},
    {FIF_DIRECTORY_POINTER, "directory pointer"},
    {FIF_BLOCK_START, "block start"},
    {FIF_BLOCK_END, "block end"},
    {FIF_REF_ROLE, "role of another file"},
    {FIF_REF_NUMBER, "number of the next part"},
    {FIF_REF_NAME, "name of the next part"},
    {FIF_N_CHANNELS, "number of channels"},
    {FIF_SFREQ, "sampling rate"},
    {FIF_CHANNEL, "channel information"},
    {FIF_DESCRIPTION, "description"},
    {FIF_FIRST_SAMPLE, "first sample"},
    {FIF_LAST_SAMPLE, "last sample"},
    {FIF_TRANSFORM, "coordinate transform"},
    {FIF_NAME, "name"},
    {FIF_CHANNEL_KIND, "kind of a channel"},
    {FIF_CHANNEL_CAL, "calibration of a channel"},
    {FIF_CHANNEL_LOC, "location of a channel"},
    {FIF_CHANNEL_UNIT, "unit of a channel"},
    {FIF_CHANNEL_NAME, "long name of a channel"},
    {FIF_SAMPLES, "epochs"},
    {FIF_CHANNEL_COIL, "coil of a channel"},
    {FIF_PROJECTOR_N_VECTORS, "number of projection vectors"},
    {FIF_PROJECTOR_VECTORS, "projection vectors"},
    {FIF_PROJECTOR_NAMES, "channels of a projector"},
    {FIF_NAME_LIST, "list of channel names"},
    {FIF_PROJECTOR_ACTIVE, "state of a projector"},
    {FIF_EVENTS, "events"},
    {FIF_SELECTION, "selection"},
    {FIF_DROP_LOG, "drop log"},
};

const char *fif_kind_name(int32_t kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == kind)
            return kinds[i].name;
    return "tag";
}

enum rejectd_status fif_blocks_take(struct fif_blocks *blocks, int32_t kind, int32_t id,
                                    struct rejectd_error *error)
{
    if (kind == FIF_BLOCK_START) {
        if (blocks->depth == FIF_MAX_DEPTH)
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                                "the FIF file nests its blocks deeper than %d", FIF_MAX_DEPTH);
        blocks->id[blocks->depth++] = id;
        return REJECTD_OK;
    }
    if (fif_blocks_innermost(blocks) != id || blocks->depth == 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the FIF file closes block %d, which is not the innermost open one",
                            (int)id);
    blocks->depth--;
    return REJECTD_OK;
}

int32_t fif_blocks_innermost(const struct fif_blocks *blocks)
{
    return blocks->depth > 0 ? blocks->id[blocks->depth - 1] : -1;
}

bool fif_blocks_contain(const struct fif_blocks *blocks, int32_t id)
{
    for (size_t i = 0; i < blocks->depth; i++)
        if (blocks->id[i] == id)
            return true;
    return false;
}

bool fif_blocks_in_epochs(const struct fif_blocks *blocks)
{
    const int32_t id = fif_blocks_innermost(blocks);
    return id == FIF_EPOCHS || id == FIF_OLD_EPOCHS;
}

void fif_walk_begin(struct fif_walk *walk, const void *head, size_t size, size_t samples_at)
{
    *walk = (struct fif_walk){.head = head, .size = size, .samples_at = samples_at, .opens = -1};
}

/* Ends the walk where the head does not go on as it should. */
static bool stop(struct fif_walk *walk)
{
    walk->damaged = true;
    walk->at = walk->size;
    return false;
}

bool fif_walk_next(struct fif_walk *walk, struct fif_tag *tag)
{
    if (walk->opens >= 0 &&
        fif_blocks_take(&walk->blocks, FIF_BLOCK_START, walk->opens, NULL) != REJECTD_OK)
        return stop(walk);
    walk->opens = -1;
    const size_t left = walk->size - walk->at;
    if (left == 0)
        return false;
    if (left < FIF_HEADER_SIZE || walk->n_tags++ == FIF_MAX_TAGS)
        return stop(walk);
    const unsigned char *header = walk->head + walk->at;
    const size_t data_at = walk->at + FIF_HEADER_SIZE;
    *tag = (struct fif_tag){
        .kind = fif_get_i32(header),
        .type = fif_get_u32(header + 4),
        .data = header + FIF_HEADER_SIZE,
        .size = fif_get_u32(header + 8),
        .declared_size = fif_get_u32(header + 8),
        .is_samples = data_at == walk->samples_at && data_at > 0,
    };
    if (tag->is_samples)
        tag->size = FIF_DIMENSIONS_SIZE;
    if (tag->is_samples && data_at == walk->size) {
        walk->at = walk->size;
        return false;
    }
    if (tag->size > walk->size - data_at)
        return stop(walk);
    walk->at = data_at + tag->size;
    if (tag->kind != FIF_BLOCK_START && tag->kind != FIF_BLOCK_END)
        return true;
    if (tag->size != 4)
        return stop(walk);
    const int32_t id = fif_get_i32(tag->data);
    if (tag->kind == FIF_BLOCK_START) {
        walk->opens = id;
        return id >= 0 ? true : stop(walk);
    }
    return fif_blocks_take(&walk->blocks, FIF_BLOCK_END, id, NULL) == REJECTD_OK ? true
                                                                                 : stop(walk);
}

enum rejectd_status fif_tag_check(const struct fif_tag *tag, uint32_t type, size_t item_size,
                                  size_t count, struct rejectd_error *error)
{
    const char *name = fif_kind_name(tag->kind);
    if (tag->type != type)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "tag %d (%s) of the FIF file has type 0x%x; type 0x%x is accepted",
                            (int)tag->kind, name, (unsigned)tag->type, (unsigned)type);
    if (tag->size % item_size != 0 || (count > 0 && tag->size != item_size * count))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "tag %d (%s) of the FIF file has %zu bytes; %s%zu are accepted",
                            (int)tag->kind, name, tag->size, count > 0 ? "" : "multiples of ",
                            item_size * (count > 0 ? count : 1));
    return REJECTD_OK;
}

enum rejectd_status fif_tag_i32(const struct fif_tag *tag, int32_t *out,
                                struct rejectd_error *error)
{
    enum rejectd_status status = fif_tag_check(tag, FIF_INT, sizeof *out, 1, error);
    if (status == REJECTD_OK)
        *out = fif_get_i32(tag->data);
    return status;
}

enum rejectd_status fif_tag_f32(const struct fif_tag *tag, float *out, struct rejectd_error *error)
{
    enum rejectd_status status = fif_tag_check(tag, FIF_FLOAT, sizeof *out, 1, error);
    if (status == REJECTD_OK)
        *out = fif_get_f32(tag->data);
    return status;
}
