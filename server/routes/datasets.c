/* /v1/datasets */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/dataset_json.h"
#include "server/http/limits.h"
#include "server/http/request.h"
#include "server/retention/removal.h"
#include "server/retention/retention.h"
#include "server/uploads/partials.h"

static void respond_dataset(const struct request *request, int http, struct dataset_view *dataset,
                            struct response *response)
{
    retention_show_dataset(request->service, dataset);
    respond_json(response, http, dataset_view_to_json(dataset));
    if (response->status == 201) {
        snprintf(response->location, sizeof response->location, "/v1/datasets/%s", dataset->id);
    }
}

/* ---- POST ---- */

/* Makes inline samples a blob and inserts the record that refers to it. */
static enum rejectd_status insert_with_samples(struct service *service, const void *samples,
                                               struct dataset_view *dataset,
                                               struct rejectd_error *error)
{
    struct store *store = service->store;
    const struct blob_writer_options options = {.expected_bytes = dataset->bytes};
    struct blob_writer *writer = NULL;
    enum rejectd_status status = blob_writer_open(service->blobs, &options, &writer, error);
    if (status == REJECTD_OK) {
        status = blob_writer_write(writer, samples, (size_t)dataset->bytes, error);
    }
    if (status == REJECTD_OK) {
        status = blob_writer_finish(writer, dataset->sha256, NULL, error);
    }
    if (status == REJECTD_OK) {
        blobs_lock(service->blobs);
        status = blob_writer_publish(writer, error);
        if (status == REJECTD_OK) {
            status = blobs_sync(service->blobs, error);
        }
        if (status == REJECTD_OK) {
            status = store->functions->dataset_insert(store, dataset, NULL,
                                                      (uint64_t)service->config->user_bytes, error);
        }
        if (status != REJECTD_OK && !store->functions->blob_is_needed(store, dataset->sha256)) {
            blobs_remove(service->blobs, dataset->sha256);
        }
        blobs_unlock(service->blobs);
    }
    blob_writer_close(writer);
    return status;
}

static enum rejectd_status insert(const struct request *request,
                                  const struct dataset_description *description,
                                  const void *samples, struct dataset_view *dataset,
                                  struct rejectd_error *error)
{
    struct service *service = request->service;
    struct store *store = service->store;
    const uint64_t most = (uint64_t)service->config->max_upload_bytes;
    dataset->bytes = dataset_sample_bytes(description);
    if (dataset->bytes > most) {
        return REJECTD_FAIL(
            error, REJECTD_TOO_LARGE, "n_epochs",
            "the samples of this dataset have %llu bytes; accepted are at most %llu",
            (unsigned long long)dataset->bytes, (unsigned long long)most);
    }
    dataset->description_json = dataset_to_json(description);
    if (dataset->description_json == NULL) {
        return REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "no memory for the dataset");
    }
    return samples != NULL
               ? insert_with_samples(service, samples, dataset, error)
               : store->functions->dataset_insert(store, dataset, NULL,
                                                  (uint64_t)service->config->user_bytes, error);
}

/* ---- files ---- */

static void commit_file(struct request *request, int http, struct response *response)
{
    const char *name = request_argument(request, "name");
    struct rejectd_error error = {0};
    struct dataset_view dataset = {0};
    struct ownership ownership;
    enum rejectd_status status = request_ownership(request, &ownership, &error);
    if (status == REJECTD_OK) {
        status = file_upload_commit(request->file, name == NULL ? "" : name, &ownership, &dataset,
                                    &error);
    }
    if (status == REJECTD_OK) {
        respond_dataset(request, http, &dataset, response);
    } else {
        respond_problem(response, &error);
    }
    dataset_view_clear(&dataset);
}

void dataset_add_file(struct request *request, struct response *response)
{
    commit_file(request, 200, response);
}

/* ---- JSON ---- */

void dataset_create(struct request *request, struct response *response)
{
    if (request->file != NULL) {
        commit_file(request, 201, response);
        return;
    }
    struct rejectd_error error = {0};
    struct dataset_description description = {0};
    struct dataset_view dataset = {0};
    void *samples = NULL;
    enum rejectd_status status = request_check_body(request, &error);
    if (status == REJECTD_OK) {
        status = request_ownership(request, &dataset.ownership, &error);
    }
    if (status == REJECTD_OK) {
        status = dataset_from_json(request->body.data, request->body.length, &description, &samples,
                                   &error);
    }
    if (status == REJECTD_OK) {
        status = insert(request, &description, samples, &dataset, &error);
    }
    if (status == REJECTD_OK) {
        respond_dataset(request, 201, &dataset, response);
    } else {
        respond_problem(response, &error);
    }
    free(samples);
    dataset_view_clear(&dataset);
    dataset_description_clear(&description);
}

/* ---- PUT samples ---- */

void dataset_put_samples(struct request *request, struct response *response)
{
    struct rejectd_error error = {0};
    struct http_place place;
    const enum rejectd_status status = upload_commit(request->upload, &place, &error);
    if (status != REJECTD_OK) {
        respond_problem(response, &error);
    } else if (place.complete) {
        dataset_show(request, response);
    } else {
        respond_nothing(response);
    }
    if (status == REJECTD_OK) {
        response->place = place;
    }
}

/* HEAD: how much of the samples is there. */
void dataset_show_upload(struct request *request, struct response *response)
{
    struct store *store = request->service->store;
    struct rejectd_error error = {0};
    struct dataset_view dataset = {0};
    struct http_place place = {.known = true, .complete = true};
    enum rejectd_status status =
        store->functions->dataset_get(store, request->id, &dataset, &error);
    if (status == REJECTD_OK && dataset.state == DATASET_READY) {
        place.offset = dataset.bytes;
        place.length = dataset.bytes;
    } else if (status == REJECTD_OK && dataset.next_part[0] != '\0') {
        status =
            REJECTD_FAIL(&error, REJECTD_CONFLICT, "", "dataset %s awaits a file", request->id);
    } else if (status == REJECTD_OK) {
        status = partials_look(request->service->partials, request->id, &place, &error);
    }
    if (status == REJECTD_OK) {
        respond_nothing(response);
        response->place = place;
    } else {
        respond_problem(response, &error);
    }
    dataset_view_clear(&dataset);
}

/* ---- GET ---- */

void dataset_show(struct request *request, struct response *response)
{
    struct store *store = request->service->store;
    struct rejectd_error error = {0};
    struct dataset_view dataset = {0};
    if (store->functions->dataset_get(store, request->id, &dataset, &error) == REJECTD_OK) {
        respond_dataset(request, 200, &dataset, response);
    } else {
        respond_problem(response, &error);
    }
    dataset_view_clear(&dataset);
}

void dataset_list_all(struct request *request, struct response *response)
{
    struct store *store = request->service->store;
    struct rejectd_error error = {0};
    struct dataset_view *datasets = NULL;
    size_t n_datasets = 0;
    struct store_viewer viewer;
    size_t limit = 0;
    enum rejectd_status status = request_limit(request, &limit, &error);
    if (status == REJECTD_OK) {
        status =
            store->functions->dataset_list(store, principal_viewer(&request->principal, &viewer),
                                           limit, &datasets, &n_datasets, &error);
    }
    for (size_t i = 0; i < n_datasets; i++) {
        retention_show_dataset(request->service, &datasets[i]);
    }
    if (status == REJECTD_OK) {
        respond_json(response, 200, dataset_list_to_json(datasets, n_datasets));
    } else {
        respond_problem(response, &error);
    }
    dataset_list_free(datasets, n_datasets);
}

/* ---- DELETE ---- */

void dataset_remove(struct request *request, struct response *response)
{
    struct rejectd_error error = {0};
    if (removal_of_dataset(request->service, request->id, request, STORE_WHENEVER_USED, &error) ==
        REJECTD_OK) {
        respond_nothing(response);
    } else {
        respond_problem(response, &error);
    }
}
