/* The parameters of jobs that are no fits: what they mean, and what is refused. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/job_json.h"
#include "run_suite.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { E = 3, C = 5 };

static const struct rejectd_channel channels[C] = {
    {.name = "Fp1", .type = REJECTD_CHANNEL_EEG},
    {.name = "Fp2", .type = REJECTD_CHANNEL_EEG, .bad = true},
    {.name = "EOG", .type = REJECTD_CHANNEL_EOG},
    {.name = "M1", .type = REJECTD_CHANNEL_MAG},
    {.name = "H1", .type = REJECTD_CHANNEL_HBO},
};

static const struct rejectd_epochs epochs = {
    .n_epochs = E, .n_channels = C, .n_times = 10, .channels = channels};

static struct job_parameters read(enum job_type type, const char *json)
{
    struct job_parameters parameters;
    struct rejectd_error error = {0};
    const enum rejectd_status status =
        job_parameters_from_json(type, json, strlen(json), &epochs, &parameters, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s: %s", json, error.field, error.message);
    return parameters;
}

START_TEST(test_thresholds)
{
    struct job_parameters p = read(JOB_THRESHOLDS, "{}");
    ck_assert_int_eq(p.thresholds.thresh_method, REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION);
    ck_assert_uint_eq(p.thresholds.random_state, 42);
    ck_assert_uint_eq(p.random_state, 42);
    ck_assert_int_eq(p.thresholds.precision, REJECTD_FLOAT64);
    ck_assert_ptr_null(p.thresholds.picks);
    ck_assert(!p.thresholds.without_augmentation);
    job_parameters_clear(&p);
    p = read(JOB_THRESHOLDS, "{\"augment\":false,\"random_state\":7,\"thresh_method\":\"exact\","
                             "\"picks\":[\"hbo\",\"eeg\"],\"precision\":\"float32\","
                             "\"meg_legendre\":\"table\"}");
    ck_assert(p.thresholds.without_augmentation);
    ck_assert_uint_eq(p.random_state, 7);
    ck_assert_int_eq(p.thresholds.thresh_method, REJECTD_THRESHOLD_EXACT);
    ck_assert_int_eq(p.thresholds.precision, REJECTD_FLOAT32);
    ck_assert_int_eq(p.thresholds.meg_legendre, REJECTD_MEG_LEGENDRE_TABLE);
    ck_assert_uint_eq(p.thresholds.n_picks, 2);
    ck_assert_uint_eq(p.thresholds.picks[0], 0);
    ck_assert_uint_eq(p.thresholds.picks[1], 4);
    job_parameters_clear(&p);
}
END_TEST

START_TEST(test_fit)
{
    struct job_parameters p = read(JOB_FIT, "{\"cv\":3,\"random_state\":9}");
    ck_assert_uint_eq(p.fit.parameters.cv, 3);
    ck_assert_uint_eq(p.random_state, 9);
    job_parameters_clear(&p);
}
END_TEST

START_TEST(test_cleaned)
{
    static const enum job_type types[] = {JOB_FIT, JOB_APPLY, JOB_RANSAC};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        static const char *const with[] = {"{}", "{\"cleaned\":true}", "{\"cleaned\":null}"};
        for (size_t j = 0; j < sizeof with / sizeof *with; j++) {
            struct job_parameters p = read(types[i], with[j]);
            ck_assert(!p.without_cleaned);
            job_parameters_clear(&p);
        }
        struct job_parameters p = read(types[i], "{\"cleaned\":false}");
        ck_assert(p.without_cleaned);
        job_parameters_clear(&p);
    }
}
END_TEST

START_TEST(test_apply)
{
    struct job_parameters p = read(JOB_APPLY, "{}");
    ck_assert_ptr_null(p.log.labels);
    job_parameters_clear(&p);
    p = read(JOB_APPLY, "{\"reject_log\":{\"labels\":[[0,-1,-1,2,1],[0,-1,-1,0,0],[1,-1,-1,1,2]],"
                        "\"bad_epochs\":[2,2,0]}}");
    static const int8_t labels[E * C] = {0, -1, -1, 2, 1, 0, -1, -1, 0, 0, 1, -1, -1, 1, 2};
    static const uint8_t bad[E] = {1, 0, 1};
    ck_assert_uint_eq(p.log.n_epochs, E);
    ck_assert_uint_eq(p.log.n_channels, C);
    ck_assert_mem_eq(p.log.labels, labels, sizeof labels);
    ck_assert_mem_eq(p.log.bad_epochs, bad, sizeof bad);
    job_parameters_clear(&p);
}
END_TEST

START_TEST(test_interpolate)
{
    struct job_parameters p =
        read(JOB_INTERPOLATE, "{\"channels\":{\"M1\":[0,2,2],\"Fp2\":\"all\"},"
                              "\"meg_legendre\":\"table\"}");
    /* Fp1 is a source; Fp2 is repaired everywhere; EOG and HbO have no part in it. */
    static const int8_t labels[E * C] = {0, 2, -1, 2, -1, 0, 2, -1, 0, -1, 0, 2, -1, 2, -1};
    static const uint8_t bad[E] = {0};
    ck_assert_mem_eq(p.log.labels, labels, sizeof labels);
    ck_assert_mem_eq(p.log.bad_epochs, bad, sizeof bad);
    ck_assert_int_eq(p.clean.meg_legendre, REJECTD_MEG_LEGENDRE_TABLE);
    ck_assert(!p.clean.leave_one_out && p.clean.origin[2] == 0.0);
    job_parameters_clear(&p);
}
END_TEST

START_TEST(test_interpolate_each)
{
    /* By default all that are interpolated and not bad; by name bad ones, too. */
    static const struct {
        const char *json;
        int8_t labels[C];
    } cases[] = {
        {"{\"channels\":\"each\"}", {2, -1, -1, 2, -1}},
        {"{\"channels\":\"each\",\"picks\":[\"eeg\"],\"origin\":null}", {2, -1, -1, -1, -1}},
        {"{\"channels\":\"each\",\"picks\":[\"Fp1\",\"Fp2\",\"EOG\",\"H1\"]}", {2, 2, -1, -1, -1}},
        {"{\"channels\":\"each\",\"origin\":[0,0.01,-0.5]}", {2, -1, -1, 2, -1}},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct job_parameters p = read(JOB_INTERPOLATE, cases[i].json);
        for (size_t e = 0; e < E; e++)
            ck_assert_mem_eq(p.log.labels + e * C, cases[i].labels, C);
        ck_assert(p.clean.leave_one_out);
        ck_assert_double_eq(p.clean.origin[1], i == 3 ? 0.01 : 0.0);
        job_parameters_clear(&p);
    }
}
END_TEST

#define LOG(text) "{\"reject_log\":" text "}"
#define CHANNELS(text) "{\"channels\":" text "}"
static const struct {
    enum job_type type;
    const char *json, *field, *message;
} refusals[] = {
    {JOB_THRESHOLDS, "{\"cv\":3}", "parameters.cv", "\"augment\""},
    {JOB_THRESHOLDS, "{\"augment\":1}", "parameters.augment", "true or false"},
    {JOB_THRESHOLDS, "{\"picks\":[\"Cz\"]}", "parameters.picks[0]", "neither a channel"},
    {JOB_THRESHOLDS, "{\"random_state\":-1}", "parameters.random_state", "-1"},
    {JOB_APPLY, "{\"cv\":5}", "parameters.cv", "\"reject_log\""},
    {JOB_APPLY, LOG("[]"), "parameters.reject_log", "object"},
    {JOB_APPLY, LOG("{}"), "parameters.reject_log.labels", "required"},
    {JOB_APPLY, LOG("{\"labels\":[]}"), "parameters.reject_log.bad_epochs", "required"},
    {JOB_APPLY, LOG("{\"labels\":[[0]],\"bad_epochs\":[]}"), "parameters.reject_log.labels",
     "1 entries"},
    {JOB_APPLY, LOG("{\"labels\":[0,0,0],\"bad_epochs\":[]}"), "parameters.reject_log.labels[0]",
     "5 labels"},
    {JOB_APPLY, LOG("{\"labels\":[[0,0,0,0,0],[0,0,0,0,3],[0,0,0,0,0]],\"bad_epochs\":[]}"),
     "parameters.reject_log.labels[1][4]", "is no label"},
    {JOB_APPLY, LOG("{\"labels\":[[0,0,0,0,0],[0,0,0,0,1.0],[0,0,0,0,0]],\"bad_epochs\":[]}"),
     "parameters.reject_log.labels[1][4]", "is no label"},
    {JOB_APPLY, LOG("{\"labels\":[[0,0,0,0,0],[0,0,0,0,0],[0,0,0,0,0]],\"bad_epochs\":[3]}"),
     "parameters.reject_log.bad_epochs[0]", "0 to 2"},
    {JOB_APPLY, LOG("{\"labels\":[[0,0,0,0,0],[0,0,0,0,0],[0,0,0,0,0]],\"bad_epochs\":[true]}"),
     "parameters.reject_log.bad_epochs[0]", "number of an epoch"},
    {JOB_APPLY, LOG("{\"labels\":[],\"bad_epochs\":[],\"ch_names\":[]}"),
     "parameters.reject_log.ch_names", "unknown field"},
    {JOB_INTERPOLATE, "{}", "parameters.channels", "required"},
    {JOB_INTERPOLATE, CHANNELS("[\"Fp1\"]"), "parameters.channels", "object"},
    {JOB_INTERPOLATE, CHANNELS("{}"), "parameters.channels", "names no channel"},
    {JOB_INTERPOLATE, CHANNELS("{\"Cz\":\"all\"}"), "parameters.channels.Cz", "no channel"},
    {JOB_INTERPOLATE, CHANNELS("{\"EOG\":\"all\"}"), "parameters.channels.EOG", "type eog"},
    {JOB_INTERPOLATE, CHANNELS("{\"H1\":\"all\"}"), "parameters.channels.H1", "type hbo"},
    {JOB_INTERPOLATE, CHANNELS("{\"Fp1\":\"some\"}"), "parameters.channels.Fp1", "\"all\""},
    {JOB_INTERPOLATE, CHANNELS("{\"Fp1\":[0,3]}"), "parameters.channels.Fp1[1]", "0 to 2"},
    {JOB_INTERPOLATE, CHANNELS("{\"Fp1\":[-1]}"), "parameters.channels.Fp1[0]", "0 to 2"},
    {JOB_INTERPOLATE, CHANNELS("{\"Fp2\":[1]}"), "parameters.channels.Fp2", "marked bad"},
    {JOB_INTERPOLATE, CHANNELS("\"all\""), "parameters.channels", "\"each\""},
    {JOB_INTERPOLATE, CHANNELS("null"), "parameters.channels", "required"},
    {JOB_INTERPOLATE, CHANNELS("\"each\",\"picks\":[\"ecog\"]"), "parameters.picks[0]",
     "no channel"},
    {JOB_INTERPOLATE, CHANNELS("\"each\",\"picks\":[\"EOG\",\"H1\"]"), "parameters.picks",
     "leaves nothing"},
    {JOB_INTERPOLATE, CHANNELS("{\"Fp1\":\"all\"},\"picks\":[\"eeg\"]"), "parameters.picks",
     "is \"each\""},
    {JOB_INTERPOLATE, CHANNELS("\"each\",\"origin\":\"auto\""), "parameters.origin", "array"},
    {JOB_INTERPOLATE, CHANNELS("\"each\",\"origin\":[0,0]"), "parameters.origin", "2 entries"},
    {JOB_INTERPOLATE, CHANNELS("\"each\",\"origin\":[0,0,40]"), "parameters.origin[2]", "40"},
};

START_TEST(test_refusals)
{
    struct job_parameters parameters;
    struct rejectd_error error = {0};
    const char *json = refusals[_i].json;
    ck_assert_int_eq(job_parameters_from_json(refusals[_i].type, json, strlen(json), &epochs,
                                              &parameters, &error),
                     REJECTD_INVALID_VALUE);
    ck_assert_msg(strcmp(error.field, refusals[_i].field) == 0, "%s: %s: %s", json, error.field,
                  error.message);
    ck_assert_msg(strstr(error.message, refusals[_i].message) != NULL, "%s: %s", json,
                  error.message);
    ck_assert_ptr_null(parameters.log.labels);
    ck_assert_ptr_null(parameters.picks);
}
END_TEST

START_TEST(test_channels_beside_the_parameters)
{
    static const char json[] = "{\"type\":\"interpolate\",\"dataset\":\"ds_1\",\"channels\":"
                               "{\"Fp1\":\"all\"},\"parameters\":{\"meg_legendre\":\"table\"}}";
    struct job_request request;
    ck_assert_int_eq(job_request_from_json(json, strlen(json), &request, NULL), REJECTD_OK);
    ck_assert_str_eq(request.parameters_json,
                     "{\"meg_legendre\":\"table\",\"channels\":{\"Fp1\":\"all\"}}");
    job_request_clear(&request);
    static const char twice[] = "{\"type\":\"interpolate\",\"dataset\":\"ds_1\",\"channels\":{},"
                                "\"parameters\":{\"channels\":{}}}";
    struct rejectd_error error = {0};
    ck_assert_int_eq(job_request_from_json(twice, strlen(twice), &request, &error),
                     REJECTD_INVALID_VALUE);
    ck_assert_str_eq(error.field, "channels");
    static const char wrong[] = "{\"type\":\"fit\",\"dataset\":\"ds_1\",\"channels\":{}}";
    ck_assert_int_eq(job_request_from_json(wrong, strlen(wrong), &request, &error),
                     REJECTD_INVALID_VALUE);
    ck_assert_ptr_nonnull(strstr(error.message, "interpolate"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/job_parameters");
    TCase *tests = tcase_create("job_parameters");
    tcase_add_test(tests, test_thresholds);
    tcase_add_test(tests, test_fit);
    tcase_add_test(tests, test_cleaned);
    tcase_add_test(tests, test_apply);
    tcase_add_test(tests, test_interpolate);
    tcase_add_test(tests, test_interpolate_each);
    tcase_add_loop_test(tests, test_refusals, 0, LENGTH(refusals));
    tcase_add_test(tests, test_channels_beside_the_parameters);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
