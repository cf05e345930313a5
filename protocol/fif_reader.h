/*
 * Reading epochs that MNE-Python saved (`-epo.fif`, `-epo.fif.gz`), as the bytes arrive.
 *
 * The format: "Functional Image File Format" of Neuromag/MEGIN with MNE-Python's additions; see
 * fif_tags.h. The samples go to a sink as they come; all else of the file, the head, is kept, so
 * that fif_writer.h can make a file of the cleaned epochs. Not thread-safe.
 */
#ifndef PROTOCOL_FIF_READER_H
#define PROTOCOL_FIF_READER_H

#include "protocol/dataset_json.h"

#define FIF_DEFAULT_MAX_HEAD ((size_t)64 << 20)

struct fif_reader;

struct fif_reader_options {
    size_t max_head; /* most bytes that are kept besides the samples; 0: FIF_DEFAULT_MAX_HEAD */
    void *context;   /* for the callbacks; borrowed */
    /*
     * Called once, before the first sample. sfreq, tmin, the shape, dtype, channels, bad ones,
     * device_to_head and projectors are known; events aren't. The description stays the reader's.
     * A failure ends the reading with that status. May be NULL.
     */
    enum rejectd_status (*begin)(void *context, const struct dataset_description *so_far,
                                 struct rejectd_error *error);
    /*
     * The samples in pieces of whole samples, in order: [epoch][channel][time], little-endian, SI
     * units (stored value x calibration), in the dataset's dtype. They are not checked to be
     * finite. A failure ends the reading with that status. May be NULL.
     */
    enum rejectd_status (*samples)(void *context, const void *bytes, size_t n,
                                   struct rejectd_error *error);
};

/* What else there was in the file. */
struct fif_leftover {
    unsigned char *head; /* the file (uncompressed) without the samples, owned */
    size_t head_size;
    size_t samples_at;    /* where in the head the samples were */
    size_t samples_bytes; /* how many bytes they had in the file */
    bool has_next;        /* the file is a part, and another one follows */
    int next_number;      /* its number, 1 for the second part; -1 when the file doesn't say */
    char next_name[256];  /* its name, UTF-8, without folders; "" when the file doesn't say */
};

void fif_leftover_clear(struct fif_leftover *leftover); /* all-zero is allowed */

/* True when bytes (at least 16) begin like a FIF file, or like any gzip file. */
bool fif_has_magic(const void *bytes, size_t length);

/* *reader is owned by the caller: fif_reader_close(). NULL on failure (OUT_OF_MEMORY). */
enum rejectd_status fif_reader_open(const struct fif_reader_options *options,
                                    struct fif_reader **reader, struct rejectd_error *error);
void fif_reader_close(struct fif_reader *reader); /* NULL is allowed */

/*
 * The next n bytes of the file, compressed by gzip or not, in pieces of any size. After a failure
 * every further call fails in the same way.
 *
 *   INVALID_SAMPLES  this is no FIF file, not one of epochs, or it is damaged
 *   INVALID_VALUE    a value of it is not accepted
 *   TOO_LARGE        what must be kept of it is more than max_head, or too many tags, projectors
 */
enum rejectd_status fif_reader_write(struct fif_reader *reader, const void *bytes, size_t n,
                                     struct rejectd_error *error);

/*
 * The end of the file. Fills the complete description (dataset_description_clear()) and the
 * leftover (fif_leftover_clear()); on failure both are all zero. dtype is float32 when the file
 * has single precision and no calibration but 1, otherwise float64: what MNE-Python computes is
 * then kept exactly. To be called once.
 */
enum rejectd_status fif_reader_finish(struct fif_reader *reader,
                                      struct dataset_description *description,
                                      struct fif_leftover *leftover, struct rejectd_error *error);

#endif
