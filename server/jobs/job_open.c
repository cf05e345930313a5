#include "server/jobs/job_open.h"

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

static enum rejectd_status read_dataset(struct store *store, const char *id,
                                        struct job_texts *texts, struct rejectd_error *error)
{
    struct dataset_view dataset = {0};
    enum rejectd_status status =
        name_field(store->functions->dataset_get(store, id, &dataset, error), "dataset", error);
    if (status == REJECTD_OK && dataset.state != DATASET_READY) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "dataset",
                              "dataset %.40s awaits its samples; PUT them first", id);
    }
    if (status == REJECTD_OK) {
        memcpy(texts->dataset_sha256, dataset.sha256, sizeof texts->dataset_sha256);
        texts->description_json = dataset.description_json;
        dataset.description_json = NULL;
    }
    dataset_view_clear(&dataset);
    return status;
}

static enum rejectd_status read_model(struct store *store, const char *id, struct job_texts *texts,
                                      struct rejectd_error *error)
{
    struct model_view view = {0};
    const enum rejectd_status status =
        name_field(store->functions->model_get(store, id, &view, error), "model", error);
    if (status == REJECTD_OK) {
        texts->model_json = view.model_json;
        view.model_json = NULL;
    }
    model_view_clear(&view);
    return status;
}

enum rejectd_status job_texts_read(struct store *store, const struct job_terms *terms,
                                   struct job_texts *texts, struct rejectd_error *error)
{
    *texts = (struct job_texts){.type = terms->type};
    texts->parameters_json = strdup(terms->parameters_json);
    if (texts->parameters_json == NULL) {
        return REJECTD_FAIL_MEMORY(error, strlen(terms->parameters_json));
    }
    enum rejectd_status status = read_dataset(store, terms->dataset, texts, error);
    if (status == REJECTD_OK && terms->type == JOB_APPLY) {
        status = read_model(store, terms->model, texts, error);
    }
    return status;
}

void job_texts_clear(struct job_texts *texts)
{
    free(texts->description_json);
    free(texts->parameters_json);
    free(texts->model_json);
    *texts = (struct job_texts){0};
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
        .without_cleaned = parameters->without_cleaned,
    };
    inputs->task.epochs.content = inputs->dataset_sha256;
    struct rejectd_global_thresholds_parameters *global = &inputs->task.global_thresholds;
    if (type == JOB_GLOBAL_THRESHOLDS) {
        global->decim_start =
            rejectd_decim_start(inputs->description.tmin, inputs->description.sfreq, global->decim);
    }
}

enum rejectd_status job_inputs_open(const struct job_texts *texts, struct job_inputs *inputs,
                                    struct rejectd_error *error)
{
    void *samples = NULL;
    *inputs = (struct job_inputs){0};
    memcpy(inputs->dataset_sha256, texts->dataset_sha256, sizeof inputs->dataset_sha256);
    enum rejectd_status status =
        dataset_from_json(texts->description_json, strlen(texts->description_json),
                          &inputs->description, &samples, error);
    free(samples);
    if (status == REJECTD_OK) {
        const struct rejectd_epochs epochs = dataset_epochs(&inputs->description, NULL);
        status = job_parameters_from_json(texts->type, texts->parameters_json,
                                          strlen(texts->parameters_json), &epochs,
                                          &inputs->parameters, error);
    }
    if (status == REJECTD_OK && texts->model_json != NULL) {
        status =
            model_from_json(texts->model_json, strlen(texts->model_json), &inputs->model, error);
    }
    if (status == REJECTD_OK) {
        fill_task(texts->type, inputs);
    }
    return status;
}

enum rejectd_status job_open_shape(struct store *store, const struct job_terms *terms,
                                   const struct dataset_description *shape,
                                   struct job_inputs *inputs, struct rejectd_error *error)
{
    struct job_texts texts = {.type = terms->type};
    enum rejectd_status status = REJECTD_OK;
    *inputs = (struct job_inputs){0};
    if (terms->type == JOB_APPLY) {
        status = read_model(store, terms->model, &texts, error);
    }
    if (status == REJECTD_OK) {
        texts.parameters_json = strdup(terms->parameters_json);
        texts.description_json = dataset_to_json(shape);
        status = texts.parameters_json == NULL || texts.description_json == NULL
                     ? REJECTD_FAIL_MEMORY(error, strlen(terms->parameters_json))
                     : job_inputs_open(&texts, inputs, error);
    }
    job_texts_clear(&texts);
    return status;
}

void job_inputs_clear(struct job_inputs *inputs)
{
    dataset_description_clear(&inputs->description);
    job_parameters_clear(&inputs->parameters);
    rejectd_model_free(inputs->model);
    *inputs = (struct job_inputs){0};
}

enum rejectd_status job_open(struct store *store, const struct job_terms *terms,
                             struct job_inputs *inputs, struct rejectd_error *error)
{
    struct job_texts texts;
    *inputs = (struct job_inputs){0};
    enum rejectd_status status = job_texts_read(store, terms, &texts, error);
    if (status == REJECTD_OK) {
        status = job_inputs_open(&texts, inputs, error);
    }
    job_texts_clear(&texts);
    return status;
}
