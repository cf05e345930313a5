/* Blobs: content-addressed files, whole or not there. */
#define _GNU_SOURCE /* nftw */
#include <check.h>
#include <ftw.h>
#include <math.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "run_suite.h"
#include "server/blobs/blobs.h"

enum { CHUNK = 1 << 20 };

static char folder[FOLDER_SIZE];
static struct blobs *blobs;
static struct rejectd_error error;

static void set_up(void)
{
    folder_make("blobs", folder);
    error = (struct rejectd_error){0};
    ck_assert_int_eq(blobs_open(folder, &blobs, &error), REJECTD_OK);
}

static void tear_down(void)
{
    blobs_close(blobs);
    folder_remove(folder);
}

static int n_entries;

static int count_entry(const char *name, const struct stat *status, int type, struct FTW *walk)
{
    (void)name;
    (void)status;
    (void)walk;
    n_entries += type == FTW_F;
    return 0;
}

static int count_files(void)
{
    n_entries = 0;
    nftw(folder, count_entry, 8, FTW_PHYS);
    return n_entries;
}

static unsigned char *pattern(size_t size, unsigned seed)
{
    unsigned char *bytes = malloc(size + 1);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)((i * 2654435761u + seed) >> 13);
    }
    return bytes;
}

/* Writes `bytes` in uneven pieces and publishes them. */
static void publish(const void *bytes, size_t size, char sha256[SHA256_TEXT_SIZE])
{
    struct blob_writer *writer = NULL;
    const struct blob_writer_options options = {.expected_bytes = size};
    ck_assert_int_eq(blob_writer_open(blobs, &options, &writer, &error), REJECTD_OK);
    for (size_t at = 0, piece = 1; at < size; at += piece, piece = piece * 7 % 300007) {
        piece = piece < size - at ? piece : size - at;
        ck_assert_int_eq(
            blob_writer_write(writer, (const unsigned char *)bytes + at, piece, &error),
            REJECTD_OK);
    }
    ck_assert_int_eq(blob_writer_finish(writer, sha256, NULL, &error), REJECTD_OK);
    ck_assert_int_eq(blob_writer_publish(writer, &error), REJECTD_OK);
    ck_assert_int_eq(blobs_sync(blobs, &error), REJECTD_OK);
    blob_writer_close(writer);
}

START_TEST(test_usage)
{
    struct blobs_usage usage;
    char one[SHA256_TEXT_SIZE], two[SHA256_TEXT_SIZE];
    struct blob_map map;
    blobs_look(blobs, &usage);
    ck_assert_uint_eq(usage.bytes + usage.n_blobs + usage.n_errors, 0);
    ck_assert(usage.has_disk && usage.disk_free <= usage.disk_size && usage.disk_size > 0);
    publish("abc", 3, one);
    publish("abc", 3, one); /* the same once more */
    publish("defgh", 5, two);
    blobs_look(blobs, &usage);
    ck_assert_uint_eq(usage.bytes, 8);
    ck_assert_uint_eq(usage.n_blobs, 2);
    blobs_remove(blobs, one);
    blobs_remove(blobs, one);
    ck_assert_int_eq(blobs_map(blobs, one, 3, &map, &error), REJECTD_STORAGE);
    blobs_look(blobs, &usage);
    ck_assert_uint_eq(usage.bytes, 5);
    ck_assert_uint_eq(usage.n_blobs, 1);
    ck_assert_uint_eq(usage.n_errors, 1);
}
END_TEST

static const size_t sizes[] = {0,         1,         63,           64,        65,
                               CHUNK - 1, CHUNK,     CHUNK + 1,    3 * CHUNK, 5 * CHUNK + 17,
                               9 * CHUNK, 4 * CHUNK, 4 * CHUNK - 1};

START_TEST(test_what_is_written_is_read)
{
    const size_t size = sizes[_i];
    unsigned char *bytes = pattern(size, (unsigned)_i), digest[crypto_hash_sha256_BYTES];
    char sha256[SHA256_TEXT_SIZE], wanted[SHA256_TEXT_SIZE];
    struct blob_map map = {0};
    int file = -1;
    uint64_t found = 0;
    publish(bytes, size, sha256);
    crypto_hash_sha256(digest, bytes, size);
    sodium_bin2hex(wanted, sizeof wanted, digest, sizeof digest);
    ck_assert_str_eq(sha256, wanted);
    ck_assert_int_eq(blobs_map(blobs, sha256, size, &map, &error), REJECTD_OK);
    ck_assert_uint_eq(map.size, size);
    ck_assert(size == 0 || memcmp(map.data, bytes, size) == 0);
    blobs_unmap(&map);
    ck_assert_int_eq(blobs_open_file(blobs, sha256, &file, &found, &error), REJECTD_OK);
    ck_assert_uint_eq(found, size);
    close(file);
    ck_assert_int_eq(count_files(), 1);
    free(bytes);
}
END_TEST

START_TEST(test_equal_content_is_kept_once)
{
    char one[SHA256_TEXT_SIZE], two[SHA256_TEXT_SIZE];
    publish("abc", 3, one);
    publish("abc", 3, two);
    ck_assert_str_eq(one, two);
    ck_assert_int_eq(count_files(), 1);
    blobs_remove(blobs, one);
    blobs_remove(blobs, one);
    ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(test_missing_and_misfitting_blobs)
{
    char sha256[SHA256_TEXT_SIZE];
    struct blob_map map = {0};
    int file = -1;
    uint64_t size = 0;
    publish("abc", 3, sha256);
    ck_assert_int_eq(blobs_map(blobs, sha256, 4, &map, &error), REJECTD_STORAGE);
    ck_assert_int_eq(blobs_map(blobs, sha256, 2, &map, &error), REJECTD_STORAGE);
    blobs_remove(blobs, sha256);
    ck_assert_int_eq(blobs_map(blobs, sha256, 3, &map, &error), REJECTD_STORAGE);
    ck_assert_int_eq(blobs_open_file(blobs, sha256, &file, &size, &error), REJECTD_STORAGE);
}
END_TEST

/* A sample that isn't finite, at and around the borders of chunks. */
START_TEST(test_samples_that_are_not_finite)
{
    const bool single = _i % 2 == 1;
    const size_t item = single ? sizeof(float) : sizeof(double), n = 3 * CHUNK / item + 5;
    const size_t per_chunk = CHUNK / item;
    const size_t places[] = {0, 1, per_chunk - 1, per_chunk, 2 * per_chunk + 1, n - 1};
    const double value = _i / 2 % 2 == 0 ? NAN : -INFINITY;
    for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
        struct blob_writer *writer = NULL;
        const struct blob_writer_options options = {
            .check_finite = true, .dtype = single ? REJECTD_FLOAT32 : REJECTD_FLOAT64};
        char sha256[SHA256_TEXT_SIZE];
        size_t bad = SIZE_MAX;
        char *samples = calloc(n, item);
        ck_assert_ptr_nonnull(samples);
        const float small = (float)value;
        memcpy(samples + places[p] * item, single ? (const void *)&small : (const void *)&value,
               item);
        ck_assert_int_eq(blob_writer_open(blobs, &options, &writer, &error), REJECTD_OK);
        ck_assert_int_eq(blob_writer_write(writer, samples, n * item, &error), REJECTD_OK);
        ck_assert_int_eq(blob_writer_finish(writer, sha256, &bad, &error), REJECTD_INVALID_SAMPLES);
        ck_assert_uint_eq(bad, places[p]);
        blob_writer_close(writer);
        free(samples);
    }
    ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(test_closing_leaves_nothing)
{
    unsigned char *bytes = pattern(6 * CHUNK, 0);
    char sha256[SHA256_TEXT_SIZE];
    for (size_t size = 0; size <= 6 * CHUNK; size += 2 * CHUNK) {
        struct blob_writer *writer = NULL;
        const struct blob_writer_options options = {.expected_bytes = size};
        ck_assert_int_eq(blob_writer_open(blobs, &options, &writer, &error), REJECTD_OK);
        ck_assert_int_eq(blob_writer_write(writer, bytes, size, &error), REJECTD_OK);
        if (size % (4 * CHUNK) == 0) {
            ck_assert_int_eq(blob_writer_finish(writer, sha256, NULL, &error), REJECTD_OK);
        }
        blob_writer_close(writer);
    }
    ck_assert_int_eq(count_files(), 0);
    free(bytes);
}
END_TEST

static void count_room(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

START_TEST(test_a_full_ring_is_told_once_when_it_has_room)
{
    atomic_int told = 0;
    int expected = 0;
    struct blob_writer *writer = NULL;
    const struct blob_writer_options options = {.on_room = count_room, .context = &told};
    unsigned char *bytes = pattern(CHUNK, 3);
    char sha256[SHA256_TEXT_SIZE];
    ck_assert_int_eq(blob_writer_open(blobs, &options, &writer, &error), REJECTD_OK);
    for (int i = 0; i < 60; i++) {
        if (!blob_writer_has_room(writer, CHUNK)) {
            expected++;
            for (int wait = 0; atomic_load(&told) < expected; wait++) {
                ck_assert_int_lt(wait, 20000);
                usleep(1000);
            }
            ck_assert(blob_writer_has_room(writer, 1));
        }
        ck_assert_int_eq(blob_writer_write(writer, bytes, CHUNK, &error), REJECTD_OK);
    }
    ck_assert_int_eq(blob_writer_finish(writer, sha256, NULL, &error), REJECTD_OK);
    ck_assert_int_eq(atomic_load(&told), expected);
    blob_writer_close(writer);
    free(bytes);
}
END_TEST

static bool is_kept(void *context, const char *sha256)
{
    return strcmp(context, sha256) == 0;
}

START_TEST(test_sweeping)
{
    char kept[SHA256_TEXT_SIZE], other[SHA256_TEXT_SIZE], stray[128];
    struct blob_map map = {0};
    size_t n_removed = 0;
    publish("abc", 3, kept);
    publish("def", 3, other);
    snprintf(stray, sizeof stray, "%s/tmp-abcdefghijklmnopqrstuvwxyz", folder);
    FILE *file = fopen(stray, "w");
    ck_assert_ptr_nonnull(file);
    fclose(file);
    ck_assert_int_eq(blobs_sweep(blobs, is_kept, kept, &n_removed, &error), REJECTD_OK);
    ck_assert_uint_eq(n_removed, 2);
    ck_assert_int_eq(count_files(), 1);
    ck_assert_int_eq(blobs_map(blobs, kept, 3, &map, &error), REJECTD_OK);
    blobs_unmap(&map);
}
END_TEST

START_TEST(test_a_directory_that_is_gone)
{
    struct blob_writer *writer = NULL;
    struct blobs *other = NULL;
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_int_eq(blob_writer_open(blobs, &(struct blob_writer_options){0}, &writer, &error),
                     REJECTD_STORAGE);
    ck_assert_ptr_null(writer);
    ck_assert_int_eq(blobs_open("/nonexistent/blobs", &other, &error), REJECTD_STORAGE);
    ck_assert_ptr_null(other);
}
END_TEST

/* ---- hashing ---- */

START_TEST(test_hash_in_pieces)
{
    unsigned char *bytes = pattern(1000, 9), digest[crypto_hash_sha256_BYTES];
    char wanted[SHA256_TEXT_SIZE], text[SHA256_TEXT_SIZE];
    for (size_t size = 0; size < 300; size++) {
        crypto_hash_sha256(digest, bytes, size);
        sodium_bin2hex(wanted, sizeof wanted, digest, sizeof digest);
        for (size_t piece = 1; piece < 140; piece += 23) {
            struct sha256 hash;
            sha256_init(&hash);
            for (size_t at = 0; at < size; at += piece) {
                sha256_update(&hash, bytes + at, piece < size - at ? piece : size - at);
            }
            sha256_final(&hash, text);
            ck_assert_str_eq(text, wanted);
        }
    }
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blobs");
    TCase *tests = tcase_create("blobs");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, test_usage);
    tcase_add_loop_test(tests, test_what_is_written_is_read, 0, sizeof sizes / sizeof sizes[0]);
    tcase_add_test(tests, test_equal_content_is_kept_once);
    tcase_add_test(tests, test_missing_and_misfitting_blobs);
    tcase_add_loop_test(tests, test_samples_that_are_not_finite, 0, 4);
    tcase_add_test(tests, test_closing_leaves_nothing);
    tcase_add_test(tests, test_a_full_ring_is_told_once_when_it_has_room);
    tcase_add_test(tests, test_sweeping);
    tcase_add_test(tests, test_a_directory_that_is_gone);
    tcase_add_test(tests, test_hash_in_pieces);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
