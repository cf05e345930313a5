#include "server/job_check.h"

#include <rejectd/compute.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/dataset_json.h"

static enum rejectd_status check_device(const char *device, struct rejectd_error *error)
{
    if (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0) {
        return REJECTD_OK;
    }
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "device",
                        "there is no device \"%.31s\"; accepted: auto, cpu", device);
}

/* A record that isn't there is told as a wrong field of this request. */
static enum rejectd_status name_field(enum rejectd_status status, const char *field,
                                      struct rejectd_error *error)
{
    if (status == REJECTD_NOT_FOUND) {
        memcpy(error->field, field, strlen(field) + 1);
    }
    return status;
}

static enum rejectd_status load_description(struct store *store, const char *id,
                                            struct dataset_description *description,
                                            struct rejectd_error *error)
{
    struct dataset_view dataset = {0};
    void *samples = NULL;
    enum rejectd_status status =
        name_field(store->functions->dataset_get(store, id, &dataset, error), "dataset", error);
    if (status == REJECTD_OK && dataset.state != DATASET_READY) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "dataset",
                              "dataset %.40s awaits its samples; PUT them first", id);
    }
    if (status == REJECTD_OK) {
        status = dataset_from_json(dataset.description_json, strlen(dataset.description_json),
                                   description, &samples, error);
    }
    free(samples);
    dataset_view_clear(&dataset);
    return status;
}

static enum rejectd_status check_fit(const struct job_request *wanted,
                                     const struct dataset_description *description,
                                     struct rejectd_error *error)
{
    const struct rejectd_epochs epochs = dataset_epochs(description, NULL);
    struct fit_parameters parameters = {0};
    enum rejectd_status status = fit_parameters_from_json(
        wanted->parameters_json, strlen(wanted->parameters_json), description->channels,
        description->n_channels, &parameters, error);
    if (status == REJECTD_OK) {
        status = rejectd_fit_check(&epochs, &parameters.parameters, error);
    }
    fit_parameters_clear(&parameters);
    return status;
}

static enum rejectd_status check_apply(struct store *store, const struct job_request *wanted,
                                       const struct dataset_description *description,
                                       struct rejectd_error *error)
{
    const struct rejectd_epochs epochs = dataset_epochs(description, NULL);
    struct model_view view = {0};
    struct rejectd_model *model = NULL;
    enum rejectd_status status =
        name_field(store->functions->model_get(store, wanted->model, &view, error), "model", error);
    if (status == REJECTD_OK) {
        status = model_from_json(view.model_json, strlen(view.model_json), &model, error);
    }
    if (status == REJECTD_OK) {
        status = rejectd_apply_check(&epochs, model, error);
    }
    rejectd_model_free(model);
    model_view_clear(&view);
    return status;
}

enum rejectd_status job_check(struct store *store, const struct job_request *wanted,
                              struct rejectd_error *error)
{
    struct dataset_description description = {0};
    enum rejectd_status status = check_device(wanted->device, error);
    if (status == REJECTD_OK) {
        status = load_description(store, wanted->dataset, &description, error);
    }
    if (status == REJECTD_OK) {
        status = wanted->type == JOB_APPLY ? check_apply(store, wanted, &description, error)
                                           : check_fit(wanted, &description, error);
    }
    dataset_description_clear(&description);
    return status;
}
