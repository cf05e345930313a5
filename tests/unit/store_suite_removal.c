/* The part of a store's contract that is about what is removed, and when it is due to be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "store_fixture.h"

enum { CAPACITY = 8 };

static const char unknown[] = "ds_0000000000000000000000";

static void add_job(const char *dataset, char id[RESOURCE_ID_SIZE])
{
    struct job_view job = {.type = JOB_FIT, .device = "auto"};
    snprintf(job.dataset, sizeof job.dataset, "%s", dataset);
    OK(job_insert, NULL, &job);
    memcpy(id, job.id, RESOURCE_ID_SIZE);
    job_view_clear(&job);
}

/* Ends the next job with a result. */
static void succeed(const char *job, const char *model_id)
{
    const struct store_outcome outcome = success(model_id);
    OK(job_finish, job, claim(job), &outcome);
}

static bool has(const struct store_removed *removed, const char *sha256)
{
    bool found = false;
    for (size_t i = 0; i < removed->n; i++) {
        found = found || strcmp(removed->sha256[i], sha256) == 0;
    }
    return found;
}

static void check_result_is_gone(const char *job)
{
    struct store_result result = {0};
    struct job_view view = {0};
    FAILS(REJECTD_NOT_FOUND, job_result, job, &result);
    ck_assert_ptr_nonnull(strstr(error.message, "removed"));
    OK(job_get, job, &view);
    ck_assert_int_eq(view.state, JOB_STATE_SUCCEEDED);
    ck_assert_uint_eq(strlen(view.result_removed_at), strlen("2024-05-01T12:00:00.000Z"));
    ck_assert_int_eq(view.result_since, 0);
    job_view_clear(&view);
}

static size_t n_unused(int64_t before)
{
    char ids[CAPACITY][RESOURCE_ID_SIZE];
    size_t n = 0;
    OK(dataset_unused, before, ids, CAPACITY, &n);
    return n;
}

START_TEST(test_dataset_takes_its_results_along)
{
    char one[RESOURCE_ID_SIZE], two[RESOURCE_ID_SIZE], of_one[RESOURCE_ID_SIZE],
        of_two[RESOURCE_ID_SIZE];
    struct store_removed removed;
    struct store_result result = {0};
    struct model_view model = {0};
    insert_samples(sha_a, one);
    insert_samples(sha_a, two);
    add_job(one, of_one);
    succeed(of_one, "md_0000000000000000000001");
    add_job(two, of_two);
    succeed(of_two, NULL);

    OK(dataset_delete, one, STORE_WHENEVER_USED, &removed);
    ck_assert_uint_eq(removed.n_results, 1);
    ck_assert_uint_eq(removed.n, 3);
    ck_assert(has(&removed, sha_a) && has(&removed, sha_b) && has(&removed, sha_c));
    store_removed_clear(&removed);
    check_result_is_gone(of_one);
    OK(model_get, "md_0000000000000000000001", &model);
    model_view_clear(&model);

    /* The other dataset has the same samples, and its job the same results. */
    ck_assert(store->functions->blob_is_needed(store, sha_a));
    ck_assert(store->functions->blob_is_needed(store, sha_b));
    OK(job_result, of_two, &result);
    ck_assert_str_eq(result.artifacts[ARTIFACT_LABELS], sha_b);
    free(result.json);
    OK(dataset_delete, two, STORE_WHENEVER_USED, &removed);
    store_removed_clear(&removed);
    ck_assert(!store->functions->blob_is_needed(store, sha_a));
    ck_assert(!store->functions->blob_is_needed(store, sha_b));
    ck_assert(!store->functions->blob_is_needed(store, sha_c));
    FAILS(REJECTD_NOT_FOUND, dataset_delete, two, STORE_WHENEVER_USED, &removed);
    ck_assert_ptr_null(removed.sha256);
}
END_TEST

START_TEST(test_result_is_removed_once)
{
    char dataset[RESOURCE_ID_SIZE], job[RESOURCE_ID_SIZE], waits[RESOURCE_ID_SIZE];
    struct store_removed removed;
    insert_samples(sha_a, dataset);
    add_job(dataset, job);
    succeed(job, NULL);
    add_job(dataset, waits);
    OK(result_delete, job, &removed);
    ck_assert_uint_eq(removed.n_results, 1);
    ck_assert_uint_eq(removed.n, 2);
    store_removed_clear(&removed);
    check_result_is_gone(job);
    FAILS(REJECTD_NOT_FOUND, result_delete, job, &removed);
    FAILS(REJECTD_NOT_FOUND, result_delete, waits, &removed);
    FAILS(REJECTD_NOT_FOUND, result_delete, unknown, &removed);
    ck_assert(store->functions->blob_is_needed(store, sha_a));
    ck_assert(!store->functions->blob_is_needed(store, sha_b));
}
END_TEST

START_TEST(test_old_results)
{
    char dataset[RESOURCE_ID_SIZE], first[RESOURCE_ID_SIZE], second[RESOURCE_ID_SIZE];
    char ids[CAPACITY][RESOURCE_ID_SIZE];
    size_t n = 99;
    struct store_removed removed;
    insert_samples(sha_a, dataset);
    add_job(dataset, first);
    succeed(first, NULL);
    add_job(dataset, second);
    const int64_t after = clock_milliseconds() + 1;
    OK(result_old, after, ids, CAPACITY, &n);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(ids[0], first);
    OK(result_old, after - 1000000, ids, CAPACITY, &n);
    ck_assert_uint_eq(n, 0);
    succeed(second, NULL);
    OK(result_old, clock_milliseconds() + 1, ids, CAPACITY, &n);
    ck_assert_uint_eq(n, 2);
    OK(result_old, clock_milliseconds() + 1, ids, 1, &n);
    ck_assert_uint_eq(n, 1);
    OK(result_delete, first, &removed);
    store_removed_clear(&removed);
    OK(result_old, clock_milliseconds() + 1, ids, CAPACITY, &n);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(ids[0], second);
}
END_TEST

static void wait_until_later_than(int64_t moment)
{
    while (clock_milliseconds() <= moment) {
    }
}

START_TEST(test_unused_datasets)
{
    char dataset[RESOURCE_ID_SIZE], job[RESOURCE_ID_SIZE];
    struct store_removed removed;
    struct dataset_view view = {0};
    insert_samples(sha_a, dataset);
    OK(dataset_get, dataset, &view);
    const int64_t made = view.used_at;
    dataset_view_clear(&view);
    ck_assert_int_gt(made, 0);
    ck_assert_uint_eq(n_unused(made), 0);
    ck_assert_uint_eq(n_unused(made + 1), 1);

    /* Not while a job is to use it, and not soon after. */
    wait_until_later_than(made);
    add_job(dataset, job);
    ck_assert_uint_eq(n_unused(INT64_MAX), 0);
    FAILS(REJECTD_CONFLICT, dataset_delete, dataset, STORE_WHENEVER_USED, &removed);
    succeed(job, NULL);
    ck_assert_uint_eq(n_unused(made + 1), 0);
    ck_assert_uint_eq(n_unused(INT64_MAX), 1);
    FAILS(REJECTD_CONFLICT, dataset_delete, dataset, made + 1, &removed);
    store_reopen();
    OK(dataset_get, dataset, &view);
    const int64_t used = view.used_at;
    dataset_view_clear(&view);
    ck_assert_int_gt(used, made);
    FAILS(REJECTD_CONFLICT, dataset_delete, dataset, used, &removed);
    OK(dataset_delete, dataset, used + 1, &removed);
    store_removed_clear(&removed);
    ck_assert_uint_eq(n_unused(INT64_MAX), 0);
}
END_TEST

START_TEST(test_upload_is_a_use)
{
    char whole[RESOURCE_ID_SIZE], pieces[RESOURCE_ID_SIZE];
    struct dataset_view view = {.bytes = 960, .description_json = strdup("{\"sfreq\":100}")};
    OK(dataset_insert, &view, NULL, 0);
    memcpy(whole, view.id, sizeof whole);
    OK(dataset_insert, &view, NULL, 0);
    memcpy(pieces, view.id, sizeof pieces);
    const int64_t made = view.used_at;
    dataset_view_clear(&view);
    wait_until_later_than(made);
    struct store_partial partial = {.total = 960, .sample_bytes = 8};
    memcpy(partial.dataset, pieces, sizeof pieces);
    OK(partial_put, &partial);
    ck_assert_uint_eq(n_unused(made + 1), 1);
    OK(dataset_set_samples, whole, sha_a);
    ck_assert_uint_eq(n_unused(made + 1), 0);
    ck_assert_uint_eq(n_unused(clock_milliseconds() + 1), 2);
}
END_TEST

TCase *store_suite_removal(const struct store_under_test *implementation)
{
    TCase *tests = store_case("removal", implementation, NULL);
    tcase_add_test(tests, test_dataset_takes_its_results_along);
    tcase_add_test(tests, test_result_is_removed_once);
    tcase_add_test(tests, test_old_results);
    tcase_add_test(tests, test_unused_datasets);
    tcase_add_test(tests, test_upload_is_a_use);
    return tests;
}
