/* The part of a store's contract that is about devices: who takes which job, and tries again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_fixture.h"

static char dataset[RESOURCE_ID_SIZE];

static const struct store_taker gpu = {.device = "cuda:0", .wishes = " auto cuda cuda:0 "};
static const struct store_taker processor_beside_gpu = {
    .device = "cpu", .wishes = " auto cuda cuda:0 ", .others = true};

static void set_up(void)
{
    insert_samples(sha_a, dataset);
}

static void add_job(const char *on, const char *device, char id[RESOURCE_ID_SIZE])
{
    struct job_view job = {.type = JOB_FIT, .parameters_json = strdup("{}")};
    snprintf(job.dataset, sizeof job.dataset, "%s", on);
    snprintf(job.device, sizeof job.device, "%s", device);
    OK(job_insert, NULL, &job);
    memcpy(id, job.id, RESOURCE_ID_SIZE);
    job_view_clear(&job);
}

/* What the taker claims; job "" when there is nothing for it. */
static struct store_claim claim_for(const struct store_taker *taker)
{
    struct store_claim claimed = {0};
    bool found = false;
    OK(job_claim, taker, &found, &claimed);
    ck_assert_int_eq(found, claimed.job[0] != '\0');
    free(claimed.parameters_json);
    claimed.parameters_json = NULL;
    return claimed;
}

static void takes(const struct store_taker *taker, const char *job)
{
    ck_assert_str_eq(claim_for(taker).job, job);
}

START_TEST(test_wishes)
{
    char any[RESOURCE_ID_SIZE], cpu[RESOURCE_ID_SIZE], other[RESOURCE_ID_SIZE];
    char mine[RESOURCE_ID_SIZE];
    add_job(dataset, "cpu", cpu);
    add_job(dataset, "cuda:1", other);
    add_job(dataset, "auto", any);
    add_job(dataset, "cuda:0", mine);
    takes(&gpu, any);
    takes(&gpu, mine);
    takes(&gpu, "");
    /* cuda:1 isn't among those whose jobs the processor leaves alone. */
    takes(&processor_beside_gpu, cpu);
    const struct store_claim claimed = claim_for(&processor_beside_gpu);
    ck_assert_str_eq(claimed.job, other);
    ck_assert_str_eq(claimed.wish, "cuda:1");
    ck_assert_int_eq(claimed.attempt, 1);
    takes(&processor_beside_gpu, "");
}
END_TEST

START_TEST(test_lost_jobs_are_tried_again)
{
    char id[RESOURCE_ID_SIZE];
    struct job_view job = {0};
    struct rejectd_error why = {.status = REJECTD_DEVICE_FAILED, .message = "it is broken"};
    const struct store_retry retry = {.device = "cuda:0", .error = &why, .lost = true};
    add_job(dataset, "auto", id);
    for (int lost = 1; lost <= STORE_MAX_ATTEMPTS; lost++) {
        enum job_state state;
        const struct store_claim claimed = claim_for(&gpu);
        ck_assert_str_eq(claimed.job, id);
        ck_assert_int_eq(claimed.attempt, lost);
        ck_assert_str_eq(claimed.lost_on, lost == 1 ? "" : "cuda:0");
        OK(job_retry, id, claimed.fence, &retry, &state);
        ck_assert_int_eq(state, lost < STORE_MAX_ATTEMPTS ? JOB_STATE_QUEUED : JOB_STATE_FAILED);
        ck_assert_int_eq(CALL(job_retry, id, claimed.fence, &retry, &state), REJECTD_CONFLICT);
    }
    OK(job_get, id, &job);
    ck_assert_int_eq(job.state, JOB_STATE_FAILED);
    ck_assert_str_eq(job.error.message, "it is broken");
    job_view_clear(&job);
}
END_TEST

START_TEST(test_lost_jobs_are_left_to_others)
{
    char id[RESOURCE_ID_SIZE], named[RESOURCE_ID_SIZE];
    struct store_taker careful = gpu;
    struct store_taker second = {.device = "cuda:1", .wishes = " auto cuda cuda:1 "};
    const struct store_retry retry = {.device = "cuda:0", .error = &error, .lost = true};
    careful.avoids_lost = true;
    add_job(dataset, "auto", id);
    OK(job_retry, id, claim_for(&gpu).fence, &retry, NULL);
    takes(&careful, "");
    takes(&second, id);
    /* Unless they ask for that device. */
    add_job(dataset, "cuda:0", named);
    OK(job_retry, named, claim_for(&gpu).fence, &retry, NULL);
    takes(&careful, named);
}
END_TEST

START_TEST(test_named_jobs_that_were_lost_are_for_any_gpu)
{
    char id[RESOURCE_ID_SIZE];
    static const char gpus[] = " cuda:0 cuda:1 auto cuda cuda:all ";
    struct store_taker first = gpu, rest = processor_beside_gpu;
    struct store_taker second = {.device = "cuda:1", .wishes = " auto cuda cuda:1 ", .gpus = gpus};
    const struct store_retry retry = {.device = "cuda:0", .error = &error, .lost = true};
    first.gpus = rest.gpus = gpus;
    first.avoids_lost = second.avoids_lost = true;
    for (int i = 0; i < 2; i++) {
        add_job(dataset, "cuda:0", id);
        takes(&second, "");
        takes(&rest, "");
        OK(job_retry, id, claim_for(&first).fence, &retry, NULL);
        takes(&rest, "");
        const struct store_claim claimed = claim_for(i == 0 ? &second : &first);
        ck_assert_str_eq(claimed.job, id);
        ck_assert_str_eq(claimed.wish, "cuda:0");
    }
}
END_TEST

START_TEST(test_named_jobs_of_a_gpu_that_is_away_are_for_any_gpu)
{
    char away[RESOURCE_ID_SIZE], gone[RESOURCE_ID_SIZE], all[RESOURCE_ID_SIZE];
    static const char gpus[] = " cuda:0 auto cuda cuda:all ";
    struct store_taker first = gpu, rest = processor_beside_gpu;
    first.gpus = rest.gpus = rest.wishes = gpus;
    add_job(dataset, "cuda:1", away);
    add_job(dataset, "cuda:7", gone);
    add_job(dataset, "cuda:all", all);
    takes(&rest, "");
    takes(&first, away);
    takes(&first, gone);
    takes(&first, ""); /* this one has nothing to do with names */
    /* And without any, for the processor. */
    rest.gpus = rest.wishes = " ";
    takes(&rest, all);
}
END_TEST

START_TEST(test_moved_jobs)
{
    char id[RESOURCE_ID_SIZE];
    struct job_view job = {0};
    const struct rejectd_warning warning = {.code = "device-memory", .message = "it is full"};
    const struct store_retry retry = {
        .device = "cuda:0", .error = &error, .moved_to = "cpu", .warning = &warning};
    add_job(dataset, "cuda:0", id);
    takes(&processor_beside_gpu, "");
    OK(job_retry, id, claim_for(&gpu).fence, &retry, NULL);
    takes(&gpu, "");
    const struct store_claim claimed = claim_for(&processor_beside_gpu);
    ck_assert_str_eq(claimed.job, id);
    ck_assert_int_eq(claimed.attempt, 1); /* it was no loss */
    ck_assert_str_eq(claimed.warning.code, "device-memory");
    ck_assert_str_eq(claimed.warning.message, "it is full");
    OK(job_get, id, &job);
    ck_assert_str_eq(job.device, "cuda:0");
    job_view_clear(&job);
}
END_TEST

START_TEST(test_a_cancelled_job_is_not_tried_again)
{
    char id[RESOURCE_ID_SIZE];
    struct job_view job = {0};
    enum job_state state;
    const struct store_retry retry = {.device = "cuda:0", .error = &error, .lost = true};
    add_job(dataset, "auto", id);
    const struct store_claim claimed = claim_for(&gpu);
    OK(job_cancel, id, &job);
    job_view_clear(&job);
    OK(job_retry, id, claimed.fence, &retry, &state);
    ck_assert_int_eq(state, JOB_STATE_CANCELLED);
    takes(&gpu, "");
}
END_TEST

START_TEST(test_jobs_whose_dataset_is_elsewhere)
{
    char other[RESOURCE_ID_SIZE], there[RESOURCE_ID_SIZE], here[RESOURCE_ID_SIZE];
    char named[RESOURCE_ID_SIZE], elsewhere[80];
    struct store_taker taker = gpu;
    snprintf(elsewhere, sizeof elsewhere, " %s ", sha_b);
    taker.elsewhere = elsewhere;
    insert_samples(sha_b, other);
    add_job(other, "auto", there);
    add_job(dataset, "auto", here);
    add_job(other, "cuda:0", named);
    takes(&taker, here);
    takes(&taker, named);
    takes(&taker, "");
    takes(&gpu, there);
}
END_TEST

/* The one that has the dataset has lost the job, and avoids it: somebody has to take it. */
START_TEST(test_a_lost_job_is_not_left_to_who_lost_it)
{
    char id[RESOURCE_ID_SIZE], elsewhere[80];
    struct store_taker careful = gpu;
    struct store_taker second = {
        .device = "cuda:1", .wishes = " auto cuda cuda:1 ", .avoids_lost = true};
    const struct store_retry retry = {.device = "cuda:0", .error = &error, .lost = true};
    snprintf(elsewhere, sizeof elsewhere, " %s ", sha_a);
    careful.avoids_lost = true;
    second.elsewhere = elsewhere;
    add_job(dataset, "auto", id);
    takes(&second, "");
    OK(job_retry, id, claim_for(&gpu).fence, &retry, NULL);
    takes(&careful, "");
    takes(&second, id);
}
END_TEST

TCase *store_suite_devices(const struct store_under_test *implementation)
{
    TCase *tests = store_case("contract about devices", implementation, set_up);
    tcase_add_test(tests, test_wishes);
    tcase_add_test(tests, test_lost_jobs_are_tried_again);
    tcase_add_test(tests, test_lost_jobs_are_left_to_others);
    tcase_add_test(tests, test_named_jobs_that_were_lost_are_for_any_gpu);
    tcase_add_test(tests, test_named_jobs_of_a_gpu_that_is_away_are_for_any_gpu);
    tcase_add_test(tests, test_moved_jobs);
    tcase_add_test(tests, test_a_cancelled_job_is_not_tried_again);
    tcase_add_test(tests, test_jobs_whose_dataset_is_elsewhere);
    tcase_add_test(tests, test_a_lost_job_is_not_left_to_who_lost_it);
    return tests;
}
