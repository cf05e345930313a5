#include "server/jobs/job_check.h"

#include "server/jobs/fingerprint.h"

/* job_inputs_clear() and estimate_view_clear() in any case. */
static enum rejectd_status foretell(struct store *store, struct forecaster *forecaster,
                                    const struct job_request *wanted,
                                    const struct dataset_description *shape,
                                    struct job_inputs *inputs, struct estimate_view *view,
                                    struct rejectd_error *error)
{
    const struct job_terms terms = {
        .type = wanted->type,
        .dataset = wanted->dataset,
        .model = wanted->model,
        .parameters_json = wanted->parameters_json,
    };
    *inputs = (struct job_inputs){0};
    *view = (struct estimate_view){0};
    enum rejectd_status status = device_board_check_wish(forecaster->board, wanted->device, error);
    if (status == REJECTD_OK) {
        status = shape == NULL ? job_open(store, &terms, inputs, error)
                               : job_open_shape(store, &terms, shape, inputs, error);
    }
    if (status == REJECTD_OK) {
        status = task_check(&inputs->task, error);
    }
    if (status == REJECTD_OK) {
        status = forecast_make(forecaster, &inputs->task, wanted->device, inputs->dataset_sha256,
                               view, error);
    }
    return status;
}

enum rejectd_status job_foretell(struct store *store, struct forecaster *forecaster,
                                 const struct job_request *wanted,
                                 const struct dataset_description *shape,
                                 struct estimate_view *view, struct rejectd_error *error)
{
    struct job_inputs inputs;
    const enum rejectd_status status =
        foretell(store, forecaster, wanted, shape, &inputs, view, error);
    job_inputs_clear(&inputs);
    return status;
}

enum rejectd_status job_check(struct store *store, struct forecaster *forecaster,
                              const char *numerics, const struct job_request *wanted,
                              struct job_checked *checked, struct rejectd_error *error)
{
    struct job_inputs inputs;
    struct estimate_view view;
    enum rejectd_status status = foretell(store, forecaster, wanted, NULL, &inputs, &view, error);
    if (status == REJECTD_OK) {
        status = forecast_check(&view, error);
    }
    if (status == REJECTD_OK) {
        checked->needs = forecast_needs(&view);
        status = job_fingerprint(wanted, &inputs, numerics, checked->fingerprint, error);
    }
    job_inputs_clear(&inputs);
    estimate_view_clear(&view);
    return status;
}
