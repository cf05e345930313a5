/* Bad channels, the device-to-head transform and projectors of a FIF file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/channel_index.h"
#include "protocol/fif_info.h"

enum { MAX_VECTORS = 256 /* of all projectors together */, TRANSFORM_SIZE = 104 };

/* A name in a list of the file may be the short one of tag 203 or the whole one. */
struct names {
    struct channel_index by_short;
    struct channel_index by_long;
};

static long find(const struct names *names, const char *name)
{
    const long found = channel_index_find(&names->by_short, name);
    return found != CHANNEL_INDEX_NONE ? found : channel_index_find(&names->by_long, name);
}

/* ---- bad channels ---- */

static enum rejectd_status read_bads(const struct fif_head *head, const struct names *names,
                                     struct dataset_description *d, struct rejectd_error *error)
{
    struct fif_walk walk;
    struct fif_tag tag;
    fif_walk_begin(&walk, head->bytes, head->size, head->samples_at);
    while (fif_walk_next(&walk, &tag) && !tag.is_samples) {
        if (tag.kind != FIF_NAME_LIST || fif_blocks_innermost(&walk.blocks) != FIF_BAD_CHANNELS ||
            !fif_blocks_contain(&walk.blocks, FIF_MEAS_INFO))
            continue;
        enum rejectd_status status = fif_tag_check(&tag, FIF_STRING, 1, 0, error);
        if (status != REJECTD_OK)
            return status;
        struct fif_names list;
        char name[REJECTD_NAME_SIZE];
        fif_names_begin(&list, tag.data, tag.size);
        while (fif_names_next(&list, name, sizeof name)) {
            /* The list may name channels that were picked away before saving. */
            const long found = find(names, name);
            if (found != CHANNEL_INDEX_NONE)
                d->channels[found].bad = true;
        }
    }
    return REJECTD_OK;
}

/* ---- device to head ---- */

enum { FRAME_DEVICE = 1, FRAME_HEAD = 4 };

/* Tag 222: the transform and then its inverse, each a rotation [3][3] and a shift [3]. */
static bool take_transform(const struct fif_tag *tag, double out[4][4])
{
    const int32_t from = fif_get_i32(tag->data), to = fif_get_i32(tag->data + 4);
    const unsigned char *at = tag->data + 8;
    if (from == FRAME_HEAD && to == FRAME_DEVICE)
        at += 48;
    else if (from != FRAME_DEVICE || to != FRAME_HEAD)
        return false;
    double made[4][4] = {[3] = {0, 0, 0, 1}};
    bool finite = true;
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 4; j++) {
            made[i][j] = (double)fif_get_f32(at + 4 * (j < 3 ? 3 * i + j : 9 + i));
            finite = finite && isfinite(made[i][j]);
        }
    if (finite)
        memcpy(out, made, sizeof made);
    return finite;
}

/* The transform stands among the measurement info, or else in the only result of an HPI fit. */
static enum rejectd_status read_device_to_head(const struct fif_head *head,
                                               struct dataset_description *d,
                                               struct rejectd_error *error)
{
    struct fif_walk walk;
    struct fif_tag tag;
    double fitted[4][4];
    size_t n_fits = 0;
    bool has_fitted = false;
    fif_walk_begin(&walk, head->bytes, head->size, head->samples_at);
    while (fif_walk_next(&walk, &tag) && !tag.is_samples) {
        const int32_t block = fif_blocks_innermost(&walk.blocks);
        if (!fif_blocks_contain(&walk.blocks, FIF_MEAS_INFO))
            continue;
        n_fits += walk.opens == FIF_HPI_RESULT;
        if (tag.kind != FIF_TRANSFORM || (block != FIF_MEAS_INFO && block != FIF_HPI_RESULT))
            continue;
        enum rejectd_status status =
            fif_tag_check(&tag, FIF_TRANSFORM_STRUCT, TRANSFORM_SIZE, 1, error);
        if (status != REJECTD_OK)
            return status;
        if (block == FIF_MEAS_INFO)
            d->has_device_to_head |= take_transform(&tag, d->device_to_head);
        else
            has_fitted |= take_transform(&tag, fitted);
    }
    if (!d->has_device_to_head && has_fitted && n_fits == 1) {
        d->has_device_to_head = true;
        memcpy(d->device_to_head, fitted, sizeof fitted);
    }
    return REJECTD_OK;
}

/* ---- projectors ---- */

/* The tags of block 314; kind 0 where absent. */
struct item {
    struct fif_tag names, description, n_vectors, active, vectors;
};

static enum rejectd_status invalid(size_t number, const char *why, struct rejectd_error *error)
{
    char field[48];
    snprintf(field, sizeof field, "projectors[%zu]", number);
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                        "the projector (block 314 of the FIF file) %s", why);
}

static void take_item_tag(const struct fif_tag *tag, struct item *item)
{
    if (tag->kind == FIF_PROJECTOR_NAMES)
        item->names = *tag;
    else if (tag->kind == FIF_PROJECTOR_N_VECTORS)
        item->n_vectors = *tag;
    else if (tag->kind == FIF_PROJECTOR_VECTORS)
        item->vectors = *tag;
    else if (tag->kind == FIF_PROJECTOR_ACTIVE)
        item->active = *tag;
    else if (tag->kind == FIF_DESCRIPTION ||
             (tag->kind == FIF_NAME && item->description.kind != FIF_DESCRIPTION))
        item->description = *tag;
}

static size_t count_names(const struct fif_tag *tag)
{
    struct fif_names list;
    size_t n = 0;
    fif_names_begin(&list, tag->data, tag->size);
    while (fif_names_next(&list, NULL, 0))
        n++;
    return n;
}

/* A text that JSON may carry: control characters become blanks. */
static void take_description(const struct fif_tag *tag, char *out, size_t size)
{
    out[0] = 0;
    if (tag->type == FIF_STRING)
        (void)fif_text_utf8(tag->data, tag->size, out, size);
    for (unsigned char *c = (unsigned char *)out; *c != 0; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = ' ';
        else if (*c == 0xc2 && c[1] < 0xa0)
            c[0] = c[1] = ' ';
}

/* How the matrix lies: vectors by rows, or one column each. */
struct shape {
    size_t n_vectors, n_names;
    size_t next_vector, next_name; /* in numbers */
};

static enum rejectd_status read_shape(const struct item *item, size_t number, size_t most_vectors,
                                      struct shape *shape, struct rejectd_error *error)
{
    int32_t n_vectors = 0;
    enum rejectd_status status;
    if (item->names.kind == 0 || item->n_vectors.kind == 0 || item->vectors.kind == 0)
        return invalid(number, "lacks its channels, its number of vectors or its vectors", error);
    if ((status = fif_tag_check(&item->names, FIF_STRING, 1, 0, error)) != 0 ||
        (status = fif_tag_i32(&item->n_vectors, &n_vectors, error)) != 0 ||
        (status = fif_tag_check(&item->vectors, FIF_MATRIX | FIF_FLOAT, 4, 0, error)) != 0)
        return status;
    if (n_vectors < 1 || (size_t)n_vectors > most_vectors)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "projectors",
                            "a projector of the FIF file has %d vectors; at least 1, and at most "
                            "%d in all projectors, are accepted",
                            (int)n_vectors, MAX_VECTORS);
    const size_t v = (size_t)n_vectors, n = count_names(&item->names);
    const size_t size = item->vectors.size;
    const unsigned char *end = item->vectors.data + size;
    if (size < 12 || fif_get_u32(end - 4) != 2 || n == 0 || n > (size - 12) / 4 ||
        size != 4 * v * n + 12)
        return invalid(number, "has a matrix that is not (vectors, channels)", error);
    const size_t rows = fif_get_u32(end - 8), columns = fif_get_u32(end - 12);
    *shape = (struct shape){.n_vectors = v, .n_names = n};
    if (rows == v && columns == n) {
        shape->next_vector = n;
        shape->next_name = 1;
    } else if (rows == n && columns == v) {
        shape->next_vector = 1;
        shape->next_name = v;
    } else {
        return invalid(number, "has a matrix that is not (vectors, channels)", error);
    }
    return REJECTD_OK;
}

static enum rejectd_status read_vectors(const struct item *item, const struct shape *shape,
                                        const struct names *names, size_t number,
                                        const struct dataset_description *d,
                                        struct rejectd_projector *projector,
                                        struct rejectd_error *error)
{
    projector->vectors = calloc(shape->n_vectors * d->n_channels, sizeof(double));
    if (projector->vectors == NULL)
        return REJECTD_FAIL_MEMORY(error, shape->n_vectors * d->n_channels * sizeof(double));
    projector->n_vectors = shape->n_vectors;
    struct fif_names list;
    char name[REJECTD_NAME_SIZE];
    fif_names_begin(&list, item->names.data, item->names.size);
    for (size_t i = 0; fif_names_next(&list, name, sizeof name); i++) {
        const long channel = find(names, name);
        for (size_t v = 0; v < shape->n_vectors && channel != CHANNEL_INDEX_NONE; v++) {
            const size_t at = v * shape->next_vector + i * shape->next_name;
            const double value = (double)fif_get_f32(item->vectors.data + 4 * at);
            if (!isfinite(value))
                return invalid(number, "has a vector that is not finite", error);
            projector->vectors[v * d->n_channels + (size_t)channel] = value;
        }
    }
    return REJECTD_OK;
}

static enum rejectd_status read_projector(const struct item *item, const struct names *names,
                                          size_t *n_vectors, struct dataset_description *d,
                                          struct rejectd_error *error)
{
    const size_t number = d->n_projectors;
    struct shape shape = {0};
    int32_t active = 0;
    enum rejectd_status status;
    if (number == REJECTD_MAX_PROJECTORS)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "projectors",
                            "the FIF file has more than %d projectors", REJECTD_MAX_PROJECTORS);
    if ((status = read_shape(item, number, MAX_VECTORS - *n_vectors, &shape, error)) != 0 ||
        (item->active.kind != 0 && (status = fif_tag_i32(&item->active, &active, error)) != 0))
        return status;
    *n_vectors += shape.n_vectors;
    struct rejectd_projector *grown = realloc(d->projectors, (number + 1) * sizeof *d->projectors);
    if (grown == NULL)
        return REJECTD_FAIL_MEMORY(error, (number + 1) * sizeof *d->projectors);
    d->projectors = grown;
    struct rejectd_projector *projector = &grown[d->n_projectors++];
    *projector = (struct rejectd_projector){.active = active != 0};
    take_description(&item->description, projector->description, sizeof projector->description);
    return read_vectors(item, &shape, names, number, d, projector, error);
}

static enum rejectd_status read_projectors(const struct fif_head *head, const struct names *names,
                                           struct dataset_description *d,
                                           struct rejectd_error *error)
{
    struct fif_walk walk;
    struct fif_tag tag;
    struct item item = {0};
    size_t n_vectors = 0;
    fif_walk_begin(&walk, head->bytes, head->size, head->samples_at);
    while (fif_walk_next(&walk, &tag) && !tag.is_samples) {
        if (!fif_blocks_contain(&walk.blocks, FIF_MEAS_INFO))
            continue;
        if (fif_blocks_innermost(&walk.blocks) == FIF_PROJECTOR) {
            take_item_tag(&tag, &item);
        } else if (walk.opens == FIF_PROJECTOR) {
            item = (struct item){0};
        } else if (tag.kind == FIF_BLOCK_END && fif_get_i32(tag.data) == FIF_PROJECTOR) {
            enum rejectd_status status = read_projector(&item, names, &n_vectors, d, error);
            if (status != REJECTD_OK)
                return status;
        }
    }
    return REJECTD_OK;
}

enum rejectd_status fif_sensors_read(const struct fif_head *head,
                                     const struct rejectd_channel *short_names,
                                     struct dataset_description *d, struct rejectd_error *error)
{
    struct names names = {0};
    enum rejectd_status status;
    if ((status = channel_index_init(&names.by_short, short_names, d->n_channels, error)) == 0 &&
        (status = channel_index_init(&names.by_long, d->channels, d->n_channels, error)) == 0 &&
        (status = read_bads(head, &names, d, error)) == 0 &&
        (status = read_device_to_head(head, d, error)) == 0)
        status = read_projectors(head, &names, d, error);
    channel_index_free(&names.by_short);
    channel_index_free(&names.by_long);
    return status;
}
