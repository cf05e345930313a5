/*
 * A push parser: bytes go through gzip, when the file is compressed, to a machine with three states
 * (in a tag's header, in its data, in the samples).
 *
 * All but the samples is kept as it came, and is understood only when it is complete: what stands
 * before the samples when they begin, the rest at the end. So nothing that has arrived in part is
 * ever looked at, and the limits on what is kept are the limits on memory.
 *
 * A reader can't seek, so a tag may only point to what follows it.
 */
#include "protocol/fif_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "protocol/fif_gzip.h"
#include "protocol/fif_info.h"

enum {
    BATCH = 1 << 13, /* samples */
    FILE_ID_SIZE = 20,
};

enum form { FORM_UNKNOWN, FORM_PLAIN, FORM_GZIP };

enum state { IN_HEADER, IN_DATA, IN_SAMPLES, AT_END };

struct fif_reader {
    struct fif_reader_options options;
    struct rejectd_error failure; /* its status is OK until a failure */

    enum form form;
    unsigned char first; /* of the two bytes that tell the form */
    bool has_first;
    struct fif_gzip gzip;

    enum state state;
    size_t at; /* bytes of the file so far */
    size_t n_tags;
    unsigned char header[FIF_HEADER_SIZE];
    size_t n_header;
    int32_t kind; /* of the tag whose data are being read */
    int32_t next;
    size_t left;    /* bytes of its data, or of the samples, to come */
    size_t data_at; /* where they began in the head */
    struct fif_blocks blocks;
    struct buffer head;

    size_t samples_at; /* 0: not yet */
    size_t samples_bytes;
    struct fif_info info;
    struct fif_layout layout;
    size_t n_samples;       /* converted so far */
    unsigned char piece[8]; /* a sample of which some bytes have come */
    size_t n_piece;
    unsigned char batch[BATCH * 8];
};

void fif_leftover_clear(struct fif_leftover *leftover)
{
    free(leftover->head);
    *leftover = (struct fif_leftover){0};
}

bool fif_has_magic(const void *bytes, size_t length)
{
    const unsigned char *b = bytes;
    if (length >= 2 && b[0] == 0x1f && b[1] == 0x8b)
        return true;
    return length >= FIF_HEADER_SIZE && fif_get_i32(b) == FIF_FILE_ID &&
           fif_get_u32(b + 4) == FIF_ID_STRUCT && fif_get_u32(b + 8) == FILE_ID_SIZE;
}

enum rejectd_status fif_reader_open(const struct fif_reader_options *options,
                                    struct fif_reader **reader, struct rejectd_error *error)
{
    *reader = calloc(1, sizeof **reader);
    if (*reader == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof **reader);
    (*reader)->options = *options;
    buffer_init(&(*reader)->head, options->max_head > 0 ? options->max_head : FIF_DEFAULT_MAX_HEAD);
    return REJECTD_OK;
}

void fif_reader_close(struct fif_reader *reader)
{
    if (reader == NULL)
        return;
    fif_gzip_close(&reader->gzip);
    buffer_free(&reader->head);
    fif_info_clear(&reader->info);
    free(reader);
}

/* ---- tags ---- */

/* Keeps bytes; the room was checked when their tag began. */
static enum rejectd_status keep(struct fif_reader *reader, const void *bytes, size_t n,
                                struct rejectd_error *error)
{
    buffer_append(&reader->head, bytes, n);
    return reader->head.failed ? REJECTD_FAIL_MEMORY(error, n) : REJECTD_OK;
}

static enum rejectd_status check_room(const struct fif_reader *reader, size_t n,
                                      struct rejectd_error *error)
{
    if (n <= reader->head.maximum - reader->head.length)
        return REJECTD_OK;
    return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                        "tag %d of the FIF file has %zu bytes; at most %zu bytes besides the "
                        "samples are accepted",
                        (int)reader->kind, n, reader->head.maximum);
}

/* The first tags are the same in every FIF file. */
static enum rejectd_status check_first_tags(const struct fif_reader *reader,
                                            struct rejectd_error *error)
{
    if (reader->n_tags == 1 && !fif_has_magic(reader->header, sizeof reader->header))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "this is no FIF file; save epochs with epochs.save('...-epo.fif')");
    if (reader->n_tags == 2 && reader->kind != FIF_DIRECTORY_POINTER)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the second tag of the FIF file is %d; 101 (directory pointer) is "
                            "accepted",
                            (int)reader->kind);
    return REJECTD_OK;
}

static enum rejectd_status check_header(const struct fif_reader *reader,
                                        struct rejectd_error *error)
{
    const int32_t size = fif_get_i32(reader->header + 8);
    if (reader->n_tags > FIF_MAX_TAGS)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "", "the FIF file has more than %d tags",
                            FIF_MAX_TAGS);
    enum rejectd_status status = check_first_tags(reader, error);
    if (status != REJECTD_OK)
        return status;
    if (size < 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "tag %d (%s) of the FIF file has a size of %d bytes", (int)reader->kind,
                            fif_kind_name(reader->kind), (int)size);
    if (reader->next > 0 && (size_t)reader->next != reader->at + (size_t)size)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "tag %d (%s) of the FIF file is followed by byte %d instead of %zu; "
                            "only files whose tags follow each other are accepted",
                            (int)reader->kind, fif_kind_name(reader->kind), (int)reader->next,
                            reader->at + (size_t)size);
    if (reader->next < -1)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "tag %d (%s) of the FIF file is followed by byte %d, which cannot be",
                            (int)reader->kind, fif_kind_name(reader->kind), (int)reader->next);
    if ((reader->kind == FIF_BLOCK_START || reader->kind == FIF_BLOCK_END) &&
        (size != 4 || fif_get_u32(reader->header + 4) != FIF_INT))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "tag %d (%s) of the FIF file is no integer of 4 bytes",
                            (int)reader->kind, fif_kind_name(reader->kind));
    return REJECTD_OK;
}

/* The header of the samples' tag is kept: what came before is all there. */
static enum rejectd_status begin_samples(struct fif_reader *reader, struct rejectd_error *error)
{
    if (reader->samples_at != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the FIF file has epochs (tag 302) twice; once is accepted");
    if (fif_blocks_contain(&reader->blocks, FIF_MEAS_INFO))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the epochs of the FIF file (tag 302) are inside of block 101");
    reader->samples_at = reader->head.length;
    const struct fif_head head = {reader->head.data, reader->head.length, reader->samples_at};
    enum rejectd_status status = fif_info_read(&head, &reader->info, error);
    if (status != REJECTD_OK)
        return status;
    reader->layout = fif_info_layout(&reader->info);
    reader->samples_bytes = reader->left - FIF_DIMENSIONS_SIZE;
    reader->left = reader->samples_bytes;
    reader->state = IN_SAMPLES;
    return reader->options.begin == NULL
               ? REJECTD_OK
               : reader->options.begin(reader->options.context, &reader->info.description, error);
}

static enum rejectd_status end_tag(struct fif_reader *reader, struct rejectd_error *error);

/* All 16 bytes of a header have come. */
static enum rejectd_status begin_tag(struct fif_reader *reader, struct rejectd_error *error)
{
    reader->n_header = 0;
    reader->n_tags++;
    reader->kind = fif_get_i32(reader->header);
    reader->next = fif_get_i32(reader->header + 12);
    enum rejectd_status status = check_header(reader, error);
    if (status != REJECTD_OK)
        return status;
    reader->left = fif_get_u32(reader->header + 8);
    const bool is_samples = reader->kind == FIF_SAMPLES && fif_blocks_in_epochs(&reader->blocks);
    const size_t kept = FIF_HEADER_SIZE + (is_samples ? FIF_DIMENSIONS_SIZE : reader->left);
    if ((status = check_room(reader, kept, error)) != 0 ||
        (status = keep(reader, reader->header, sizeof reader->header, error)) != 0)
        return status;
    if (is_samples)
        return begin_samples(reader, error);
    reader->data_at = reader->head.length;
    reader->state = IN_DATA;
    return reader->left == 0 ? end_tag(reader, error) : REJECTD_OK;
}

/* Blocks that tell that the file has something else than epochs. */
static enum rejectd_status check_block(int32_t id, struct rejectd_error *error)
{
    const char *what = id == FIF_RAW_DATA || id == FIF_CONTINUOUS_DATA || id == FIF_IAS_RAW_DATA
                           ? "a raw"
                       : id == FIF_EVOKED ? "an evoked"
                                          : NULL;
    if (what == NULL)
        return REJECTD_OK;
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                        "this is %s file; save epochs with epochs.save('...-epo.fif')", what);
}

/* The four numbers behind the samples. */
static enum rejectd_status check_dimensions(const struct fif_reader *reader,
                                            struct rejectd_error *error)
{
    const struct dataset_description *d = &reader->info.description;
    const unsigned char *at = (const unsigned char *)reader->head.data + reader->data_at;
    if (fif_get_u32(at) == d->n_times && fif_get_u32(at + 4) == d->n_channels &&
        fif_get_u32(at + 8) == d->n_epochs && fif_get_u32(at + 12) == 3)
        return REJECTD_OK;
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "shape",
                        "the epochs of the FIF file (tag 302) have %u dimensions (%u, %u, %u); "
                        "3 with (%zu, %zu, %zu) are expected",
                        (unsigned)fif_get_u32(at + 12), (unsigned)fif_get_u32(at + 8),
                        (unsigned)fif_get_u32(at + 4), (unsigned)fif_get_u32(at), d->n_epochs,
                        d->n_channels, d->n_times);
}

/* All data of a tag have come. */
static enum rejectd_status end_tag(struct fif_reader *reader, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    if (reader->kind == FIF_BLOCK_START || reader->kind == FIF_BLOCK_END) {
        const int32_t id = fif_get_i32((const unsigned char *)reader->head.data + reader->data_at);
        if (id < 0)
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                                "the FIF file has a block with the number %d", (int)id);
        status = fif_blocks_take(&reader->blocks, reader->kind, id, error);
        if (status == REJECTD_OK)
            status = check_block(id, error);
    } else if (reader->kind == FIF_SAMPLES && fif_blocks_in_epochs(&reader->blocks)) {
        status = check_dimensions(reader, error);
    }
    reader->state = reader->next == -1 ? AT_END : IN_HEADER;
    return status;
}

/* ---- samples ---- */

static enum rejectd_status give(struct fif_reader *reader, const unsigned char *stored,
                                size_t count, struct rejectd_error *error)
{
    fif_samples_from_file(&reader->layout, reader->n_samples, stored, count, reader->batch);
    reader->n_samples += count;
    return reader->options.samples == NULL
               ? REJECTD_OK
               : reader->options.samples(reader->options.context, reader->batch,
                                         count * fif_sample_size(&reader->layout), error);
}

/* Completes the sample that came in part. */
static enum rejectd_status take_piece(struct fif_reader *reader, const unsigned char **bytes,
                                      size_t *n, struct rejectd_error *error)
{
    const size_t item = fif_stored_size(&reader->layout);
    const size_t missing = item - reader->n_piece;
    const size_t taken = *n < missing ? *n : missing;
    memcpy(reader->piece + reader->n_piece, *bytes, taken);
    reader->n_piece += taken;
    *bytes += taken;
    *n -= taken;
    if (reader->n_piece < item)
        return REJECTD_OK;
    reader->n_piece = 0;
    return give(reader, reader->piece, 1, error);
}

/* n bytes of samples, at most what is left of them. */
static enum rejectd_status take_samples(struct fif_reader *reader, const unsigned char *bytes,
                                        size_t n, struct rejectd_error *error)
{
    const size_t item = fif_stored_size(&reader->layout);
    enum rejectd_status status = REJECTD_OK;
    if (reader->n_piece > 0)
        status = take_piece(reader, &bytes, &n, error);
    while (status == REJECTD_OK && n >= item) {
        const size_t count = n / item < BATCH ? n / item : BATCH;
        status = give(reader, bytes, count, error);
        bytes += count * item;
        n -= count * item;
    }
    if (status == REJECTD_OK && n > 0)
        status = take_piece(reader, &bytes, &n, error);
    return status;
}

/* ---- bytes of the file, uncompressed ---- */

/* Takes some of the n bytes; *taken says how many. */
static enum rejectd_status step(struct fif_reader *reader, const unsigned char *bytes, size_t n,
                                size_t *taken, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    size_t wanted = reader->state == IN_HEADER ? FIF_HEADER_SIZE - reader->n_header : reader->left;
    *taken = n < wanted ? n : wanted;
    reader->at += *taken;
    switch (reader->state) {
    case IN_HEADER:
        memcpy(reader->header + reader->n_header, bytes, *taken);
        reader->n_header += *taken;
        return reader->n_header == FIF_HEADER_SIZE ? begin_tag(reader, error) : REJECTD_OK;
    case IN_DATA:
        status = keep(reader, bytes, *taken, error);
        reader->left -= *taken;
        return status == REJECTD_OK && reader->left == 0 ? end_tag(reader, error) : status;
    case IN_SAMPLES:
        status = take_samples(reader, bytes, *taken, error);
        reader->left -= *taken;
        if (reader->left == 0) {
            reader->left = FIF_DIMENSIONS_SIZE;
            reader->data_at = reader->head.length;
            reader->state = IN_DATA;
        }
        return status;
    default:
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the FIF file goes on after its last tag, at byte %zu", reader->at);
    }
}

static enum rejectd_status take_plain(struct fif_reader *reader, const unsigned char *bytes,
                                      size_t n, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    while (n > 0 && status == REJECTD_OK) {
        size_t taken = 0;
        status = step(reader, bytes, n, &taken, error);
        bytes += taken;
        n -= taken;
    }
    return status;
}

static enum rejectd_status take_inflated(void *context, const unsigned char *bytes, size_t n,
                                         struct rejectd_error *error)
{
    return take_plain(context, bytes, n, error);
}

static enum rejectd_status take(struct fif_reader *reader, const unsigned char *bytes, size_t n,
                                struct rejectd_error *error)
{
    return reader->form == FORM_GZIP
               ? fif_gzip_write(&reader->gzip, bytes, n, take_inflated, reader, error)
               : take_plain(reader, bytes, n, error);
}

/* ---- */

/* Looks at the first two bytes. */
static enum rejectd_status find_form(struct fif_reader *reader, const unsigned char **bytes,
                                     size_t *n, struct rejectd_error *error)
{
    if (!reader->has_first) {
        reader->first = **bytes;
        reader->has_first = true;
        ++*bytes;
        --*n;
    }
    if (*n == 0)
        return REJECTD_OK;
    enum rejectd_status status = REJECTD_OK;
    reader->form = reader->first == 0x1f && **bytes == 0x8b ? FORM_GZIP : FORM_PLAIN;
    if (reader->form == FORM_GZIP)
        status = fif_gzip_open(&reader->gzip, error);
    return status == REJECTD_OK ? take(reader, &reader->first, 1, error) : status;
}

/* Remembers a failure, to give it again. */
static enum rejectd_status settle(struct fif_reader *reader, enum rejectd_status status,
                                  const struct rejectd_error *failure, struct rejectd_error *error)
{
    if (status == REJECTD_OK)
        return REJECTD_OK;
    reader->failure = *failure;
    reader->failure.status = status;
    if (error != NULL)
        *error = reader->failure;
    return status;
}

enum rejectd_status fif_reader_write(struct fif_reader *reader, const void *bytes, size_t n,
                                     struct rejectd_error *error)
{
    const unsigned char *b = bytes;
    struct rejectd_error failure = reader->failure;
    enum rejectd_status status = failure.status;
    if (status == REJECTD_OK && n > 0 && reader->form == FORM_UNKNOWN)
        status = find_form(reader, &b, &n, &failure);
    if (status == REJECTD_OK && n > 0)
        status = take(reader, b, n, &failure);
    return settle(reader, status, &failure, error);
}

/* ---- the end ---- */

static enum rejectd_status check_end(const struct fif_reader *reader, struct rejectd_error *error)
{
    if (reader->form == FORM_GZIP && !reader->gzip.ended)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the gzip compression of the FIF file is cut off");
    if (reader->n_tags == 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the FIF file has only %zu bytes; save epochs with "
                            "epochs.save('...-epo.fif')",
                            reader->at + (reader->form == FORM_UNKNOWN && reader->has_first));
    if (reader->state == IN_DATA || reader->state == IN_SAMPLES)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the FIF file is cut off in tag %d (%s): %zu bytes of its data are "
                            "missing",
                            (int)reader->kind, fif_kind_name(reader->kind),
                            reader->left + (reader->state == IN_SAMPLES ? FIF_DIMENSIONS_SIZE : 0));
    if (reader->n_header > 0 || reader->blocks.depth > 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the FIF file is cut off after %zu bytes, before the end of block %d",
                            reader->at, (int)fif_blocks_innermost(&reader->blocks));
    if (reader->samples_at == 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the FIF file has no epochs (tag 302 in block 373); save them with "
                            "epochs.save('...-epo.fif')");
    return REJECTD_OK;
}

static enum rejectd_status describe(struct fif_reader *reader, struct fif_leftover *leftover,
                                    struct rejectd_error *error)
{
    struct dataset_description *d = &reader->info.description;
    const struct fif_head head = {reader->head.data, reader->head.length, reader->samples_at};
    struct fif_epochs epochs;
    enum rejectd_status status = fif_epochs_read(&head, d->n_epochs, &epochs, error);
    if (status != REJECTD_OK)
        return status;
    status = fif_epochs_describe(&epochs, d, error);
    leftover->has_next = epochs.has_next;
    leftover->next_number = epochs.next_number;
    memcpy(leftover->next_name, epochs.next_name, sizeof epochs.next_name);
    fif_epochs_clear(&epochs);
    return status == REJECTD_OK ? dataset_description_check(d, error) : status;
}

enum rejectd_status fif_reader_finish(struct fif_reader *reader,
                                      struct dataset_description *description,
                                      struct fif_leftover *leftover, struct rejectd_error *error)
{
    struct rejectd_error failure = reader->failure;
    enum rejectd_status status = failure.status;
    *description = (struct dataset_description){0};
    *leftover = (struct fif_leftover){0};
    if (status != REJECTD_OK || (status = check_end(reader, &failure)) != 0 ||
        (status = describe(reader, leftover, &failure)) != 0) {
        fif_leftover_clear(leftover);
        return settle(reader, status, &failure, error);
    }
    *description = reader->info.description;
    reader->info.description = (struct dataset_description){0};
    leftover->samples_at = reader->samples_at;
    leftover->samples_bytes = reader->samples_bytes;
    leftover->head = (unsigned char *)buffer_take(&reader->head, &leftover->head_size);
    return REJECTD_OK;
}
