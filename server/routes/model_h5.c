/*
 * Models as the files of AutoReject.save(), which rejectd-convert reads and writes.
 *
 * autoreject interpolates MEG channels by products of lead fields that it keeps in the file, those
 * of all MEG channels of the epochs it was fitted to. So they are made anew from the dataset, where
 * it is still there; without them autoreject computes its own, slowly and to other digits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/http/request.h"
#include "server/jobs/job_open.h"
#include "worker/algorithm/checks.h"
#include "worker/meg/field_map.h"

static const char output_name[] = "model.h5";

/* ---- GET ---- */

/* A file on its way. */
struct making {
    struct service *service;
    struct model_view model;
    struct scratch folder;
    struct job_inputs fit; /* that made the model; all-zero when it or its dataset is gone */
    bool has_dataset;
    size_t n_dots; /* 0: none */
    uint64_t input_bytes;
};

static enum rejectd_status put(struct making *making, const char *name, const void *bytes,
                               size_t count, struct rejectd_error *error)
{
    making->input_bytes += count;
    return scratch_put(&making->folder, name, bytes, count, error);
}

/* The fit, and the dataset that it was of, if they are still there. */
static void open_fit(struct making *making)
{
    struct store *store = making->service->store;
    struct job_view job = {0};
    struct rejectd_error ignored = {0};
    if (making->model.job[0] != '\0' &&
        store->functions->job_get(store, making->model.job, &job, &ignored) == REJECTD_OK) {
        const struct job_terms terms = {
            .type = job.type,
            .dataset = job.dataset,
            .model = job.model,
            .parameters_json = job.parameters_json != NULL ? job.parameters_json : "{}",
        };
        making->has_dataset =
            job.type == JOB_FIT && job_open(store, &terms, &making->fit, &ignored) == REJECTD_OK;
    }
    job_view_clear(&job);
}

static enum rejectd_status put_dataset(struct making *making, struct rejectd_error *error)
{
    char *text = dataset_to_json(&making->fit.description);
    const enum rejectd_status status =
        text != NULL ? put(making, "description.json", text, strlen(text), error)
                     : REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "no memory for the dataset");
    free(text);
    return status;
}

/* The MEG channels of the dataset; none when one of them has no sensor that is known. */
static size_t *pick_meg(const struct rejectd_epochs *epochs, size_t *n)
{
    struct rejectd_error ignored = {0};
    size_t *picks = calloc(epochs->n_channels, sizeof *picks);
    *n = 0;
    for (size_t c = 0; picks != NULL && c < epochs->n_channels; c++) {
        const enum rejectd_channel_type type = epochs->channels[c].type;
        if (type != REJECTD_CHANNEL_MAG && type != REJECTD_CHANNEL_GRAD) {
            continue;
        }
        if (checks_sensor(epochs, c, &ignored) != REJECTD_OK) {
            *n = 0;
            break;
        }
        picks[(*n)++] = c;
    }
    return picks;
}

static enum rejectd_status put_dots(struct making *making, struct rejectd_error *error)
{
    const struct task *task = &making->fit.task;
    struct field_map *map = NULL;
    size_t n = 0;
    size_t *picks = pick_meg(&task->epochs, &n);
    if (picks == NULL || n == 0) {
        free(picks);
        return REJECTD_OK;
    }
    enum rejectd_status status = field_map_open(&task->epochs, picks, n, task->fit.meg_legendre,
                                                (int)making->service->config->threads, &map, error);
    if (status == REJECTD_OK) {
        status = put(making, "dots.bin", field_map_products(map), n * n * sizeof(double), error);
        making->n_dots = n;
    }
    field_map_close(map);
    free(picks);
    return status;
}

static enum rejectd_status fill_folder(struct making *making, struct rejectd_error *error)
{
    enum rejectd_status status =
        converter_scratch(making->service->converter, &making->folder, error);
    if (status == REJECTD_OK) {
        status = put(making, "model.json", making->model.model_json,
                     strlen(making->model.model_json), error);
    }
    open_fit(making);
    if (status == REJECTD_OK && making->has_dataset) {
        status = put_dataset(making, error);
    }
    return status == REJECTD_OK && making->has_dataset ? put_dots(making, error) : status;
}

static enum rejectd_status make(struct making *making, int *fd, uint64_t *bytes,
                                struct rejectd_error *error)
{
    const struct scratch_path model = scratch_file(&making->folder, "model.json");
    const struct scratch_path dataset = scratch_file(&making->folder, "description.json");
    const struct scratch_path dots = scratch_file(&making->folder, "dots.bin");
    const struct scratch_path output = scratch_file(&making->folder, output_name);
    const char *arguments[10] = {"write-h5", model.text, output.text};
    char n_dots[24];
    size_t n = 3;
    if (making->has_dataset) {
        arguments[n++] = "--dataset";
        arguments[n++] = dataset.text;
    }
    if (making->n_dots > 0) {
        snprintf(n_dots, sizeof n_dots, "%zu", making->n_dots);
        arguments[n++] = "--dots";
        arguments[n++] = dots.text; /* those of a sensor with itself and with others: the same */
        arguments[n++] = dots.text;
        arguments[n++] = n_dots;
    }
    const struct converter_call call = {
        .arguments = arguments,
        .input_bytes = making->input_bytes,
        .refused = REJECTD_UNSUITABLE_DATASET,
        .task = "made",
    };
    const enum rejectd_status status =
        converter_run(making->service->converter, &call, NULL, error);
    return status == REJECTD_OK ? scratch_open(&making->folder, output_name, fd, bytes, error)
                                : status;
}

void model_send_h5(struct request *request, struct response *response)
{
    struct store *store = request->service->store;
    struct making making = {.service = request->service};
    struct rejectd_error error = {0};
    uint64_t bytes = 0;
    int fd = -1;
    enum rejectd_status status =
        store->functions->model_get(store, request->id, &making.model, &error);
    if (status == REJECTD_OK) {
        status = fill_folder(&making, &error);
    }
    if (status == REJECTD_OK) {
        status = make(&making, &fd, &bytes, &error);
    }
    if (status == REJECTD_OK) {
        respond_file(response, "application/x-hdf5", fd, bytes);
        memcpy(response->file_name, output_name, sizeof output_name);
    } else {
        respond_problem(response, &error);
    }
    scratch_remove(&making.folder); /* the file lives on until it is sent */
    job_inputs_clear(&making.fit);
    model_view_clear(&making.model);
}

/* ---- POST ---- */

static enum rejectd_status convert(const struct request *request, struct scratch *folder,
                                   char **text, size_t *length, struct rejectd_error *error)
{
    struct service *service = request->service;
    enum rejectd_status status = converter_scratch(service->converter, folder, error);
    if (status == REJECTD_OK) {
        status = scratch_put(folder, "input.h5", request->body.data, request->body.length, error);
    }
    if (status != REJECTD_OK) {
        return status;
    }
    const struct scratch_path input = scratch_file(folder, "input.h5");
    const struct scratch_path output = scratch_file(folder, "model.json");
    const char *const arguments[] = {"read-h5", input.text, output.text, NULL};
    const struct converter_call call = {
        .arguments = arguments,
        .input_bytes = request->body.length,
        .refused = REJECTD_INVALID_VALUE,
        .task = "read",
    };
    status = converter_run(service->converter, &call, NULL, error);
    return status == REJECTD_OK
               ? scratch_read(folder, "model.json", (size_t)service->config->max_json_bytes, text,
                              length, error)
               : status;
}

/* Whatever the program wrote, it is a model as the store keeps it. */
static enum rejectd_status normalise(const char *text, size_t length, char **normal,
                                     struct rejectd_error *error)
{
    struct rejectd_model *model = NULL;
    const enum rejectd_status status = model_from_json(text, length, &model, error);
    if (status != REJECTD_OK) {
        return status;
    }
    *normal = model_to_json(model);
    rejectd_model_free(model);
    return *normal != NULL
               ? REJECTD_OK
               : REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "no memory for the model");
}

void model_create(struct request *request, struct response *response)
{
    struct store *store = request->service->store;
    struct scratch folder = {{0}};
    struct model_view model = {0};
    struct rejectd_error error = {0};
    char *text = NULL;
    size_t length = 0;
    enum rejectd_status status = request_check_body(request, &error);
    if (status == REJECTD_OK) {
        status = convert(request, &folder, &text, &length, &error);
    }
    if (status == REJECTD_OK) {
        status = normalise(text, length, &model.model_json, &error);
    }
    if (status == REJECTD_OK) {
        status = request_ownership(request, &model.ownership, &error);
    }
    if (status == REJECTD_OK) {
        status = store->functions->model_insert(store, &model, &error);
    }
    scratch_remove(&folder);
    if (status == REJECTD_OK) {
        respond_json(response, 201, model_view_to_json(&model));
        snprintf(response->location, sizeof response->location, "/v1/models/%s", model.id);
    } else {
        respond_problem(response, &error);
    }
    free(text);
    model_view_clear(&model);
}
