/* Blobs that come in pieces, by one writer after the other. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "server/blobs/blobs.h"

enum { CHUNK = 1 << 20, COUNT = 3 * CHUNK / 8 + 12345, BYTES = COUNT * 8 };

static const char id[] = "ds_0123456789abcdefghijkl";
static char folder[FOLDER_SIZE], path[160];
static struct blobs *blobs;
static struct rejectd_error error;
static double samples[COUNT];
static char digest[SHA256_TEXT_SIZE]; /* of all samples */

static void set_up(void)
{
    char name[BLOBS_PARTIAL_NAME_SIZE];
    struct sha256 hash;
    folder_make("partial", folder);
    error = (struct rejectd_error){0};
    ck_assert_int_eq(blobs_open(folder, &blobs, &error), REJECTD_OK);
    for (size_t i = 0; i < COUNT; i++) {
        samples[i] = (double)(i * 2654435761u % 1000003) - 5e5;
    }
    sha256_init(&hash);
    sha256_update(&hash, samples, sizeof samples);
    sha256_final(&hash, digest);
    blobs_partial_name(id, name);
    snprintf(path, sizeof path, "%s/%s", folder, name);
}

static void tear_down(void)
{
    blobs_close(blobs);
    folder_remove(folder);
}

/* A writer behind the first `at` bytes. */
static struct blob_writer *open_at(uint64_t at, const struct blob_progress *progress)
{
    struct blob_writer *writer = NULL;
    const struct blob_writer_options options = {
        .expected_bytes = BYTES - at,
        .check_finite = true,
        .dtype = REJECTD_FLOAT64,
        .partial = id,
        .partial_bytes = at,
        .progress = progress,
    };
    ck_assert_msg(blob_writer_open(blobs, &options, &writer, &error) == REJECTD_OK, "%s",
                  error.message);
    return writer;
}

static void write_part(struct blob_writer *writer, uint64_t from, uint64_t to)
{
    const unsigned char *bytes = (const unsigned char *)samples;
    while (from < to) {
        const size_t count = to - from < 50000 ? (size_t)(to - from) : 50000;
        ck_assert_int_eq(blob_writer_write(writer, bytes + from, count, &error), REJECTD_OK);
        from += count;
    }
}

/* Writes one piece and leaves it. */
static void leave(uint64_t from, uint64_t to, const struct blob_progress *before,
                  struct blob_progress *progress)
{
    uint64_t bytes = 0;
    struct blob_writer *writer = open_at(from, before);
    write_part(writer, from, to);
    ck_assert_int_eq(blob_writer_suspend(writer, &bytes, progress, NULL, &error), REJECTD_OK);
    ck_assert_uint_eq(bytes, to);
    ck_assert_uint_eq(progress->bytes, to / 8 * 8);
    blob_writer_close(writer);
    ck_assert(blobs_partial_has(blobs, id, to) && !blobs_partial_has(blobs, id, to + 1));
}

/* Writes the rest and publishes; the partial file stays until it is removed. */
static void end(uint64_t from, const struct blob_progress *progress)
{
    char sha256[SHA256_TEXT_SIZE];
    struct blob_map map = {0};
    struct sha256 hash;
    struct blob_writer *writer = open_at(from, progress);
    write_part(writer, from, BYTES);
    ck_assert_msg(blob_writer_finish(writer, sha256, NULL, &error) == REJECTD_OK, "%s",
                  error.message);
    ck_assert_str_eq(sha256, digest);
    sha256_init(&hash);
    ck_assert_int_eq(blob_writer_hash(writer, &hash, &error), REJECTD_OK);
    sha256_final(&hash, sha256);
    ck_assert_str_eq(sha256, digest);
    ck_assert_int_eq(blob_writer_publish(writer, &error), REJECTD_OK);
    blob_writer_close(writer);
    ck_assert_int_eq(blobs_map(blobs, digest, BYTES, &map, &error), REJECTD_OK);
    ck_assert_mem_eq(map.data, samples, BYTES);
    blobs_unmap(&map);
    ck_assert(blobs_partial_has(blobs, id, BYTES));
    blobs_partial_remove(blobs, id);
    ck_assert(!blobs_partial_has(blobs, id, 0));
    ck_assert_int_eq(blobs_map(blobs, digest, BYTES, &map, &error), REJECTD_OK);
    blobs_unmap(&map);
}

static const uint64_t ends[] = {
    1, 7, 8, 9, 4096, CHUNK - 1, CHUNK, CHUNK + 3, 2 * CHUNK + 8, BYTES - 9, BYTES - 1};

/* Hashes are handed on, or, as after a restart, found again. */
START_TEST(test_pieces)
{
    const bool hands_on = _i % 2 == 0;
    const size_t step = 1 + (size_t)_i / 2;
    struct blob_progress progress = {0};
    uint64_t at = 0;
    for (size_t i = step - 1; i < sizeof ends / sizeof ends[0]; i += step) {
        leave(at, ends[i], hands_on && at > 0 ? &progress : NULL, &progress);
        at = ends[i];
    }
    end(at, hands_on ? &progress : NULL);
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(test_progress_of_something_else_is_not_taken)
{
    struct blob_progress progress;
    leave(0, 4096, NULL, &progress);
    progress.bytes += 8;
    end(4096, &progress);
}
END_TEST

/* What was written behind what was told is cut off; what was told and is gone is an error. */
START_TEST(test_other_lengths)
{
    struct blob_progress progress;
    struct blob_writer *writer = NULL;
    leave(0, CHUNK + 100, NULL, &progress);
    FILE *file = fopen(path, "ab");
    ck_assert_uint_eq(fwrite("garbage", 1, 7, file), 7);
    fclose(file);
    const struct blob_writer_options options = {.partial = id, .partial_bytes = CHUNK + 200};
    ck_assert_int_eq(blob_writer_open(blobs, &options, &writer, &error), REJECTD_STORAGE);
    ck_assert_ptr_null(writer);
    end(CHUNK + 100, NULL);
}
END_TEST

/* Closing a writer in the middle leaves the file, for whoever knows how much of it counts. */
START_TEST(test_closed_in_the_middle)
{
    struct blob_progress progress;
    leave(0, 1001, NULL, &progress);
    struct blob_writer *writer = open_at(1001, &progress);
    write_part(writer, 1001, 2 * CHUNK + 500);
    blob_writer_close(writer);
    ck_assert(blobs_partial_has(blobs, id, 1001));
    end(1001, &progress);
}
END_TEST

static void bad_sample_at(size_t at, uint64_t from, uint64_t to, const struct blob_progress *before)
{
    struct blob_progress progress;
    uint64_t bytes;
    size_t bad_sample = SIZE_MAX;
    struct blob_writer *writer = open_at(from, before);
    write_part(writer, from, to);
    ck_assert_int_eq(blob_writer_suspend(writer, &bytes, &progress, &bad_sample, &error),
                     REJECTD_INVALID_SAMPLES);
    ck_assert_uint_eq(bad_sample, at);
    blob_writer_close(writer);
}

START_TEST(test_sample_that_is_not_finite)
{
    const size_t at = CHUNK / 8 + 5;
    struct blob_progress progress;
    samples[at] = NAN;
    bad_sample_at(at, 0, 2 * CHUNK, NULL);
    /* Cut in two by the pieces. */
    leave(0, at * 8 + 3, NULL, &progress);
    bad_sample_at(at, at * 8 + 3, at * 8 + 8, &progress);
    leave(0, at * 8 + 3, NULL, &progress);
    bad_sample_at(at, at * 8 + 3, at * 8 + 20, NULL);
}
END_TEST

struct marks {
    uint64_t bytes[16];
    size_t n;
};

static void mark(void *context, uint64_t bytes)
{
    struct marks *marks = context;
    ck_assert_uint_lt(marks->n, 16);
    ck_assert(blobs_partial_has(blobs, id, bytes));
    marks->bytes[marks->n++] = bytes;
}

START_TEST(test_marks)
{
    enum { MARK = 64 << 20 };
    struct marks marks = {0};
    struct blob_writer *writer = NULL;
    struct blob_progress progress;
    uint64_t bytes;
    static const unsigned char zeros[CHUNK];
    const struct blob_writer_options options = {
        .partial = id, .on_durable = mark, .durable_context = &marks};
    ck_assert_int_eq(blob_writer_open(blobs, &options, &writer, &error), REJECTD_OK);
    for (int i = 0; i < 150; i++) {
        if (i % 70 == 69) {
            usleep(1100000); /* not more often than once a second */
        }
        ck_assert_int_eq(blob_writer_write(writer, zeros, CHUNK, &error), REJECTD_OK);
    }
    ck_assert_int_eq(blob_writer_suspend(writer, &bytes, &progress, NULL, &error), REJECTD_OK);
    blob_writer_close(writer);
    ck_assert_uint_eq(marks.n, 2);
    ck_assert_uint_ge(marks.bytes[0], MARK);
    ck_assert_uint_ge(marks.bytes[1], marks.bytes[0] + MARK);
    ck_assert_uint_le(marks.bytes[1], bytes);
    ck_assert_uint_eq(bytes, 150 * (uint64_t)CHUNK);
}
END_TEST

static bool is_known(void *context, const char *name)
{
    const char *found = blobs_partial_id(name);
    return found != NULL && strcmp(found, context) == 0;
}

START_TEST(test_sweeping)
{
    struct blob_progress progress;
    char known[] = "ds_0123456789abcdefghijkl", other[] = "ds_other";
    size_t n_removed = 99;
    leave(0, 100, NULL, &progress);
    ck_assert_int_eq(blobs_sweep(blobs, is_known, known, &n_removed, &error), REJECTD_OK);
    ck_assert_uint_eq(n_removed, 0);
    ck_assert(blobs_partial_has(blobs, id, 100));
    ck_assert_int_eq(blobs_sweep(blobs, is_known, other, &n_removed, &error), REJECTD_OK);
    ck_assert_uint_eq(n_removed, 1);
    ck_assert(!blobs_partial_has(blobs, id, 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blobs in pieces");
    TCase *tests = tcase_create("pieces");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, test_pieces, 0, 22);
    tcase_add_test(tests, test_progress_of_something_else_is_not_taken);
    tcase_add_test(tests, test_other_lengths);
    tcase_add_test(tests, test_closed_in_the_middle);
    tcase_add_test(tests, test_sample_that_is_not_finite);
    tcase_add_test(tests, test_marks);
    tcase_add_test(tests, test_sweeping);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
