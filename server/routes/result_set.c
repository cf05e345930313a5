/* Cleaned epochs as EEGLAB's .set: rejectd-convert makes it of the files put into a folder. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "protocol/json_text.h"
#include "protocol/npy.h"
#include "server/http/request.h"
#include "server/routes/finished.h"

static const char output_name[] = "cleaned.set";

/* Twice what such a file can hold: of float64 samples it may keep single ones. */
static const size_t most_samples = (size_t)4 << 30;

/* A .set on its way. */
struct making {
    struct service *service;
    struct finished finished;
    struct scratch folder;
    uint64_t input_bytes;
};

static enum rejectd_status put(struct making *making, const char *name, const void *bytes,
                               size_t count, struct rejectd_error *error)
{
    making->input_bytes += count;
    return scratch_put(&making->folder, name, bytes, count, error);
}

static enum rejectd_status put_description(struct making *making, struct rejectd_error *error)
{
    char *text = dataset_to_json(&making->finished.description);
    const enum rejectd_status status =
        text != NULL ? put(making, "description.json", text, strlen(text), error)
                     : REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "no memory for the dataset");
    free(text);
    return status;
}

static enum rejectd_status put_samples(struct making *making, struct rejectd_error *error)
{
    const char *sha256 = making->finished.result.artifacts[ARTIFACT_CLEANED];
    struct blobs *blobs = making->service->blobs;
    struct blob_map map = {0};
    struct npy_header header;
    bool complete = false;
    uint64_t bytes = 0;
    int fd;
    enum rejectd_status status = blobs_open_file(blobs, sha256, &fd, &bytes, error);
    if (status != REJECTD_OK) {
        return status;
    }
    close(fd);
    if (bytes > most_samples) {
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "",
                            "the cleaned epochs have %llu bytes, which is too large for a .set; "
                            "there is cleaned.npy",
                            (unsigned long long)bytes);
    }
    status = blobs_map(blobs, sha256, (size_t)bytes, &map, error);
    if (status == REJECTD_OK) {
        status = npy_header_read(map.data, map.size, &header, &complete, error);
    }
    if (status == REJECTD_OK && (!complete || header.data_bytes > map.size - header.data_offset)) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "", "the blob %.64s is not as it was made",
                              sha256);
    }
    if (status == REJECTD_OK) {
        status = put(making, "cleaned.bin", (const char *)map.data + header.data_offset,
                     header.data_bytes, error);
    }
    blobs_unmap(&map);
    return status;
}

/* The labels of a fit or apply; of other jobs, that nothing was found. */
static enum rejectd_status put_log(struct making *making, struct rejectd_error *error)
{
    const struct finished *finished = &making->finished;
    const size_t n_epochs = finished->description.n_epochs;
    const size_t n_labels = n_epochs * finished->description.n_channels;
    const struct rejectd_reject_log *log = &finished->view.log;
    void *nothing = log->labels == NULL ? calloc(n_labels, 1) : NULL;
    if (log->labels == NULL && nothing == NULL) {
        return REJECTD_FAIL_MEMORY(error, n_labels);
    }
    enum rejectd_status status =
        put(making, "labels.bin", nothing == NULL ? log->labels : nothing, n_labels, error);
    if (status == REJECTD_OK) {
        status = put(making, "bad_epochs.bin", nothing == NULL ? log->bad_epochs : nothing,
                     n_epochs, error);
    }
    free(nothing);
    return status;
}

/* What was done, for etc.autoreject. */
static enum rejectd_status put_provenance(struct making *making, struct rejectd_error *error)
{
    const struct job_view *job = &making->finished.job;
    const char *parameters = job->parameters_json;
    struct buffer text;
    buffer_init(&text, (size_t)256 << 20);
    buffer_append_text(&text, "{\"job\":");
    json_append_string(&text, job->id);
    buffer_append_text(&text, ",\"type\":");
    json_append_string(&text, job_type_name(job->type));
    buffer_append_text(&text, ",\"parameters\":");
    buffer_append_text(&text, parameters != NULL ? parameters : "{}");
    buffer_append_text(&text, ",\"result\":");
    buffer_append_text(&text, making->finished.result.json);
    buffer_append_text(&text, "}");
    const enum rejectd_status status =
        text.failed ? REJECTD_FAIL_MEMORY(error, text.length)
                    : put(making, "autoreject.json", text.data, text.length, error);
    buffer_free(&text);
    return status;
}

/* The .set that the dataset came from, where it did. */
static enum rejectd_status put_original(struct making *making, struct rejectd_error *error)
{
    struct store *store = making->service->store;
    struct store_part *parts = NULL;
    struct blob_map map = {0};
    size_t n_parts = 0;
    enum rejectd_status status = store->functions->dataset_parts(
        store, making->finished.job.dataset, &parts, &n_parts, error);
    const bool kept = status == REJECTD_OK && n_parts > 0 && strcmp(parts[0].format, "set") == 0 &&
                      parts[0].head_sha256[0] != '\0';
    if (kept) {
        status = blobs_map(making->service->blobs, parts[0].head_sha256,
                           (size_t)parts[0].head_bytes, &map, error);
    }
    if (kept && status == REJECTD_OK) {
        status = put(making, "original.set", map.data, map.size, error);
    }
    blobs_unmap(&map);
    free(parts);
    return status;
}

static enum rejectd_status fill_folder(struct making *making, struct rejectd_error *error)
{
    static enum rejectd_status (*const steps[])(struct making *, struct rejectd_error *) = {
        put_description, put_samples, put_log, put_provenance, put_original};
    enum rejectd_status status =
        converter_scratch(making->service->converter, &making->folder, error);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == REJECTD_OK; i++) {
        status = steps[i](making, error);
    }
    return status;
}

static enum rejectd_status make(struct making *making, int *fd, uint64_t *bytes,
                                struct rejectd_error *error)
{
    const struct scratch_path output = scratch_file(&making->folder, output_name);
    const char *const arguments[] = {"write-set", making->folder.path, output.text, NULL};
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

void job_send_set(struct request *request, struct response *response)
{
    struct making making = {.service = request->service};
    struct rejectd_error error = {0};
    uint64_t bytes = 0;
    int fd = -1;
    enum rejectd_status status =
        finished_open(request->service->store, request->id, ARTIFACT_CLEANED, output_name,
                      &making.finished, &error);
    if (status == REJECTD_OK) {
        status = fill_folder(&making, &error);
    }
    if (status == REJECTD_OK) {
        status = make(&making, &fd, &bytes, &error);
    }
    if (status == REJECTD_OK) {
        respond_file(response, "application/x-matlab-data", fd, bytes);
        memcpy(response->file_name, output_name, sizeof output_name);
    } else {
        respond_problem(response, &error);
    }
    scratch_remove(&making.folder); /* the file lives on until it is sent */
    finished_clear(&making.finished);
}
