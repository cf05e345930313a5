#include "server/routes/finished.h"

#include <stdlib.h>
#include <string.h>

void finished_clear(struct finished *finished)
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

enum rejectd_status finished_open(struct store *store, const char *job, enum artifact needed,
                                  const char *file, struct finished *finished,
                                  struct rejectd_error *error)
{
    enum rejectd_status status = store->functions->job_result(store, job, &finished->result, error);
    if (status == REJECTD_OK && finished->result.artifacts[needed][0] == '\0') {
        status =
            REJECTD_FAIL(error, REJECTD_NOT_FOUND, "",
                         "job %.40s is of a type that makes no %s, or was told not to", job, file);
    }
    if (status == REJECTD_OK) {
        status = store->functions->job_get(store, job, &finished->job, error);
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

unsigned char *finished_kept(const struct finished *finished)
{
    const size_t n = finished->description.n_epochs;
    const struct rejectd_reject_log *log = &finished->view.log;
    unsigned char *kept = malloc(n);
    for (size_t e = 0; kept != NULL && e < n; e++) {
        kept[e] = log->labels == NULL || log->bad_epochs[e] == 0;
    }
    return kept;
}
