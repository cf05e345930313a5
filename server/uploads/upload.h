/* The samples of a dataset on their way to the disk, raw or as .npy. One thread at a time. */
#ifndef SERVER_UPLOADS_UPLOAD_H
#define SERVER_UPLOADS_UPLOAD_H

#include "protocol/dataset_json.h"
#include "server/service.h"

struct upload;

/* Counts an upload, UNAVAILABLE when max-uploads are going on; upload_slot_release() in any case.
 */
enum rejectd_status upload_slot_take(struct service *service, struct rejectd_error *error);
void upload_slot_release(struct service *service);

/*
 * Begins an upload to a dataset, which must await its samples (CONFLICT), of a body of
 * `content_length` bytes, which must be what the dataset needs (INVALID_SAMPLES) and may be at
 * most max-upload-bytes (TOO_LARGE). on_room() as in blobs/blobs.h. *upload is owned by the caller:
 * upload_close().
 */
enum rejectd_status upload_open(struct service *service, const char *dataset,
                                uint64_t content_length, bool is_npy, void (*on_room)(void *),
                                void *context, struct upload **upload, struct rejectd_error *error);
/* Leaves nothing behind of an upload that was not committed. NULL is allowed. */
void upload_close(struct upload *upload);

/* True when upload_write() takes `count` bytes without waiting; false: on_room() follows. */
bool upload_has_room(struct upload *upload, size_t count);
/* Takes the next bytes of the body. Errors are kept for upload_commit(); the rest is dropped. */
void upload_write(struct upload *upload, const void *bytes, size_t count);

/* INVALID_SAMPLES that says which sample is not finite: its index in the dataset. */
enum rejectd_status upload_fail_sample(const struct dataset_description *description, size_t index,
                                       struct rejectd_error *error);

/* After the whole body: checks it, makes it durable and the dataset ready. Waits for the disk. */
enum rejectd_status upload_commit(struct upload *upload, struct rejectd_error *error);

#endif
