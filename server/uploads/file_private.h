/* Shared by the file_*.c alone. */
#ifndef SERVER_UPLOADS_FILE_PRIVATE_H
#define SERVER_UPLOADS_FILE_PRIVATE_H

#include "protocol/dataset_json.h"
#include "protocol/fif_reader.h"
#include "server/converter/converter.h"
#include "server/uploads/file_upload.h"
#include "server/uploads/intake.h"

enum {
    FILE_MAGIC_BYTES = 128,        /* enough to recognise every format */
    FILE_MAX_SET_HEAD = 256 << 20, /* largest .set that is kept beside its samples */
};

struct file_format {
    const char *name; /* of store_part */
    bool (*recognise)(const void *first, size_t count);
    enum rejectd_status (*open)(struct file_upload *upload, struct rejectd_error *error);
    enum rejectd_status (*consume)(struct file_upload *upload, const void *bytes, size_t count,
                                   struct rejectd_error *error);
    /* Fills the description, and has the writer given all samples (of a .set without its .fdt:
     * leaves it NULL). */
    enum rejectd_status (*finish)(struct file_upload *upload, struct rejectd_error *error);
};

struct file_upload {
    struct service *service;
    char dataset[RESOURCE_ID_SIZE]; /* "" for a new one */
    char owner[RESOURCE_USER_SIZE];
    struct intake *intake;
    bool counted;
    bool entered; /* partials_enter() */

    /* Of the intake's thread, then of the thread that commits. */
    unsigned char first[FILE_MAGIC_BYTES];
    size_t n_first;
    const struct file_format *format;       /* NULL: not known yet */
    struct dataset_description description; /* after finish() */
    struct blob_writer *writer;             /* of the samples */
    struct fif_reader *reader;
    struct fif_leftover leftover;
    int scratch; /* -1: none */
    uint64_t scratch_bytes;
    struct scratch folder;                  /* of a file that is converted */
    bool scratch_is_head;                   /* the file itself is kept, as the head of its part */
    char name[256];                         /* of the dataset that an .fdt belongs to */
    char head_sha256[RESOURCE_SHA256_SIZE]; /* its .set */
    uint64_t head_bytes;
    char fdt_name[256];
    uint64_t fdt_bytes; /* that it must have */
};

/* The format that the first bytes are of, or NULL. */
const struct file_format *file_format_of(const void *first, size_t count);

/* Begins the .fdt that belongs to the .set of a dataset; its bytes do not tell what it is.
 * INVALID_SAMPLES unless it has the length it needs; of a coded body, only finish() knows that. */
enum rejectd_status file_fdt_begin(struct file_upload *upload, const struct dataset_view *dataset,
                                   const struct store_part *set,
                                   const struct file_upload_options *options,
                                   struct rejectd_error *error);
/* True for such an upload. */
bool file_is_fdt(const struct file_upload *upload);

/* What is accepted, for messages. */
#define FILE_FORMATS_ACCEPTED                                                                      \
    "MNE-Python's -epo.fif and -epo.fif.gz, EEGLAB's .set, and .npz with data, ch_names, "         \
    "ch_types and sfreq"

/* For file_format: keeps the body in a scratch file. */
enum rejectd_status file_keep(struct file_upload *upload, const void *bytes, size_t count,
                              struct rejectd_error *error);
/* Hands samples to the writer; context is the upload. */
enum rejectd_status file_write_samples(void *context, const void *bytes, size_t count,
                                       struct rejectd_error *error);

/* EEGLAB's .set: file_set.c */
bool file_set_has_magic(const void *first, size_t count);
enum rejectd_status file_set_open(struct file_upload *upload, struct rejectd_error *error);
enum rejectd_status file_set_finish(struct file_upload *upload, struct rejectd_error *error);

/* TOO_LARGE when the owner has no room for so many bytes. */
enum rejectd_status file_check_quota(const struct file_upload *upload, uint64_t bytes,
                                     struct rejectd_error *error);

/* Opens the writer for samples of that description (TOO_LARGE above max-upload-bytes, and where the
 * owner has no room for them). */
enum rejectd_status file_open_writer(struct file_upload *upload,
                                     const struct dataset_description *description,
                                     struct rejectd_error *error);

/* Makes a finished upload durable: file_upload_commit(). */
enum rejectd_status file_commit(struct file_upload *upload, const char *name,
                                const struct ownership *ownership, struct dataset_view *dataset,
                                struct rejectd_error *error);

#endif
