/* Results, resources, problems and numbers: what is written is read back as it was. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/json_text.h"
#include "protocol/openapi.h"
#include "protocol/problem.h"
#include "protocol/resource_json.h"
#include "protocol/result_json.h"
#include "run_suite.h"

/* ---- text ---- */

static char *double_text(double value)
{
    struct buffer buffer;
    buffer_init(&buffer, 1000);
    json_append_double(&buffer, value);
    return buffer_take(&buffer, NULL);
}

static void check_double(double value)
{
    char *text = double_text(value);
    ck_assert_msg(strtod(text, NULL) == value && strpbrk(text, ".e") != NULL, "%a is \"%s\"", value,
                  text);
    free(text);
}

START_TEST(test_doubles)
{
    static const double values[] = {0,
                                    0.1,
                                    1.0 / 3,
                                    1e22,
                                    -1e23,
                                    5e-324,
                                    1e-310,
                                    1.79769313486231571e308,
                                    123456789012345678.0,
                                    100};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        check_double(values[i]);
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        double value;
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            check_double(value);
    }
    static const struct {
        double value;
        const char *text;
    } exact[] = {{0.1, "0.1"},   {1, "1.0"},         {-0.0, "-0.0"},
                 {NAN, "null"},  {INFINITY, "null"}, {0.1 + 0.2, "0.30000000000000004"},
                 {1e-6, "1e-06"}};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        char *text = double_text(exact[i].value);
        ck_assert_str_eq(text, exact[i].text);
        free(text);
    }
}
END_TEST

START_TEST(test_strings)
{
    static const char *const cases[][2] = {
        {"plain", "\"plain\""},
        {"q\"b\\n\n\t\x01\x7f", "\"q\\\"b\\\\n\\n\\t\\u0001\\u007f\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"cut \xe2\x82", "\"cut \xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc3\"", "\"\xef\xbf\xbd\\\"\""},
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer buffer;
        buffer_init(&buffer, 1000);
        json_append_string(&buffer, cases[i][0]);
        ck_assert_str_eq(buffer.data, cases[i][1]);
        buffer_free(&buffer);
    }
}
END_TEST

/* ---- results ---- */

enum { N_EPOCHS = 40, N_CHANNELS = 300 };

static const struct result_context context = {
    .model = "md_1",
    .device = "cpu",
    .backend = "cpu x86-64-v4 \"quoted\"",
    .dataset_sha256 = "00ff",
    .parameters_json = "{\"cv\":5}",
    .random_state = UINT32_MAX,
    .seconds_queued = 0.25,
    .seconds_running = 1.5,
};

struct fixture {
    struct rejectd_channel channels[N_CHANNELS];
    double thresholds[N_CHANNELS];
    double losses[N_CHANNELS];
    int8_t labels[N_EPOCHS * N_CHANNELS];
    uint8_t bad_epochs[N_EPOCHS];
    double consensus_grid[2];
    int n_interpolate_grid[2];
    double loss[2 * 2 * 3];
    struct rejectd_type_fit type;
    struct rejectd_warning warning;
    struct rejectd_fit fit;
};

static struct fixture *make_fixture(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    for (int c = 0; c < N_CHANNELS; c++) {
        snprintf(f->channels[c].name, sizeof f->channels[c].name, "EEG %03d", c);
        f->thresholds[c] = c % 7 == 0 ? NAN : 1e-6 / (c + 1);
        f->losses[c] = c % 7 == 0 ? NAN : c;
    }
    for (int i = 0; i < N_EPOCHS * N_CHANNELS; i++)
        f->labels[i] = (int8_t)(i * 7 % 4 - 1);
    f->bad_epochs[3] = f->bad_epochs[17] = 1;
    f->consensus_grid[0] = 0.1;
    f->consensus_grid[1] = 1;
    f->n_interpolate_grid[0] = 1;
    f->n_interpolate_grid[1] = 4;
    for (int i = 0; i < 12; i++)
        f->loss[i] = i == 5 ? INFINITY : i / 3.0;
    f->type = (struct rejectd_type_fit){
        REJECTD_CHANNEL_EEG, 0.1, 4, 2, 2, 3, f->consensus_grid, f->n_interpolate_grid, f->loss};
    f->warning = (struct rejectd_warning){"flat-channel", "EEG 001 is flat"};
    f->fit = (struct rejectd_fit){
        .n_channels = N_CHANNELS,
        .thresholds = f->thresholds,
        .threshold_losses = f->losses,
        .n_types = 1,
        .types = &f->type,
        .log = {N_EPOCHS, N_CHANNELS, f->labels, f->bad_epochs},
        .n_warnings = 1,
        .warnings = &f->warning,
        .seconds_thresholds = 0.5,
        .seconds_local_cv = 0.25,
    };
    return f;
}

START_TEST(test_fit_result)
{
    struct fixture *f = make_fixture();
    char *text = fit_result_to_json(&f->fit, f->channels, &context);
    ck_assert_ptr_nonnull(strstr(text, "\"loss\":{\"eeg\":[[[0.0,0.333333333333333"));
    ck_assert_ptr_nonnull(strstr(text, ",null]],[["));
    ck_assert_ptr_nonnull(strstr(text, "\"bad_epochs\":[3,17]"));
    ck_assert_ptr_nonnull(strstr(text, "\"fit\":0.75"));
    ck_assert_ptr_nonnull(strstr(text, "\"parameters\":{\"cv\":5}"));
    ck_assert_ptr_null(strstr(text, "\"EEG 007\""));

    struct result_view view;
    struct rejectd_error error = {0};
    ck_assert_msg(result_view_from_json(text, strlen(text), &view, &error) == 0, "%s: %s",
                  error.field, error.message);
    ck_assert_str_eq(view.model, context.model);
    ck_assert_str_eq(view.device, context.device);
    ck_assert_str_eq(view.backend, context.backend);
    ck_assert_uint_eq(view.random_state, context.random_state);
    ck_assert(view.seconds_queued == 0.25 && view.seconds_running == 1.5);
    ck_assert_uint_eq(view.n_thresholds, N_CHANNELS - 43);
    ck_assert_str_eq(view.thresholds[0].name, "EEG 001");
    ck_assert(view.thresholds[0].threshold == f->thresholds[1]);
    ck_assert_uint_eq(view.n_types, 1);
    ck_assert(view.types[0].consensus == 0.1 && view.types[0].n_interpolate == 4);
    ck_assert_uint_eq(view.log.n_epochs, N_EPOCHS);
    ck_assert_uint_eq(view.log.n_channels, N_CHANNELS);
    ck_assert_mem_eq(view.log.labels, f->labels, sizeof f->labels);
    ck_assert_mem_eq(view.log.bad_epochs, f->bad_epochs, sizeof f->bad_epochs);
    ck_assert_uint_eq(view.n_warnings, 1);
    ck_assert_str_eq(view.warnings[0].code, "flat-channel");
    result_view_clear(&view);
    free(text);
    free(f);
}
END_TEST

START_TEST(test_apply_result)
{
    struct rejectd_model_channel channel = {"A", REJECTD_CHANNEL_EEG, 0.1};
    struct rejectd_model_type type = {REJECTD_CHANNEL_EEG, 0.5, 1};
    struct rejectd_model model = {1, &channel, 1, &type, REJECTD_MEG_LEGENDRE_EXACT};
    int8_t labels[] = {1, 0};
    uint8_t bad_epochs[] = {1, 0};
    struct rejectd_reject_log log = {2, 1, labels, bad_epochs};
    struct rejectd_channel channels = {.name = "A"};
    char *text = apply_result_to_json(&log, &model, &channels, &context);
    ck_assert_ptr_null(strstr(text, "loss"));
    struct result_view view;
    struct rejectd_error error = {0};
    ck_assert_msg(result_view_from_json(text, strlen(text), &view, &error) == 0, "%s: %s",
                  error.field, error.message);
    ck_assert(view.thresholds[0].threshold == 0.1);
    ck_assert_uint_eq(view.n_warnings, 0);
    result_view_clear(&view);
    free(text);

    bad_epochs[1] = 1;
    text = apply_result_to_json(&log, &model, &channels, &context);
    ck_assert_int_eq(result_view_from_json(text, strlen(text), &view, NULL), 0);
    ck_assert_str_eq(view.warnings[0].code, "all-epochs-bad");
    result_view_clear(&view);
    free(text);
}
END_TEST

/* A result that lies about its shape is refused. */
START_TEST(test_invalid_result)
{
#define RESULT(labels, bad)                                                                        \
    "{\"thresholds\":{},\"consensus\":{},\"n_interpolate\":{},\"labels\":" labels                  \
    ",\"bad_epochs\":" bad ",\"timings\":{},\"provenance\":{}}"
    static const char *const cases[][2] = {
        {"{}", "thresholds"},
        {RESULT("[[0],[0,1]]", "[]"), "labels[1]"},
        {RESULT("[[0],[3]]", "[]"), "labels[1]"},
        {RESULT("[[0],[1e0]]", "[]"), "labels[1]"},
        {RESULT("[[0],[1]]", "[2]"), "bad_epochs"},
        {RESULT("[[0],[1]]", "[-1]"), "bad_epochs"},
        {RESULT("null", "[]"), "labels"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result_view view;
        struct rejectd_error error = {0};
        ck_assert_int_ne(result_view_from_json(cases[i][0], strlen(cases[i][0]), &view, &error), 0);
        ck_assert_str_eq(error.field, cases[i][1]);
        ck_assert_ptr_null(view.log.labels);
    }
    struct result_view view;
    static const char valid[] = RESULT("[[0],[1]]", "[1]");
    ck_assert_int_eq(result_view_from_json(valid, strlen(valid), &view, NULL), 0);
    result_view_clear(&view);
}
END_TEST

/* ---- resources ---- */

START_TEST(test_dataset_view)
{
    char summary[] = "{\"name\":\",\\\"channels\\\":[\",\"sfreq\":10.0,\"n_epochs\":3}";
    char description[] = "{\"name\":\",\\\"channels\\\":[\",\"sfreq\":10.0,\"n_epochs\":3,"
                         "\"channels\":[{\"name\":\"A\"}],\"events\":[[0,0,1]]}";
    struct dataset_view written = {.id = "ds_1",
                                   .state = DATASET_READY,
                                   .sha256 = "ab",
                                   .created_at = "2024-05-01T12:00:00.000Z",
                                   .expires_at = "2024-06-01T12:00:00.000Z",
                                   .bytes = 1234567890123,
                                   .description_json = description};
    char *text = dataset_view_to_json(&written);
    struct dataset_view view;
    struct rejectd_error error = {0};
    ck_assert_msg(dataset_view_from_json(text, strlen(text), &view, &error) == 0, "%s",
                  error.message);
    ck_assert_str_eq(view.id, "ds_1");
    ck_assert_int_eq(view.state, DATASET_READY);
    ck_assert_str_eq(view.sha256, "ab");
    ck_assert_uint_eq(view.bytes, 1234567890123);
    ck_assert_str_eq(view.expires_at, "2024-06-01T12:00:00.000Z");
    ck_assert_str_eq(view.description_json, description);
    dataset_view_clear(&view);
    free(text);

    written.state = DATASET_AWAITING_SAMPLES;
    written.sha256[0] = 0;
    struct dataset_view both[] = {written, written};
    both[1].id[3] = '2';
    text = dataset_list_to_json(both, 2);
    ck_assert_ptr_nonnull(strstr(text, "\"sha256\":null"));
    struct dataset_view *views;
    size_t n_views;
    ck_assert_int_eq(dataset_list_from_json(text, strlen(text), &views, &n_views, &error), 0);
    ck_assert_uint_eq(n_views, 2);
    ck_assert_str_eq(views[0].id, "ds_1");
    ck_assert_str_eq(views[1].id, "ds_2");
    ck_assert_str_eq(views[0].description_json, summary);
    dataset_list_free(views, n_views);
    free(text);
    text = dataset_list_to_json(NULL, 0);
    ck_assert_str_eq(text, "{\"datasets\":[]}");
    free(text);
}
END_TEST

START_TEST(test_job_view)
{
    char parameters[] = "{\"cv\":5}";
    struct job_view written = {.id = "jb_1",
                               .type = JOB_FIT,
                               .dataset = "ds_1",
                               .device = "auto",
                               .priority = -4,
                               .parameters_json = parameters,
                               .state = JOB_STATE_FAILED,
                               .position = -1,
                               .stage = "local_cv",
                               .fraction = 0.5,
                               .attempt = 2,
                               .created_at = "a",
                               .finished_at = "b"};
    REJECTD_FAIL(&written.error, REJECTD_UNSUITABLE_DATASET, "cv", "too \"few\" epochs");
    char *text = job_view_to_json(&written);
    ck_assert_ptr_nonnull(strstr(text, "\"position\":null,\"estimated_start\":null"));
    ck_assert_ptr_nonnull(strstr(text, "\"result\":null"));
    ck_assert_ptr_nonnull(strstr(text, "\"model\":null"));
    struct job_view view;
    struct rejectd_error error = {0};
    ck_assert_msg(job_view_from_json(text, strlen(text), &view, &error) == 0, "%s", error.message);
    ck_assert_str_eq(view.id, "jb_1");
    ck_assert_int_eq(view.state, JOB_STATE_FAILED);
    ck_assert_int_eq(view.priority, -4);
    ck_assert_int_eq(view.position, -1);
    ck_assert_str_eq(view.stage, "local_cv");
    ck_assert(view.fraction == 0.5);
    ck_assert_int_eq(view.attempt, 2);
    ck_assert_str_eq(view.started_at, "");
    ck_assert_str_eq(view.parameters_json, parameters);
    ck_assert_int_eq(view.error.status, REJECTD_UNSUITABLE_DATASET);
    ck_assert_str_eq(view.error.field, "cv");
    ck_assert_str_eq(view.error.message, "too \"few\" epochs");
    job_view_clear(&view);
    free(text);

    written.error = (struct rejectd_error){0};
    written.state = JOB_STATE_SUCCEEDED;
    written.position = 7;
    snprintf(written.estimated_start, sizeof written.estimated_start, "2024-05-01T12:00:00.000Z");
    text = job_list_to_json(&written, 1);
    ck_assert_ptr_nonnull(strstr(text, "\"result\":\"/v1/jobs/jb_1/result\""));
    struct job_view *views;
    size_t n_views;
    ck_assert_int_eq(job_list_from_json(text, strlen(text), &views, &n_views, &error), 0);
    ck_assert_uint_eq(n_views, 1);
    ck_assert_int_eq(views[0].position, 7);
    ck_assert_str_eq(views[0].estimated_start, "2024-05-01T12:00:00.000Z");
    ck_assert_int_eq(views[0].error.status, REJECTD_OK);
    job_list_free(views, n_views);
    free(text);
    ck_assert(!job_state_is_final(JOB_STATE_RUNNING) && job_state_is_final(JOB_STATE_CANCELLED));
}
END_TEST

START_TEST(test_what_is_told_of_the_queue)
{
    char parameters[] = "{\"secret\":1}";
    const struct job_view jobs[2] = {
        {.id = "jb_1", .position = 3, .parameters_json = parameters},
        {.id = "jb_2", .position = -1, .fraction = 0.5, .seconds_left = 2.5, .stage = "repair"},
    };
    struct queue_view queue = {.n_queued = 4, .n_running = 1};
    char *text = job_change_to_json(&jobs[0]);
    ck_assert_str_eq(text, "{\"id\":\"jb_1\",\"position\":3}");
    free(text);
    text = job_change_to_json(&jobs[1]);
    ck_assert_str_eq(text, "{\"id\":\"jb_2\",\"progress\":{\"stage\":\"repair\",\"fraction\":0.5,"
                           "\"seconds_left\":2.5}}");
    free(text);
    text = queue_to_json(&queue);
    ck_assert_str_eq(text, "{\"queued\":4,\"running\":1}");
    free(text);
    queue.jobs = jobs;
    text = queue_to_json(&queue);
    ck_assert_str_eq(text, "{\"queued\":4,\"running\":1,\"jobs\":[]}");
    free(text);
    queue.n_jobs = 2;
    text = queue_to_json(&queue);
    ck_assert_ptr_null(strstr(text, "secret"));
    ck_assert_ptr_null(strstr(text, "parameters"));
    ck_assert_ptr_nonnull(strstr(text, "},{\"id\":\"jb_2\""));
    ck_assert_str_eq(text + strlen(text) - 3, "}]}");
    free(text);
}
END_TEST

START_TEST(test_model_view)
{
    char model[] = "{\"channels\":[],\"types\":[]}";
    struct model_view written = {
        .id = "md_1", .job = "jb_1", .dataset = "ds_1", .model_json = model};
    char *text = model_list_to_json(&written, 1);
    struct model_view *views;
    size_t n_views;
    ck_assert_int_eq(model_list_from_json(text, strlen(text), &views, &n_views, NULL), 0);
    ck_assert_uint_eq(n_views, 1);
    ck_assert_str_eq(views[0].job, "jb_1");
    ck_assert_str_eq(views[0].model_json, model);
    model_list_free(views, n_views);
    free(text);
    ck_assert_int_ne(model_list_from_json("{\"models\":[3]}", 14, &views, &n_views, NULL), 0);
    ck_assert_ptr_null(views);
}
END_TEST

/* ---- problems ---- */

START_TEST(test_problem)
{
    struct rejectd_error written, error;
    for (int i = 1; i < REJECTD_STATUS_COUNT; i++) {
        enum rejectd_status status = (enum rejectd_status)i;
        REJECTD_FAIL(&written, status, i % 2 ? "a.b[3]" : "", "what \"was\" wrong\n%d", i);
        char *text = problem_to_json(&written);
        ck_assert_ptr_null(strstr(text, ".c\""));
        problem_from_json(text, strlen(text), 599, &error);
        ck_assert_int_eq(error.status, status);
        ck_assert_str_eq(error.field, written.field);
        ck_assert_str_eq(error.message, written.message);
        free(text);
    }
}
END_TEST

START_TEST(test_no_problem)
{
    struct rejectd_error error;
    problem_from_json("<html>\x1b[31m502", 14, 502, &error);
    ck_assert_int_eq(error.status, REJECTD_IO);
    ck_assert_str_eq(error.message, "HTTP status 502: <html> [31m502");
    problem_from_json(NULL, 0, 404, &error);
    ck_assert_int_eq(error.status, REJECTD_NOT_FOUND);
    problem_from_json("{\"type\":\"/problems/new\",\"detail\":\"d\"}", 37, 418, &error);
    ck_assert_int_eq(error.status, REJECTD_INVALID_REQUEST);
    ck_assert_str_eq(error.message, "d");
    problem_from_json("[1,2]", 5, 599, &error);
    ck_assert_int_eq(error.status, REJECTD_IO);
}
END_TEST

START_TEST(test_openapi)
{
    FILE *file = fopen(OPENAPI_FILE, "rb");
    ck_assert_ptr_nonnull(file);
    char *bytes = malloc(openapi_yaml_length + 1);
    ck_assert_uint_eq(fread(bytes, 1, openapi_yaml_length + 1, file), openapi_yaml_length);
    ck_assert_mem_eq(bytes, openapi_yaml, openapi_yaml_length);
    ck_assert_int_eq(openapi_yaml[openapi_yaml_length], 0);
    free(bytes);
    fclose(file);
    for (int i = 1; i < REJECTD_STATUS_COUNT; i++) {
        char type[64];
        snprintf(type, sizeof type, "- /problems/%s\n",
                 rejectd_status_name((enum rejectd_status)i));
        ck_assert_msg(strstr(openapi_yaml, type) != NULL, "%s is not described", type);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/resources");
    TCase *tests = tcase_create("resources");
    tcase_add_test(tests, test_doubles);
    tcase_add_test(tests, test_strings);
    tcase_add_test(tests, test_fit_result);
    tcase_add_test(tests, test_apply_result);
    tcase_add_test(tests, test_invalid_result);
    tcase_add_test(tests, test_dataset_view);
    tcase_add_test(tests, test_job_view);
    tcase_add_test(tests, test_what_is_told_of_the_queue);
    tcase_add_test(tests, test_model_view);
    tcase_add_test(tests, test_problem);
    tcase_add_test(tests, test_no_problem);
    tcase_add_test(tests, test_openapi);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
