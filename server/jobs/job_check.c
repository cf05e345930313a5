#include "server/jobs/job_check.h"

#include "server/jobs/job_open.h"

enum rejectd_status job_check(struct store *store, struct device_board *board,
                              const struct job_request *wanted, struct rejectd_error *error)
{
    const struct job_terms terms = {
        .type = wanted->type,
        .dataset = wanted->dataset,
        .model = wanted->model,
        .parameters_json = wanted->parameters_json,
    };
    struct job_inputs inputs = {0};
    enum rejectd_status status = device_board_check_wish(board, wanted->device, error);
    if (status == REJECTD_OK) {
        status = job_open(store, &terms, &inputs, error);
    }
    if (status == REJECTD_OK) {
        status = task_check(&inputs.task, error);
    }
    job_inputs_clear(&inputs);
    return status;
}
