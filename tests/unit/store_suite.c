#include "store_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char unknown[] = "ds_0000000000000000000000";

static char *copy(const char *text)
{
    char *made = strdup(text);
    ck_assert_ptr_nonnull(made);
    return made;
}

static void add_job(const char *dataset, int priority, char id[RESOURCE_ID_SIZE])
{
    struct job_view job = {
        .type = JOB_FIT, .priority = priority, .parameters_json = copy("{\"cv\":5}")};
    snprintf(job.dataset, sizeof job.dataset, "%s", dataset);
    snprintf(job.device, sizeof job.device, "auto");
    OK(job_insert, NULL, &job);
    ck_assert_int_eq(job.state, JOB_STATE_QUEUED);
    memcpy(id, job.id, RESOURCE_ID_SIZE);
    job_view_clear(&job);
}

static enum job_state state_of(const char *id)
{
    struct job_view job = {0};
    OK(job_get, id, &job);
    const enum job_state state = job.state;
    job_view_clear(&job);
    return state;
}

/* ---- datasets ---- */

START_TEST(test_dataset_gets_id_and_time)
{
    char id[RESOURCE_ID_SIZE];
    struct dataset_view dataset = {0};
    insert_samples("", id);
    ck_assert_int_eq(strncmp(id, "ds_", 3), 0);
    ck_assert_uint_eq(strlen(id), 25);
    OK(dataset_get, id, &dataset);
    ck_assert_str_eq(dataset.id, id);
    ck_assert_int_eq(dataset.state, DATASET_AWAITING_SAMPLES);
    ck_assert_str_eq(dataset.sha256, "");
    ck_assert_uint_eq(dataset.bytes, 960);
    ck_assert_str_eq(dataset.description_json, "{\"sfreq\":100}");
    ck_assert_uint_eq(strlen(dataset.created_at), strlen("2024-05-01T12:00:00.000Z"));
    dataset_view_clear(&dataset);
}
END_TEST

START_TEST(test_samples_come_once)
{
    char id[RESOURCE_ID_SIZE];
    struct dataset_view dataset = {0};
    insert_samples("", id);
    OK(dataset_set_samples, id, sha_a);
    FAILS(REJECTD_CONFLICT, dataset_set_samples, id, sha_b);
    FAILS(REJECTD_NOT_FOUND, dataset_set_samples, unknown, sha_b);
    OK(dataset_get, id, &dataset);
    ck_assert_int_eq(dataset.state, DATASET_READY);
    ck_assert_str_eq(dataset.sha256, sha_a);
    dataset_view_clear(&dataset);
}
END_TEST

START_TEST(test_datasets_newest_first)
{
    char ids[5][RESOURCE_ID_SIZE];
    for (int i = 0; i < 5; i++) {
        insert_samples(i % 2 == 0 ? sha_a : "", ids[i]);
    }
    struct dataset_view *list = NULL;
    size_t n = 0;
    OK(dataset_list, NULL, 3, &list, &n);
    ck_assert_uint_eq(n, 3);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(list[i].id, ids[4 - i]);
    }
    dataset_list_free(list, n);
    OK(dataset_list, NULL, 1000, &list, &n);
    ck_assert_uint_eq(n, 5);
    dataset_list_free(list, n);
}
END_TEST

START_TEST(test_dataset_is_deleted_unless_used)
{
    char id[RESOURCE_ID_SIZE], job[RESOURCE_ID_SIZE];
    struct dataset_view dataset = {0};
    struct job_view cancelled = {0};
    struct store_removed removed;
    insert_samples(sha_a, id);
    add_job(id, 0, job);
    FAILS(REJECTD_CONFLICT, dataset_delete, id, STORE_WHENEVER_USED, &removed);
    OK(job_cancel, job, &cancelled);
    job_view_clear(&cancelled);
    delete_dataset(id);
    FAILS(REJECTD_NOT_FOUND, dataset_delete, id, STORE_WHENEVER_USED, &removed);
    FAILS(REJECTD_NOT_FOUND, dataset_get, id, &dataset);
    /* The job is history, and stays. */
    ck_assert_int_eq(state_of(job), JOB_STATE_CANCELLED);
}
END_TEST

START_TEST(test_blobs_that_are_needed)
{
    char one[RESOURCE_ID_SIZE], two[RESOURCE_ID_SIZE], job[RESOURCE_ID_SIZE];
    insert_samples(sha_a, one);
    insert_samples(sha_a, two);
    ck_assert(store->functions->blob_is_needed(store, sha_a));
    ck_assert(!store->functions->blob_is_needed(store, sha_b));
    delete_dataset(one);
    ck_assert(store->functions->blob_is_needed(store, sha_a));
    add_job(two, 0, job);
    const struct store_outcome outcome = success(NULL);
    OK(job_finish, job, claim(job), &outcome);
    ck_assert(store->functions->blob_is_needed(store, sha_b));
    ck_assert(store->functions->blob_is_needed(store, sha_c));
    delete_dataset(two);
    ck_assert(!store->functions->blob_is_needed(store, sha_a));
    ck_assert(!store->functions->blob_is_needed(store, sha_b));
}
END_TEST

/* ---- jobs ---- */

START_TEST(test_job_needs_a_ready_dataset)
{
    char id[RESOURCE_ID_SIZE];
    struct job_view job = {.type = JOB_FIT, .device = "auto"};
    insert_samples("", id);
    memcpy(job.dataset, id, sizeof job.dataset);
    FAILS(REJECTD_CONFLICT, job_insert, NULL, &job);
    memcpy(job.dataset, unknown, sizeof unknown);
    FAILS(REJECTD_NOT_FOUND, job_insert, NULL, &job);
    insert_samples(sha_a, id);
    memcpy(job.dataset, id, sizeof job.dataset);
    job.type = JOB_APPLY;
    memcpy(job.model, "md_0000000000000000000000", 26);
    FAILS(REJECTD_NOT_FOUND, job_insert, NULL, &job);
    ck_assert_str_eq(error.field, "model");
    ck_assert(queue_is_empty());
    job_view_clear(&job);
}
END_TEST

START_TEST(test_claims_by_priority_then_age)
{
    char dataset[RESOURCE_ID_SIZE], jobs[5][RESOURCE_ID_SIZE];
    static const int priorities[5] = {0, 5, -1, 5, 0};
    static const int order[5] = {1, 3, 0, 4, 2};
    insert_samples(sha_a, dataset);
    for (int i = 0; i < 5; i++) {
        add_job(dataset, priorities[i], jobs[i]);
    }
    for (long i = 0; i < 5; i++) {
        struct job_view job = {0};
        OK(job_get, jobs[order[i]], &job);
        ck_assert_int_eq(job.position, i);
        ck_assert_int_eq(job.attempt, 0);
        ck_assert_str_eq(job.started_at, "");
        job_view_clear(&job);
    }
    for (int i = 0; i < 5; i++) {
        claim(jobs[order[i]]);
    }
    ck_assert(queue_is_empty());
    ck_assert_int_eq(state_of(jobs[2]), JOB_STATE_RUNNING);
}
END_TEST

START_TEST(test_claim_tells_the_job)
{
    char dataset[RESOURCE_ID_SIZE], id[RESOURCE_ID_SIZE];
    struct store_claim claimed = {0};
    struct job_view job = {0};
    bool found = false;
    insert_samples(sha_a, dataset);
    add_job(dataset, 0, id);
    OK(job_claim, &processor, &found, &claimed);
    ck_assert_str_eq(claimed.dataset, dataset);
    ck_assert_str_eq(claimed.model, "");
    ck_assert_int_eq(claimed.type, JOB_FIT);
    ck_assert_str_eq(claimed.parameters_json, "{\"cv\":5}");
    ck_assert(claimed.seconds_queued >= 0.0 && claimed.seconds_queued < 60.0);
    store_claim_clear(&claimed);
    OK(job_get, id, &job);
    ck_assert_int_eq(job.attempt, 1);
    ck_assert_int_eq(job.position, -1);
    ck_assert_str_ne(job.started_at, "");
    ck_assert_str_eq(job.finished_at, "");
    job_view_clear(&job);
}
END_TEST

START_TEST(test_success_brings_result_and_model)
{
    char dataset[RESOURCE_ID_SIZE], id[RESOURCE_ID_SIZE], model_id[RESOURCE_ID_SIZE];
    struct store_result result = {0};
    struct model_view model = {0};
    insert_samples(sha_a, dataset);
    add_job(dataset, 0, id);
    FAILS(REJECTD_CONFLICT, job_result, id, &result);
    store_new_id("md_", model_id);
    const struct store_outcome outcome = success(model_id);
    OK(job_finish, id, claim(id), &outcome);
    OK(job_result, id, &result);
    ck_assert_str_eq(result.json, outcome.result_json);
    ck_assert_str_eq(result.artifacts[ARTIFACT_LABELS], sha_b);
    ck_assert_str_eq(result.artifacts[ARTIFACT_CLEANED], sha_c);
    free(result.json);
    OK(model_get, model_id, &model);
    ck_assert_str_eq(model.job, id);
    ck_assert_str_eq(model.dataset, dataset);
    ck_assert_str_eq(model.model_json, outcome.model_json);
    model_view_clear(&model);
}
END_TEST

START_TEST(test_failure_brings_its_reason)
{
    char dataset[RESOURCE_ID_SIZE], id[RESOURCE_ID_SIZE];
    struct job_view job = {0};
    struct store_result result = {0};
    struct rejectd_error reason = {0};
    insert_samples(sha_a, dataset);
    add_job(dataset, 0, id);
    REJECTD_FAIL(&reason, REJECTD_UNSUITABLE_DATASET, "channels[3].position", "why not");
    const struct store_outcome outcome = {.state = JOB_STATE_FAILED, .error = &reason};
    OK(job_finish, id, claim(id), &outcome);
    OK(job_get, id, &job);
    ck_assert_int_eq(job.state, JOB_STATE_FAILED);
    ck_assert_int_eq(job.error.status, REJECTD_UNSUITABLE_DATASET);
    ck_assert_str_eq(job.error.field, "channels[3].position");
    ck_assert_str_eq(job.error.message, "why not");
    ck_assert_str_ne(job.finished_at, "");
    FAILS(REJECTD_CONFLICT, job_result, id, &result);
    FAILS(REJECTD_NOT_FOUND, job_result, unknown, &result);
    job_view_clear(&job);
}
END_TEST

START_TEST(test_old_fences_are_refused)
{
    char dataset[RESOURCE_ID_SIZE], id[RESOURCE_ID_SIZE], model_id[RESOURCE_ID_SIZE];
    struct store_recovery recovery = {0};
    struct model_view model = {0};
    insert_samples(sha_a, dataset);
    add_job(dataset, 0, id);
    const int64_t old = claim(id);
    OK(recover, &recovery);
    const int64_t fresh = claim(id);
    ck_assert_int_gt(fresh, old);
    store_new_id("md_", model_id);
    const struct store_outcome outcome = success(model_id);
    FAILS(REJECTD_CONFLICT, job_finish, id, old, &outcome);
    FAILS(REJECTD_CONFLICT, job_release, id, old);
    FAILS(REJECTD_NOT_FOUND, model_get, model_id, &model);
    ck_assert_int_eq(state_of(id), JOB_STATE_RUNNING);
    OK(job_finish, id, fresh, &outcome);
    FAILS(REJECTD_CONFLICT, job_finish, id, fresh, &outcome);
}
END_TEST

START_TEST(test_release_is_no_loss)
{
    char dataset[RESOURCE_ID_SIZE], id[RESOURCE_ID_SIZE];
    struct store_recovery recovery = {0};
    insert_samples(sha_a, dataset);
    add_job(dataset, 0, id);
    for (int i = 0; i < 3 * STORE_MAX_ATTEMPTS; i++) {
        OK(job_release, id, claim(id));
        ck_assert_int_eq(state_of(id), JOB_STATE_QUEUED);
    }
    claim(id);
    OK(recover, &recovery);
    ck_assert_uint_eq(recovery.n_requeued, 1);
    ck_assert_uint_eq(recovery.n_failed, 0);
}
END_TEST

START_TEST(test_a_job_lost_too_often_has_failed)
{
    char dataset[RESOURCE_ID_SIZE], id[RESOURCE_ID_SIZE];
    struct job_view job = {0};
    insert_samples(sha_a, dataset);
    add_job(dataset, 0, id);
    for (int lost = 1; lost <= STORE_MAX_ATTEMPTS; lost++) {
        struct store_recovery recovery = {0};
        claim(id);
        store_reopen();
        OK(recover, &recovery);
        ck_assert_uint_eq(recovery.n_requeued, lost < STORE_MAX_ATTEMPTS);
        ck_assert_uint_eq(recovery.n_failed, lost == STORE_MAX_ATTEMPTS);
    }
    OK(job_get, id, &job);
    ck_assert_int_eq(job.state, JOB_STATE_FAILED);
    ck_assert_int_eq(job.attempt, STORE_MAX_ATTEMPTS);
    ck_assert_str_ne(job.error.message, "");
    job_view_clear(&job);
}
END_TEST

START_TEST(test_cancel)
{
    char dataset[RESOURCE_ID_SIZE], queued[RESOURCE_ID_SIZE], running[RESOURCE_ID_SIZE];
    struct job_view job = {0};
    struct store_recovery recovery = {0};
    insert_samples(sha_a, dataset);
    add_job(dataset, 9, running);
    add_job(dataset, 0, queued);
    const int64_t fence = claim(running);
    OK(job_cancel, queued, &job);
    ck_assert_int_eq(job.state, JOB_STATE_CANCELLED);
    ck_assert_str_ne(job.finished_at, "");
    ck_assert_str_eq(job.started_at, "");
    job_view_clear(&job);
    ck_assert(queue_is_empty());
    FAILS(REJECTD_CONFLICT, job_cancel, queued, &job);
    FAILS(REJECTD_NOT_FOUND, job_cancel, unknown, &job);
    /* A running one is only marked: its worker ends it. */
    OK(job_cancel, running, &job);
    ck_assert_int_eq(job.state, JOB_STATE_RUNNING);
    job_view_clear(&job);
    if (_i == 0) {
        const struct store_outcome outcome = {.state = JOB_STATE_CANCELLED};
        OK(job_finish, running, fence, &outcome);
    } else if (_i == 1) {
        /* Or dies with it. */
        OK(recover, &recovery);
        ck_assert_uint_eq(recovery.n_cancelled, 1);
    } else {
        OK(job_release, running, fence);
    }
    ck_assert_int_eq(state_of(running), JOB_STATE_CANCELLED);
    ck_assert(queue_is_empty());
}
END_TEST

START_TEST(test_jobs_newest_first)
{
    char dataset[RESOURCE_ID_SIZE], ids[4][RESOURCE_ID_SIZE];
    struct job_view *list = NULL;
    size_t n = 0;
    insert_samples(sha_a, dataset);
    for (int i = 0; i < 4; i++) {
        add_job(dataset, i, ids[i]);
    }
    OK(job_list, NULL, 2, &list, &n);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(list[0].id, ids[3]);
    ck_assert_str_eq(list[1].id, ids[2]);
    job_list_free(list, n);
}
END_TEST

/* ---- models ---- */

START_TEST(test_model_is_deleted_unless_used)
{
    char dataset[RESOURCE_ID_SIZE], fit[RESOURCE_ID_SIZE], model_id[RESOURCE_ID_SIZE];
    struct job_view apply = {.type = JOB_APPLY, .device = "auto"};
    struct model_view *list = NULL;
    size_t n = 0;
    insert_samples(sha_a, dataset);
    add_job(dataset, 0, fit);
    store_new_id("md_", model_id);
    const struct store_outcome outcome = success(model_id);
    OK(job_finish, fit, claim(fit), &outcome);
    memcpy(apply.dataset, dataset, sizeof apply.dataset);
    memcpy(apply.model, model_id, sizeof apply.model);
    OK(job_insert, NULL, &apply);
    FAILS(REJECTD_CONFLICT, model_delete, model_id);
    const struct store_outcome applied = success(NULL);
    OK(job_finish, apply.id, claim(apply.id), &applied);
    OK(model_list, NULL, 10, &list, &n);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(list[0].id, model_id);
    model_list_free(list, n);
    OK(model_delete, model_id);
    FAILS(REJECTD_NOT_FOUND, model_delete, model_id);
    job_view_clear(&apply);
}
END_TEST

START_TEST(test_model_without_a_job)
{
    struct model_view model = {.model_json = strdup("{\"types\":[]}")}, found = {0};
    OK(model_insert, &model);
    ck_assert_uint_eq(strncmp(model.id, "md_", 3), 0);
    OK(model_get, model.id, &found);
    ck_assert_str_eq(found.id, model.id);
    ck_assert_str_eq(found.job, "");
    ck_assert_str_eq(found.dataset, "");
    ck_assert_str_eq(found.created_at, model.created_at);
    ck_assert_str_eq(found.model_json, model.model_json);
    OK(model_delete, model.id);
    FAILS(REJECTD_NOT_FOUND, model_delete, model.id);
    model_view_clear(&model);
    model_view_clear(&found);
}
END_TEST

/* ---- everything ---- */

START_TEST(test_reopening_keeps_everything)
{
    char dataset[RESOURCE_ID_SIZE], done[RESOURCE_ID_SIZE], waiting[RESOURCE_ID_SIZE];
    char model_id[RESOURCE_ID_SIZE];
    struct job_view before = {0}, after = {0};
    struct store_result result = {0};
    struct model_view model = {0};
    insert_samples(sha_a, dataset);
    add_job(dataset, 1, done);
    add_job(dataset, 0, waiting);
    store_new_id("md_", model_id);
    const struct store_outcome outcome = success(model_id);
    OK(job_finish, done, claim(done), &outcome);
    OK(job_get, done, &before);
    store_reopen();
    OK(job_get, done, &after);
    char *text_before = job_view_to_json(&before), *text_after = job_view_to_json(&after);
    ck_assert_str_eq(text_before, text_after);
    free(text_before);
    free(text_after);
    job_view_clear(&before);
    job_view_clear(&after);
    OK(job_result, done, &result);
    free(result.json);
    OK(model_get, model_id, &model);
    model_view_clear(&model);
    claim(waiting);
}
END_TEST

enum { N_CLAIMERS = 4, N_CLAIMED = 60 };

static void *claim_all(void *context)
{
    char(*claimed)[RESOURCE_ID_SIZE] = context;
    struct rejectd_error problem = {0};
    for (size_t n = 0;; n++) {
        struct store_claim next = {0};
        bool found = false;
        if (store->functions->job_claim(store, &processor, &found, &next, &problem) != REJECTD_OK ||
            !found) {
            return NULL;
        }
        memcpy(claimed[n], next.job, sizeof claimed[n]);
        store_claim_clear(&next);
    }
}

static int by_id(const void *a, const void *b)
{
    return strcmp(a, b);
}

START_TEST(test_no_job_is_claimed_twice)
{
    static char claimed[N_CLAIMERS][N_CLAIMED + 1][RESOURCE_ID_SIZE];
    char dataset[RESOURCE_ID_SIZE], id[RESOURCE_ID_SIZE];
    static char all[N_CLAIMED][RESOURCE_ID_SIZE];
    pthread_t threads[N_CLAIMERS];
    size_t n = 0;
    insert_samples(sha_a, dataset);
    for (int i = 0; i < N_CLAIMED; i++) {
        add_job(dataset, 0, id);
    }
    for (int t = 0; t < N_CLAIMERS; t++) {
        ck_assert_int_eq(pthread_create(&threads[t], NULL, claim_all, claimed[t]), 0);
    }
    for (int t = 0; t < N_CLAIMERS; t++) {
        pthread_join(threads[t], NULL);
        for (size_t i = 0; claimed[t][i][0] != '\0'; i++) {
            ck_assert_uint_lt(n, N_CLAIMED);
            memcpy(all[n++], claimed[t][i], RESOURCE_ID_SIZE);
        }
    }
    ck_assert_uint_eq(n, N_CLAIMED);
    qsort(all, n, sizeof all[0], by_id);
    for (size_t i = 1; i < n; i++) {
        ck_assert_str_ne(all[i - 1], all[i]);
    }
}
END_TEST

START_TEST(test_queue_is_looked_at)
{
    char dataset[RESOURCE_ID_SIZE], id[RESOURCE_ID_SIZE];
    static struct store_queue queue;
    struct store_claim claim = {0};
    bool found = false;
    insert_samples(sha_a, dataset);
    OK(queue_look, &queue);
    ck_assert_uint_eq(queue.n + queue.n_running, 0);
    add_job(dataset, 0, id);
    add_job(dataset, -2, id);
    add_job(dataset, 7, id);
    add_job(dataset, 0, id);
    OK(job_claim, &processor, &found, &claim);
    ck_assert(found && claim.priority == 7);
    store_claim_clear(&claim);
    OK(queue_look, &queue);
    ck_assert_uint_eq(queue.n_running, 1);
    ck_assert_uint_eq(queue.n, 2);
    ck_assert_int_eq(queue.by_priority[0].priority, 0);
    ck_assert_uint_eq(queue.by_priority[0].n_queued, 2);
    ck_assert_int_eq(queue.by_priority[1].priority, -2);
    ck_assert_uint_eq(queue.by_priority[1].n_queued, 1);
    ck_assert_int_gt(queue.by_priority[1].oldest, 0);
    ck_assert_int_le(queue.by_priority[0].oldest, queue.by_priority[1].oldest);
}
END_TEST

START_TEST(test_queue_is_listed)
{
    char dataset[RESOURCE_ID_SIZE], ids[4][RESOURCE_ID_SIZE];
    const int priorities[] = {0, 7, 0, 3};
    const int expected[] = {1, 3, 0, 2}; /* the first runs */
    const struct store_viewer stranger = {"somebody"};
    struct job_view *jobs = NULL;
    size_t n = 0;
    insert_samples(sha_a, dataset);
    for (int i = 0; i < 4; i++) {
        add_job(dataset, priorities[i], ids[i]);
    }
    claim(ids[1]);
    OK(queue_list, NULL, 10, &jobs, &n);
    ck_assert_uint_eq(n, 4);
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(jobs[i].id, ids[expected[i]]);
        ck_assert_int_eq(jobs[i].state, i == 0 ? JOB_STATE_RUNNING : JOB_STATE_QUEUED);
        ck_assert_int_eq(jobs[i].position, (long)i - 1);
        ck_assert_ptr_null(jobs[i].parameters_json);
    }
    job_list_free(jobs, n);
    OK(queue_list, NULL, 2, &jobs, &n);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(jobs[1].id, ids[3]);
    job_list_free(jobs, n);
    OK(queue_list, &stranger, 10, &jobs, &n);
    ck_assert_uint_eq(n, 0);
    job_list_free(jobs, n);
}
END_TEST

START_TEST(test_request_of_a_job)
{
    char dataset[RESOURCE_ID_SIZE];
    struct store_claim claim = {0};
    bool found = false;
    insert_samples(sha_a, dataset);
    struct job_view job = {.type = JOB_FIT, .device = "auto", .request_id = "a.request-1"};
    memcpy(job.dataset, dataset, sizeof job.dataset);
    OK(job_insert, NULL, &job);
    ck_assert_str_eq(job.request_id, "a.request-1");
    job_view_clear(&job);
    OK(job_claim, &processor, &found, &claim);
    ck_assert_str_eq(claim.request_id, "a.request-1");
    store_claim_clear(&claim);
}
END_TEST

TCase *store_suite(const struct store_under_test *implementation)
{
    TCase *tests = store_case("contract", implementation, NULL);
    tcase_add_test(tests, test_dataset_gets_id_and_time);
    tcase_add_test(tests, test_samples_come_once);
    tcase_add_test(tests, test_datasets_newest_first);
    tcase_add_test(tests, test_dataset_is_deleted_unless_used);
    tcase_add_test(tests, test_blobs_that_are_needed);
    tcase_add_test(tests, test_job_needs_a_ready_dataset);
    tcase_add_test(tests, test_claims_by_priority_then_age);
    tcase_add_test(tests, test_claim_tells_the_job);
    tcase_add_test(tests, test_success_brings_result_and_model);
    tcase_add_test(tests, test_failure_brings_its_reason);
    tcase_add_test(tests, test_old_fences_are_refused);
    tcase_add_test(tests, test_release_is_no_loss);
    tcase_add_test(tests, test_a_job_lost_too_often_has_failed);
    tcase_add_loop_test(tests, test_cancel, 0, 3);
    tcase_add_test(tests, test_jobs_newest_first);
    tcase_add_test(tests, test_model_is_deleted_unless_used);
    tcase_add_test(tests, test_model_without_a_job);
    tcase_add_test(tests, test_reopening_keeps_everything);
    tcase_add_test(tests, test_no_job_is_claimed_twice);
    tcase_add_test(tests, test_queue_is_looked_at);
    tcase_add_test(tests, test_queue_is_listed);
    tcase_add_test(tests, test_request_of_a_job);
    return tests;
}
