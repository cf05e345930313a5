#include "server/retention/removal.h"

#include "server/uploads/partials.h"

static const char *user_of(const struct request *request)
{
    return request->principal.user[0] != '\0' ? request->principal.user : "localhost";
}

static void audit(const struct service *service, const char *event, const char *id,
                  const struct request *request, size_t n_results, size_t n_files)
{
    log_write_fields(
        service->log, LOG_LEVEL_AUDIT, event,
        LOG_FIELDS(LOG_TEXT("id", id), LOG_TEXT("user", request == NULL ? NULL : user_of(request)),
                   LOG_NUMBER("results", n_results), LOG_NUMBER("files", n_files),
                   LOG_TEXT("request_id", request == NULL ? NULL : request->request_id)),
        "%s", request == NULL ? "the time was over that it is kept" : "on request");
}

/* Removes the blobs that nothing refers to any more; under the lock of the blobs. */
static size_t remove_blobs(struct service *service, const struct store_removed *removed)
{
    size_t n_files = 0;
    for (size_t i = 0; i < removed->n; i++) {
        const char *sha256 = removed->sha256[i];
        if (service->store->functions->blob_is_needed(service->store, sha256)) {
            continue;
        }
        blobs_remove(service->blobs, sha256);
        n_files++;
        for (size_t gpu = 0; gpu < service->n_gpus; gpu++) {
            gpu_worker_forget(service->gpus[gpu], sha256);
        }
    }
    return n_files;
}

/* After the commit, under the lock of the blobs, which is released: the files, and the log. */
static void finish_removal(struct service *service, const char *event, const char *id,
                           const struct request *request, struct store_removed *removed)
{
    const size_t n_files = remove_blobs(service, removed);
    blobs_unlock(service->blobs);
    audit(service, event, id, request, removed->n_results, n_files);
    store_removed_clear(removed);
}

enum rejectd_status removal_of_dataset(struct service *service, const char *id,
                                       const struct request *request, int64_t unused_since,
                                       struct rejectd_error *error)
{
    struct store *store = service->store;
    struct store_removed removed;
    /* Under the lock from the start: an upload could give it samples in between. */
    blobs_lock(service->blobs);
    const enum rejectd_status status =
        store->functions->dataset_delete(store, id, unused_since, &removed, error);
    if (status != REJECTD_OK) {
        blobs_unlock(service->blobs);
        return status;
    }
    finish_removal(service, request == NULL ? "dataset-expired" : "dataset-deleted", id, request,
                   &removed);
    partials_dataset_deleted(service->partials, id);
    return REJECTD_OK;
}

enum rejectd_status removal_of_result(struct service *service, const char *job,
                                      struct rejectd_error *error)
{
    struct store *store = service->store;
    struct store_removed removed;
    blobs_lock(service->blobs);
    const enum rejectd_status status = store->functions->result_delete(store, job, &removed, error);
    if (status != REJECTD_OK) {
        blobs_unlock(service->blobs);
        return status;
    }
    finish_removal(service, "result-expired", job, NULL, &removed);
    return REJECTD_OK;
}

enum rejectd_status removal_of_model(struct service *service, const char *id,
                                     const struct request *request, struct rejectd_error *error)
{
    struct store *store = service->store;
    const enum rejectd_status status = store->functions->model_delete(store, id, error);
    if (status == REJECTD_OK) {
        audit(service, "model-deleted", id, request, 0, 0);
    }
    return status;
}
