/* The part of a store's contract that is about users: whose things are, who is next, tokens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_fixture.h"

static char dataset[RESOURCE_ID_SIZE];

static const struct store_viewer anna = {"anna"};
static const struct store_viewer bert = {"bert"};

static struct ownership of(const char *owner, enum visibility visibility)
{
    struct ownership ownership = {.visibility = visibility};
    snprintf(ownership.owner, sizeof ownership.owner, "%s", owner);
    return ownership;
}

static void add_dataset(const char *owner, enum visibility visibility, char id[RESOURCE_ID_SIZE])
{
    struct dataset_view view = {.ownership = of(owner, visibility)};
    memcpy(view.sha256, sha_a, sizeof view.sha256);
    insert_dataset(&view, id);
}

static void set_up(void)
{
    add_dataset("", VISIBILITY_LAB, dataset);
}

static enum rejectd_status submit(const char *owner, int priority,
                                  const struct store_submission *submission,
                                  char id[RESOURCE_ID_SIZE])
{
    struct job_view job = {.type = JOB_FIT,
                           .priority = priority,
                           .device = "auto",
                           .ownership = of(owner, VISIBILITY_PRIVATE)};
    memcpy(job.dataset, dataset, sizeof job.dataset);
    const enum rejectd_status status = CALL(job_insert, submission, &job);
    memcpy(id, job.id, RESOURCE_ID_SIZE);
    job_view_clear(&job);
    return status;
}

static void add_job(const char *owner, int priority, char id[RESOURCE_ID_SIZE])
{
    ck_assert_int_eq(submit(owner, priority, NULL, id), REJECTD_OK);
}

static void finish(const char *job, int64_t fence)
{
    const struct store_outcome outcome = {.state = JOB_STATE_CANCELLED};
    OK(job_finish, job, fence, &outcome);
}

static long place_of(const char *id)
{
    struct job_view job = {0};
    OK(job_get, id, &job);
    const long place = job.position;
    job_view_clear(&job);
    return place;
}

/* ---- whose ---- */

static size_t n_seen(const struct store_viewer *viewer)
{
    struct dataset_view *list = NULL;
    size_t n = 0;
    OK(dataset_list, viewer, 1000, &list, &n);
    dataset_list_free(list, n);
    return n;
}

START_TEST(test_lists_show_what_is_seen)
{
    char id[RESOURCE_ID_SIZE];
    add_dataset("anna", VISIBILITY_PRIVATE, id);
    add_dataset("anna", VISIBILITY_LAB, id);
    ck_assert_uint_eq(n_seen(NULL), 3);
    ck_assert_uint_eq(n_seen(&anna), 3);
    ck_assert_uint_eq(n_seen(&bert), 2);
}
END_TEST

START_TEST(test_ownership_changes_by_fields)
{
    char id[RESOURCE_ID_SIZE], job[RESOURCE_ID_SIZE];
    struct ownership ownership;
    struct ownership_change change = {.has_visibility = true, .to = of("x", VISIBILITY_LAB)};
    add_dataset("anna", VISIBILITY_PRIVATE, id);
    OK(ownership_change, id, &change);
    OK(ownership_get, NULL, id, &ownership);
    ck_assert_str_eq(ownership.owner, "anna");
    ck_assert_int_eq(ownership.visibility, VISIBILITY_LAB);
    change = (struct ownership_change){.has_owner = true, .to = of("bert", VISIBILITY_PRIVATE)};
    OK(ownership_change, id, &change);
    OK(ownership_get, NULL, id, &ownership);
    ck_assert_str_eq(ownership.owner, "bert");
    ck_assert_int_eq(ownership.visibility, VISIBILITY_LAB);
    add_job("anna", 0, job);
    OK(ownership_get, NULL, job, &ownership);
    ck_assert_str_eq(ownership.owner, "anna");
    FAILS(REJECTD_NOT_FOUND, ownership_get, NULL, "md_0000000000000000000000", &ownership);
    FAILS(REJECTD_NOT_FOUND, ownership_get, NULL, "xy", &ownership);
    /* What is not seen is not there, and nothing tells the two apart. */
    add_dataset("anna", VISIBILITY_PRIVATE, id);
    OK(ownership_get, &anna, id, &ownership);
    FAILS(REJECTD_NOT_FOUND, ownership_get, &bert, id, &ownership);
    ck_assert_ptr_nonnull(strstr(error.message, "there is no dataset ds_"));
    FAILS(REJECTD_NOT_FOUND, ownership_change, "jb_0000000000000000000000", &change);
}
END_TEST

START_TEST(test_a_model_is_its_jobs_owners)
{
    char job[RESOURCE_ID_SIZE], model[RESOURCE_ID_SIZE];
    struct ownership ownership;
    add_job("anna", 0, job);
    store_new_id("md_", model);
    const struct store_outcome outcome = {.state = JOB_STATE_SUCCEEDED,
                                          .result_json = "{}",
                                          .artifacts = {[ARTIFACT_LABELS] = sha_b},
                                          .model_id = model,
                                          .model_json = "{\"channels\":[],\"types\":[]}"};
    OK(job_finish, job, claim(job), &outcome);
    OK(ownership_get, NULL, model, &ownership);
    ck_assert_str_eq(ownership.owner, "anna");
}
END_TEST

START_TEST(test_usage)
{
    char id[RESOURCE_ID_SIZE];
    struct store_usage usage;
    OK(usage_get, "anna", &usage);
    ck_assert_uint_eq(usage.queued_jobs + usage.stored_bytes, 0);
    add_dataset("anna", VISIBILITY_PRIVATE, id);
    add_dataset("anna", VISIBILITY_LAB, id);
    add_job("anna", 0, id);
    add_job("anna", 0, id);
    add_job("bert", 0, id);
    OK(usage_get, "anna", &usage);
    ck_assert_uint_eq(usage.queued_jobs, 2);
    ck_assert_uint_eq(usage.stored_bytes, 2 * 960);
}
END_TEST

/* The store has the last word: of those who ask at the same time, all have seen room. */
START_TEST(test_limits)
{
    char id[RESOURCE_ID_SIZE];
    struct store_submission one_more = {.key = "key-1", .sha256 = sha_a, .most_queued = 1};
    add_dataset("anna", VISIBILITY_PRIVATE, id); /* 960 bytes */
    struct dataset_view view = {.bytes = 41, .description_json = strdup("{}")};
    view.ownership = of("anna", VISIBILITY_PRIVATE);
    FAILS(REJECTD_TOO_LARGE, dataset_insert, &view, NULL, 1000);
    view.bytes = 40;
    OK(dataset_insert, &view, NULL, 1000);
    FAILS(REJECTD_TOO_LARGE, dataset_insert, &view, NULL, 1000);
    view.ownership = of("bert", VISIBILITY_PRIVATE);
    OK(dataset_insert, &view, NULL, 1000);
    dataset_view_clear(&view);

    ck_assert_int_eq(submit("anna", 0, &one_more, id), REJECTD_OK);
    ck_assert_int_eq(submit("anna", 0, &one_more, id), REJECTD_OK); /* that one */
    one_more.key = "key-2";
    ck_assert_int_eq(submit("anna", 0, &one_more, id), REJECTD_TOO_MANY_REQUESTS);
    ck_assert_int_eq(submit("bert", 0, &one_more, id), REJECTD_OK);
    one_more.most_queued = 2;
    ck_assert_int_eq(submit("anna", 0, &one_more, id), REJECTD_OK);
}
END_TEST

/* ---- who is next ---- */

/* Whoever has a thousand jobs queued keeps nobody waiting. */
START_TEST(test_a_single_job_comes_next)
{
    enum { MANY = 40 };
    char many[MANY][RESOURCE_ID_SIZE], single[RESOURCE_ID_SIZE];
    for (int i = 0; i < MANY; i++) {
        add_job("anna", 100, many[i]);
    }
    const int64_t fence = claim(many[0]);
    add_job("bert", -5, single);
    ck_assert_int_eq(place_of(single), 0);
    ck_assert_int_eq(place_of(many[1]), 1);
    ck_assert_int_eq(place_of(many[MANY - 1]), MANY - 1);
    claim(single);
    claim(many[1]);
    finish(many[0], fence);
    claim(many[2]);
}
END_TEST

START_TEST(test_users_take_turns)
{
    char a[3][RESOURCE_ID_SIZE], b[3][RESOURCE_ID_SIZE];
    for (int i = 0; i < 3; i++) {
        add_job("anna", 0, a[i]);
    }
    for (int i = 0; i < 3; i++) {
        add_job("bert", 0, b[i]);
    }
    /* One device: each job ends before the next is claimed. */
    for (int i = 0; i < 3; i++) {
        finish(a[i], claim(a[i]));
        finish(b[i], claim(b[i]));
    }
}
END_TEST

START_TEST(test_priority_is_among_ones_own)
{
    char a[2][RESOURCE_ID_SIZE], b[2][RESOURCE_ID_SIZE];
    add_job("anna", 0, a[0]);
    add_job("anna", 1, a[1]);
    add_job("bert", 0, b[0]);
    add_job("bert", 9, b[1]);
    ck_assert_int_eq(place_of(b[1]), 0);
    ck_assert_int_eq(place_of(a[1]), 1);
    claim(b[1]);
    claim(a[1]);
    claim(b[0]);
    claim(a[0]);
}
END_TEST

START_TEST(test_places_in_a_list)
{
    char a[2][RESOURCE_ID_SIZE], b[RESOURCE_ID_SIZE];
    struct job_view *list = NULL;
    size_t n = 0;
    add_job("anna", 0, a[0]);
    add_job("anna", 0, a[1]);
    add_job("bert", 0, b);
    claim(a[0]);
    OK(job_list, NULL, 10, &list, &n);
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(list[0].id, b);
    ck_assert_int_eq(list[0].position, 0);
    ck_assert_int_eq(list[1].position, 1);
    ck_assert_int_eq(list[2].position, -1);
    job_list_free(list, n);
}
END_TEST

START_TEST(test_a_submission_makes_one_job)
{
    char first[RESOURCE_ID_SIZE], again[RESOURCE_ID_SIZE], other[RESOURCE_ID_SIZE];
    const struct store_submission submission = {.key = "key-1", .sha256 = sha_a};
    const struct store_submission changed = {.key = "key-1", .sha256 = sha_b};
    OK(job_earlier, "anna", &submission, again);
    ck_assert_str_eq(again, "");
    ck_assert_int_eq(submit("anna", 0, &submission, first), REJECTD_OK);
    OK(job_earlier, "anna", &submission, again);
    ck_assert_str_eq(again, first);
    OK(job_earlier, "bert", &submission, again);
    ck_assert_str_eq(again, "");
    FAILS(REJECTD_CONFLICT, job_earlier, "anna", &changed, again);
    ck_assert_int_eq(submit("anna", 0, &submission, again), REJECTD_OK);
    ck_assert_str_eq(first, again);
    ck_assert_int_eq(submit("anna", 0, &changed, other), REJECTD_CONFLICT);
    ck_assert_str_eq(error.field, "Idempotency-Key");
    /* Another user's key is another key. */
    ck_assert_int_eq(submit("bert", 0, &changed, other), REJECTD_OK);
    ck_assert_str_ne(first, other);
    finish(first, claim(first));
    store_reopen();
    ck_assert_int_eq(submit("anna", 0, &submission, again), REJECTD_OK);
    ck_assert_str_eq(first, again);
}
END_TEST

/* ---- tokens ---- */

START_TEST(test_tokens)
{
    struct store_token *list = NULL;
    struct store_token got;
    size_t n = 0;
    bool any = true;
    struct store_token token = {
        .id = "abcdefghijklmnop", .user = "anna", .admin = true, .created_at = 5, .expires_at = 10};
    memset(token.hash, 0x5a, sizeof token.hash);
    token.hash[3] = 0;
    ck_assert_int_eq(store->functions->token_any(store, &any, &error), REJECTD_OK);
    ck_assert(!any);
    FAILS(REJECTD_NOT_FOUND, token_get, token.id, &got);
    OK(token_insert, &token);
    FAILS(REJECTD_CONFLICT, token_insert, &token);
    store_reopen();
    OK(token_get, token.id, &got);
    ck_assert_str_eq(got.user, "anna");
    ck_assert(got.admin);
    ck_assert_mem_eq(got.hash, token.hash, sizeof token.hash);
    ck_assert_int_eq(got.created_at, 5);
    ck_assert_int_eq(got.expires_at, 10);
    ck_assert_int_eq(got.revoked_at, 0);
    OK(token_revoke, token.id, 7);
    FAILS(REJECTD_CONFLICT, token_revoke, token.id, 8);
    FAILS(REJECTD_NOT_FOUND, token_revoke, "0000000000000000", 8);
    OK(token_get, token.id, &got);
    ck_assert_int_eq(got.revoked_at, 7);
    ck_assert_int_eq(store->functions->token_any(store, &any, &error), REJECTD_OK);
    ck_assert(any);
    ck_assert_int_eq(store->functions->token_list(store, &list, &n, &error), REJECTD_OK);
    ck_assert_uint_eq(n, 1);
    free(list);
}
END_TEST

TCase *store_suite_users(const struct store_under_test *implementation)
{
    TCase *tests = store_case("contract about users", implementation, set_up);
    tcase_add_test(tests, test_lists_show_what_is_seen);
    tcase_add_test(tests, test_ownership_changes_by_fields);
    tcase_add_test(tests, test_a_model_is_its_jobs_owners);
    tcase_add_test(tests, test_usage);
    tcase_add_test(tests, test_limits);
    tcase_add_test(tests, test_a_single_job_comes_next);
    tcase_add_test(tests, test_users_take_turns);
    tcase_add_test(tests, test_priority_is_among_ones_own);
    tcase_add_test(tests, test_places_in_a_list);
    tcase_add_test(tests, test_a_submission_makes_one_job);
    tcase_add_test(tests, test_tokens);
    return tests;
}
