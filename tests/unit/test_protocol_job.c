/* Job requests, fit parameters and models on the wire. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/job_json.h"
#include "run_suite.h"

struct invalid_case {
    const char *json;
    enum rejectd_status status;
    const char *field;
    const char *message; /* a part of it */
};

#define FIT(fields) "{\"type\":\"fit\",\"dataset\":\"ds_abc\"," fields "}"

static const struct invalid_case invalid_requests[] = {
    {"{", REJECTD_INVALID_JSON, "", "line 1"},
    {"[1]", REJECTD_INVALID_JSON, "", "not an array"},
    {"{}", REJECTD_INVALID_VALUE, "type", "required"},
    {"{\"type\":\"fly\",\"dataset\":\"ds_abc\"}", REJECTD_INVALID_VALUE, "type",
     "\"fit\", \"apply\", \"thresholds\""},
    {"{\"type\":1,\"dataset\":\"ds_abc\"}", REJECTD_INVALID_VALUE, "type", "not an integer"},
    {"{\"type\":\"fit\"}", REJECTD_INVALID_VALUE, "dataset", "required"},
    {"{\"type\":\"fit\",\"dataset\":7}", REJECTD_INVALID_VALUE, "dataset", "string"},
    {"{\"type\":\"fit\",\"dataset\":\"md_abc\"}", REJECTD_INVALID_VALUE, "dataset", "\"ds_\""},
    {"{\"type\":\"fit\",\"dataset\":\"ds_\"}", REJECTD_INVALID_VALUE, "dataset", "\"ds_\""},
    {"{\"type\":\"fit\",\"dataset\":\"ds_../x\"}", REJECTD_INVALID_VALUE, "dataset", "\"ds_\""},
    {"{\"type\":\"fit\",\"dataset\":\"ds_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
     REJECTD_INVALID_VALUE, "dataset", "at most 39"},
    {FIT("\"model\":\"md_abc\""), REJECTD_INVALID_VALUE, "model", "only accepted for"},
    {"{\"type\":\"apply\",\"dataset\":\"ds_abc\"}", REJECTD_INVALID_VALUE, "model", "required"},
    {"{\"type\":\"apply\",\"dataset\":\"ds_abc\",\"model\":\"ds_abc\"}", REJECTD_INVALID_VALUE,
     "model", "\"md_\""},
    {FIT("\"device\":\"\""), REJECTD_INVALID_VALUE, "device", "\"auto\""},
    {FIT("\"device\":\"a b\""), REJECTD_INVALID_VALUE, "device", "\"auto\""},
    {FIT("\"priority\":101"), REJECTD_INVALID_VALUE, "priority", "-100 to 100"},
    {FIT("\"priority\":\"high\""), REJECTD_INVALID_VALUE, "priority", "not a string"},
    {FIT("\"parameters\":[]"), REJECTD_INVALID_VALUE, "parameters", "not an array"},
    {FIT("\"parametres\":{}"), REJECTD_INVALID_VALUE, "parametres", "unknown field"},
};

START_TEST(test_invalid_request)
{
    const struct invalid_case *c = &invalid_requests[_i];
    struct job_request request;
    struct rejectd_error error = {0};
    ck_assert_msg(job_request_from_json(c->json, strlen(c->json), &request, &error) == c->status,
                  "%s: %s", c->json, error.message);
    ck_assert_str_eq(error.field, c->field);
    ck_assert_msg(strstr(error.message, c->message) != NULL, "%s: %s", c->json, error.message);
    ck_assert_ptr_null(request.parameters_json);
}
END_TEST

START_TEST(test_request)
{
    static const char json[] = "{\"type\":\"fit\",\"dataset\":\"ds_abc\",\"device\":\"cuda:0\","
                               "\"priority\":-3,\"parameters\":{\"consensus\":[0.1,1]}}";
    struct job_request request;
    ck_assert_int_eq(job_request_from_json(json, strlen(json), &request, NULL), REJECTD_OK);
    ck_assert_int_eq(request.type, JOB_FIT);
    ck_assert_str_eq(request.dataset, "ds_abc");
    ck_assert_str_eq(request.model, "");
    ck_assert_str_eq(request.parameters_json, "{\"consensus\":[0.1,1]}");
    char *text = job_request_to_json(&request);
    ck_assert_str_eq(text, json);
    free(text);
    free(request.parameters_json);
    request.parameters_json = strdup("{\"consensus\":");
    ck_assert_ptr_null(job_request_to_json(&request));
    job_request_clear(&request);

    static const char bare[] = "{\"type\":\"apply\",\"dataset\":\"ds_1\",\"model\":\"md_2\","
                               "\"parameters\":null}";
    ck_assert_int_eq(job_request_from_json(bare, strlen(bare), &request, NULL), REJECTD_OK);
    ck_assert_int_eq(request.type, JOB_APPLY);
    ck_assert_str_eq(request.model, "md_2");
    ck_assert_str_eq(request.device, "auto");
    ck_assert_str_eq(request.parameters_json, "{}");
    job_request_clear(&request);
}
END_TEST

static const struct rejectd_channel channels[] = {
    {.name = "Fp1", .type = REJECTD_CHANNEL_EEG},
    {.name = "EOG", .type = REJECTD_CHANNEL_EOG},
    {.name = "Fp2", .type = REJECTD_CHANNEL_EEG, .bad = true},
    {.name = "MEG 0111", .type = REJECTD_CHANNEL_MAG},
    {.name = "Cz", .type = REJECTD_CHANNEL_EEG},
    {.name = "eeg", .type = REJECTD_CHANNEL_MISC},
    {.name = "grad", .type = REJECTD_CHANNEL_MISC},
};
enum { N_CHANNELS = sizeof channels / sizeof *channels };

static const struct invalid_case invalid_parameters[] = {
    {"{\"cv\":}", REJECTD_INVALID_JSON, "", "line 1"},
    {"{\"epochs\":3}", REJECTD_INVALID_VALUE, "parameters.epochs", "\"n_interpolate\""},
    {"{\"meg_legendre\":\"lut\"}", REJECTD_INVALID_VALUE, "parameters.meg_legendre", "exact"},
    {"{\"cleaned\":\"no\"}", REJECTD_INVALID_VALUE, "parameters.cleaned", "true or false"},
    {"{\"cv\":1}", REJECTD_INVALID_VALUE, "parameters.cv", "2 to 1000"},
    {"{\"cv\":1001}", REJECTD_INVALID_VALUE, "parameters.cv", "2 to 1000"},
    {"{\"cv\":2.5}", REJECTD_INVALID_VALUE, "parameters.cv", "integer"},
    {"{\"random_state\":-1}", REJECTD_INVALID_VALUE, "parameters.random_state", "0 to 4294967295"},
    {"{\"random_state\":4294967296}", REJECTD_INVALID_VALUE, "parameters.random_state",
     "0 to 4294967295"},
    {"{\"thresh_method\":\"guess\"}", REJECTD_INVALID_VALUE, "parameters.thresh_method",
     "\"bayesian_optimization\""},
    {"{\"precision\":\"float8\"}", REJECTD_INVALID_VALUE, "parameters.precision", "\"float32\""},
    {"{\"precision\":\"half\"}", REJECTD_INVALID_VALUE, "parameters.precision", "\"bfloat16\""},
    {"{\"precision\":16}", REJECTD_INVALID_VALUE, "parameters.precision", "integer"},
    {"{\"consensus\":0.5}", REJECTD_INVALID_VALUE, "parameters.consensus", "must be an array"},
    {"{\"consensus\":[]}", REJECTD_INVALID_VALUE, "parameters.consensus", "0 entries"},
    {"{\"consensus\":[0,0.5,1.01]}", REJECTD_INVALID_VALUE, "parameters.consensus[2]", "0 to 1"},
    {"{\"consensus\":[-1e-9]}", REJECTD_INVALID_VALUE, "parameters.consensus[0]", "0 to 1"},
    {"{\"consensus\":[0,\"x\"]}", REJECTD_INVALID_VALUE, "parameters.consensus[1]", "number"},
    {"{\"n_interpolate\":4}", REJECTD_INVALID_VALUE, "parameters.n_interpolate", "array"},
    {"{\"n_interpolate\":[]}", REJECTD_INVALID_VALUE, "parameters.n_interpolate", "0 entries"},
    {"{\"n_interpolate\":[1,-1]}", REJECTD_INVALID_VALUE, "parameters.n_interpolate[1]", "least 0"},
    {"{\"n_interpolate\":[1.0]}", REJECTD_INVALID_VALUE, "parameters.n_interpolate[0]", "integer"},
    {"{\"n_interpolate\":[4096]}", REJECTD_INVALID_VALUE, "parameters.n_interpolate[0]",
     "less than"},
    {"{\"picks\":\"eeg\"}", REJECTD_INVALID_VALUE, "parameters.picks", "array"},
    {"{\"picks\":[]}", REJECTD_INVALID_VALUE, "parameters.picks", "0 entries"},
    {"{\"picks\":[1]}", REJECTD_INVALID_VALUE, "parameters.picks[0]", "string"},
    {"{\"picks\":[\"Fp1\",\"Fp9\"]}", REJECTD_INVALID_VALUE, "parameters.picks[1]",
     "\"Fp9\" is neither"},
    {"{\"picks\":[\"Fp1\",\"mag\"]}", REJECTD_INVALID_VALUE, "parameters.picks[1]", "mixes"},
    {"{\"picks\":[\"mag\",\"Fp1\"]}", REJECTD_INVALID_VALUE, "parameters.picks[1]", "mixes"},
    {"{\"picks\":[\"Fp1\",\"Fp1\"]}", REJECTD_INVALID_VALUE, "parameters.picks[1]", "twice"},
    {"{\"picks\":[\"hbo\"]}", REJECTD_INVALID_VALUE, "parameters.picks[0]",
     "no channel of type \"hbo\""},
    {"{\"picks\":[\"eeg\"]}", REJECTD_INVALID_VALUE, "parameters.picks", "alike"},
    {"{\"thresholds\":[1]}", REJECTD_INVALID_VALUE, "parameters.thresholds", "not an array"},
    {"{\"thresholds\":{\"Fp9\":1}}", REJECTD_INVALID_VALUE, "parameters.thresholds.Fp9",
     "no channel"},
    {"{\"thresholds\":{\"Fp1\":-1}}", REJECTD_INVALID_VALUE, "parameters.thresholds.Fp1",
     "at least 0"},
    {"{\"thresholds\":{\"Fp1\":null}}", REJECTD_INVALID_VALUE, "parameters.thresholds.Fp1",
     "at least 0"},
    {"{\"thresholds\":{\"Fp1\":1e-4}}", REJECTD_INVALID_VALUE, "parameters.thresholds",
     "no threshold for \"MEG 0111\""},
};

START_TEST(test_invalid_parameters)
{
    const struct invalid_case *c = &invalid_parameters[_i];
    struct fit_parameters parameters;
    struct rejectd_error error = {0};
    ck_assert_msg(fit_parameters_from_json(c->json, strlen(c->json), channels, N_CHANNELS,
                                           &parameters, &error) == c->status,
                  "%s: %s", c->json, error.message);
    ck_assert_str_eq(error.field, c->field);
    ck_assert_msg(strstr(error.message, c->message) != NULL, "%s: %s", c->json, error.message);
    ck_assert_ptr_null(parameters.picks);
}
END_TEST

static struct fit_parameters read(const char *json)
{
    struct fit_parameters parameters;
    struct rejectd_error error = {0};
    ck_assert_msg(fit_parameters_from_json(json, strlen(json), channels, N_CHANNELS, &parameters,
                                           &error) == REJECTD_OK,
                  "%s: %s", json, error.message);
    return parameters;
}

START_TEST(test_default_parameters)
{
    struct fit_parameters p = read("{\"picks\":null,\"consensus\":null,\"random_state\":null}");
    ck_assert_ptr_null(p.parameters.picks);
    ck_assert_ptr_null(p.parameters.consensus);
    ck_assert_ptr_null(p.parameters.n_interpolate);
    ck_assert_ptr_null(p.parameters.thresholds);
    ck_assert_uint_eq(p.parameters.cv, 0);
    ck_assert_uint_eq(p.parameters.random_state, 42);
    ck_assert_int_eq(p.parameters.precision, REJECTD_FLOAT64);
    ck_assert_int_eq(p.parameters.thresh_method, REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION);
    fit_parameters_clear(&p);
}
END_TEST

START_TEST(test_precisions)
{
    static const struct {
        const char *text;
        enum rejectd_dtype precision;
    } precisions[] = {{"{\"precision\":\"float32\"}", REJECTD_FLOAT32},
                      {"{\"precision\":\"float64\"}", REJECTD_FLOAT64},
                      {"{\"precision\":\"float16\"}", REJECTD_FLOAT16},
                      {"{\"precision\":\"bfloat16\"}", REJECTD_BFLOAT16},
                      {"{\"precision\":null}", REJECTD_FLOAT64}};
    for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++) {
        struct fit_parameters p = read(precisions[i].text);
        ck_assert_int_eq(p.parameters.precision, precisions[i].precision);
        fit_parameters_clear(&p);
    }
}
END_TEST

START_TEST(test_parameters)
{
    struct fit_parameters p =
        read("{\"n_interpolate\":[1,4],\"consensus\":[0,0.30000000000000004,1],\"cv\":5,"
             "\"thresh_method\":\"exact\",\"random_state\":4294967295,\"precision\":\"float32\","
             "\"picks\":[\"Cz\",\"Fp2\"],\"thresholds\":{\"Fp2\":2,\"Cz\":0.5,\"EOG\":7}}");
    ck_assert_uint_eq(p.parameters.n_n_interpolate, 2);
    ck_assert_int_eq(p.parameters.n_interpolate[1], 4);
    ck_assert_uint_eq(p.parameters.n_consensus, 3);
    ck_assert(p.parameters.consensus[1] == 0.30000000000000004);
    ck_assert_uint_eq(p.parameters.cv, 5);
    ck_assert_int_eq(p.parameters.thresh_method, REJECTD_THRESHOLD_EXACT);
    ck_assert_uint_eq(p.parameters.random_state, UINT32_MAX);
    ck_assert_int_eq(p.parameters.precision, REJECTD_FLOAT32);
    /* names include the channel marked bad, ascending */
    ck_assert_uint_eq(p.parameters.n_picks, 2);
    ck_assert_uint_eq(p.parameters.picks[0], 2);
    ck_assert_uint_eq(p.parameters.picks[1], 4);
    ck_assert(p.parameters.thresholds[2] == 2 && p.parameters.thresholds[4] == 0.5);
    ck_assert(isnan(p.parameters.thresholds[0]));
    fit_parameters_clear(&p);
}
END_TEST

START_TEST(test_picks_by_type)
{
    /* of the first four channels, of which none is called like a type */
    static const char json[] = "{\"picks\":[\"eog\",\"eeg\"],\"thresholds\":{\"Fp1\":1,\"EOG\":0}}";
    struct fit_parameters p;
    ck_assert_int_eq(fit_parameters_from_json(json, strlen(json), channels, 4, &p, NULL), 0);
    ck_assert_uint_eq(p.parameters.n_picks, 2);
    ck_assert_uint_eq(p.parameters.picks[0], 0);
    ck_assert_uint_eq(p.parameters.picks[1], 1);
    fit_parameters_clear(&p);
}
END_TEST

/* ---- models ---- */

#define MODEL_CHANNEL "{\"name\":\"A\",\"type\":\"eeg\",\"threshold\":0.1}"
#define MODEL_TYPE "{\"type\":\"eeg\",\"consensus\":0.5,\"n_interpolate\":4}"
#define MODEL(channels, types) "{\"channels\":[" channels "],\"types\":[" types "]}"

static const struct invalid_case invalid_models[] = {
    {"{}", REJECTD_INVALID_VALUE, "channels", "required"},
    {"{\"channels\":[" MODEL_CHANNEL "]}", REJECTD_INVALID_VALUE, "types", "required"},
    {MODEL("", MODEL_TYPE), REJECTD_INVALID_VALUE, "channels", "0 entries"},
    {MODEL(MODEL_CHANNEL, ""), REJECTD_INVALID_VALUE, "types", "0 entries"},
    {MODEL("7", MODEL_TYPE), REJECTD_INVALID_VALUE, "channels[0]", "object"},
    {MODEL("{\"name\":\"A\",\"type\":\"eeg\"}", MODEL_TYPE), REJECTD_INVALID_VALUE,
     "channels[0].threshold", "required"},
    {MODEL("{\"name\":\"A\",\"type\":\"eeg\",\"threshold\":-1}", MODEL_TYPE), REJECTD_INVALID_VALUE,
     "channels[0].threshold", "is -1; a number of at least 0"},
    {MODEL("{\"name\":\"\",\"type\":\"eeg\",\"threshold\":1}", MODEL_TYPE), REJECTD_INVALID_VALUE,
     "channels[0].name", "1 to 63"},
    {MODEL("{\"name\":\"A\",\"type\":\"mag\",\"threshold\":1}", MODEL_TYPE), REJECTD_INVALID_VALUE,
     "channels[0].type", "not among"},
    {MODEL(MODEL_CHANNEL "," MODEL_CHANNEL, MODEL_TYPE), REJECTD_INVALID_VALUE, "channels[1].name",
     "already"},
    {MODEL(MODEL_CHANNEL, MODEL_TYPE "," MODEL_TYPE), REJECTD_INVALID_VALUE, "types[1].type",
     "twice"},
    {MODEL(MODEL_CHANNEL, "{\"type\":\"eeg\",\"consensus\":2,\"n_interpolate\":4}"),
     REJECTD_INVALID_VALUE, "types[0].consensus", "0 to 1"},
    {MODEL(MODEL_CHANNEL, "{\"type\":\"eeg\",\"consensus\":1,\"n_interpolate\":-1}"),
     REJECTD_INVALID_VALUE, "types[0].n_interpolate", "is -1"},
};

START_TEST(test_invalid_model)
{
    const struct invalid_case *c = &invalid_models[_i];
    struct rejectd_model *model = (void *)&model;
    struct rejectd_error error = {0};
    ck_assert_msg(model_from_json(c->json, strlen(c->json), &model, &error) == c->status, "%s: %s",
                  c->json, error.message);
    ck_assert_str_eq(error.field, c->field);
    ck_assert_msg(strstr(error.message, c->message) != NULL, "%s: %s", c->json, error.message);
    ck_assert_ptr_null(model);
}
END_TEST

START_TEST(test_model_round_trip)
{
    struct rejectd_model_channel model_channels[] = {
        {.name = "Fp1", .type = REJECTD_CHANNEL_EEG, .threshold = 1.1e-4 / 3},
        {.name = "M \"1\"", .type = REJECTD_CHANNEL_MAG, .threshold = 4.9406564584124654e-324},
    };
    struct rejectd_model_type types[] = {
        {.type = REJECTD_CHANNEL_MAG, .consensus = 1, .n_interpolate = 1},
        {.type = REJECTD_CHANNEL_EEG, .consensus = 0.1 + 0.2, .n_interpolate = 32},
    };
    struct rejectd_model written = {2, model_channels, 2, types, REJECTD_MEG_LEGENDRE_TABLE};
    char *text = model_to_json(&written);
    struct rejectd_model *model;
    struct rejectd_error error = {0};
    ck_assert_msg(model_from_json(text, strlen(text), &model, &error) == 0, "%s", error.message);
    ck_assert_uint_eq(model->n_channels, 2);
    ck_assert_int_eq(model->meg_legendre, REJECTD_MEG_LEGENDRE_TABLE);
    for (int i = 0; i < 2; i++) {
        ck_assert_str_eq(model->channels[i].name, model_channels[i].name);
        ck_assert_int_eq(model->channels[i].type, model_channels[i].type);
        ck_assert(model->channels[i].threshold == model_channels[i].threshold);
        ck_assert_int_eq(model->types[i].type, types[i].type);
        ck_assert(model->types[i].consensus == types[i].consensus);
        ck_assert_int_eq(model->types[i].n_interpolate, types[i].n_interpolate);
    }
    free(model->channels);
    free(model->types);
    free(model);
    free(text);
}
END_TEST

#define COUNT(table) (int)(sizeof table / sizeof *table)

int main(void)
{
    Suite *suite = suite_create("protocol/job_json");
    TCase *tests = tcase_create("job_json");
    tcase_add_loop_test(tests, test_invalid_request, 0, COUNT(invalid_requests));
    tcase_add_test(tests, test_request);
    tcase_add_loop_test(tests, test_invalid_parameters, 0, COUNT(invalid_parameters));
    tcase_add_test(tests, test_default_parameters);
    tcase_add_test(tests, test_precisions);
    tcase_add_test(tests, test_parameters);
    tcase_add_test(tests, test_picks_by_type);
    tcase_add_loop_test(tests, test_invalid_model, 0, COUNT(invalid_models));
    tcase_add_test(tests, test_model_round_trip);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
