/* Datasets on the wire: what is accepted comes back as it was; what isn't is refused by name. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "protocol/dataset_json.h"
#include "run_suite.h"

struct invalid_case {
    const char *json;
    enum rejectd_status status;
    const char *field;
    const char *message; /* a part of it */
};

#define CH1 "\"channels\":[{\"name\":\"A\",\"type\":\"eeg\"}]"
#define CH2 "\"channels\":[{\"name\":\"A\",\"type\":\"eeg\"},{\"name\":\"B\",\"type\":\"eeg\"}]"
#define SIZES "\"sfreq\":100,\"n_epochs\":2,\"n_times\":3,"
#define CHANNEL(fields) "{" SIZES "\"channels\":[{" fields "}]}"
#define WITH(fields) "{" SIZES CH1 "," fields "}"

static const struct invalid_case invalid_cases[] = {
    {"", REJECTD_INVALID_JSON, "", "empty"},
    {"{", REJECTD_INVALID_JSON, "", "line 1"},
    {"nonsense", REJECTD_INVALID_JSON, "", "line 1"},
    {"[]", REJECTD_INVALID_JSON, "", "not an array"},
    {"3", REJECTD_INVALID_JSON, "", "not an integer"},
    {"null", REJECTD_INVALID_JSON, "", "not null"},
    {"{\"sfreq\":1,\"sfreq\":2}", REJECTD_INVALID_JSON, "", "duplicate"},
    {"{} {}", REJECTD_INVALID_JSON, "", "end of file"},
    {"{\"name\":\"\xff\"}", REJECTD_INVALID_JSON, "", "decode"},
    {"{\"name\":\"\xed\xa0\x80\"}", REJECTD_INVALID_JSON, "", "decode"},
    {"{\"name\":\"a\\u0000b\"}", REJECTD_INVALID_JSON, "", "u0000"},
    {WITH("\"tmin\":NaN"), REJECTD_INVALID_JSON, "", "invalid token"},
    {WITH("\"tmin\":1e999"), REJECTD_INVALID_JSON, "", "overflow"},
    {WITH("\"tmin\":-Infinity"), REJECTD_INVALID_JSON, "", "invalid token"},
    {WITH("\"n_channels\":99999999999999999999"), REJECTD_INVALID_JSON, "", "too big"},
    {"{}", REJECTD_INVALID_VALUE, "sfreq", "required"},
    {"{\"sfreq\":null," CH1 "}", REJECTD_INVALID_VALUE, "sfreq", "required"},
    {"{\"sfreq\":0,\"n_epochs\":2,\"n_times\":3," CH1 "}", REJECTD_INVALID_VALUE, "sfreq",
     "is 0; a finite number of Hz above 0"},
    {"{\"sfreq\":-5,\"n_epochs\":2,\"n_times\":3," CH1 "}", REJECTD_INVALID_VALUE, "sfreq",
     "is -5"},
    {"{\"sfreq\":\"fast\"," CH1 "}", REJECTD_INVALID_VALUE, "sfreq", "not a string"},
    {"{\"sfreq\":true," CH1 "}", REJECTD_INVALID_VALUE, "sfreq", "not a boolean"},
    {"{\"sfreq\":100,\"n_epochs\":2,\"n_times\":3}", REJECTD_INVALID_VALUE, "channels", "required"},
    {"{\"sfreq\":100," CH1 ",\"n_times\":3}", REJECTD_INVALID_VALUE, "n_epochs", "required"},
    {"{\"sfreq\":100," CH1 ",\"n_epochs\":3}", REJECTD_INVALID_VALUE, "n_times", "required"},
    {"{\"sfreq\":100,\"n_epochs\":0,\"n_times\":3," CH1 "}", REJECTD_INVALID_VALUE, "n_epochs",
     "from 1 to 1000000"},
    {"{\"sfreq\":100,\"n_epochs\":-1,\"n_times\":3," CH1 "}", REJECTD_INVALID_VALUE, "n_epochs",
     "is -1"},
    {"{\"sfreq\":100,\"n_epochs\":2.0,\"n_times\":3," CH1 "}", REJECTD_INVALID_VALUE, "n_epochs",
     "must be an integer"},
    {"{\"sfreq\":100,\"n_epochs\":1000001,\"n_times\":3," CH1 "}", REJECTD_INVALID_VALUE,
     "n_epochs", "1000001"},
    {"{\"sfreq\":100,\"n_epochs\":2,\"n_times\":0," CH1 "}", REJECTD_INVALID_VALUE, "n_times",
     "is 0"},
    {"{\"sfreq\":100,\"n_epochs\":1000000,\"n_times\":10000000," CH1 "}", REJECTD_INVALID_VALUE,
     "n_times", "too many samples"},
    {"{\"sfreq\":100,\"n_epochs\":9223372036854775807,\"n_times\":3," CH1 "}",
     REJECTD_INVALID_VALUE, "n_epochs", "9223372036854775807"},
    {WITH("\"n_channels\":2"), REJECTD_INVALID_VALUE, "n_channels", "has 1 entries"},
    {WITH("\"n_channels\":0"), REJECTD_INVALID_VALUE, "n_channels", "is 0"},
    {WITH("\"dtype\":\"int16\""), REJECTD_INVALID_VALUE, "dtype", "\"float32\" or \"float64\""},
    {WITH("\"dtype\":\"float16\""), REJECTD_INVALID_VALUE, "dtype", "\"float32\" or \"float64\""},
    {WITH("\"dtype\":4"), REJECTD_INVALID_VALUE, "dtype", "not an integer"},
    {WITH("\"colour\":1"), REJECTD_INVALID_VALUE, "colour", "accepted are \"name\""},
    {WITH("\"name\":7"), REJECTD_INVALID_VALUE, "name", "must be a string"},
    {WITH("\"name\":\"a\\nb\""), REJECTD_INVALID_VALUE, "name", "control"},
    {"{" SIZES "\"channels\":{}}", REJECTD_INVALID_VALUE, "channels", "not an object"},
    {"{" SIZES "\"channels\":[]}", REJECTD_INVALID_VALUE, "channels", "0 entries"},
    {"{" SIZES "\"channels\":[3]}", REJECTD_INVALID_VALUE, "channels[0]", "not an integer"},
    {CHANNEL("\"type\":\"eeg\""), REJECTD_INVALID_VALUE, "channels[0].name", "required"},
    {CHANNEL("\"name\":\"A\""), REJECTD_INVALID_VALUE, "channels[0].type", "required"},
    {CHANNEL("\"name\":\"\",\"type\":\"eeg\""), REJECTD_INVALID_VALUE, "channels[0].name",
     "1 to 63"},
    {CHANNEL("\"name\":\"0123456789012345678901234567890123456789012345678901234567890123\","
             "\"type\":\"eeg\""),
     REJECTD_INVALID_VALUE, "channels[0].name", "at most 63"},
    {CHANNEL("\"name\":\"A\\u0007\",\"type\":\"eeg\""), REJECTD_INVALID_VALUE, "channels[0].name",
     "control"},
    {CHANNEL("\"name\":\"A\\u0085\",\"type\":\"eeg\""), REJECTD_INVALID_VALUE, "channels[0].name",
     "control"},
    {CHANNEL("\"name\":\"A\",\"type\":\"EEG\""), REJECTD_INVALID_VALUE, "channels[0].type",
     "\"eeg\", \"mag\""},
    {CHANNEL("\"name\":\"A\",\"type\":\"eeg\",\"bad\":1"), REJECTD_INVALID_VALUE, "channels[0].bad",
     "true or false"},
    {CHANNEL("\"name\":\"A\",\"type\":\"eeg\",\"x\":1"), REJECTD_INVALID_VALUE, "channels[0].x",
     "unknown field"},
    {CHANNEL("\"name\":\"A\",\"type\":\"eeg\",\"position\":[0,0]"), REJECTD_INVALID_VALUE,
     "channels[0].position", "3 are expected"},
    {CHANNEL("\"name\":\"A\",\"type\":\"eeg\",\"position\":[0,0,null]"), REJECTD_INVALID_VALUE,
     "channels[0].position[2]", "not null"},
    {CHANNEL("\"name\":\"A\",\"type\":\"eeg\",\"position\":[0,1e300,0]"), REJECTD_INVALID_VALUE,
     "channels[0].position[1]", "is 1e+300"},
    {CHANNEL("\"name\":\"A\",\"type\":\"eeg\",\"loc\":[1,2,3]"), REJECTD_INVALID_VALUE,
     "channels[0].loc", "12 are expected"},
    {CHANNEL("\"name\":\"A\",\"type\":\"eeg\",\"loc\":[1,2,3,4,5,6,7,8,9,10,11,\"x\"]"),
     REJECTD_INVALID_VALUE, "channels[0].loc[11]", "not a string"},
    {CHANNEL("\"name\":\"A\",\"type\":\"eeg\",\"coil_type\":1.5"), REJECTD_INVALID_VALUE,
     "channels[0].coil_type", "integer"},
    {"{" SIZES
     "\"channels\":[{\"name\":\"A\",\"type\":\"eeg\"},{\"name\":\"A\",\"type\":\"eog\"}]}",
     REJECTD_INVALID_VALUE, "channels[1].name", "already the name of channels[0]"},
    {WITH("\"device_to_head\":[[1,0,0,0]]"), REJECTD_INVALID_VALUE, "device_to_head",
     "4 are expected"},
    {WITH("\"device_to_head\":[[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0]]"), REJECTD_INVALID_VALUE,
     "device_to_head[3]", "4 numbers"},
    {WITH("\"device_to_head\":[[1,0,0,0],[0,1,0,0],[0,0,1,\"x\"],[0,0,0,1]]"),
     REJECTD_INVALID_VALUE, "device_to_head[2][3]", "not a string"},
    {WITH("\"events\":[[0,0,1]]"), REJECTD_INVALID_VALUE, "events", "2 are expected"},
    {WITH("\"events\":[[0,0,1],[1,0]]"), REJECTD_INVALID_VALUE, "events[1]", "three integers"},
    {WITH("\"events\":[[0,0,1],[1,0,1.5]]"), REJECTD_INVALID_VALUE, "events[1]", "three integers"},
    {WITH("\"event_id\":[]"), REJECTD_INVALID_VALUE, "event_id", "not an array"},
    {WITH("\"event_id\":{\"a\":\"b\"}"), REJECTD_INVALID_VALUE, "event_id.a", "integer"},
    {WITH("\"data\":3"), REJECTD_INVALID_VALUE, "data", "nested arrays"},
    {WITH("\"data\":[]"), REJECTD_INVALID_SAMPLES, "data", "no epoch"},
    {WITH("\"data\":[[[1,2,3]]]"), REJECTD_INVALID_SAMPLES, "data", "1 epochs; 2"},
    {WITH("\"data\":[[[1,2,3]],[[1,2]]]"), REJECTD_INVALID_SAMPLES, "data[1][0]", "2 samples; 3"},
    {WITH("\"data\":[[[1,2,3]],[[1,2,3,4]]]"), REJECTD_INVALID_SAMPLES, "data[1][0]",
     "4 samples; 3"},
    {WITH("\"data\":[[[1,2]],[[1,2]]]"), REJECTD_INVALID_SAMPLES, "data[0][0]", "2 samples; 3"},
    {WITH("\"data\":[[[1,2,3],[1,2,3]],[[1,2,3]]]"), REJECTD_INVALID_SAMPLES, "data[0]",
     "2 channels; 1"},
    {WITH("\"data\":[[[1,2,3]],[]]"), REJECTD_INVALID_SAMPLES, "data[1]", "0 channels; 1"},
    {WITH("\"data\":[[[1,2,3]],7]"), REJECTD_INVALID_SAMPLES, "data[1]", "not an integer"},
    {WITH("\"data\":[[[1,2,3]],[7]]"), REJECTD_INVALID_SAMPLES, "data[1][0]", "not an integer"},
    {WITH("\"data\":[[[1,2,3]],[[1,2,\"3\"]]]"), REJECTD_INVALID_SAMPLES, "data[1][0][2]",
     "not a string"},
    {WITH("\"data\":[[[1,2,3]],[[1,null,3]]]"), REJECTD_INVALID_SAMPLES, "data[1][0][1]",
     "not null"},
    {WITH("\"dtype\":\"float32\",\"data\":[[[1,2,3]],[[1,1e39,3]]]"), REJECTD_INVALID_SAMPLES,
     "data[1][0][1]", "too large for dtype float32"},
    {"{\"sfreq\":1," CH1 ",\"data\":[[[]]]}", REJECTD_INVALID_SAMPLES, "data[0][0]", "no sample"},
    {"{\"sfreq\":1," CH1 ",\"data\":[[]]}", REJECTD_INVALID_SAMPLES, "data[0]", "0 channels; 1"},
    {"{\"sfreq\":1," CH1 ",\"data\":[1]}", REJECTD_INVALID_SAMPLES, "data[0]", "not an integer"},
    {WITH("\"data\":{}"), REJECTD_INVALID_VALUE, "data.base64", "required"},
    {WITH("\"data\":{\"base64\":1}"), REJECTD_INVALID_VALUE, "data.base64", "must be a string"},
    {WITH("\"data\":{\"base64\":\"\",\"x\":1}"), REJECTD_INVALID_VALUE, "data.x", "\"base64\""},
    {WITH("\"data\":{\"base64\":\"\"}"), REJECTD_INVALID_SAMPLES, "data.base64",
     "0 characters; 64"},
    {WITH("\"data\":{\"base64\":\"AAAA\"}"), REJECTD_INVALID_SAMPLES, "data.base64",
     "4 characters; 64"},
    /* of 16 bytes only, padded with what isn't base64 */
    {WITH("\"data\":{\"base64\":"
          "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"),
     REJECTD_INVALID_SAMPLES, "data.base64", "is not base64"},
    {WITH("\"data\":{\"base64\":"
          "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!A\"}"),
     REJECTD_INVALID_SAMPLES, "data.base64", "at character 62"},
    /* the last double is 7ff8000000000000: NaN */
    {WITH("\"data\":{\"base64\":"
          "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPh/\"}"),
     REJECTD_INVALID_SAMPLES, "data.base64", "epoch 1, channel 0 (A), time 2"},
    {"{\"sfreq\":1," CH1 ",\"data\":{\"base64\":\"AAAA\"}}", REJECTD_INVALID_VALUE, "n_epochs",
     "required"},
};

START_TEST(test_invalid)
{
    const struct invalid_case *c = &invalid_cases[_i];
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples = &error;
    enum rejectd_status status =
        dataset_from_json(c->json, strlen(c->json), &description, &samples, &error);
    ck_assert_msg(status == c->status, "%s: %s at \"%s\": %s", c->json, rejectd_status_name(status),
                  error.field, error.message);
    ck_assert_int_eq(error.status, c->status);
    ck_assert_str_eq(error.field, c->field);
    ck_assert_msg(strstr(error.message, c->message) != NULL, "%s: %s", c->json, error.message);
    ck_assert_ptr_null(samples);
    ck_assert_ptr_null(description.channels);
}
END_TEST

struct sensor_case {
    const char *field_json, *field, *message;
};
#define ONE_PROJECTOR(text) "\"projectors\":[" text "]", "projectors[0]"
static const struct sensor_case sensor_cases[] = {
    {"\"device_to_head\":[[1,0,0,0]]", "device_to_head", "4"},
    {"\"device_to_head\":[[1,0,0,0],[0,1,0,0],[0,0,1],[0,0,0,1]]", "device_to_head[2]",
     "array of 4 numbers"},
    {"\"projectors\":{}", "projectors", "array"},
    {ONE_PROJECTOR("7"), "object"},
    {ONE_PROJECTOR("{\"channels\":[\"A\"]}") ".vectors", "required"},
    {ONE_PROJECTOR("{\"vectors\":[[1]]}") ".channels", "required"},
    {ONE_PROJECTOR("{\"channels\":[\"A\"],\"vectors\":[[1]],\"kind\":1}") ".kind", "accepted"},
    {ONE_PROJECTOR("{\"channels\":[4],\"vectors\":[[1]]}") ".channels[0]", "channel name"},
    {ONE_PROJECTOR("{\"channels\":[\"A\"],\"vectors\":[[1,2]]}") ".vectors[0]", "1 numbers"},
    {ONE_PROJECTOR("{\"channels\":[\"A\"],\"vectors\":[[\"x\"]]}") ".vectors[0][0]", "number"},
};

/* Sensors that are not as they should be; CH1 is one channel "A". */
START_TEST(test_invalid_sensors)
{
    const struct sensor_case *c = &sensor_cases[_i];
    char json[512];
    snprintf(json, sizeof json, "{%s%s,%s}", SIZES, CH1, c->field_json);
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples;
    ck_assert_int_eq(dataset_from_json(json, strlen(json), &description, &samples, &error),
                     REJECTD_INVALID_VALUE);
    ck_assert_msg(strcmp(error.field, c->field) == 0, "%s: \"%s\": %s", json, error.field,
                  error.message);
    ck_assert_msg(strstr(error.message, c->message) != NULL, "%s: %s", json, error.message);
}
END_TEST

/* 256 vectors are accepted in all, so that little text cannot ask for much memory. */
START_TEST(test_too_many_projector_vectors)
{
    static const char one[] = "{\"channels\":[\"A\"],\"vectors\":[[1]";
    struct buffer json;
    buffer_init(&json, 8192);
    buffer_append_format(&json, "{%s%s,\"projectors\":[", SIZES, CH1);
    for (int projector = 0; projector < 2; projector++) {
        buffer_append_format(&json, "%s%s", projector > 0 ? "," : "", one);
        for (int i = 1; i < 128 + projector; i++)
            buffer_append_text(&json, ",[1]");
        buffer_append_text(&json, "]}");
    }
    buffer_append_text(&json, "]}");
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples;
    ck_assert_int_eq(dataset_from_json(json.data, json.length, &description, &samples, &error),
                     REJECTD_INVALID_VALUE);
    ck_assert_str_eq(error.field, "projectors[1].vectors");
    buffer_free(&json);
}
END_TEST

/* MNE keeps the place of an electrode in its loc; of a coil that is no place on the head. */
START_TEST(test_positions_from_loc)
{
    static const char json[] =
        "{" SIZES "\"channels\":["
        "{\"name\":\"A\",\"type\":\"seeg\",\"loc\":[0.01,0.02,0.03,0,0,0,0,0,0,0,0,0]},"
        "{\"name\":\"B\",\"type\":\"mag\",\"loc\":[0.01,0.02,0.03,0,0,0,0,0,0,0,0,0]},"
        "{\"name\":\"C\",\"type\":\"eeg\",\"loc\":[0,0,0,0,0,0,0,0,0,0,0,0]},"
        "{\"name\":\"D\",\"type\":\"eeg\",\"loc\":[null,0,0,0,0,0,0,0,0,0,0,0]}]}";
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples;
    ck_assert_msg(dataset_from_json(json, strlen(json), &description, &samples, &error) == 0, "%s",
                  error.message);
    ck_assert(description.channels[0].has_position);
    ck_assert(description.channels[0].position[1] == 0.02);
    for (size_t c = 1; c < 4; c++)
        ck_assert(!description.channels[c].has_position);
    dataset_description_clear(&description);
}
END_TEST

static const char full[] =
    "{\"name\":\"sub-01 \xc3\xb6\",\"sfreq\":999.9999999999999,\"tmin\":-0.2,\"n_epochs\":2,"
    "\"n_channels\":3,\"n_times\":3,\"dtype\":\"float32\",\"channels\":["
    "{\"name\":\"Fp1\",\"type\":\"eeg\",\"position\":[-0.0294,0.0839,-0.006999999999999999],"
    "\"bad\":false},"
    "{\"name\":\"MEG \\\"0113\\\\\",\"type\":\"grad\",\"position\":null,\"bad\":true,"
    "\"loc\":[1.0,2.0,3.0,4.5,5.0,6.0,7.0,8.0,9.0,10.0,11.0,null],\"coil_type\":3012},"
    "{\"name\":\"\xe8\x84\xb3\",\"type\":\"misc\",\"position\":null,\"bad\":false}],"
    "\"device_to_head\":[[1.0,0.0,0.0,0.0],[0.0,1.0,0.0,0.0],[0.0,0.0,1.0,0.1],[0.0,0.0,0.0,1.0]],"
    "\"projectors\":[{\"description\":\"PCA-v1\",\"active\":true,\"channels\":[\"Fp1\","
    "\"\xe8\x84\xb3\"],"
    "\"vectors\":[[0.25,-0.5],[0.0,1e-12]]}],"
    "\"events\":[[100,0,1],[-2000000000000,0,2]],\"event_id\":{\"standard\":1,\"deviant\":2}}";

START_TEST(test_round_trip)
{
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples;
    ck_assert_msg(dataset_from_json(full, strlen(full), &description, &samples, &error) == 0, "%s",
                  error.message);
    ck_assert_ptr_null(samples);
    ck_assert_uint_eq(description.n_channels, 3);
    ck_assert_uint_eq(dataset_sample_bytes(&description), 2 * 3 * 3 * 4);
    ck_assert(description.sfreq == 999.9999999999999);
    ck_assert(description.channels[0].position[2] == -0.006999999999999999);
    ck_assert_str_eq(description.channels[1].name, "MEG \"0113\\");
    ck_assert(description.channels[1].bad && !description.channels[1].has_position);
    ck_assert_int_eq(description.channels[1].type, REJECTD_CHANNEL_GRAD);
    ck_assert_int_eq(description.channels[1].coil_type, 3012);
    ck_assert(description.channels[1].loc[3] == 4.5 && isnan(description.channels[1].loc[11]));
    ck_assert(description.device_to_head[2][3] == 0.1);
    ck_assert_uint_eq(description.n_projectors, 1);
    ck_assert(description.projectors[0].active);
    ck_assert(description.projectors[0].vectors[2] == -0.5);
    ck_assert(description.projectors[0].vectors[3 + 1] == 0.0);
    ck_assert(description.projectors[0].vectors[3 + 2] == 1e-12);

    char *text = dataset_to_json(&description);
    ck_assert_str_eq(text, full);
    free(text);
    dataset_description_clear(&description);
}
END_TEST

START_TEST(test_defaults)
{
    static const char json[] = "{" SIZES "\"tmin\":null,\"data\":null,\"events\":null," CH1 "}";
    struct dataset_description description;
    void *samples;
    ck_assert_int_eq(dataset_from_json(json, strlen(json), &description, &samples, NULL), 0);
    ck_assert_int_eq(description.dtype, REJECTD_FLOAT64);
    ck_assert(description.tmin == 0);
    ck_assert_str_eq(description.name, "");
    ck_assert_ptr_null(description.events_json);
    ck_assert(!description.has_device_to_head);
    ck_assert_uint_eq(description.n_projectors, 0);
    ck_assert(!description.channels[0].has_loc);
    dataset_description_clear(&description);
}
END_TEST

START_TEST(test_nested_samples)
{
    static const char json[] = "{\"sfreq\":10," CH2 ",\"data\":[[[1,-2.5],[3e-6,4]],"
                               "[[5,6],[7,0.1]],[[-0.0,1e-320],[11,12]]]}";
    static const double expected[] = {1, -2.5, 3e-6, 4, 5, 6, 7, 0.1, -0.0, 1e-320, 11, 12};
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples;
    ck_assert_msg(dataset_from_json(json, strlen(json), &description, &samples, &error) == 0, "%s",
                  error.message);
    ck_assert_uint_eq(description.n_epochs, 3);
    ck_assert_uint_eq(description.n_channels, 2);
    ck_assert_uint_eq(description.n_times, 2);
    ck_assert_mem_eq(samples, expected, sizeof expected);
    struct rejectd_epochs epochs = dataset_epochs(&description, samples);
    ck_assert_ptr_eq(epochs.samples, samples);
    ck_assert_uint_eq(epochs.n_times, 2);
    free(samples);
    dataset_description_clear(&description);
}
END_TEST

START_TEST(test_base64_samples)
{
    /* float32 1, -2, 0.5 */
    static const char json[] =
        "{\"sfreq\":10,\"n_epochs\":1,\"n_times\":3,\"dtype\":\"float32\"," CH1
        ",\"data\":{\"base64\":\"AACAPwAAAMAAAAA/\"}}";
    static const float expected[] = {1, -2, 0.5f};
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples;
    ck_assert_msg(dataset_from_json(json, strlen(json), &description, &samples, &error) == 0, "%s",
                  error.message);
    ck_assert_mem_eq(samples, expected, sizeof expected);
    free(samples);
    dataset_description_clear(&description);
}
END_TEST

static enum rejectd_status parse(const char *text, size_t length, struct rejectd_error *error)
{
    struct dataset_description description;
    void *samples;
    enum rejectd_status status = dataset_from_json(text, length, &description, &samples, error);
    free(samples);
    dataset_description_clear(&description);
    return status;
}

START_TEST(test_deep)
{
    struct rejectd_error error = {0};
    size_t n = 1 << 20;
    char *text = malloc(n);
    memset(text, '[', n);
    ck_assert_int_eq(parse(text, n, &error), REJECTD_INVALID_JSON);
    ck_assert_ptr_nonnull(strstr(error.message, "nests deeper"));
    free(text);
}
END_TEST

/* n copies of a piece between a beginning and an end. */
static enum rejectd_status parse_repeated(const char *piece, size_t n, struct rejectd_error *error)
{
    struct buffer text;
    buffer_init(&text, 1 << 30);
    buffer_append_text(&text, "{\"data\":[");
    for (size_t i = 0; i < n; i++)
        buffer_append_text(&text, piece);
    buffer_append_text(&text, "0]}");
    enum rejectd_status status = parse(text.data, text.length, error);
    buffer_free(&text);
    return status;
}

START_TEST(test_huge)
{
    static const char *const pieces[] = {"0,", "[],", "{},", "\"\","};
    static const size_t counts[] = {5 << 20, 3 << 20, 1 << 15, 5 << 20};
    struct rejectd_error error = {0};
    ck_assert_int_eq(parse_repeated(pieces[_i], counts[_i], &error), REJECTD_TOO_LARGE);
    ck_assert_str_eq(error.field, "");
}
END_TEST

/* A text that is cut off anywhere is refused, never read past its end. */
START_TEST(test_truncated)
{
    for (size_t length = 0; length + 1 < sizeof full; length++) {
        char *exact = malloc(length + 1);
        struct rejectd_error error = {0};
        memcpy(exact, full, length);
        exact = realloc(exact, length > 0 ? length : 1);
        ck_assert_int_eq(parse(exact, length, &error), REJECTD_INVALID_JSON);
        free(exact);
    }
}
END_TEST

START_TEST(test_finite)
{
    enum { N = 5000 };
    static unsigned char bytes[N * 8 + 1];
    size_t index;
    float bad32[] = {NAN, INFINITY, -INFINITY};
    double bad64[] = {NAN, INFINITY, -INFINITY};
    for (size_t at = 0; at < N; at += at < 2100 && at > 1000 ? 1 : 371)
        for (int kind = 0; kind < 3; kind++) {
            /* one byte off alignment, as behind an .npy header of another writer */
            memset(bytes, 0, sizeof bytes);
            memcpy(bytes + 1 + at * 8, &bad64[kind], 8);
            ck_assert(!samples_are_finite(bytes + 1, REJECTD_FLOAT64, N, &index));
            ck_assert_uint_eq(index, at);
            ck_assert(samples_are_finite(bytes + 1, REJECTD_FLOAT64, at, &index));
            memset(bytes, 0, sizeof bytes);
            memcpy(bytes + 1 + at * 4, &bad32[kind], 4);
            ck_assert(!samples_are_finite(bytes + 1, REJECTD_FLOAT32, N, &index));
            ck_assert_uint_eq(index, at);
        }
    memset(bytes, 0x7e, sizeof bytes);
    ck_assert(samples_are_finite(bytes, REJECTD_FLOAT64, N, &index));
    ck_assert(samples_are_finite(bytes, REJECTD_FLOAT32, N, &index));
}
END_TEST

/* Base64 of 64 kB and more goes past the JSON parser; the outcome is the same. */
START_TEST(test_long_base64)
{
    static const struct {
        const char *key;   /* before the string */
        const char *piece; /* the string is 50000 of it */
        const char *end;   /* behind the string */
        enum rejectd_status status;
        const char *field;
    } cases[] = {
        {"\"data\":{\"base64\" : ", "AACA", "}", REJECTD_OK, ""},
        {"\"data\":{\"base64\":", "AA\\/A", "}", REJECTD_OK, ""},
        {"\"data\":{\"base64\":", "AA\\nA", "}", REJECTD_INVALID_SAMPLES, "data.base64"},
        {"\"data\":{\"base64\":", "AA\\A", "}", REJECTD_INVALID_SAMPLES, "data.base64"},
        {"\"data\":{\"base64\":", "AA A", "}", REJECTD_INVALID_SAMPLES, "data.base64"},
        {"\"data\":{\"base64\":", "\x01\x80\xff!", "}", REJECTD_INVALID_SAMPLES, "data.base64"},
        {"\"data\":{\"base64\":", "AACAAA", "}", REJECTD_INVALID_SAMPLES, "data.base64"},
        {"\"data\":{\"base64\":", "AACA", "", REJECTD_INVALID_JSON, ""},
        {"\"name\":", "AACA", "", REJECTD_TOO_LARGE, ""},
        {"\"data\":", "AACA", "", REJECTD_TOO_LARGE, ""},
        {"\"base64\":", "AACA", "", REJECTD_INVALID_VALUE, "base64"},
        {"\"event_id\":{\"base64\":", "AACA", "},\"data\":{\"base64\":\"\"}", REJECTD_INVALID_VALUE,
         "event_id.base64"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum { PIECES = 50000 };
        struct buffer text;
        struct rejectd_error error = {0};
        struct dataset_description description;
        void *samples;
        buffer_init(&text, 1 << 20);
        buffer_append_text(&text, "{\"sfreq\":1,\"dtype\":\"float32\",\"n_epochs\":1," CH1
                                  ",\"n_times\":37500,");
        buffer_append_text(&text, cases[i].key);
        buffer_append_text(&text, "\"");
        for (int piece = 0; piece < PIECES; piece++)
            buffer_append_text(&text, cases[i].piece);
        buffer_append_text(&text, "\"");
        buffer_append_text(&text, cases[i].end);
        buffer_append_text(&text, "}");
        ck_assert_msg(dataset_from_json(text.data, text.length, &description, &samples, &error) ==
                          cases[i].status,
                      "case %zu: %s", i, error.message);
        ck_assert_str_eq(error.field, cases[i].field);
        ck_assert((samples != NULL) == (cases[i].status == REJECTD_OK));
        free(samples);
        dataset_description_clear(&description);
        buffer_free(&text);
    }
}
END_TEST

START_TEST(test_long_words)
{
    struct rejectd_error error = {0};
    size_t n = 1 << 20;
    char *text = malloc(n);
    memset(text, '1', n);
    ck_assert_int_eq(parse(text, n, &error), REJECTD_INVALID_JSON);
    text[0] = '"';
    ck_assert_int_eq(parse(text, n, &error), REJECTD_INVALID_JSON);
    text[n - 1] = '"';
    ck_assert_int_eq(parse(text, n, &error), REJECTD_TOO_LARGE);
    free(text);
}
END_TEST

START_TEST(test_check)
{
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples;
    ck_assert_int_eq(dataset_from_json(full, strlen(full), &description, &samples, NULL), 0);
    ck_assert_int_eq(dataset_description_check(&description, &error), 0);
    description.channels[0].position[1] = NAN;
    ck_assert_int_eq(dataset_description_check(&description, &error), REJECTD_INVALID_VALUE);
    ck_assert_str_eq(error.field, "channels[0].position[1]");
    description.channels[0].position[1] = 0;
    description.sfreq = INFINITY;
    ck_assert_int_eq(dataset_description_check(&description, &error), REJECTD_INVALID_VALUE);
    ck_assert_str_eq(error.field, "sfreq");
    description.sfreq = 1;
    memcpy(description.channels[0].name, "\xff", 2);
    ck_assert_int_eq(dataset_description_check(&description, &error), REJECTD_INVALID_VALUE);
    ck_assert_str_eq(error.field, "channels[0].name");
    dataset_description_clear(&description);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/dataset_json");
    TCase *tests = tcase_create("dataset_json");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_invalid, 0,
                        (int)(sizeof invalid_cases / sizeof *invalid_cases));
    tcase_add_test(tests, test_round_trip);
    tcase_add_loop_test(tests, test_invalid_sensors, 0, sizeof sensor_cases / sizeof *sensor_cases);
    tcase_add_test(tests, test_too_many_projector_vectors);
    tcase_add_test(tests, test_positions_from_loc);
    tcase_add_test(tests, test_defaults);
    tcase_add_test(tests, test_nested_samples);
    tcase_add_test(tests, test_base64_samples);
    tcase_add_test(tests, test_deep);
    tcase_add_loop_test(tests, test_huge, 0, 4);
    tcase_add_test(tests, test_truncated);
    tcase_add_test(tests, test_finite);
    tcase_add_test(tests, test_long_base64);
    tcase_add_test(tests, test_long_words);
    tcase_add_test(tests, test_check);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
