/* Shared by upload.c and upload_piece.c alone. */
#ifndef SERVER_UPLOADS_UPLOAD_PRIVATE_H
#define SERVER_UPLOADS_UPLOAD_PRIVATE_H

#include "protocol/content_decoder.h"
#include "protocol/npy.h"
#include "server/uploads/intake.h"
#include "server/uploads/upload.h"

struct upload {
    struct service *service;
    struct upload_options options;
    struct dataset_description description;
    char dataset[RESOURCE_ID_SIZE];
    size_t sample_bytes; /* that the dataset needs */
    bool counted;
    bool entered; /* partials_enter() */

    /* Of the thread that writes: the intake's for a coded body. */
    uint64_t body_bytes; /* of the whole, decoded, all pieces; 0: not known before its end */
    bool in_header;      /* the samples haven't begun */
    size_t header_length;
    unsigned char header[NPY_MAX_HEADER]; /* its own bytes alone, once the samples have begun */
    uint64_t sample_count;                /* bytes of samples that came so far */
    struct blob_writer *writer; /* NULL when the length is wrong: only the header is read */
    enum rejectd_status status; /* the first failure */
    struct rejectd_error error;

    /* Of a coded body. */
    struct intake *intake;
    struct content_decoder *decoder;

    /* Of a piece. */
    bool is_piece;
    bool received; /* something of it */
    bool settled;  /* committed, or refused: nothing is to be kept any more */
    bool is_first; /* nothing is kept yet */
    struct executor_task task;
};

/* INVALID_SAMPLES that tells what was needed. */
enum rejectd_status upload_fail_length(const struct upload *upload, uint64_t length,
                                       struct rejectd_error *error);
/* A body of that many bytes can be what the dataset needs: raw, or .npy. */
bool upload_length_fits(const struct upload *upload, uint64_t length);
/* Publishes what the writer has finished, and makes the dataset ready. */
enum rejectd_status upload_publish(struct upload *upload, const char *sha256,
                                   struct rejectd_error *error);
/* Frees it. */
void upload_free(struct upload *upload);

/* Opens the writer of a piece behind what is kept, and takes its state from there. */
enum rejectd_status upload_piece_open(struct upload *upload, struct http_place *place,
                                      struct rejectd_error *error);
/* As upload_commit(). */
enum rejectd_status upload_piece_commit(struct upload *upload, struct http_place *place,
                                        struct rejectd_error *error);
/* As upload_close(). */
void upload_piece_close(struct upload *upload);

#endif
