/*
 * Running out of memory, everywhere: each function of the protocol runs again and again with its
 * n-th allocation failing, until none fails. It must say so, hand out nothing and leak nothing
 * (the sanitizer builds see leaks).
 *
 * The linker sends the protocol's own allocations here (--wrap). jansson's are left alone: version
 * 2.14 itself doesn't survive their failure; json_scan.c keeps them small instead.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fif_file.h"
#include "fif_reading.h"
#include "protocol/dataset_json.h"
#include "protocol/fif_writer.h"
#include "protocol/job_json.h"
#include "protocol/problem.h"
#include "protocol/resource_json.h"
#include "protocol/result_json.h"
#include "run_suite.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static long allocations_left = -1; /* until one fails; -1: none fails */
static bool has_failed;

static bool next_fails(void)
{
    if (allocations_left < 0)
        return false;
    if (allocations_left-- > 0)
        return false;
    has_failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return next_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return next_fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return next_fails() ? NULL : __real_realloc(memory, size);
}

/* Unlike ck_assert() it allocates nothing unless it fails. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            allocations_left = -1;                                                                 \
            ck_abort_msg("%s", #condition);                                                        \
        }                                                                                          \
    } while (0)

/* Runs a step with every allocation failing in turn; the step checks itself. */
static void fail_each(void (*step)(void))
{
    long n = 0;
    do {
        allocations_left = n++;
        has_failed = false;
        step();
    } while (has_failed);
    allocations_left = -1;
    ck_assert_int_gt(n, 1);
}

/* What a step must have come to: success, or the one error there is. */
static void check_status(enum rejectd_status status, const struct rejectd_error *error)
{
    EXPECT(status == (has_failed ? REJECTD_OUT_OF_MEMORY : REJECTD_OK));
    EXPECT(error->status == status);
}

static const char dataset_json[] =
    "{\"name\":\"x\",\"sfreq\":10.0,\"tmin\":0.0,\"n_epochs\":1,\"n_channels\":2,\"n_times\":1,"
    "\"dtype\":\"float64\",\"channels\":[{\"name\":\"A\",\"type\":\"mag\",\"position\":null,"
    "\"bad\":false,\"loc\":[1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,10.0,11.0,12.0],\"coil_type\":1},{"
    "\"name\":\"B\","
    "\"type\":\"eeg\",\"position\":[1.0,2.0,3.0],\"bad\":true}],\"device_to_head\":[[1.0,0.0,0.0,"
    "0.0],[0.0,1.0,0.0,0.0],[0.0,0.0,1.0,0.0],[0.0,0.0,0.0,1.0]],\"projectors\":[{\"description\":"
    "\"PCA\",\"active\":false,\"channels\":[\"B\"],\"vectors\":[[1.0]]}],\"events\":[[1,0,2]],"
    "\"event_id\":{\"a\":2}}";

static void step_dataset(void)
{
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples;
    enum rejectd_status status =
        dataset_from_json(dataset_json, sizeof dataset_json - 1, &description, &samples, &error);
    check_status(status, &error);
    if (status != REJECTD_OK) {
        EXPECT(description.channels == NULL);
        return;
    }
    dataset_description_clear(&description);
}

static struct dataset_description kept;

static void step_write_dataset(void)
{
    char *text = dataset_to_json(&kept);
    EXPECT((text == NULL) == has_failed);
    if (text != NULL)
        EXPECT(strcmp(text, dataset_json) == 0);
    free(text);
}

static void step_samples(void)
{
    static const char json[] = "{\"sfreq\":1,\"channels\":[{\"name\":\"A\",\"type\":\"eeg\"}],"
                               "\"data\":[[[1,2]],[[3,4]]]}";
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples;
    enum rejectd_status status =
        dataset_from_json(json, sizeof json - 1, &description, &samples, &error);
    check_status(status, &error);
    EXPECT((samples == NULL) == has_failed);
    free(samples);
    dataset_description_clear(&description);
}

static void step_request(void)
{
    static const char json[] = "{\"type\":\"fit\",\"dataset\":\"ds_1\",\"parameters\":{\"cv\":5}}";
    struct job_request request;
    struct rejectd_error error = {0};
    enum rejectd_status status = job_request_from_json(json, sizeof json - 1, &request, &error);
    check_status(status, &error);
    if (status == REJECTD_OK) {
        char *text = job_request_to_json(&request);
        EXPECT((text == NULL) == has_failed);
        free(text);
    }
    job_request_clear(&request);
}

static void step_parameters(void)
{
    static const char json[] = "{\"n_interpolate\":[1,2],\"consensus\":[0,1],\"picks\":[\"A\"],"
                               "\"thresholds\":{\"A\":1}}";
    struct fit_parameters parameters;
    struct rejectd_error error = {0};
    enum rejectd_status status = fit_parameters_from_json(json, sizeof json - 1, kept.channels,
                                                          kept.n_channels, &parameters, &error);
    check_status(status, &error);
    EXPECT((parameters.thresholds == NULL) == has_failed);
    fit_parameters_clear(&parameters);
}

static void step_model(void)
{
    static const char json[] =
        "{\"channels\":[{\"name\":\"A\",\"type\":\"eeg\",\"threshold\":1}],"
        "\"types\":[{\"type\":\"eeg\",\"consensus\":0.5,\"n_interpolate\":4}]}";
    struct rejectd_model *model;
    struct rejectd_error error = {0};
    enum rejectd_status status = model_from_json(json, sizeof json - 1, &model, &error);
    check_status(status, &error);
    EXPECT((model == NULL) == has_failed);
    if (model == NULL)
        return;
    char *text = model_to_json(model);
    EXPECT((text == NULL) == has_failed);
    free(text);
    free(model->channels);
    free(model->types);
    free(model);
}

static void step_result(void)
{
    static const char json[] =
        "{\"thresholds\":{\"A\":1},\"consensus\":{\"eeg\":0.5},\"n_interpolate\":{\"eeg\":1},"
        "\"labels\":[[0],[1]],\"bad_epochs\":[1],\"warnings\":[{\"code\":\"c\",\"message\":\"m\"}],"
        "\"timings\":{\"queued\":1},\"provenance\":{\"backend\":\"cpu\"}}";
    struct result_view view;
    struct rejectd_error error = {0};
    check_status(result_view_from_json(json, sizeof json - 1, &view, &error), &error);
    EXPECT((view.log.labels == NULL) == has_failed);
    result_view_clear(&view);
}

static void step_views(void)
{
    static const char jobs_json[] =
        "{\"jobs\":[{\"id\":\"jb_1\",\"type\":\"fit\",\"state\":\"queued\",\"parameters\":{}},"
        "{\"id\":\"jb_2\",\"type\":\"fit\",\"state\":\"queued\",\"parameters\":{\"cv\":3}}]}";
    static const char dataset[] = "{\"id\":\"ds_1\",\"state\":\"ready\",\"sfreq\":1}";
    struct rejectd_error error = {0};
    struct job_view *jobs;
    size_t n_jobs;
    enum rejectd_status status =
        job_list_from_json(jobs_json, sizeof jobs_json - 1, &jobs, &n_jobs, &error);
    check_status(status, &error);
    EXPECT(n_jobs == (has_failed ? 0 : 2));
    if (status == REJECTD_OK) {
        char *text = job_list_to_json(jobs, n_jobs);
        EXPECT((text == NULL) == has_failed);
        free(text);
    }
    job_list_free(jobs, n_jobs);
    if (has_failed)
        return;
    struct dataset_view view;
    check_status(dataset_view_from_json(dataset, sizeof dataset - 1, &view, &error), &error);
    EXPECT((view.description_json == NULL) == has_failed);
    dataset_view_clear(&view);
}

static void step_problem(void)
{
    struct rejectd_error error = {.status = REJECTD_CONFLICT, .message = "m"};
    char *text = problem_to_json(&error);
    EXPECT((text == NULL) == has_failed);
    if (text != NULL)
        problem_from_json(text, strlen(text), 409, &error);
    /* without memory to parse it, the HTTP status still tells what kind of error it was */
    EXPECT(error.status == REJECTD_CONFLICT);
    free(text);
}

static struct fif_file fif;
static struct fif_reading fif_read;

static void step_fif_read(void)
{
    struct fif_reading reading = {0};
    enum rejectd_status status = fif_reading_read(&reading, fif.bytes, fif.size, 0, 0);
    check_status(status, &reading.error);
    EXPECT((reading.leftover.head == NULL) == has_failed);
    EXPECT((reading.description.channels == NULL) == has_failed);
    fif_reading_clear(&reading);
}

static void step_fif_write(void)
{
    static const unsigned char some[] = {1, 0, 1};
    const struct fif_writer_options options = {&fif_read.leftover, 1,       some, 3,
                                               REJECTD_FLOAT64,    "a.fif", 0};
    struct rejectd_error error = {0};
    struct fif_writer *writer;
    struct fif_frame frame = {0};
    enum rejectd_status status = fif_writer_open(&options, &writer, &error);
    EXPECT((writer == NULL) == (status != REJECTD_OK));
    if (status == REJECTD_OK)
        status = fif_writer_frame(writer, 0, &frame, &error);
    check_status(status, &error);
    EXPECT((frame.prefix == NULL) == has_failed);
    fif_frame_clear(&frame);
    fif_writer_close(writer);
}

static void (*const steps[])(void) = {
    step_dataset, step_write_dataset, step_samples, step_request,  step_parameters, step_model,
    step_result,  step_views,         step_problem, step_fif_read, step_fif_write,
};

START_TEST(test_out_of_memory)
{
    void *samples;
    ck_assert_int_eq(
        dataset_from_json(dataset_json, sizeof dataset_json - 1, &kept, &samples, NULL), 0);
    const struct fif_recipe recipe = {
        .n_epochs = 3,
        .n_channels = 5,
        .n_times = 7,
        .cal = 0.5f,
        .projectors = true,
        .bads = true,
        .metadata = true,
        .log = true,
    };
    fif = fif_file_make(&recipe);
    ck_assert_int_eq(fif_reading_read(&fif_read, fif.bytes, fif.size, 0, 0), REJECTD_OK);
    fail_each(steps[_i]);
    fif_reading_clear(&fif_read);
    free(fif.bytes);
    dataset_description_clear(&kept);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/out of memory");
    TCase *tests = tcase_create("out of memory");
    tcase_add_loop_test(tests, test_out_of_memory, 0, (int)(sizeof steps / sizeof *steps));
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
