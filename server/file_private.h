/* Shared by file_upload.c, file_formats.c and file_commit.c alone. */
#ifndef SERVER_FILE_PRIVATE_H
#define SERVER_FILE_PRIVATE_H

#include "protocol/dataset_json.h"
#include "protocol/fif_reader.h"
#include "server/file_upload.h"
#include "server/intake.h"

enum { FILE_MAGIC_BYTES = 16 }; /* enough to recognise every format */

struct file_format {
    const char *name; /* of store_part */
    bool (*recognise)(const void *first, size_t count);
    enum rejectd_status (*open)(struct file_upload *upload, struct rejectd_error *error);
    enum rejectd_status (*consume)(struct file_upload *upload, const void *bytes, size_t count,
                                   struct rejectd_error *error);
    /* Fills the description, and has the writer given all samples. */
    enum rejectd_status (*finish)(struct file_upload *upload, struct rejectd_error *error);
};

struct file_upload {
    struct service *service;
    char dataset[RESOURCE_ID_SIZE]; /* "" for a new one */
    struct intake *intake;
    bool counted;

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
};

/* The format that the first bytes are of, or NULL. */
const struct file_format *file_format_of(const void *first, size_t count);

/* What is accepted, for messages. */
#define FILE_FORMATS_ACCEPTED                                                                      \
    "MNE-Python's -epo.fif and -epo.fif.gz, and .npz with data, ch_names, ch_types and sfreq"

/* Opens the writer for samples of that description (TOO_LARGE above max-upload-bytes). */
enum rejectd_status file_open_writer(struct file_upload *upload,
                                     const struct dataset_description *description,
                                     struct rejectd_error *error);

/* Makes a finished upload durable: file_upload_commit(). */
enum rejectd_status file_commit(struct file_upload *upload, const char *name,
                                struct dataset_view *dataset, struct rejectd_error *error);

#endif
