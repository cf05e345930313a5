/* The part of a store's contract that is about jobs that are answered by earlier results. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_fixture.h"

#define MODEL "md_0000000000000000000001"

/* A fit of anna's, answered by the result of `answer` (NULL: by none). */
static enum job_state add_job(const char *dataset, const char *answer, char id[RESOURCE_ID_SIZE])
{
    const struct store_submission submission = {.fingerprint = sha_c, .answer = answer};
    struct job_view job = {.type = JOB_FIT, .device = "auto", .ownership = {.owner = "anna"}};
    snprintf(job.dataset, sizeof job.dataset, "%s", dataset);
    OK(job_insert, &submission, &job);
    ck_assert_str_eq(job.answered_from,
                     answer != NULL && job.state == JOB_STATE_SUCCEEDED ? answer : "");
    memcpy(id, job.id, RESOURCE_ID_SIZE);
    const enum job_state state = job.state;
    job_view_clear(&job);
    return state;
}

/* Ends the next job with a result. */
static void succeed(const char *job)
{
    struct store_outcome outcome = success(MODEL);
    outcome.result_json = "{\"model\":\"" MODEL "\"}";
    OK(job_finish, job, claim(job), &outcome);
}

static void check_answer(const struct store_viewer *viewer, const char *expected)
{
    char found[RESOURCE_ID_SIZE] = "?";
    OK(answer_find, sha_c, viewer, found);
    ck_assert_str_eq(found, expected);
}

START_TEST(test_who_finds_what)
{
    static const struct store_viewer anna = {"anna"}, bert = {"bert"};
    char dataset[RESOURCE_ID_SIZE], job[RESOURCE_ID_SIZE], found[RESOURCE_ID_SIZE];
    struct ownership_change change = {.has_visibility = true, .to = {.visibility = VISIBILITY_LAB}};
    struct store_removed removed;
    insert_samples(sha_a, dataset);
    ck_assert_int_eq(add_job(dataset, NULL, job), JOB_STATE_QUEUED);
    check_answer(NULL, "");
    succeed(job);
    check_answer(NULL, job);
    check_answer(&anna, job);
    check_answer(&bert, "");
    OK(ownership_change, job, &change);
    check_answer(&bert, job);
    OK(answer_find, sha_b, NULL, found);
    ck_assert_str_eq(found, "");
    OK(result_delete, job, &removed);
    store_removed_clear(&removed);
    check_answer(NULL, "");
}
END_TEST

START_TEST(test_answer_has_all_of_its_own)
{
    char one[RESOURCE_ID_SIZE], two[RESOURCE_ID_SIZE], job[RESOURCE_ID_SIZE],
        answered[RESOURCE_ID_SIZE];
    struct store_result result = {0};
    struct store_removed removed;
    struct model_view *models = NULL;
    size_t n_models = 0;
    insert_samples(sha_a, one);
    insert_samples(sha_a, two);
    add_job(one, NULL, job);
    succeed(job);
    ck_assert_int_eq(add_job(two, job, answered), JOB_STATE_SUCCEEDED);
    check_answer(NULL, answered);
    OK(model_list, NULL, 10, &models, &n_models);
    ck_assert_uint_eq(n_models, 2);
    ck_assert_str_eq(models[0].job, answered);
    ck_assert_str_eq(models[0].dataset, two);
    ck_assert_str_eq(models[0].model_json, models[1].model_json);
    ck_assert_str_ne(models[0].id, MODEL);
    OK(dataset_delete, one, STORE_WHENEVER_USED, &removed);
    store_removed_clear(&removed);
    OK(model_delete, MODEL);
    OK(job_result, answered, &result);
    ck_assert_ptr_nonnull(strstr(result.json, models[0].id));
    ck_assert_ptr_null(strstr(result.json, MODEL));
    ck_assert_str_eq(result.artifacts[ARTIFACT_LABELS], sha_b);
    ck_assert_str_eq(result.artifacts[ARTIFACT_CLEANED], sha_c);
    free(result.json);
    model_list_free(models, n_models);
    ck_assert(store->functions->blob_is_needed(store, sha_b));
    ck_assert(queue_is_empty());
}
END_TEST

START_TEST(test_answer_that_has_gone_queues)
{
    char dataset[RESOURCE_ID_SIZE], job[RESOURCE_ID_SIZE], second[RESOURCE_ID_SIZE];
    struct store_removed removed;
    insert_samples(sha_a, dataset);
    add_job(dataset, NULL, job);
    succeed(job);
    OK(model_delete, MODEL);
    check_answer(NULL, "");
    ck_assert_int_eq(add_job(dataset, job, second), JOB_STATE_QUEUED);
    succeed(second);
    OK(result_delete, second, &removed);
    store_removed_clear(&removed);
    ck_assert_int_eq(add_job(dataset, second, job), JOB_STATE_QUEUED);
}
END_TEST

START_TEST(test_a_result_that_answers_none)
{
    char dataset[RESOURCE_ID_SIZE], job[RESOURCE_ID_SIZE];
    struct store_result result = {0};
    struct store_outcome outcome = success(MODEL);
    outcome.answers_none = true;
    insert_samples(sha_a, dataset);
    add_job(dataset, NULL, job);
    OK(job_finish, job, claim(job), &outcome);
    check_answer(NULL, "");
    OK(job_result, job, &result);
    free(result.json);
}
END_TEST

TCase *store_suite_answers(const struct store_under_test *implementation)
{
    TCase *tests = store_case("answers", implementation, NULL);
    tcase_add_test(tests, test_who_finds_what);
    tcase_add_test(tests, test_answer_has_all_of_its_own);
    tcase_add_test(tests, test_answer_that_has_gone_queues);
    tcase_add_test(tests, test_a_result_that_answers_none);
    return tests;
}
