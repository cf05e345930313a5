/* Results as the files that other programs open: made from the records and arrays of a job. */
#include <errno.h>
#include <rejectd/version.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/reject_log_npz.h"
#include "server/http/request.h"
#include "server/routes/fif_stream.h"
#include "server/routes/finished.h"

/* ---- reject_log.npz ---- */

void job_send_reject_log(struct request *request, struct response *response)
{
    struct finished finished = {0};
    struct rejectd_error error = {0};
    struct buffer archive;
    buffer_init(&archive, (size_t)1 << 32);
    enum rejectd_status status = finished_open(
        request->service->store, request->id, ARTIFACT_LABELS, "reject_log.npz", &finished, &error);
    if (status == REJECTD_OK) {
        reject_log_to_npz(&finished.view.log, finished.description.channels, &archive);
        if (archive.failed) {
            status = REJECTD_FAIL(&error, REJECTD_OUT_OF_MEMORY, "", "no memory for the archive");
        }
    }
    if (status == REJECTD_OK) {
        const size_t length = archive.length;
        respond_bytes(response, "application/x-npz", buffer_take(&archive, NULL), length);
        respond_tagged(response, NULL);
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

/* All that the bytes of the file depend on. */
static void describe_origin(const struct fif_request *wanted, struct buffer *origin)
{
    buffer_append_format(origin, "%s\n%s\n%zu\n%zu\n%d\n", REJECTD_VERSION, wanted->cleaned_sha256,
                         wanted->part, wanted->n_epochs, (int)wanted->dtype);
    for (size_t i = 0; i < wanted->n_parts; i++) {
        const struct store_part *part = &wanted->parts[i];
        buffer_append_format(origin, "%s %llu %zu\n", part->head_sha256,
                             (unsigned long long)part->samples_at, part->n_epochs);
    }
    buffer_append(origin, wanted->kept, wanted->n_epochs);
}

static enum rejectd_status open_fif(const struct request *request, const struct finished *finished,
                                    struct response_stream *stream, char name[256], size_t *n_parts,
                                    struct buffer *origin, struct rejectd_error *error)
{
    struct store *store = request->service->store;
    struct store_part *parts = NULL;
    struct fif_request wanted = {
        .blobs = request->service->blobs,
        .n_epochs = finished->description.n_epochs,
        .dtype = finished->description.dtype,
        .cleaned_sha256 = finished->result.artifacts[ARTIFACT_CLEANED],
    };
    unsigned char *kept = finished_kept(finished);
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
        describe_origin(&wanted, origin);
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
    struct buffer origin;
    char name[256];
    size_t n_parts = 0;
    buffer_init(&origin, (size_t)1 << 30);
    enum rejectd_status status =
        finished_open(request->service->store, request->id, ARTIFACT_CLEANED, "cleaned-epo.fif",
                      &finished, &error);
    if (status == REJECTD_OK) {
        status = open_fif(request, &finished, &stream, name, &n_parts, &origin, &error);
    }
    if (status == REJECTD_OK) {
        respond_stream(response, "application/x-fif", &stream);
        memcpy(response->file_name, name, sizeof response->file_name);
        response->n_parts = n_parts;
        if (!origin.failed) {
            respond_made(response, origin.data, origin.length);
        }
    } else {
        respond_problem(response, &error);
    }
    buffer_free(&origin);
    finished_clear(&finished);
}
