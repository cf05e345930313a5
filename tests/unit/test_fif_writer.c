/* FIF files of the epochs that are left: read, written, read again. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fif_file.h"
#include "fif_reading.h"
#include "protocol/fif_tags.h"
#include "protocol/fif_writer.h"
#include "run_suite.h"

static const struct fif_recipe full = {
    .n_epochs = 4,
    .n_channels = 5,
    .n_times = 7,
    .long_names = true,
    .projectors = true,
    .bads = true,
    .transform = true,
    .metadata = true,
    .log = true,
    .next = "x-epo-1.fif",
};

static void read_bytes(const void *bytes, size_t size, struct fif_reading *reading)
{
    *reading = (struct fif_reading){0};
    const enum rejectd_status status = fif_reading_read(reading, bytes, size, 0, 0);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", reading->error.field, reading->error.message);
}

static void read_recipe(const struct fif_recipe *recipe, struct fif_reading *reading)
{
    struct fif_file file = fif_file_make(recipe);
    read_bytes(file.bytes, file.size, reading);
    free(file.bytes);
}

static struct fif_writer *open_writer(const struct fif_writer_options *options)
{
    struct rejectd_error error = {0};
    struct fif_writer *writer;
    const enum rejectd_status status = fif_writer_open(options, &writer, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", error.field, error.message);
    return writer;
}

/* The file of a part; `samples` are those of the kept epochs. */
static unsigned char *make_part(const struct fif_writer *writer, size_t part,
                                const unsigned char *samples, size_t *size)
{
    struct fif_frame frame;
    struct rejectd_error error = {0};
    ck_assert_int_eq(fif_writer_frame(writer, part, &frame, &error), REJECTD_OK);
    ck_assert_uint_eq(frame.data_bytes, frame.n_epochs * fif_frame_stored_epoch(&frame));
    *size = frame.prefix_bytes + frame.data_bytes + frame.suffix_bytes;
    unsigned char *file = malloc(*size);
    ck_assert_ptr_nonnull(file);
    memcpy(file, frame.prefix, frame.prefix_bytes);
    samples += frame.first_epoch * fif_frame_sample_epoch(&frame);
    /* An epoch at a time gives the same as all at once. */
    for (size_t i = 0; i < frame.n_epochs; i++)
        fif_frame_convert(&frame, samples + i * fif_frame_sample_epoch(&frame), 1,
                          file + frame.prefix_bytes + i * fif_frame_stored_epoch(&frame));
    memcpy(file + frame.prefix_bytes + frame.data_bytes, frame.suffix, frame.suffix_bytes);
    fif_frame_clear(&frame);
    return file;
}

/* The text or numbers of a tag directly in a block; NULL when there is none. */
static const unsigned char *find_tag(const struct fif_leftover *l, int32_t block, int32_t kind,
                                     size_t *size)
{
    struct fif_walk walk;
    struct fif_tag tag;
    fif_walk_begin(&walk, l->head, l->head_size, l->samples_at);
    while (fif_walk_next(&walk, &tag))
        if (fif_blocks_innermost(&walk.blocks) == block && tag.kind == kind) {
            *size = tag.size;
            return tag.data;
        }
    return NULL;
}

static void check_text(const struct fif_leftover *l, int32_t block, int32_t kind, const char *text)
{
    size_t size = 0;
    const unsigned char *data = find_tag(l, block, kind, &size);
    ck_assert_ptr_nonnull(data);
    ck_assert_msg(size == strlen(text) && memcmp(data, text, size) == 0, "%.*s instead of %s",
                  (int)size, (const char *)data, text);
}

static const struct fif_recipe stored[] = {
    {.n_epochs = 4, .n_channels = 5, .n_times = 7},
    {.n_epochs = 4, .n_channels = 5, .n_times = 7, .is_double = true, .next_positions = true},
    {.n_epochs = 4, .n_channels = 5, .n_times = 7, .cal = 0.25f, .old = true},
    {.n_epochs = 4, .n_channels = 5, .n_times = 7, .is_double = true, .cal = 4.0f},
    {.n_epochs = 1, .n_channels = 1, .n_times = 1, .log = true},
};
enum { N_STORED = sizeof stored / sizeof *stored };

START_TEST(test_all_kept)
{
    static const unsigned char kept[] = {1, 1, 1, 1};
    struct fif_reading reading, again;
    read_recipe(&stored[_i], &reading);
    const struct fif_writer_options options = {
        &reading.leftover, 1, kept, stored[_i].n_epochs, reading.description.dtype, "a.fif", 0};
    struct fif_writer *writer = open_writer(&options);
    ck_assert_uint_eq(fif_writer_parts(writer), 1);
    size_t size;
    unsigned char *file = make_part(writer, 0, reading.samples, &size);
    read_bytes(file, size, &again);
    ck_assert_uint_eq(again.size, reading.size);
    ck_assert_mem_eq(again.samples, reading.samples, again.size);
    char *before = dataset_to_json(&reading.description);
    char *after = dataset_to_json(&again.description);
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    free(file);
    fif_writer_close(writer);
    fif_reading_clear(&again);
    fif_reading_clear(&reading);
}
END_TEST

START_TEST(test_single_from_double)
{
    /* Cleaned in double precision, saved in single as it was. */
    static const unsigned char kept[] = {1, 1, 1, 1};
    struct fif_reading reading, again;
    read_recipe(&stored[0], &reading);
    const struct fif_writer_options options = {&reading.leftover, 1,       kept, 4,
                                               REJECTD_FLOAT64,   "a.fif", 0};
    struct fif_writer *writer = open_writer(&options);
    double samples[4 * 5 * 7];
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        float single;
        memcpy(&single, reading.samples + 4 * i, sizeof single);
        samples[i] = (double)single;
    }
    size_t size;
    unsigned char *file = make_part(writer, 0, (const unsigned char *)samples, &size);
    read_bytes(file, size, &again);
    ck_assert_int_eq(again.description.dtype, REJECTD_FLOAT32);
    ck_assert_mem_eq(again.samples, reading.samples, again.size);
    free(file);
    fif_writer_close(writer);
    fif_reading_clear(&again);
    fif_reading_clear(&reading);
}
END_TEST

START_TEST(test_some_kept)
{
    static const unsigned char kept[] = {0, 1, 0, 1};
    struct fif_reading reading, again;
    read_recipe(&full, &reading);
    const struct fif_writer_options options = {&reading.leftover, 1,       kept, 4,
                                               REJECTD_FLOAT32,   "a.fif", 0};
    struct fif_writer *writer = open_writer(&options);
    const size_t epoch = 5 * 7 * 4;
    unsigned char samples[2 * 5 * 7 * 4];
    memcpy(samples, reading.samples + epoch, epoch);
    memcpy(samples + epoch, reading.samples + 3 * epoch, epoch);
    size_t size;
    unsigned char *file = make_part(writer, 0, samples, &size);
    read_bytes(file, size, &again);
    ck_assert_uint_eq(again.description.n_epochs, 2);
    ck_assert_mem_eq(again.samples, samples, sizeof samples);
    ck_assert_str_eq(again.description.events_json, "[[100,0,2],[300,0,2]]");
    ck_assert_str_eq(again.description.event_id_json, reading.description.event_id_json);
    ck_assert(!again.leftover.has_next);
    check_text(&again.leftover, FIF_METADATA, FIF_DESCRIPTION,
               "[{\"row\": 1, \"[\": \"],\\\"\"}, {\"row\": 3, \"[\": \"],\\\"\"}]");
    check_text(&again.leftover, FIF_EPOCHS, FIF_DROP_LOG,
               "[[\"USER\"], [\"AUTOREJECT\"], [\"EEG 1\", \"EEG 2\"], [], [\"AUTOREJECT\"], []]");
    size = 0;
    const unsigned char *selection = find_tag(&again.leftover, FIF_EPOCHS, FIF_SELECTION, &size);
    ck_assert_uint_eq(size, 8);
    ck_assert_int_eq(fif_get_i32(selection), 3);
    ck_assert_int_eq(fif_get_i32(selection + 4), 5);
    free(file);
    fif_writer_close(writer);
    fif_reading_clear(&again);
    fif_reading_clear(&reading);
}
END_TEST

START_TEST(test_parts)
{
    /* A file becomes two; the two, read again, become one. */
    static const unsigned char kept[] = {1, 1, 1, 0};
    struct fif_recipe recipe = full;
    struct fif_reading reading, parts[2], joined;
    recipe.n_times = 5000;
    recipe.next = NULL;
    read_recipe(&recipe, &reading);
    struct fif_writer_options options = {&reading.leftover,  1,     kept, 4, REJECTD_FLOAT32,
                                         "\xc3\xa9-epo.fif", 250000};
    struct fif_writer *writer = open_writer(&options);
    ck_assert_uint_eq(fif_writer_parts(writer), 2);
    struct fif_leftover heads[2];
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        unsigned char *file = make_part(writer, i, reading.samples, &size);
        ck_assert_uint_le(size, 250000);
        read_bytes(file, size, &parts[i]);
        heads[i] = parts[i].leftover;
        free(file);
    }
    fif_writer_close(writer);
    ck_assert_uint_eq(parts[0].description.n_epochs, 2);
    ck_assert_uint_eq(parts[1].description.n_epochs, 1);
    ck_assert(heads[0].has_next && !heads[1].has_next);
    ck_assert_str_eq(heads[0].next_name, "\xc3\xa9-epo-1.fif");
    check_text(&heads[0], FIF_EPOCHS, FIF_DROP_LOG,
               "[[\"USER\"], [], [\"EEG 1\", \"EEG 2\"], [], [\"IGNORED\"], [\"AUTOREJECT\"]]");
    check_text(&heads[1], FIF_EPOCHS, FIF_DROP_LOG,
               "[[\"USER\"], [\"IGNORED\"], [\"EEG 1\", \"EEG 2\"], [\"IGNORED\"], [], "
               "[\"AUTOREJECT\"]]");
    options = (struct fif_writer_options){heads, 2, kept, 3, REJECTD_FLOAT32, "b", 0};
    writer = open_writer(&options);
    ck_assert_uint_eq(fif_writer_parts(writer), 1);
    size_t size;
    unsigned char *file = make_part(writer, 0, reading.samples, &size);
    read_bytes(file, size, &joined);
    ck_assert_mem_eq(joined.samples, reading.samples, joined.size);
    ck_assert_str_eq(joined.description.events_json, "[[0,0,1],[100,0,2],[200,0,1]]");
    check_text(&joined.leftover, FIF_EPOCHS, FIF_DROP_LOG,
               "[[\"USER\"], [], [\"EEG 1\", \"EEG 2\"], [], [], [\"AUTOREJECT\"]]");
    free(file);
    fif_writer_close(writer);
    fif_reading_clear(&joined);
    fif_reading_clear(&parts[0]);
    fif_reading_clear(&parts[1]);
    fif_reading_clear(&reading);
}
END_TEST

/* ---- refusals ---- */

static void check_refusal(const struct fif_writer_options *options, enum rejectd_status wanted,
                          const char *message)
{
    struct rejectd_error error = {0};
    struct fif_writer *writer;
    const enum rejectd_status status = fif_writer_open(options, &writer, &error);
    ck_assert_msg(status == wanted && strstr(error.message, message) != NULL, "%s: %s",
                  rejectd_status_name(status), error.message);
    ck_assert_ptr_null(writer);
}

START_TEST(test_options)
{
    static const unsigned char kept[] = {1, 1, 1, 1}, none[] = {0, 0, 0, 0};
    struct fif_reading reading;
    read_recipe(&stored[1], &reading);
    const struct fif_writer_options right = {&reading.leftover, 1,       kept, 4,
                                             REJECTD_FLOAT64,   "a.fif", 0};
    struct fif_writer_options wrong = right;
    wrong.n_heads = 0;
    check_refusal(&wrong, REJECTD_INVALID_VALUE, "no head");
    wrong = right;
    wrong.n_epochs = 3;
    check_refusal(&wrong, REJECTD_INVALID_VALUE, "has 4 epochs");
    wrong = right;
    wrong.kept = none;
    check_refusal(&wrong, REJECTD_UNSUITABLE_DATASET, "no epoch is left");
    wrong = right;
    wrong.dtype = REJECTD_FLOAT32;
    check_refusal(&wrong, REJECTD_INVALID_VALUE, "float64");
    static const char *const names[] = {"", "a/b.fif", "a\\b", "a\n", "\xff.fif"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        wrong = right;
        wrong.name = names[i];
        check_refusal(&wrong, REJECTD_INVALID_VALUE, "name of a file");
    }
    wrong = right;
    wrong.max_part = 1000;
    check_refusal(&wrong, REJECTD_TOO_LARGE, ".npy");
    fif_reading_clear(&reading);
}
END_TEST

START_TEST(test_damaged_heads)
{
    /* What was kept is not trusted either: no head that is cut off or changed is written from. */
    static const unsigned char kept[] = {1, 1, 1, 1};
    struct fif_reading reading;
    read_recipe(&full, &reading);
    struct fif_leftover head = reading.leftover;
    struct fif_writer_options options = {&head, 1, kept, 4, REJECTD_FLOAT32, "a.fif", 0};
    for (size_t size = 0; size < reading.leftover.head_size; size++) {
        struct fif_writer *writer;
        unsigned char *copy = malloc(size + 1);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, reading.leftover.head, size);
        head.head = copy;
        head.head_size = size;
        if (fif_writer_open(&options, &writer, NULL) == REJECTD_OK)
            ck_assert_uint_gt(size, head.samples_at);
        fif_writer_close(writer);
        free(copy);
    }
    head = reading.leftover;
    for (size_t at = 0; at <= head.head_size + 1; at++) {
        struct fif_writer *writer;
        head.samples_at = at;
        const enum rejectd_status status = fif_writer_open(&options, &writer, NULL);
        ck_assert((status == REJECTD_OK) == (at == reading.leftover.samples_at));
        fif_writer_close(writer);
    }
    fif_reading_clear(&reading);
}
END_TEST

START_TEST(test_parts_that_differ)
{
    static const unsigned char kept[] = {1, 1, 1, 1, 1, 1, 1, 1};
    static const struct {
        struct fif_recipe recipe;
        const char *message;
    } others[] = {
        {{.n_epochs = 4, .n_channels = 4, .n_times = 7, .first_event = 50}, "channels"},
        {{.n_epochs = 4, .n_channels = 5, .n_times = 6, .first_event = 50}, "times"},
        {{.n_epochs = 4, .n_channels = 5, .n_times = 7, .long_names = true, .first_event = 50},
         "channels"},
        {{.n_epochs = 4, .n_channels = 5, .n_times = 7, .metadata = true, .first_event = 50},
         "metadata"},
        {{.n_epochs = 4, .n_channels = 5, .n_times = 7, .log = true, .first_event = 50}, "log"},
        {{.n_epochs = 4, .n_channels = 5, .n_times = 7, .first_event = 300}, "sample 300"},
    };
    struct fif_reading first, other;
    read_recipe(&stored[0], &first);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        read_recipe(&others[i].recipe, &other);
        const struct fif_leftover heads[] = {first.leftover, other.leftover};
        const struct fif_writer_options options = {heads, 2, kept, 8, REJECTD_FLOAT32, "a.fif", 0};
        check_refusal(&options, REJECTD_INVALID_SAMPLES, others[i].message);
        fif_reading_clear(&other);
    }
    fif_reading_clear(&first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/fif writer");
    TCase *tests = tcase_create("fif");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_all_kept, 0, N_STORED);
    tcase_add_test(tests, test_single_from_double);
    tcase_add_test(tests, test_some_kept);
    tcase_add_test(tests, test_parts);
    tcase_add_test(tests, test_options);
    tcase_add_test(tests, test_damaged_heads);
    tcase_add_test(tests, test_parts_that_differ);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
