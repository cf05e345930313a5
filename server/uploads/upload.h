/*
 * The samples of a dataset on their way to the disk, raw or as .npy, compressed or not, in one body
 * or in pieces. One thread at a time.
 */
#ifndef SERVER_UPLOADS_UPLOAD_H
#define SERVER_UPLOADS_UPLOAD_H

#include "protocol/dataset_json.h"
#include "protocol/http_fields.h"
#include "server/service.h"

struct upload;

struct upload_options {
    const char *dataset;
    uint64_t content_length;
    bool is_npy; /* said to be */
    enum http_coding coding;
    struct http_piece piece; /* total 0: the body is the whole. Not with a coding */
    bool whole_or_nothing;   /* a piece that is cut off is not kept */
    bool has_digest;
    unsigned char digest[HTTP_DIGEST_BYTES]; /* of all pieces together; looked at with the last */
    void (*on_room)(void *context);          /* as in blobs/blobs.h */
    void *context;
};

/* Counts an upload, UNAVAILABLE when max-uploads are going on; upload_slot_release() in any case.
 */
enum rejectd_status upload_slot_take(struct service *service, struct rejectd_error *error);
void upload_slot_release(struct service *service);

/*
 * Begins an upload to a dataset, which must await its samples and have no other upload going on
 * (CONFLICT). The body must be what the dataset needs (INVALID_SAMPLES) and have at most
 * max-upload-bytes (TOO_LARGE). A piece must begin where the pieces before it ended: else CONFLICT,
 * and *place says where that is. *upload is owned by the caller: upload_close().
 */
enum rejectd_status upload_open(struct service *service, const struct upload_options *options,
                                struct upload **upload, struct http_place *place,
                                struct rejectd_error *error);
/*
 * Leaves nothing behind of an upload that was not committed, but of a piece what has come of it,
 * which an executor makes durable. NULL is allowed.
 */
void upload_close(struct upload *upload);

/* True when upload_write() takes `count` bytes without waiting; false: on_room() follows. */
bool upload_has_room(struct upload *upload, size_t count);
/* Takes the next bytes of the body. Errors are kept for upload_commit(); the rest is dropped. */
void upload_write(struct upload *upload, const void *bytes, size_t count);

/* INVALID_SAMPLES that says which sample is not finite: its index in the dataset. */
enum rejectd_status upload_fail_sample(const struct dataset_description *description, size_t index,
                                       struct rejectd_error *error);

/*
 * After the whole body: checks it, and makes it durable. With it, or with the last piece, the
 * dataset is ready, and place->complete; a piece before that is only kept. Waits for the disk. What
 * is no use in any continuation (INVALID_SAMPLES, DIGEST_MISMATCH) is removed, all pieces of it.
 */
enum rejectd_status upload_commit(struct upload *upload, struct http_place *place,
                                  struct rejectd_error *error);

#endif
