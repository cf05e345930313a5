/* Results as the files that other programs open: made from the records and arrays of a job. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/reject_log_npz.h"
#include "protocol/result_json.h"
#include "server/fif_stream.h"
#include "server/job_open.h"
#include "server/request.h"

/* A job that succeeded, and the dataset it worked on. */
struct finished {
    struct job_view job;
    struct store_result result;
    struct dataset_description description;
    struct result_view view; /* of a fit or apply */
};

static void finished_clear(struct finished *finished)
{
    job_view_clear(&finished->job);
    free(finished->result.json);
    dataset_description_clear(&finished->description);
    result_view_clear(&finished->view);
}

static bool has_log(enum job_type type)
{
    return type == JOB_FIT || type == JOB_APPLY;
}

static enum rejectd_status open_description(struct store *store, const char *id,
                                            struct dataset_description *description,
                                            struct rejectd_error *error)
{
    struct dataset_view dataset = {0};
    void *samples = NULL;
    enum rejectd_status status = store->functions->dataset_get(store, id, &dataset, error);
    if (status == REJECTD_NOT_FOUND) {
        return REJECTD_FAIL(error, REJECTD_NOT_FOUND, "",
                            "dataset %.40s, which this file would describe, was deleted", id);
    }
    if (status == REJECTD_OK) {
        status = dataset_from_json(dataset.description_json, strlen(dataset.description_json),
                                   description, &samples, error);
    }
    free(samples);
    dataset_view_clear(&dataset);
    return status;
}

/* Opens a job that has the artifact; `file` is what was asked for. */
static enum rejectd_status finished_open(const struct request *request, enum artifact needed,
                                         const char *file, struct finished *finished,
                                         struct rejectd_error *error)
{
    struct store *store = request->service->store;
    enum rejectd_status status =
        store->functions->job_result(store, request->id, &finished->result, error);
    if (status == REJECTD_OK && finished->result.artifacts[needed][0] == '\0') {
        status = REJECTD_FAIL(error, REJECTD_NOT_FOUND, "",
                              "job %.40s is of a type that makes no %s", request->id, file);
    }
    if (status == REJECTD_OK) {
        status = store->functions->job_get(store, request->id, &finished->job, error);
    }
    if (status == REJECTD_OK) {
        status = open_description(store, finished->job.dataset, &finished->description, error);
    }
    if (status == REJECTD_OK && has_log(finished->job.type)) {
        status = result_view_from_json(finished->result.json, strlen(finished->result.json),
                                       &finished->view, error);
    }
    return status;
}

/* ---- reject_log.npz ---- */

void job_send_reject_log(struct request *request, struct response *response)
{
    struct finished finished = {0};
    struct rejectd_error error = {0};
    struct buffer archive;
    buffer_init(&archive, (size_t)1 << 32);
    enum rejectd_status status =
        finished_open(request, ARTIFACT_LABELS, "reject_log.npz", &finished, &error);
    if (status == REJECTD_OK) {
        reject_log_to_npz(&finished.view.log, finished.description.channels, &archive);
        if (archive.failed) {
            status = REJECTD_FAIL(&error, REJECTD_OUT_OF_MEMORY, "", "no memory for the archive");
        }
    }
    if (status == REJECTD_OK) {
        const size_t length = archive.length;
        respond_bytes(response, "application/x-npz", buffer_take(&archive, NULL), length);
    } else {
        respond_problem(response, &error);
    }
    buffer_free(&archive);
    finished_clear(&finished);
}

/* ---- cleaned-epo.fif ---- */

/* ?part=: from 1. */
static enum rejectd_status read_part(const struct request *request, size_t *part,
                                     struct rejectd_error *error)
{
    const char *text = request_argument(request, "part");
    char *end = NULL;
    *part = 0;
    if (text == NULL) {
        return REJECTD_OK;
    }
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < 1) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "part",
                            "part is \"%.40s\"; accepted: an integer from 1", text);
    }
    *part = (size_t)value - 1;
    return REJECTD_OK;
}

/* Which epochs of the dataset are in cleaned.npy. free() it; NULL without memory. */
static unsigned char *kept_epochs(const struct finished *finished)
{
    const size_t n = finished->description.n_epochs;
    const struct rejectd_reject_log *log = &finished->view.log;
    unsigned char *kept = malloc(n);
    for (size_t e = 0; kept != NULL && e < n; e++) {
        kept[e] = log->labels == NULL || log->bad_epochs[e] == 0;
    }
    return kept;
}

static enum rejectd_status check_source(const struct store_part *parts, size_t n_parts,
                                        struct rejectd_error *error)
{
    for (size_t i = 0; i < n_parts; i++) {
        if (strcmp(parts[i].format, "fif") != 0) {
            n_parts = 0;
        }
    }
    return n_parts > 0 ? REJECTD_OK
                       : REJECTD_FAIL(error, REJECTD_NOT_FOUND, "",
                                      "the dataset was not uploaded as FIF, so that "
                                      "cleaned-epo.fif would lack what only such a file has; there "
                                      "is cleaned.npy");
}

static enum rejectd_status open_fif(const struct request *request, const struct finished *finished,
                                    struct response_stream *stream, char name[256], size_t *n_parts,
                                    struct rejectd_error *error)
{
    struct store *store = request->service->store;
    struct store_part *parts = NULL;
    struct fif_request wanted = {
        .blobs = request->service->blobs,
        .n_epochs = finished->description.n_epochs,
        .dtype = finished->description.dtype,
        .cleaned_sha256 = finished->result.artifacts[ARTIFACT_CLEANED],
    };
    unsigned char *kept = kept_epochs(finished);
    enum rejectd_status status = kept != NULL
                                     ? read_part(request, &wanted.part, error)
                                     : REJECTD_FAIL_MEMORY(error, finished->description.n_epochs);
    if (status == REJECTD_OK) {
        status = store->functions->dataset_parts(store, finished->job.dataset, &parts,
                                                 &wanted.n_parts, error);
    }
    if (status == REJECTD_OK) {
        status = check_source(parts, wanted.n_parts, error);
    }
    if (status == REJECTD_OK) {
        wanted.parts = parts;
        wanted.kept = kept;
        status = fif_stream_open(&wanted, stream, name, n_parts, error);
    }
    free(parts);
    free(kept);
    return status;
}

void job_send_fif(struct request *request, struct response *response)
{
    struct finished finished = {0};
    struct response_stream stream = {0};
    struct rejectd_error error = {0};
    char name[256];
    size_t n_parts = 0;
    enum rejectd_status status =
        finished_open(request, ARTIFACT_CLEANED, "cleaned-epo.fif", &finished, &error);
    if (status == REJECTD_OK) {
        status = open_fif(request, &finished, &stream, name, &n_parts, &error);
    }
    if (status == REJECTD_OK) {
        respond_stream(response, "application/x-fif", &stream);
        memcpy(response->file_name, name, sizeof response->file_name);
        response->n_parts = n_parts;
    } else {
        respond_problem(response, &error);
    }
    finished_clear(&finished);
}
