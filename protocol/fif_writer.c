/*
 * A part is the head of the first file, walked once more: tags are copied but for those that list
 * epochs. What stays is not understood, so nothing of it can be lost.
 */
#include "protocol/fif_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "protocol/fif_join.h"
#include "protocol/utf8.h"

enum {
    MAX_PARTS = 1000,
    ROLE_NEXT_FILE = 2,
    MAX_STEM = 200, /* bytes of a name without ".fif" */
    OVERHEAD = 4096 /* the tags and blocks that a part may have more than its head */
};

static const size_t max_part_ever = INT32_MAX; /* positions have 31 bits */

struct fif_writer {
    const struct fif_leftover *first;
    struct fif_info info; /* of the first head */
    struct fif_join join;
    double *factors; /* [n_channels] 1 / calibration, owned */
    size_t *kept;    /* [n_kept] numbers of the kept epochs, owned */
    size_t n_kept;
    size_t n_parts;
    struct fif_layout layout;
    char stem[MAX_STEM + 1];
};

void fif_writer_close(struct fif_writer *writer)
{
    if (writer == NULL)
        return;
    fif_info_clear(&writer->info);
    fif_join_clear(&writer->join);
    free(writer->factors);
    free(writer->kept);
    free(writer);
}

size_t fif_writer_parts(const struct fif_writer *writer)
{
    return writer->n_parts;
}

/* ---- opening ---- */

static enum rejectd_status take_name(const char *name, struct fif_writer *writer,
                                     struct rejectd_error *error)
{
    static const char ending[] = ".fif";
    size_t length = strlen(name);
    if (length >= sizeof ending && strcmp(name + length - strlen(ending), ending) == 0)
        length -= strlen(ending);
    if (length == 0 || length > MAX_STEM || !utf8_is_valid(name) || !utf8_is_printable(name) ||
        strpbrk(name, "/\\") != NULL)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "name",
                            "is no name of a file; 1 to %d bytes of UTF-8 without folders are "
                            "accepted",
                            MAX_STEM);
    memcpy(writer->stem, name, length);
    writer->stem[length] = 0;
    return REJECTD_OK;
}

static enum rejectd_status take_layout(enum rejectd_dtype dtype, struct fif_writer *writer,
                                       struct rejectd_error *error)
{
    const struct fif_info *info = &writer->info;
    if (dtype == REJECTD_FLOAT32 && info->description.dtype == REJECTD_FLOAT64)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "dtype",
                            "is float32, but the FIF file is of float64");
    const size_t n = info->description.n_channels;
    writer->layout = fif_info_layout(info);
    writer->layout.dtype = dtype;
    if (!info->calibrated)
        return REJECTD_OK;
    writer->factors = malloc(n * sizeof *writer->factors);
    if (writer->factors == NULL)
        return REJECTD_FAIL_MEMORY(error, n * sizeof *writer->factors);
    for (size_t i = 0; i < n; i++)
        writer->factors[i] = 1.0 / info->cals[i];
    writer->layout.factors = writer->factors;
    return REJECTD_OK;
}

/* The kept epochs, and AUTOREJECT in the log for the others. */
static enum rejectd_status take_kept(const unsigned char *kept, size_t n_epochs,
                                     struct fif_writer *writer, struct rejectd_error *error)
{
    if (n_epochs != writer->join.n_epochs)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "n_epochs",
                            "is %zu, but the FIF file has %zu epochs", n_epochs,
                            writer->join.n_epochs);
    writer->kept = malloc(n_epochs * sizeof *writer->kept);
    if (writer->kept == NULL)
        return REJECTD_FAIL_MEMORY(error, n_epochs * sizeof *writer->kept);
    for (size_t i = 0; i < n_epochs; i++)
        if (kept[i])
            writer->kept[writer->n_kept++] = i;
        else
            writer->join.log[fif_join_epoch(&writer->join, i).selected] = fif_log_dropped;
    if (writer->n_kept == 0)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "",
                            "no epoch is left; a FIF file has at least one");
    return REJECTD_OK;
}

/* ---- dividing ---- */

static size_t stored_epoch(const struct fif_layout *layout)
{
    return layout->n_channels * layout->n_times * fif_stored_size(layout);
}

/* The part's epochs among the kept ones; the first parts have one more when it doesn't divide. */
static void part_range(const struct fif_writer *writer, size_t n_parts, size_t part, size_t *first,
                       size_t *count)
{
    const size_t each = writer->n_kept / n_parts, rest = writer->n_kept % n_parts;
    *first = part * each + (part < rest ? part : rest);
    *count = each + (part < rest ? 1 : 0);
}

/* At least the bytes that a part has besides what its epochs need. */
static size_t fixed_bytes(const struct fif_writer *writer)
{
    size_t bytes = OVERHEAD + writer->first->head_size;
    for (size_t k = 0; k < writer->join.n_log; k++)
        bytes += writer->join.log[k].length + 2;
    return bytes + writer->n_kept * fif_log_ignored.length;
}

/* At least the bytes that an epoch needs. */
static size_t epoch_bytes(const struct fif_writer *writer, size_t kept)
{
    enum { EVENT = 12, SELECTED = 4 };
    const struct fif_span *record = fif_join_epoch(&writer->join, writer->kept[kept]).record;
    return stored_epoch(&writer->layout) + EVENT + SELECTED +
           (record != NULL ? record->length + 2 : 0);
}

static bool fits(const struct fif_writer *writer, size_t n_parts, size_t most)
{
    for (size_t part = 0; part < n_parts; part++) {
        size_t first, count, bytes = 0;
        part_range(writer, n_parts, part, &first, &count);
        for (size_t i = first; i < first + count; i++)
            bytes += epoch_bytes(writer, i);
        if (bytes > most)
            return false;
    }
    return true;
}

static enum rejectd_status divide(struct fif_writer *writer, size_t max_part,
                                  struct rejectd_error *error)
{
    const size_t limit = max_part == 0              ? FIF_DEFAULT_MAX_PART
                         : max_part < max_part_ever ? max_part
                                                    : max_part_ever;
    const size_t fixed = fixed_bytes(writer), one = stored_epoch(&writer->layout);
    const size_t most = fixed < limit ? limit - fixed : 0;
    /* No fewer parts than the samples alone need. */
    size_t n_parts = one <= most ? (writer->n_kept + most / one - 1) / (most / one) : SIZE_MAX;
    while (n_parts <= MAX_PARTS && n_parts <= writer->n_kept && !fits(writer, n_parts, most))
        n_parts++;
    if (n_parts > MAX_PARTS || n_parts > writer->n_kept)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                            "the epochs don't fit into %d FIF files of %zu bytes; fetch them as "
                            ".npy",
                            MAX_PARTS, limit);
    writer->n_parts = n_parts;
    return REJECTD_OK;
}

enum rejectd_status fif_writer_open(const struct fif_writer_options *options,
                                    struct fif_writer **writer, struct rejectd_error *error)
{
    struct fif_writer *made = calloc(1, sizeof *made);
    enum rejectd_status status;
    *writer = NULL;
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    made->first = options->heads;
    if ((status = take_name(options->name, made, error)) != 0 ||
        (status = fif_join_read(options->heads, options->n_heads, &made->info, &made->join,
                                error)) != 0 ||
        (status = take_layout(options->dtype, made, error)) != 0 ||
        (status = take_kept(options->kept, options->n_epochs, made, error)) != 0 ||
        (status = divide(made, options->max_part, error)) != 0) {
        fif_writer_close(made);
        return status;
    }
    *writer = made;
    return REJECTD_OK;
}

/* ---- tags ---- */

static void put_header(struct buffer *out, int32_t kind, uint32_t type, size_t size)
{
    unsigned char header[FIF_HEADER_SIZE];
    if (size > INT32_MAX)
        out->failed = true;
    fif_put_header(header, kind, type, size, 0);
    buffer_append(out, header, sizeof header);
}

static void put_tag(struct buffer *out, int32_t kind, uint32_t type, const void *data, size_t size)
{
    put_header(out, kind, type, size);
    buffer_append(out, data, size);
}

static void put_int(struct buffer *out, int32_t kind, int32_t value)
{
    unsigned char bytes[4];
    fif_put_u32(bytes, (uint32_t)value);
    put_tag(out, kind, FIF_INT, bytes, sizeof bytes);
}

/* A tag whose size is known when its data have been written. */
static size_t begin_tag(struct buffer *out, int32_t kind, uint32_t type)
{
    put_header(out, kind, type, 0);
    return out->length;
}

static void end_tag(struct buffer *out, size_t data_at)
{
    const size_t size = out->length - data_at;
    out->failed = out->failed || size > INT32_MAX;
    if (!out->failed)
        fif_put_u32((unsigned char *)out->data + data_at - 8, (uint32_t)size);
}

/* ---- a part ---- */

struct part {
    const struct fif_writer *writer;
    size_t number, first, count; /* its epochs among the kept ones */
};

static struct fif_joined_epoch epoch_of(const struct part *part, size_t i)
{
    return fif_join_epoch(&part->writer->join, part->writer->kept[part->first + i]);
}

static void put_events(struct buffer *out, const struct part *part)
{
    put_header(out, FIF_EVENTS, FIF_INT, 12 * part->count);
    for (size_t i = 0; i < part->count; i++)
        buffer_append(out, epoch_of(part, i).event, 12);
}

static void put_selection(struct buffer *out, const struct part *part)
{
    put_header(out, FIF_SELECTION, FIF_INT, 4 * part->count);
    for (size_t i = 0; i < part->count; i++) {
        unsigned char bytes[4];
        fif_put_u32(bytes, (uint32_t)epoch_of(part, i).selected);
        buffer_append(out, bytes, sizeof bytes);
    }
}

static void put_metadata(struct buffer *out, const struct part *part)
{
    const size_t at = begin_tag(out, FIF_DESCRIPTION, FIF_STRING);
    buffer_append_text(out, "[");
    for (size_t i = 0; i < part->count; i++) {
        const struct fif_span *record = epoch_of(part, i).record;
        buffer_append_text(out, i > 0 ? ", " : "");
        buffer_append(out, record->text, record->length);
    }
    buffer_append_text(out, "]");
    end_tag(out, at);
}

/* The log is about all original epochs; what is in other parts is IGNORED here. */
static void put_log(struct buffer *out, const struct part *part)
{
    const struct fif_writer *writer = part->writer;
    const size_t n = writer->join.n_log;
    struct fif_span *log = malloc(n * sizeof *log + 1);
    if (log == NULL) {
        out->failed = true;
        return;
    }
    memcpy(log, writer->join.log, n * sizeof *log);
    for (size_t i = 0; i < writer->n_kept; i++)
        if (i < part->first || i >= part->first + part->count)
            log[fif_join_epoch(&writer->join, writer->kept[i]).selected] = fif_log_ignored;
    const size_t at = begin_tag(out, FIF_DROP_LOG, FIF_STRING);
    buffer_append_text(out, "[");
    for (size_t k = 0; k < n; k++) {
        buffer_append_text(out, k > 0 ? ", " : "");
        buffer_append(out, log[k].text, log[k].length);
    }
    buffer_append_text(out, "]");
    end_tag(out, at);
    free(log);
}

static void format_name(const struct fif_writer *writer, size_t part, char *out, size_t size)
{
    if (part == 0)
        snprintf(out, size, "%s.fif", writer->stem);
    else
        snprintf(out, size, "%s-%zu.fif", writer->stem, part);
}

/* The name in Latin-1. One that has other characters is left out: readers then go by the number. */
static void put_next_name(struct buffer *out, const char *name)
{
    unsigned char latin1[256];
    size_t n = 0;
    while (*name != 0) {
        unsigned code;
        const size_t length = utf8_decode(name, &code);
        if (length == 0 || code > 0xff || n == sizeof latin1)
            return;
        latin1[n++] = (unsigned char)code;
        name += length;
    }
    put_tag(out, FIF_REF_NAME, FIF_STRING, latin1, n);
}

static void put_next_part(struct buffer *out, const struct part *part)
{
    char name[256];
    if (part->number + 1 == part->writer->n_parts)
        return;
    format_name(part->writer, part->number + 1, name, sizeof name);
    put_int(out, FIF_BLOCK_START, FIF_REF);
    put_int(out, FIF_REF_ROLE, ROLE_NEXT_FILE);
    put_next_name(out, name);
    put_int(out, FIF_REF_NUMBER, (int32_t)(part->number + 1));
    put_int(out, FIF_BLOCK_END, FIF_REF);
}

static bool ends_epochs(const struct fif_tag *tag)
{
    if (tag->kind != FIF_BLOCK_END)
        return false;
    const int32_t id = fif_get_i32(tag->data);
    return id == FIF_EPOCHS || id == FIF_OLD_EPOCHS;
}

/* A tag of the head, or what takes its place. */
static void put_from_head(struct buffer *out, const struct fif_walk *walk,
                          const struct fif_tag *tag, const struct part *part)
{
    const int32_t block = fif_blocks_innermost(&walk->blocks);
    if (walk->blocks.depth == 0 && (tag->kind == FIF_NOP || tag->kind == FIF_DIRECTORY))
        return;
    if (walk->blocks.depth == 0 && tag->kind == FIF_DIRECTORY_POINTER) {
        put_int(out, FIF_DIRECTORY_POINTER, -1);
    } else if (block == FIF_EVENTS_BLOCK && tag->kind == FIF_EVENTS &&
               !fif_blocks_contain(&walk->blocks, FIF_MEAS_INFO)) {
        put_events(out, part);
    } else if (block == FIF_METADATA && tag->kind == FIF_DESCRIPTION &&
               part->writer->join.has_metadata) {
        put_metadata(out, part);
    } else if (fif_blocks_in_epochs(&walk->blocks) &&
               (tag->kind == FIF_SELECTION || tag->kind == FIF_DROP_LOG)) {
        return; /* at the end of the block */
    } else {
        if (ends_epochs(tag)) {
            put_log(out, part);
            put_selection(out, part);
            put_next_part(out, part);
        }
        put_tag(out, tag->kind, tag->type, tag->data, tag->size);
    }
}

/* Tells where the blocks are that name a next file: they are written anew. */
struct skip {
    bool on;
    size_t depth;
};

static bool skips(struct skip *skip, const struct fif_walk *walk, const struct fif_tag *tag)
{
    if (!skip->on && walk->opens == FIF_REF && !fif_blocks_contain(&walk->blocks, FIF_MEAS_INFO)) {
        *skip = (struct skip){.on = true, .depth = walk->blocks.depth};
        return true;
    }
    if (!skip->on)
        return false;
    skip->on = tag->kind != FIF_BLOCK_END || walk->blocks.depth > skip->depth;
    return true;
}

static void put_samples_header(struct buffer *out, const struct fif_tag *tag,
                               const struct fif_frame *frame)
{
    put_header(out, tag->kind, tag->type, frame->data_bytes + FIF_DIMENSIONS_SIZE);
}

static void put_dimensions(struct buffer *out, const struct fif_frame *frame)
{
    const size_t dimensions[] = {frame->layout.n_times, frame->layout.n_channels, frame->n_epochs,
                                 3};
    for (size_t i = 0; i < sizeof dimensions / sizeof *dimensions; i++) {
        unsigned char bytes[4];
        fif_put_u32(bytes, (uint32_t)dimensions[i]);
        buffer_append(out, bytes, sizeof bytes);
    }
}

static void put_end(struct buffer *out)
{
    unsigned char header[FIF_HEADER_SIZE];
    fif_put_header(header, FIF_NOP, FIF_VOID, 0, -1);
    buffer_append(out, header, sizeof header);
}

enum rejectd_status fif_writer_frame(const struct fif_writer *writer, size_t number,
                                     struct fif_frame *frame, struct rejectd_error *error)
{
    struct part part = {.writer = writer, .number = number};
    part_range(writer, writer->n_parts, number, &part.first, &part.count);
    *frame = (struct fif_frame){
        .data_bytes = part.count * stored_epoch(&writer->layout),
        .first_epoch = part.first,
        .n_epochs = part.count,
        .layout = writer->layout,
    };
    format_name(writer, number, frame->name, sizeof frame->name);
    struct buffer prefix, suffix, *out = &prefix;
    buffer_init(&prefix, max_part_ever);
    buffer_init(&suffix, max_part_ever);
    struct skip skip = {0};
    struct fif_walk walk;
    struct fif_tag tag;
    fif_walk_begin(&walk, writer->first->head, writer->first->head_size, writer->first->samples_at);
    while (fif_walk_next(&walk, &tag)) {
        if (skips(&skip, &walk, &tag))
            continue;
        if (tag.is_samples) {
            put_samples_header(&prefix, &tag, frame);
            out = &suffix;
            put_dimensions(out, frame);
        } else {
            put_from_head(out, &walk, &tag, &part);
        }
    }
    put_end(out);
    frame->prefix = (unsigned char *)buffer_take(&prefix, &frame->prefix_bytes);
    frame->suffix = (unsigned char *)buffer_take(&suffix, &frame->suffix_bytes);
    if (frame->prefix != NULL && frame->suffix != NULL)
        return REJECTD_OK;
    fif_frame_clear(frame);
    return REJECTD_FAIL_MEMORY(error, writer->first->head_size);
}

void fif_frame_clear(struct fif_frame *frame)
{
    free(frame->prefix);
    free(frame->suffix);
    *frame = (struct fif_frame){0};
}

size_t fif_frame_stored_epoch(const struct fif_frame *frame)
{
    return stored_epoch(&frame->layout);
}

size_t fif_frame_sample_epoch(const struct fif_frame *frame)
{
    return frame->layout.n_channels * frame->layout.n_times * fif_sample_size(&frame->layout);
}

void fif_frame_convert(const struct fif_frame *frame, const void *samples, size_t n_epochs,
                       void *out)
{
    fif_samples_to_file(&frame->layout, 0, samples,
                        n_epochs * frame->layout.n_channels * frame->layout.n_times, out);
}
