/* Reading FIF files in pieces of all sizes, compressed or not. Wrong files: test_fif_refusals.c. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "fif_file.h"
#include "fif_reading.h"
#include "protocol/fif_text.h"
#include "run_suite.h"

/* ---- right files ---- */

static const struct fif_recipe recipes[] = {
    {.n_epochs = 3, .n_channels = 4, .n_times = 5},
    {.n_epochs = 3, .n_channels = 4, .n_times = 5, .is_double = true},
    {.n_epochs = 3, .n_channels = 4, .n_times = 5, .cal = 0.1f},
    {.n_epochs = 3, .n_channels = 4, .n_times = 5, .is_double = true, .cal = 1e-6f, .old = true},
    {.n_epochs = 1, .n_channels = 1, .n_times = 1, .log = true, .next_positions = true},
    {.n_epochs = 3,
     .n_channels = 5,
     .n_times = 7,
     .long_names = true,
     .projectors = true,
     .bads = true,
     .transform = true,
     .metadata = true,
     .log = true,
     .next = "folder/x\xe9-epo-1.fif"},
    {.n_epochs = 2,
     .n_channels = 6,
     .n_times = 2,
     .projectors = true,
     .bads = true,
     .fitted_transform = true},
};
enum { N_RECIPES = sizeof recipes / sizeof *recipes };

static void check_samples(const struct fif_reading *reading, const struct fif_recipe *recipe)
{
    const size_t n = recipe->n_epochs * recipe->n_channels * recipe->n_times;
    const double cal = recipe->cal != 0 ? (double)recipe->cal : 1.0;
    const bool is_double = recipe->is_double || recipe->cal != 0;
    ck_assert_int_eq(reading->description.dtype, is_double ? REJECTD_FLOAT64 : REJECTD_FLOAT32);
    ck_assert_uint_eq(reading->size, n * (is_double ? 8 : 4));
    for (size_t i = 0; i < n; i++) {
        const double wanted = fif_file_sample(i) * cal;
        double value;
        float single;
        if (is_double) {
            memcpy(&value, reading->samples + 8 * i, sizeof value);
        } else {
            memcpy(&single, reading->samples + 4 * i, sizeof single);
            value = (double)single;
        }
        ck_assert(value == wanted);
    }
}

static void check_head(const struct fif_reading *reading, const struct fif_file *file)
{
    const struct fif_leftover *l = &reading->leftover;
    ck_assert_uint_eq(l->head_size + l->samples_bytes, file->size);
    ck_assert_mem_eq(l->head, file->bytes, l->samples_at);
    ck_assert_mem_eq(l->head + l->samples_at, file->bytes + l->samples_at + l->samples_bytes,
                     l->head_size - l->samples_at);
}

START_TEST(test_read)
{
    const struct fif_recipe *recipe = &recipes[_i % N_RECIPES];
    const size_t chunk = (size_t)(_i / N_RECIPES);
    struct fif_file file = fif_file_make(recipe);
    struct fif_reading reading = {0};
    ck_assert(fif_has_magic(file.bytes, file.size) && !fif_has_magic(file.bytes + 1, 16));
    const enum rejectd_status status = fif_reading_read(&reading, file.bytes, file.size, chunk, 0);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", reading.error.field, reading.error.message);
    const struct dataset_description *d = &reading.description;
    ck_assert_uint_eq(reading.begun, 1);
    ck_assert_uint_eq(reading.n_samples, recipe->n_epochs * recipe->n_channels * recipe->n_times);
    ck_assert_uint_eq(d->n_epochs, recipe->n_epochs);
    ck_assert_uint_eq(d->n_channels, recipe->n_channels);
    ck_assert_uint_eq(d->n_times, recipe->n_times);
    ck_assert(d->sfreq == 250.0 && d->tmin == -5 / 250.0);
    check_samples(&reading, recipe);
    check_head(&reading, &file);
    ck_assert(reading.leftover.has_next == (recipe->next != NULL));
    fif_reading_clear(&reading);
    free(file.bytes);
}
END_TEST

/* Reads what must be readable. */
static void read_recipe(const struct fif_recipe *recipe, struct fif_reading *reading)
{
    struct fif_file file = fif_file_make(recipe);
    *reading = (struct fif_reading){0};
    const enum rejectd_status status = fif_reading_read(reading, file.bytes, file.size, 0, 0);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", reading->error.field, reading->error.message);
    free(file.bytes);
}

START_TEST(test_description)
{
    struct fif_reading reading;
    read_recipe(&recipes[6], &reading);
    const struct dataset_description *d = &reading.description;
    const struct rejectd_channel *c = d->channels;
    ck_assert_str_eq(c[0].name, "CH 0");
    ck_assert_int_eq(c[0].type, REJECTD_CHANNEL_EEG);
    ck_assert(c[0].has_position && c[0].position[1] == (double)(0.01f + 1.0f));
    ck_assert(c[0].has_loc && c[0].loc[11] == (double)(0.01f + 11.0f));
    ck_assert_int_eq(c[1].type, REJECTD_CHANNEL_MAG);
    ck_assert(c[1].has_loc && !c[1].has_position);
    ck_assert(c[1].has_coil_type && c[1].coil_type == (3024 | 1 << 16));
    ck_assert_int_eq(c[2].type, REJECTD_CHANNEL_STIM);
    ck_assert(!c[2].has_loc && !c[2].has_position);
    ck_assert_int_eq(c[3].type, REJECTD_CHANNEL_MISC);
    ck_assert(!c[0].bad && c[1].bad && !c[2].bad);
    ck_assert_str_eq(d->events_json, "[[0,0,1],[100,0,2]]");
    ck_assert_str_eq(d->event_id_json, "{\"a:b\":1,\"\xc3\xa9t\xc3\xa9\":2}");
    ck_assert(d->has_device_to_head);
    ck_assert(d->device_to_head[0][1] == 1.0 && d->device_to_head[1][0] == 3.0);
    ck_assert(d->device_to_head[2][3] == 11.0 && d->device_to_head[3][3] == 1.0);
    ck_assert_uint_eq(d->n_projectors, 2);
    const struct rejectd_projector *p = d->projectors;
    ck_assert_str_eq(p[0].description, "a  projector");
    ck_assert(p[0].active && p[0].n_vectors == 1 && !p[1].active && p[1].n_vectors == 2);
    ck_assert(p[0].vectors[0] == 0.5 && p[0].vectors[1] == 0.0);
    ck_assert(p[1].vectors[0] == 0.5 && p[1].vectors[1] == 2.5);
    ck_assert(p[1].vectors[6] == 1.5 && p[1].vectors[7] == 3.5);
    char *json = dataset_to_json(d);
    struct dataset_description again;
    void *samples;
    struct rejectd_error error = {0};
    ck_assert_msg(dataset_from_json(json, strlen(json), &again, &samples, &error) == REJECTD_OK,
                  "%s: %s", error.field, error.message);
    char *json_again = dataset_to_json(&again);
    ck_assert_str_eq(json, json_again);
    free(json);
    free(json_again);
    dataset_description_clear(&again);
    fif_reading_clear(&reading);
}
END_TEST

START_TEST(test_long_names)
{
    struct fif_reading reading;
    read_recipe(&recipes[5], &reading);
    const struct rejectd_channel *c = reading.description.channels;
    ck_assert_str_eq(c[4].name, "a long name \xc3\xa9 \xe2\x82\xac of channel 4");
    ck_assert(!c[0].bad && c[1].bad);
    ck_assert(reading.description.projectors[1].vectors[1] == 2.5);
    ck_assert_str_eq(reading.leftover.next_name, "x\xc3\xa9-epo-1.fif");
    ck_assert_int_eq(reading.leftover.next_number, 1);
    fif_reading_clear(&reading);
}
END_TEST

START_TEST(test_events_without_names)
{
    struct fif_recipe recipe = recipes[0];
    struct fif_reading reading;
    recipe.change = (struct fif_change){.what = FIF_CHANGE_DROP, .kind = 206};
    read_recipe(&recipe, &reading);
    ck_assert_str_eq(reading.description.event_id_json, "{\"1\":1,\"2\":2}");
    fif_reading_clear(&reading);
}
END_TEST

START_TEST(test_inverse_transform)
{
    struct fif_recipe recipe = recipes[5];
    struct fif_reading reading;
    recipe.change = (struct fif_change){.what = FIF_CHANGE_WORD, .kind = 222, .number = 9};
    read_recipe(&recipe, &reading);
    ck_assert(!reading.description.has_device_to_head);
    fif_reading_clear(&reading);
    recipe.change = (struct fif_change){.what = FIF_CHANGE_DATA,
                                        .kind = 222,
                                        .size = 104,
                                        .data = (const char[104]){[3] = 4, [7] = 1, [56] = 0x40}};
    read_recipe(&recipe, &reading);
    ck_assert(reading.description.has_device_to_head);
    ck_assert(reading.description.device_to_head[0][0] == 2.0);
    fif_reading_clear(&reading);
}
END_TEST

/* ---- gzip ---- */

static unsigned char *compress_gzip(const void *bytes, size_t size, size_t *compressed)
{
    z_stream stream = {0};
    ck_assert_int_eq(deflateInit2(&stream, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
    const size_t room = deflateBound(&stream, size);
    unsigned char *input = malloc(size), *out = malloc(room);
    ck_assert(input != NULL && out != NULL);
    memcpy(input, bytes, size);
    stream.next_in = input;
    stream.avail_in = (uInt)size;
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    *compressed = stream.total_out;
    deflateEnd(&stream);
    free(input);
    return out;
}

START_TEST(test_gzip)
{
    const struct fif_recipe *recipe = &recipes[_i % N_RECIPES];
    struct fif_file file = fif_file_make(recipe);
    struct fif_reading reading = {0};
    size_t size;
    unsigned char *gz = compress_gzip(file.bytes, file.size, &size);
    ck_assert(fif_has_magic(gz, size));
    const size_t chunk = (size_t)(_i / N_RECIPES);
    ck_assert_int_eq(fif_reading_read(&reading, gz, size, chunk, 0), REJECTD_OK);
    check_samples(&reading, recipe);
    check_head(&reading, &file);
    fif_reading_clear(&reading);
    free(gz);
    free(file.bytes);
}
END_TEST

static void check_gzip(const unsigned char *bytes, size_t size, enum rejectd_status wanted,
                       const char *message)
{
    for (size_t chunk = 0; chunk < 3; chunk++) {
        struct fif_reading reading = {0};
        const enum rejectd_status status = fif_reading_read(&reading, bytes, size, chunk, 0);
        ck_assert_msg(status == wanted && strstr(reading.error.message, message) != NULL, "%s",
                      reading.error.message);
        fif_reading_clear(&reading);
    }
}

START_TEST(test_damaged_gzip)
{
    struct fif_file file = fif_file_make(&recipes[5]);
    size_t size, half;
    unsigned char *gz = compress_gzip(file.bytes, file.size, &size);
    unsigned char *longer = malloc(2 * size + 100);
    ck_assert_ptr_nonnull(longer);
    memcpy(longer, gz, size);
    check_gzip(gz, size - 1, REJECTD_INVALID_SAMPLES, "cut off");
    check_gzip(gz, 10, REJECTD_INVALID_SAMPLES, "cut off");
    memcpy(longer + size, "garbage", 7);
    check_gzip(longer, size + 7, REJECTD_INVALID_SAMPLES, "damaged");
    memcpy(longer + size, gz, size);
    check_gzip(longer, 2 * size, REJECTD_INVALID_SAMPLES, "after its last tag");
    longer[size - 8] ^= 1;
    check_gzip(longer, size, REJECTD_INVALID_SAMPLES, "data check");
    longer[size - 8] ^= 1;
    longer[size - 1] ^= 1;
    check_gzip(longer, size, REJECTD_INVALID_SAMPLES, "length check");
    free(longer);
    free(gz);
    /* Two members that make one file. */
    unsigned char *first = compress_gzip(file.bytes, 1000, &half);
    unsigned char *second = compress_gzip(file.bytes + 1000, file.size - 1000, &size);
    unsigned char *both = malloc(half + size);
    ck_assert_ptr_nonnull(both);
    memcpy(both, first, half);
    memcpy(both + half, second, size);
    check_gzip(both, half + size, REJECTD_OK, "");
    check_gzip(both, half, REJECTD_INVALID_SAMPLES, "cut off");
    free(both);
    free(first);
    free(second);
    free(file.bytes);
}
END_TEST

START_TEST(test_gzip_bomb)
{
    const struct fif_recipe recipe = {0};
    enum { HUGE = 1 << 26 };
    void *zeros = calloc(1, HUGE);
    struct fif_file file;
    size_t size;
    ck_assert_ptr_nonnull(zeros);
    fif_file_begin(&file, &recipe);
    fif_file_tag(&file, 150, 1, zeros, HUGE);
    unsigned char *gz = compress_gzip(file.bytes, file.size, &size);
    ck_assert_uint_lt(size, 100000);
    check_gzip(gz, size, REJECTD_TOO_LARGE, "besides the samples");
    free(gz);
    free(zeros);
    free(file.bytes);
}
END_TEST

/* ---- text ---- */

static size_t utf8(const char *text, char *out, size_t size)
{
    return fif_text_utf8((const unsigned char *)text, strlen(text), out, size);
}

START_TEST(test_text)
{
    char out[16];
    ck_assert_uint_eq(utf8("a\xe9", out, sizeof out), 3);
    ck_assert_str_eq(out, "a\xc3\xa9");
    ck_assert_uint_eq(utf8("a\xe9", out, 3), 3);
    ck_assert_str_eq(out, "a");
    ck_assert_uint_eq(utf8("\xe9"
                           "b",
                           out, 2),
                      3);
    ck_assert_str_eq(out, "");
    ck_assert_uint_eq(utf8("&#128512;&#65;&#8364", out, sizeof out), 15);
    ck_assert_str_eq(out, "\xf0\x9f\x98\x80&#65;&#8364");
    ck_assert_uint_eq(utf8("&#55296;&#;&#1114112;", out, 0), 21);
    struct fif_names names;
    fif_names_begin(&names, (const unsigned char *)"A::B{COLON}C:", 13);
    static const char *const wanted[] = {"A", "", "B:C", ""};
    for (size_t i = 0; i < 4; i++) {
        ck_assert(fif_names_next(&names, out, sizeof out));
        ck_assert_str_eq(out, wanted[i]);
    }
    ck_assert(!fif_names_next(&names, out, sizeof out));
    fif_names_begin(&names, NULL, 0);
    ck_assert(!fif_names_next(&names, out, sizeof out));
}
END_TEST

static const struct {
    const char *text;
    long count; /* -1: none */
    const char *last;
} arrays[] = {
    {"[]", 0, NULL},
    {" [ ] ", 0, NULL},
    {"[1]", 1, "1"},
    {"[ [1, 2] , {\"a]\": [\"\\\"\", {}]} ]\n", 2, "{\"a]\": [\"\\\"\", {}]}"},
    {"[1,2,3]", 3, "3"},
    {"", -1, NULL},
    {"[", -1, NULL},
    {"[1", -1, NULL},
    {"[1,", -1, NULL},
    {"[1,]", -1, NULL},
    {"[,1]", -1, NULL},
    {"[1]]", -1, NULL},
    {"[1}", -1, NULL},
    {"[1] x", -1, NULL},
    {"{\"a\": 1}", -1, NULL},
    {"[\"a]", -1, NULL},
    {"[\"a\\", -1, NULL},
    {"[[1}]", -1, NULL},
    {"[1,2,3,4]", -1, NULL},
};

START_TEST(test_arrays)
{
    struct fif_span *spans;
    size_t count;
    struct rejectd_error error = {0};
    const enum rejectd_status status =
        fif_json_split(arrays[_i].text, strlen(arrays[_i].text), 3, "list", &spans, &count, &error);
    ck_assert_int_eq(status, arrays[_i].count < 0 ? REJECTD_INVALID_SAMPLES : REJECTD_OK);
    ck_assert_uint_eq(count, arrays[_i].count < 0 ? 0 : (size_t)arrays[_i].count);
    if (arrays[_i].last != NULL) {
        ck_assert_uint_eq(spans[count - 1].length, strlen(arrays[_i].last));
        ck_assert_mem_eq(spans[count - 1].text, arrays[_i].last, spans[count - 1].length);
    }
    free(spans);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/fif reader");
    TCase *tests = tcase_create("fif");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_read, 0, 18 * N_RECIPES);
    tcase_add_test(tests, test_description);
    tcase_add_test(tests, test_long_names);
    tcase_add_test(tests, test_events_without_names);
    tcase_add_test(tests, test_inverse_transform);
    tcase_add_loop_test(tests, test_gzip, 0, 18 * N_RECIPES);
    tcase_add_test(tests, test_damaged_gzip);
    tcase_add_test(tests, test_gzip_bomb);
    tcase_add_test(tests, test_text);
    tcase_add_loop_test(tests, test_arrays, 0, (int)(sizeof arrays / sizeof *arrays));
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
