#include "server/uploads/file_upload.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/store/quota.h"
#include "server/uploads/file_private.h"
#include "server/uploads/partials.h"
#include "server/uploads/upload.h"

static enum rejectd_status fail_format(struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_UNSUPPORTED_MEDIA_TYPE, "",
                        "the body is no file that is known by its first bytes; accepted are "
                        "%s; JSON needs the content type application/json",
                        FILE_FORMATS_ACCEPTED);
}

static enum rejectd_status choose_format(struct file_upload *upload, struct rejectd_error *error)
{
    upload->format = file_format_of(upload->first, upload->n_first);
    if (upload->format == NULL) {
        return fail_format(error);
    }
    enum rejectd_status status = upload->format->open(upload, error);
    if (status == REJECTD_OK) {
        status = upload->format->consume(upload, upload->first, upload->n_first, error);
    }
    return status;
}

/* Keeps the first bytes until they tell the format. */
static enum rejectd_status consume(void *context, const void *bytes, size_t count,
                                   struct rejectd_error *error)
{
    struct file_upload *upload = context;
    const unsigned char *from = bytes;
    if (upload->format == NULL) {
        const size_t missing = FILE_MAGIC_BYTES - upload->n_first;
        const size_t taken = count < missing ? count : missing;
        memcpy(upload->first + upload->n_first, from, taken);
        upload->n_first += taken;
        from += taken;
        count -= taken;
        if (upload->n_first < FILE_MAGIC_BYTES) {
            return REJECTD_OK;
        }
        const enum rejectd_status status = choose_format(upload, error);
        if (status != REJECTD_OK) {
            return status;
        }
    }
    return count > 0 ? upload->format->consume(upload, from, count, error) : REJECTD_OK;
}

enum rejectd_status file_check_quota(const struct file_upload *upload, uint64_t bytes,
                                     struct rejectd_error *error)
{
    struct store *store = upload->service->store;
    const uint64_t most = (uint64_t)upload->service->config->user_bytes;
    struct store_usage usage = {0};
    if (most == 0 || upload->fdt_bytes > 0) { /* those were counted with their .set */
        return REJECTD_OK;
    }
    const enum rejectd_status status =
        store->functions->usage_get(store, upload->owner, &usage, error);
    return status == REJECTD_OK ? quota_check_bytes(&usage, bytes, most, error) : status;
}

/* The dataset awaits a file. When it has a .set already, that is the .fdt. */
static enum rejectd_status open_next(struct file_upload *upload,
                                     const struct file_upload_options *options,
                                     struct rejectd_error *error)
{
    struct store *store = upload->service->store;
    struct dataset_view dataset = {0};
    struct store_part *parts = NULL;
    size_t n_parts = 0;
    enum rejectd_status status =
        store->functions->dataset_get(store, upload->dataset, &dataset, error);
    if (status == REJECTD_OK && dataset.next_part[0] == '\0') {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "", "dataset %.40s awaits no further file",
                              upload->dataset);
    }
    if (status == REJECTD_OK) {
        status = store->functions->dataset_parts(store, upload->dataset, &parts, &n_parts, error);
    }
    if (status == REJECTD_OK && n_parts == 1 && strcmp(parts[0].format, "set") == 0) {
        status = file_fdt_begin(upload, &dataset, &parts[0], options, error);
    }
    memcpy(upload->owner, dataset.ownership.owner, sizeof upload->owner);
    free(parts);
    dataset_view_clear(&dataset);
    return status;
}

static enum rejectd_status begin(struct file_upload *upload,
                                 const struct file_upload_options *options,
                                 struct rejectd_error *error)
{
    struct intake_options intake = {
        .coding = options->coding,
        .most = options->most,
        .consume = consume,
        .context = upload,
        .on_room = options->on_room,
        .room_context = options->context,
    };
    enum rejectd_status status = REJECTD_OK;
    if (upload->dataset[0] != '\0') {
        status = partials_enter(upload->service->partials, upload->dataset, error);
        upload->entered = status == REJECTD_OK;
    }
    if (status == REJECTD_OK) {
        upload->counted = true;
        status = upload_slot_take(upload->service, error);
    }
    if (status == REJECTD_OK && upload->dataset[0] != '\0') {
        status = open_next(upload, options, error);
    }
    if (status == REJECTD_OK) {
        status = file_check_quota(upload, options->content_length, error);
    }
    if (upload->fdt_bytes > 0) {
        intake.most = upload->fdt_bytes;
    }
    return status == REJECTD_OK ? intake_open(&intake, &upload->intake, error) : status;
}

enum rejectd_status file_upload_open(struct service *service,
                                     const struct file_upload_options *options,
                                     struct file_upload **upload, struct rejectd_error *error)
{
    const uint64_t most = (uint64_t)service->config->max_upload_bytes;
    *upload = NULL;
    if (options->content_length > most) {
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                            "the file has %llu bytes; accepted are at most %llu",
                            (unsigned long long)options->content_length, (unsigned long long)most);
    }
    /* What is kept of a file is about as long as the file. */
    enum rejectd_status status = blobs_check_room(service->blobs, options->content_length, error);
    if (status != REJECTD_OK) {
        return status;
    }
    struct file_upload *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->service = service;
    made->scratch = -1;
    memcpy(made->dataset, options->dataset, strlen(options->dataset) + 1);
    memcpy(made->owner, options->owner, strlen(options->owner) + 1);
    status = begin(made, options, error);
    if (status != REJECTD_OK) {
        file_upload_close(made);
        return status;
    }
    *upload = made;
    return REJECTD_OK;
}

void file_upload_close(struct file_upload *upload)
{
    if (upload == NULL) {
        return;
    }
    intake_close(upload->intake);
    blob_writer_close(upload->writer);
    fif_reader_close(upload->reader);
    fif_leftover_clear(&upload->leftover);
    dataset_description_clear(&upload->description);
    if (upload->scratch >= 0) {
        close(upload->scratch);
    }
    scratch_remove(&upload->folder);
    if (upload->entered) {
        partials_leave(upload->service->partials, upload->dataset);
    }
    if (upload->counted) {
        upload_slot_release(upload->service);
    }
    free(upload);
}

bool file_upload_has_room(struct file_upload *upload, size_t count)
{
    return intake_has_room(upload->intake, count);
}

void file_upload_write(struct file_upload *upload, const void *bytes, size_t count)
{
    intake_write(upload->intake, bytes, count);
}

enum rejectd_status file_upload_commit(struct file_upload *upload, const char *name,
                                       const struct ownership *ownership,
                                       struct dataset_view *dataset, struct rejectd_error *error)
{
    enum rejectd_status status = intake_finish(upload->intake, error);
    if (status == REJECTD_OK && upload->format == NULL) {
        status = choose_format(upload, error); /* it is a short one */
    }
    if (status == REJECTD_OK) {
        status = upload->format->finish(upload, error);
    }
    if (status == REJECTD_OK) {
        status = file_commit(upload, name, ownership, dataset, error);
    }
    scratch_remove(&upload->folder); /* before the answer, not after it */
    return status;
}
