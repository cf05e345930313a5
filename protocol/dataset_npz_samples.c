/*
 * The samples of a .npz in C order, little-endian.
 *
 * They come as one stream of bytes in the file's order. C order passes through in pieces. Fortran
 * order has the epoch vary fastest, so that each epoch is spread over all of the stream: it is run
 * through once for every block of epochs that fits in memory.
 */
#include <stdlib.h>
#include <string.h>

#include "protocol/dataset_npz.h"

enum { PIECE = 128 * 1024, MAX_PASSES = 8 };
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
static const size_t block_bytes = 64; /* so that small inputs take several passes */
#else
static const size_t block_bytes = (size_t)256 << 20;
#endif

struct samples {
    const struct dataset_description *description;
    const struct npy_header *header;
    npz_sink *sink;
    void *context;
    unsigned char *piece; /* [PIECE], whole items of what came */
    size_t used;
    size_t done; /* items before those of the piece */
    size_t item_size;
    /* In Fortran order: the epochs first..first + n - 1 */
    unsigned char *block;
    size_t first, n;
};

static void swap(unsigned char *bytes, size_t count, size_t item_size)
{
    for (size_t i = 0; i < count; i += item_size)
        for (size_t b = 0; b < item_size / 2; b++) {
            const unsigned char kept = bytes[i + b];
            bytes[i + b] = bytes[i + item_size - 1 - b];
            bytes[i + item_size - 1 - b] = kept;
        }
}

/* Puts those items of the piece that belong to the block at their place. */
static void place(struct samples *s, size_t count)
{
    const size_t n_epochs = s->description->n_epochs, w = s->item_size;
    const size_t row = s->description->n_channels * s->description->n_times; /* an epoch */
    size_t channel_time = s->done / n_epochs, epoch = s->done % n_epochs;
    /* The index of the stream counts (time, channel); that of the block (channel, time). */
    for (size_t i = 0; i < count; i++) {
        if (epoch >= s->first && epoch - s->first < s->n) {
            const size_t channel = channel_time % s->description->n_channels;
            const size_t time = channel_time / s->description->n_channels;
            memcpy(s->block +
                       w * ((epoch - s->first) * row + channel * s->description->n_times + time),
                   s->piece + w * i, w);
        }
        if (++epoch == n_epochs) {
            epoch = 0;
            channel_time++;
        }
    }
}

static enum rejectd_status deliver(struct samples *s, const unsigned char *bytes, size_t first,
                                   size_t count, struct rejectd_error *error)
{
    const struct dataset_description *d = s->description;
    size_t index;
    if (samples_are_finite(bytes, d->dtype, count, &index))
        return s->sink(s->context, bytes, count * s->item_size, error);
    index += first;
    const size_t row = index / d->n_times, channel = row % d->n_channels;
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data",
                        "the sample of epoch %zu, channel %zu (%s), time %zu is NaN or infinite; "
                        "all must be finite",
                        row / d->n_channels, channel, d->channels[channel].name,
                        index % d->n_times);
}

static enum rejectd_status flush(struct samples *s, struct rejectd_error *error)
{
    const size_t count = s->used / s->item_size;
    enum rejectd_status status = REJECTD_OK;
    if (s->header->big_endian)
        swap(s->piece, s->used, s->item_size);
    if (s->block != NULL)
        place(s, count);
    else
        status = deliver(s, s->piece, s->done, count, error);
    s->done += count;
    s->used = 0;
    return status;
}

static enum rejectd_status receive(void *context, const void *bytes, size_t count,
                                   struct rejectd_error *error)
{
    struct samples *s = context;
    const unsigned char *at = bytes;
    while (count > 0) {
        const size_t room = PIECE - s->used;
        const size_t taken = count < room ? count : room;
        memcpy(s->piece + s->used, at, taken);
        s->used += taken;
        at += taken;
        count -= taken;
        if (s->used < PIECE)
            break;
        enum rejectd_status status = flush(s, error);
        if (status != REJECTD_OK)
            return status;
    }
    return REJECTD_OK;
}

static enum rejectd_status run(struct samples *s, const struct npz_archive *archive,
                               const struct npz_member *member, struct rejectd_error *error)
{
    s->used = s->done = 0;
    enum rejectd_status status =
        npz_member_stream(archive, member, s->header->data_offset, receive, s, error);
    return status == REJECTD_OK && s->used > 0 ? flush(s, error) : status;
}

static enum rejectd_status run_blocks(struct samples *s, const struct npz_archive *archive,
                                      const struct npz_member *member, struct rejectd_error *error)
{
    const struct dataset_description *d = s->description;
    const size_t items = d->n_channels * d->n_times, epoch_bytes = items * s->item_size;
    size_t n = (d->n_epochs + MAX_PASSES - 1) / MAX_PASSES;
    if (n < block_bytes / epoch_bytes)
        n = block_bytes / epoch_bytes < d->n_epochs ? block_bytes / epoch_bytes : d->n_epochs;
    s->block = malloc(n * epoch_bytes);
    if (s->block == NULL)
        return REJECTD_FAIL_MEMORY(error, n * epoch_bytes);
    enum rejectd_status status = REJECTD_OK;
    for (s->first = 0; s->first < d->n_epochs && status == REJECTD_OK; s->first += n) {
        s->n = d->n_epochs - s->first < n ? d->n_epochs - s->first : n;
        status = run(s, archive, member, error);
        if (status == REJECTD_OK)
            status = deliver(s, s->block, s->first * items, s->n * items, error);
    }
    free(s->block);
    return status;
}

static enum rejectd_status check_same(const struct npy_header *header,
                                      const struct dataset_description *d,
                                      struct rejectd_error *error)
{
    if (header->n_dimensions == 3 && header->shape[0] == d->n_epochs &&
        header->shape[1] == d->n_channels && header->shape[2] == d->n_times &&
        strcmp(header->descr, npy_descr(d->dtype)) == 0)
        return REJECTD_OK;
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data",
                        "is not the array that was described; the file has changed");
}

enum rejectd_status dataset_npz_samples(const void *bytes, size_t length,
                                        const struct dataset_description *description,
                                        npz_sink *sink, void *context, struct rejectd_error *error)
{
    struct npz_archive archive;
    struct npy_header header = {0};
    const struct npz_member *member;
    enum rejectd_status status = npz_open(bytes, length, &archive, error);
    if (status != REJECTD_OK)
        return status;
    npz_find(&archive, "data", &member);
    if (member != NULL)
        status = npz_member_header(&archive, member, &header, error);
    if (status == REJECTD_OK)
        status = check_same(&header, description, error);
    struct samples samples = {.description = description,
                              .header = &header,
                              .sink = sink,
                              .context = context,
                              .piece = malloc(PIECE),
                              .item_size = header.item_size};
    if (status == REJECTD_OK && samples.piece == NULL)
        status = REJECTD_FAIL_MEMORY(error, PIECE);
    if (status == REJECTD_OK)
        status = header.fortran_order ? run_blocks(&samples, &archive, member, error)
                                      : run(&samples, &archive, member, error);
    free(samples.piece);
    npz_close(&archive);
    return status;
}
