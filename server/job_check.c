#include "server/job_check.h"

#include <string.h>

#include "server/job_open.h"

static enum rejectd_status check_device(const char *device, struct rejectd_error *error)
{
    if (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0) {
        return REJECTD_OK;
    }
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "device",
                        "there is no device \"%.31s\"; accepted: auto, cpu", device);
}

enum rejectd_status job_check(struct store *store, const struct job_request *wanted,
                              struct rejectd_error *error)
{
    const struct job_terms terms = {
        .type = wanted->type,
        .dataset = wanted->dataset,
        .model = wanted->model,
        .parameters_json = wanted->parameters_json,
    };
    struct job_inputs inputs = {0};
    enum rejectd_status status = check_device(wanted->device, error);
    if (status == REJECTD_OK) {
        status = job_open(store, &terms, &inputs, error);
    }
    if (status == REJECTD_OK) {
        status = task_check(&inputs.task, error);
    }
    job_inputs_clear(&inputs);
    return status;
}
