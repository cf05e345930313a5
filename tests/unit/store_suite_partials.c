/* The part of a store's contract that is about uploads in pieces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "store_fixture.h"

static const char unknown[] = "ds_0000000000000000000000";

static void add_dataset(const char *next_part, char id[RESOURCE_ID_SIZE])
{
    struct dataset_view view = {0};
    snprintf(view.next_part, sizeof view.next_part, "%s", next_part);
    insert_dataset(&view, id);
}

static struct store_partial partial_of(const char *dataset, size_t header_bytes, uint64_t samples)
{
    struct store_partial partial = {.total = UINT64_C(1) << 40,
                                    .is_npy = header_bytes > 0,
                                    .in_header = samples == 0,
                                    .header_bytes = header_bytes,
                                    .sample_bytes = samples};
    memcpy(partial.dataset, dataset, strlen(dataset) + 1);
    for (size_t i = 0; i < header_bytes; i++) {
        partial.header[i] = (unsigned char)(i * 7); /* zeros among them */
    }
    return partial;
}

static void check_kept(const struct store_partial *partial)
{
    struct store_partial found;
    OK(partial_get, partial->dataset, &found);
    ck_assert_str_eq(found.dataset, partial->dataset);
    ck_assert_uint_eq(found.total, partial->total);
    ck_assert_uint_eq(found.sample_bytes, partial->sample_bytes);
    ck_assert_int_eq(found.is_npy, partial->is_npy);
    ck_assert_int_eq(found.in_header, partial->in_header);
    ck_assert_uint_eq(found.header_bytes, partial->header_bytes);
    ck_assert_mem_eq(found.header, partial->header, partial->header_bytes);
}

START_TEST(test_what_is_put_is_kept)
{
    static const size_t headers[] = {0, 1, 128, STORE_PARTIAL_HEADER};
    struct store_partial found;
    char id[RESOURCE_ID_SIZE];
    add_dataset("", id);
    FAILS(REJECTD_NOT_FOUND, partial_get, id, &found);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        for (uint64_t samples = 0; samples < 3; samples++) {
            const struct store_partial partial =
                partial_of(id, headers[i], samples == 2 ? UINT64_C(1) << 39 : samples);
            OK(partial_put, &partial);
            check_kept(&partial);
            store_reopen();
            check_kept(&partial);
        }
    }
    OK(partial_delete, id);
    FAILS(REJECTD_NOT_FOUND, partial_get, id, &found);
    OK(partial_delete, id);
}
END_TEST

START_TEST(test_only_while_samples_are_awaited)
{
    struct store_partial found;
    char id[RESOURCE_ID_SIZE];
    struct store_partial partial = partial_of(unknown, 5, 0);
    FAILS(REJECTD_CONFLICT, partial_put, &partial);
    add_dataset("next.fif", id);
    partial = partial_of(id, 5, 0);
    FAILS(REJECTD_CONFLICT, partial_put, &partial);

    add_dataset("", id);
    partial = partial_of(id, 5, 0);
    OK(partial_put, &partial);
    OK(dataset_set_samples, id, sha_a);
    FAILS(REJECTD_NOT_FOUND, partial_get, id, &found);
    FAILS(REJECTD_CONFLICT, partial_put, &partial);

    add_dataset("", id);
    partial = partial_of(id, 5, 0);
    OK(partial_put, &partial);
    delete_dataset(id);
    FAILS(REJECTD_NOT_FOUND, partial_get, id, &found);
    FAILS(REJECTD_CONFLICT, partial_put, &partial);
}
END_TEST

START_TEST(test_expiry)
{
    enum { N = 4 };
    char ids[N][RESOURCE_ID_SIZE], expired[N][RESOURCE_ID_SIZE];
    size_t n = 99;
    for (int i = 0; i < N; i++) {
        add_dataset("", ids[i]);
        const struct store_partial partial = partial_of(ids[i], 0, 8);
        OK(partial_put, &partial);
    }
    const int64_t after = clock_milliseconds() + 1;
    OK(partial_expired, after - 1000000, expired, N, &n);
    ck_assert_uint_eq(n, 0);
    OK(partial_expired, after, expired, N, &n);
    ck_assert_uint_eq(n, N);
    OK(partial_expired, after, expired, 2, &n);
    ck_assert_uint_eq(n, 2);
    OK(partial_delete, ids[0]);
    OK(partial_expired, after, expired, N, &n);
    ck_assert_uint_eq(n, N - 1);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_ne(expired[i], ids[0]);
    }
}
END_TEST

TCase *store_suite_partials(const struct store_under_test *implementation)
{
    TCase *tests = store_case("partials", implementation, NULL);
    tcase_add_test(tests, test_what_is_put_is_kept);
    tcase_add_test(tests, test_only_while_samples_are_awaited);
    tcase_add_test(tests, test_expiry);
    return tests;
}
