/* The pool over a list of jobs: each is run, told of and finished exactly once. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fit_fixture.h"
#include "run_suite.h"
#include "worker/pool.h"

enum { MOST_JOBS = 8 };

/* A job, and what the source was told about it. */
struct listed {
    struct pool_job job; /* first: its ticket is this */
    bool claimed;
    char device[16];
    size_t n_reports;
    double fraction;
    bool went_back;
    bool cancel; /* at the next report */
    size_t written;
    enum rejectd_status refuse_open, refuse_write;
    size_t n_finished;
    enum pool_outcome_kind kind;
    struct rejectd_error error;
    struct rejectd_model *model;
    size_t n_kept;
    bool has_fit;
};

struct list {
    struct job_source source;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool interrupted;
    size_t n_jobs;
    struct listed jobs[MOST_JOBS];
};

static struct pool_job *list_claim(void *context, const char *device, double seconds)
{
    (void)seconds;
    struct list *list = context;
    struct pool_job *job = NULL;
    pthread_mutex_lock(&list->lock);
    while (job == NULL && !list->interrupted) {
        for (size_t i = 0; i < list->n_jobs && job == NULL; i++) {
            if (!list->jobs[i].claimed) {
                list->jobs[i].claimed = true;
                strncpy(list->jobs[i].device, device, sizeof list->jobs[i].device - 1);
                job = &list->jobs[i].job;
            }
        }
        if (job == NULL) {
            pthread_cond_wait(&list->changed, &list->lock);
        }
    }
    pthread_mutex_unlock(&list->lock);
    return job;
}

static bool list_progress(void *context, struct pool_job *job, const char *stage, double fraction)
{
    struct list *list = context;
    struct listed *listed = job->ticket;
    pthread_mutex_lock(&list->lock);
    listed->went_back |= fraction < listed->fraction || fraction > 1.0 || stage[0] == '\0';
    listed->fraction = fraction;
    listed->n_reports++;
    const bool goes_on = !listed->cancel;
    pthread_cond_broadcast(&list->changed);
    pthread_mutex_unlock(&list->lock);
    return goes_on;
}

static enum rejectd_status count_bytes(void *context, const void *samples, size_t bytes,
                                       struct rejectd_error *error)
{
    struct listed *listed = context;
    (void)samples;
    listed->written += bytes;
    return listed->refuse_write == REJECTD_OK
               ? REJECTD_OK
               : REJECTD_FAIL(error, listed->refuse_write, "", "not to be written");
}

static enum rejectd_status list_open(void *context, struct pool_job *job, size_t n_kept,
                                     struct rejectd_sink *sink, struct rejectd_error *error)
{
    struct listed *listed = job->ticket;
    (void)context;
    listed->n_kept = n_kept;
    *sink = (struct rejectd_sink){count_bytes, listed};
    return listed->refuse_open == REJECTD_OK
               ? REJECTD_OK
               : REJECTD_FAIL(error, listed->refuse_open, "", "not to be opened");
}

static void list_finish(void *context, struct pool_job *job, const struct pool_outcome *outcome)
{
    struct list *list = context;
    struct listed *listed = job->ticket;
    pthread_mutex_lock(&list->lock);
    listed->n_finished++;
    listed->kind = outcome->kind;
    listed->has_fit = outcome->result->fit != NULL;
    if (outcome->error != NULL) {
        listed->error = *outcome->error;
    }
    if (outcome->result->fit != NULL) {
        struct rejectd_error error = {0};
        ck_assert_int_eq(
            rejectd_model_from_fit(outcome->result->fit, &job->task.epochs, &listed->model, &error),
            REJECTD_OK);
    }
    if (outcome->kind == POOL_SUCCEEDED) {
        ck_assert_ptr_nonnull(outcome->result->log);
        ck_assert_ptr_nonnull(outcome->result->model);
        ck_assert_uint_eq(count_kept(outcome->result->log), listed->n_kept);
    }
    pthread_cond_broadcast(&list->changed);
    pthread_mutex_unlock(&list->lock);
}

static void list_interrupt(void *context)
{
    struct list *list = context;
    pthread_mutex_lock(&list->lock);
    list->interrupted = true;
    pthread_cond_broadcast(&list->changed);
    pthread_mutex_unlock(&list->lock);
}

static void list_init(struct list *list)
{
    *list = (struct list){
        .source = {list_claim, list_progress, list_open, list_finish, list_interrupt, list}};
    pthread_mutex_init(&list->lock, NULL);
    pthread_cond_init(&list->changed, NULL);
}

static struct listed *list_add(struct list *list, const struct rejectd_epochs *epochs,
                               const struct rejectd_model *model)
{
    pthread_mutex_lock(&list->lock);
    struct listed *listed = &list->jobs[list->n_jobs++];
    listed->job = (struct pool_job){.task = {.type = model == NULL ? TASK_FIT : TASK_APPLY,
                                             .epochs = *epochs,
                                             .fit = {.precision = REJECTD_FLOAT64},
                                             .model = model},
                                    .ticket = listed};
    pthread_cond_broadcast(&list->changed);
    pthread_mutex_unlock(&list->lock);
    return listed;
}

static void list_free(struct list *list)
{
    for (size_t i = 0; i < list->n_jobs; i++) {
        rejectd_model_free(list->jobs[i].model);
    }
    pthread_cond_destroy(&list->changed);
    pthread_mutex_destroy(&list->lock);
}

static void wait_for_reports(struct list *list, const struct listed *listed, size_t n)
{
    pthread_mutex_lock(&list->lock);
    while (listed->n_reports < n) {
        pthread_cond_wait(&list->changed, &list->lock);
    }
    pthread_mutex_unlock(&list->lock);
}

static void wait_for_end(struct list *list, const struct listed *listed)
{
    pthread_mutex_lock(&list->lock);
    while (listed->n_finished == 0) {
        pthread_cond_wait(&list->changed, &list->lock);
    }
    pthread_mutex_unlock(&list->lock);
}

static const struct pool_device devices[] = {{.name = "one", .options = {.n_threads = 1}},
                                             {.name = "two", .options = {.n_threads = 1}},
                                             {.name = "three", .options = {.n_threads = 1}}};

static struct pool *start(struct list *list, size_t n_devices)
{
    struct pool *pool = NULL;
    struct rejectd_error error = {0};
    ck_assert_int_eq(pool_start(&list->source, devices, n_devices, &pool, &error), REJECTD_OK);
    return pool;
}

START_TEST(test_fit_then_apply)
{
    struct list list;
    struct simulated_epochs made = simulated(20, 16, 50);
    list_init(&list);
    struct listed *fit = list_add(&list, &made.epochs, NULL);
    struct pool *pool = start(&list, 1);
    wait_for_end(&list, fit);
    struct listed *apply = list_add(&list, &made.epochs, fit->model);
    wait_for_end(&list, apply);
    pool_stop(pool);
    for (size_t i = 0; i < list.n_jobs; i++) {
        ck_assert_int_eq(list.jobs[i].kind, POOL_SUCCEEDED);
        ck_assert_uint_eq(list.jobs[i].n_finished, 1);
        ck_assert(!list.jobs[i].went_back);
        ck_assert_uint_gt(list.jobs[i].n_reports, 2);
        ck_assert(list.jobs[i].fraction == 1.0);
        ck_assert_uint_eq(list.jobs[i].written, list.jobs[i].n_kept * 16 * 50 * sizeof(double));
    }
    ck_assert(fit->has_fit && !apply->has_fit);
    ck_assert_uint_eq(fit->n_kept, apply->n_kept);
    list_free(&list);
    simulate_free(&made);
}
END_TEST

START_TEST(test_cancel)
{
    struct list list;
    struct simulated_epochs made = simulated(60, 32, 200);
    list_init(&list);
    struct listed *cancelled = list_add(&list, &made.epochs, NULL);
    cancelled->cancel = true;
    struct listed *next = list_add(&list, &made.epochs, NULL);
    struct pool *pool = start(&list, 1);
    wait_for_end(&list, next);
    pool_stop(pool);
    ck_assert_int_eq(cancelled->kind, POOL_CANCELLED);
    ck_assert_uint_eq(cancelled->n_reports, 1);
    ck_assert_uint_eq(cancelled->written, 0);
    ck_assert_int_eq(next->kind, POOL_SUCCEEDED);
    list_free(&list);
    simulate_free(&made);
}
END_TEST

START_TEST(test_stop_hands_running_jobs_back)
{
    struct list list;
    struct simulated_epochs made = simulated(300, 64, 400);
    struct timespec before, after;
    list_init(&list);
    struct listed *running = list_add(&list, &made.epochs, NULL);
    struct listed *waiting = list_add(&list, &made.epochs, NULL);
    struct pool *pool = start(&list, 1);
    wait_for_reports(&list, running, 2);
    clock_gettime(CLOCK_MONOTONIC, &before);
    pool_stop(pool);
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_int_eq(running->kind, POOL_RELEASED);
    ck_assert_uint_eq(running->n_finished, 1);
    ck_assert(!waiting->claimed);
    ck_assert_int_lt(after.tv_sec - before.tv_sec, 30);
    list_free(&list);
    simulate_free(&made);
}
END_TEST

START_TEST(test_failures_are_told)
{
    struct list list;
    struct simulated_epochs made = simulated(20, 16, 50);
    list_init(&list);
    struct listed *parameters = list_add(&list, &made.epochs, NULL);
    parameters->job.task.fit.cv = 21;
    struct listed *opening = list_add(&list, &made.epochs, NULL);
    opening->refuse_open = REJECTD_STORAGE_FULL;
    struct listed *writing = list_add(&list, &made.epochs, NULL);
    writing->refuse_write = REJECTD_STORAGE;
    struct pool *pool = start(&list, 1);
    wait_for_end(&list, writing);
    pool_stop(pool);
    for (size_t i = 0; i < list.n_jobs; i++) {
        ck_assert_int_eq(list.jobs[i].kind, POOL_FAILED);
        ck_assert_uint_eq(list.jobs[i].n_finished, 1);
    }
    ck_assert_str_eq(parameters->error.field, "parameters.cv");
    ck_assert_int_eq(opening->error.status, REJECTD_STORAGE_FULL);
    ck_assert_int_eq(writing->error.status, REJECTD_STORAGE);
    ck_assert_str_eq(writing->error.message, "not to be written");
    list_free(&list);
    simulate_free(&made);
}
END_TEST

START_TEST(test_devices_share_the_work)
{
    struct list list;
    struct simulated_epochs made = simulated(40, 24, 100);
    bool used[3] = {false};
    list_init(&list);
    for (size_t i = 0; i < MOST_JOBS; i++) {
        list_add(&list, &made.epochs, NULL);
    }
    struct pool *pool = start(&list, 3);
    for (size_t i = 0; i < MOST_JOBS; i++) {
        wait_for_end(&list, &list.jobs[i]);
    }
    pool_stop(pool);
    for (size_t i = 0; i < MOST_JOBS; i++) {
        ck_assert_int_eq(list.jobs[i].kind, POOL_SUCCEEDED);
        ck_assert_uint_eq(list.jobs[i].n_finished, 1);
        for (size_t d = 0; d < 3; d++) {
            used[d] |= strcmp(list.jobs[i].device, devices[d].name) == 0;
        }
    }
    ck_assert(used[0] + used[1] + used[2] >= 2);
    list_free(&list);
    simulate_free(&made);
}
END_TEST

START_TEST(test_stop_without_work)
{
    struct list list;
    list_init(&list);
    pool_stop(start(&list, 3));
    pool_stop(NULL);
    ck_assert(list.interrupted);
    list_free(&list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tests = tcase_create("pool");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_fit_then_apply);
    tcase_add_test(tests, test_cancel);
    tcase_add_test(tests, test_stop_hands_running_jobs_back);
    tcase_add_test(tests, test_failures_are_told);
    tcase_add_test(tests, test_devices_share_the_work);
    tcase_add_test(tests, test_stop_without_work);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
