/*
 * Writing cleaned epochs as `-epo.fif`, for MNE-Python and whatever else reads it.
 *
 * The file is that which was uploaded, tag by tag, but for the epochs that were dropped: samples,
 * events, selection and metadata lose them, and the drop log says AUTOREJECT at their original
 * index. FIF files are smaller than 2 GiB; more than that is divided over parts that name the next
 * one, as MNE-Python does. Each part is a frame: bytes, then samples, then bytes.
 */
#ifndef PROTOCOL_FIF_WRITER_H
#define PROTOCOL_FIF_WRITER_H

#include "protocol/fif_reader.h"
#include "protocol/fif_samples.h"

#define FIF_DEFAULT_MAX_PART (((size_t)1 << 31) - ((size_t)1 << 20)) /* as MNE-Python */

struct fif_writer;

struct fif_writer_options {
    /* What reading left over: of one file, or of the parts of a divided one, in their order. They
     * are borrowed and must outlive the writer. Only head, head_size and samples_at are used. */
    const struct fif_leftover *heads;
    size_t n_heads;
    const unsigned char *kept; /* [n_epochs], of all epochs of all heads; 0: dropped. Borrowed */
    size_t n_epochs;
    enum rejectd_dtype dtype; /* of the samples that will be converted */
    const char *name;         /* of the file, UTF-8, without folders: "sample-epo.fif" */
    size_t max_part;          /* most bytes of a part; 0: FIF_DEFAULT_MAX_PART */
};

/*
 * *writer is owned by the caller: fif_writer_close(); NULL on failure.
 *
 *   INVALID_SAMPLES     a head is damaged, or the heads don't belong together
 *   INVALID_VALUE       n_epochs, dtype or name don't fit the heads
 *   UNSUITABLE_DATASET  no epoch is kept; FIF has no file without epochs
 *   TOO_LARGE           not even one epoch fits into a part, or there would be more than 1000
 */
enum rejectd_status fif_writer_open(const struct fif_writer_options *options,
                                    struct fif_writer **writer, struct rejectd_error *error);
void fif_writer_close(struct fif_writer *writer); /* NULL is allowed */

/* How many files it takes: at least 1. */
size_t fif_writer_parts(const struct fif_writer *writer);

/* One file: the prefix, data_bytes of samples, the suffix. */
struct fif_frame {
    char name[256];        /* "sample-epo.fif", "sample-epo-1.fif", ... */
    unsigned char *prefix; /* owned, as is the suffix */
    size_t prefix_bytes;
    size_t data_bytes;
    unsigned char *suffix;
    size_t suffix_bytes;
    size_t first_epoch; /* of the file, counting the kept ones only */
    size_t n_epochs;
    struct fif_layout layout; /* borrows from the writer */
};

/* Makes the frame of part 0, 1, ...; on failure it is all zero. The writer must outlive it. */
enum rejectd_status fif_writer_frame(const struct fif_writer *writer, size_t part,
                                     struct fif_frame *frame, struct rejectd_error *error);
void fif_frame_clear(struct fif_frame *frame); /* all-zero is allowed */

/* Bytes of one epoch in the file, and as samples. */
size_t fif_frame_stored_epoch(const struct fif_frame *frame);
size_t fif_frame_sample_epoch(const struct fif_frame *frame);

/*
 * Converts whole epochs, [n_epochs][channel][time] in the dtype of the options, to what the file
 * holds: times 1 / calibration, big-endian, in single or double precision as it was uploaded. `out`
 * has room for n_epochs * fif_frame_stored_epoch() bytes and doesn't overlap the samples. Threads
 * may convert at the same time.
 */
void fif_frame_convert(const struct fif_frame *frame, const void *samples, size_t n_epochs,
                       void *out);

#endif
