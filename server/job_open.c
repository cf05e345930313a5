#include "server/job_open.h"

#include <stdlib.h>
#include <string.h>

static const enum task_type task_types[JOB_TYPE_COUNT] = {
    [JOB_FIT] = TASK_FIT,
    [JOB_APPLY] = TASK_APPLY,
    [JOB_THRESHOLDS] = TASK_THRESHOLDS,
    [JOB_RANSAC] = TASK_RANSAC,
    [JOB_GLOBAL_THRESHOLDS] = TASK_GLOBAL_THRESHOLDS,
    [JOB_VALIDATION_CURVE] = TASK_VALIDATION_CURVE,
    [JOB_INTERPOLATE] = TASK_INTERPOLATE,
};

/* A record that isn't there is told as a wrong field of the job. */
static enum rejectd_status name_field(enum rejectd_status status, const char *field,
                                      struct rejectd_error *error)
{
    if (status == REJECTD_NOT_FOUND) {
        memcpy(error->field, field, strlen(field) + 1);
    }
    return status;
}

static enum rejectd_status open_dataset(struct store *store, const char *id,
                                        struct job_inputs *inputs, struct rejectd_error *error)
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
        memcpy(inputs->dataset_sha256, dataset.sha256, sizeof inputs->dataset_sha256);
        status = dataset_from_json(dataset.description_json, strlen(dataset.description_json),
                                   &inputs->description, &samples, error);
    }
    free(samples);
    dataset_view_clear(&dataset);
    return status;
}

static enum rejectd_status open_model(struct store *store, const char *id,
                                      struct rejectd_model **model, struct rejectd_error *error)
{
    struct model_view view = {0};
    enum rejectd_status status =
        name_field(store->functions->model_get(store, id, &view, error), "model", error);
    if (status == REJECTD_OK) {
        status = model_from_json(view.model_json, strlen(view.model_json), model, error);
    }
    model_view_clear(&view);
    return status;
}

static void fill_task(enum job_type type, struct job_inputs *inputs)
{
    const struct job_parameters *parameters = &inputs->parameters;
    inputs->task = (struct task){
        .type = task_types[type],
        .epochs = dataset_epochs(&inputs->description, NULL),
        .fit = parameters->fit.parameters,
        .thresholds = parameters->thresholds,
        .ransac = parameters->ransac,
        .global_thresholds = parameters->global_thresholds,
        .validation_curve = parameters->validation_curve,
        .clean = parameters->clean,
        .model = inputs->model,
        .log = parameters->log.labels != NULL ? &parameters->log : NULL,
    };
    struct rejectd_global_thresholds_parameters *global = &inputs->task.global_thresholds;
    if (type == JOB_GLOBAL_THRESHOLDS) {
        global->decim_start =
            rejectd_decim_start(inputs->description.tmin, inputs->description.sfreq, global->decim);
    }
}

enum rejectd_status job_open(struct store *store, const struct job_terms *terms,
                             struct job_inputs *inputs, struct rejectd_error *error)
{
    *inputs = (struct job_inputs){0};
    enum rejectd_status status = open_dataset(store, terms->dataset, inputs, error);
    if (status == REJECTD_OK) {
        const struct rejectd_epochs epochs = dataset_epochs(&inputs->description, NULL);
        status = job_parameters_from_json(terms->type, terms->parameters_json,
                                          strlen(terms->parameters_json), &epochs,
                                          &inputs->parameters, error);
    }
    if (status == REJECTD_OK && terms->type == JOB_APPLY) {
        status = open_model(store, terms->model, &inputs->model, error);
    }
    fill_task(terms->type, inputs);
    return status;
}

void job_inputs_clear(struct job_inputs *inputs)
{
    dataset_description_clear(&inputs->description);
    job_parameters_clear(&inputs->parameters);
    rejectd_model_free(inputs->model);
    *inputs = (struct job_inputs){0};
}
