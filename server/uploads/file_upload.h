/*
 * A file of epochs on its way to become a dataset, or the next part of one: MNE-Python's FIF, plain
 * or compressed, a NumPy archive, or EEGLAB's .set. What it is, its first bytes tell. FIF is read
 * as it comes; an archive has its directory at the end and waits in a scratch file; a .set does,
 * too, because it is read by another program (converter/converter.h). The next part of a .set is
 * its .fdt. One thread at a time.
 */
#ifndef SERVER_UPLOADS_FILE_UPLOAD_H
#define SERVER_UPLOADS_FILE_UPLOAD_H

#include "protocol/http_fields.h"
#include "server/service.h"

struct file_upload;

struct file_upload_options {
    const char *dataset; /* "" for a new one, or the id of one that awaits its next part */
    const char *owner;   /* of a new one */
    uint64_t content_length;
    enum http_coding coding;
    uint64_t most;                  /* bytes that a coded body may become */
    void (*on_room)(void *context); /* as in blobs/blobs.h */
    void *context;
};

/*
 * Begins an upload of at most max-upload-bytes, for which its owner has room (TOO_LARGE). CONFLICT
 * when the dataset awaits no part, or another upload to it is going on. *upload is owned by the
 * caller: file_upload_close().
 */
enum rejectd_status file_upload_open(struct service *service,
                                     const struct file_upload_options *options,
                                     struct file_upload **upload, struct rejectd_error *error);
/* Leaves nothing behind of an upload that was not committed. NULL is allowed. */
void file_upload_close(struct file_upload *upload);

/* True when file_upload_write() takes `count` bytes without waiting; false: on_room() follows. */
bool file_upload_has_room(struct file_upload *upload, size_t count);
/* Takes the next bytes of the body. Errors are kept for file_upload_commit(). */
void file_upload_write(struct file_upload *upload, const void *bytes, size_t count);

/* After the whole body: makes it durable, and a dataset of that name ("" for none) and ownership,
 * or the next part of one, which keeps its own. Waits for the disk. *dataset is filled:
 * dataset_view_clear(). */
enum rejectd_status file_upload_commit(struct file_upload *upload, const char *name,
                                       const struct ownership *ownership,
                                       struct dataset_view *dataset, struct rejectd_error *error);

#endif
