/*
 * The other JSON texts: each input goes to every parser. Whatever a parser accepts is the same
 * after it was written and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "protocol/estimate_json.h"
#include "protocol/job_json.h"
#include "protocol/problem.h"
#include "protocol/resource_json.h"
#include "protocol/result_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct rejectd_channel channels[] = {
    {.name = "A", .type = REJECTD_CHANNEL_EEG},
    {.name = "B", .type = REJECTD_CHANNEL_EEG, .bad = true},
    {.name = "C", .type = REJECTD_CHANNEL_MAG},
    {.name = "eog", .type = REJECTD_CHANNEL_EOG},
};
enum { N_CHANNELS = sizeof channels / sizeof *channels };

static void fuzz_request(const char *text, size_t length)
{
    struct job_request request, again;
    if (job_request_from_json(text, length, &request, NULL) != REJECTD_OK)
        return;
    char *written = job_request_to_json(&request);
    CHECK(written != NULL);
    CHECK(job_request_from_json(written, strlen(written), &again, NULL) == REJECTD_OK);
    CHECK(strcmp(request.parameters_json, again.parameters_json) == 0);
    CHECK(request.priority == again.priority && strcmp(request.device, again.device) == 0);
    free(written);
    job_request_clear(&request);
    job_request_clear(&again);
}

/* A shape that is accepted is a description that is accepted, written and read again. */
static void fuzz_estimate(const char *text, size_t length)
{
    struct estimate_request request;
    struct rejectd_error error = {0};
    if (estimate_request_from_json(text, length, &request, &error) != REJECTD_OK) {
        CHECK(error.status != REJECTD_OK && error.message[0] != 0);
        return;
    }
    CHECK(request.has_shape == (request.job.dataset[0] == 0));
    if (request.has_shape && request.shape.n_channels <= 64) {
        struct dataset_description again;
        void *samples;
        char *written = dataset_to_json(&request.shape);
        CHECK(written != NULL);
        CHECK(dataset_from_json(written, strlen(written), &again, &samples, NULL) == REJECTD_OK);
        CHECK(dataset_sample_bytes(&again) == dataset_sample_bytes(&request.shape));
        free(written);
        dataset_description_clear(&again);
    }
    estimate_request_clear(&request);
}

static void fuzz_answer(const char *text, size_t length)
{
    struct estimate_view view, again;
    if (estimate_view_from_json(text, length, &view, NULL) != REJECTD_OK)
        return;
    char *written = estimate_view_to_json(&view);
    CHECK(written != NULL);
    CHECK(estimate_view_from_json(written, strlen(written), &again, NULL) == REJECTD_OK);
    CHECK(view.n == again.n && strcmp(view.chosen, again.chosen) == 0);
    free(written);
    estimate_view_clear(&view);
    estimate_view_clear(&again);
}

static void fuzz_parameters(const char *text, size_t length)
{
    struct fit_parameters read;
    struct rejectd_error error = {0};
    if (fit_parameters_from_json(text, length, channels, N_CHANNELS, &read, &error) != REJECTD_OK) {
        CHECK(error.status != REJECTD_OK && error.message[0] != 0);
        CHECK(error.status != REJECTD_INVALID_VALUE ||
              strncmp(error.field, "parameters.", strlen("parameters.")) == 0);
        return;
    }
    const struct rejectd_fit_parameters *p = &read.parameters;
    CHECK(p->n_picks <= N_CHANNELS && (p->picks == NULL) == (p->n_picks == 0));
    for (size_t i = 0; i < p->n_picks; i++)
        CHECK(p->picks[i] < N_CHANNELS && (i == 0 || p->picks[i - 1] < p->picks[i]));
    for (size_t i = 0; i < p->n_consensus; i++)
        CHECK(p->consensus[i] >= 0 && p->consensus[i] <= 1);
    for (size_t i = 0; i < p->n_n_interpolate; i++)
        CHECK(p->n_interpolate[i] >= 0 && p->n_interpolate[i] <= REJECTD_MAX_CHANNELS);
    for (size_t i = 0; p->thresholds != NULL && i < p->n_picks; i++)
        CHECK(p->thresholds[p->picks[i]] >= 0);
    fit_parameters_clear(&read);
}

/* Parameters of every other type, for a small dataset. */
static void fuzz_more_parameters(const char *text, size_t length)
{
    const struct rejectd_epochs epochs = {
        .n_epochs = 3, .n_channels = N_CHANNELS, .n_times = 5, .channels = channels};
    for (int type = 0; type < JOB_TYPE_COUNT; type++) {
        struct job_parameters read;
        if (job_parameters_from_json((enum job_type)type, text, length, &epochs, &read, NULL) !=
            REJECTD_OK)
            continue;
        CHECK(type != JOB_INTERPOLATE || read.log.labels != NULL);
        for (size_t i = 0; read.log.labels != NULL && i < 3 * N_CHANNELS; i++)
            CHECK(read.log.labels[i] >= -1 && read.log.labels[i] <= 2);
        for (int axis = 0; axis < 3; axis++)
            CHECK(read.clean.origin[axis] >= -1 && read.clean.origin[axis] <= 1);
        job_parameters_clear(&read);
    }
}

static void free_model(struct rejectd_model *model)
{
    free(model->channels);
    free(model->types);
    free(model);
}

static void fuzz_model(const char *text, size_t length)
{
    struct rejectd_model *model, *again;
    if (model_from_json(text, length, &model, NULL) != REJECTD_OK)
        return;
    char *written = model_to_json(model);
    CHECK(model_from_json(written, strlen(written), &again, NULL) == REJECTD_OK);
    char *written_again = model_to_json(again);
    CHECK(strcmp(written, written_again) == 0);
    free(written);
    free(written_again);
    free_model(model);
    free_model(again);
}

static void fuzz_result(const char *text, size_t length)
{
    struct result_view view;
    if (result_view_from_json(text, length, &view, NULL) == REJECTD_OK)
        result_view_clear(&view);
}

static void fuzz_views(const char *text, size_t length)
{
    struct dataset_view *datasets;
    struct job_view *jobs;
    struct model_view *models;
    size_t n;
    if (dataset_list_from_json(text, length, &datasets, &n, NULL) == REJECTD_OK)
        dataset_list_free(datasets, n);
    if (job_list_from_json(text, length, &jobs, &n, NULL) == REJECTD_OK)
        job_list_free(jobs, n);
    if (model_list_from_json(text, length, &models, &n, NULL) == REJECTD_OK)
        model_list_free(models, n);

    struct job_view job;
    if (job_view_from_json(text, length, &job, NULL) == REJECTD_OK) {
        struct job_view again;
        char *written = job_view_to_json(&job);
        CHECK(job_view_from_json(written, strlen(written), &again, NULL) == REJECTD_OK);
        free(written);
        job_view_clear(&job);
        job_view_clear(&again);
    }
    struct dataset_view dataset;
    if (dataset_view_from_json(text, length, &dataset, NULL) == REJECTD_OK) {
        struct dataset_view again;
        char *written = dataset_view_to_json(&dataset);
        CHECK(dataset_view_from_json(written, strlen(written), &again, NULL) == REJECTD_OK);
        CHECK(strcmp(dataset.description_json, again.description_json) == 0);
        free(written);
        dataset_view_clear(&dataset);
        dataset_view_clear(&again);
    }
}

static void fuzz_problem(const char *text, size_t length)
{
    struct rejectd_error error = {0}, again = {0};
    problem_from_json(text, length, 502, &error);
    CHECK(error.status != REJECTD_OK);
    char *written = problem_to_json(&error);
    problem_from_json(written, strlen(written), 502, &again);
    CHECK(error.status == again.status);
    free(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    fuzz_request(text, size);
    fuzz_estimate(text, size);
    fuzz_answer(text, size);
    fuzz_parameters(text, size);
    fuzz_more_parameters(text, size);
    fuzz_model(text, size);
    fuzz_result(text, size);
    fuzz_views(text, size);
    fuzz_problem(text, size);
    return 0;
}
