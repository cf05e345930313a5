#include "server/jobs/job_check.h"

#include "server/jobs/job_open.h"

enum rejectd_status job_foretell(struct store *store, struct forecaster *forecaster,
                                 const struct job_request *wanted,
                                 const struct dataset_description *shape,
                                 struct estimate_view *view, struct rejectd_error *error)
{
    const struct job_terms terms = {
        .type = wanted->type,
        .dataset = wanted->dataset,
        .model = wanted->model,
        .parameters_json = wanted->parameters_json,
    };
    struct job_inputs inputs = {0};
    *view = (struct estimate_view){0};
    enum rejectd_status status = device_board_check_wish(forecaster->board, wanted->device, error);
    if (status == REJECTD_OK) {
        status = shape == NULL ? job_open(store, &terms, &inputs, error)
                               : job_open_shape(store, &terms, shape, &inputs, error);
    }
    if (status == REJECTD_OK) {
        status = task_check(&inputs.task, error);
    }
    if (status == REJECTD_OK) {
        status = forecast_make(forecaster, &inputs.task, wanted->device, inputs.dataset_sha256,
                               view, error);
    }
    job_inputs_clear(&inputs);
    return status;
}

enum rejectd_status job_check(struct store *store, struct forecaster *forecaster,
                              const struct job_request *wanted, struct job_needs *needs,
                              struct rejectd_error *error)
{
    struct estimate_view view;
    enum rejectd_status status = job_foretell(store, forecaster, wanted, NULL, &view, error);
    if (status == REJECTD_OK) {
        status = forecast_check(&view, error);
    }
    if (status == REJECTD_OK) {
        *needs = forecast_needs(&view);
    }
    estimate_view_clear(&view);
    return status;
}
