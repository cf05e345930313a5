/*
 * One thread per device.
 *
 * A thread claims a job, runs its task (or has its runner do so) and finishes it, until the pool
 * stops.
 *
 * Two things end a job early, both through the monitor of the numerics: the source (somebody
 * cancelled the job) and pool_stop() (the process is leaving). The first is final, the second
 * hands the job back unharmed.
 */
#include "worker/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long a claim may take on a device that has to be seen to. */
static const double claim_seconds = 0.1;

struct pool_thread {
    struct pool *pool;
    struct pool_device device;
    pthread_t thread;
    bool started;
};

struct pool {
    struct job_source source;
    atomic_bool stopping;
    size_t n_threads;
    struct pool_thread threads[];
};

/* One job on its way. */
struct run {
    struct pool_thread *thread;
    struct pool_job *job;
    bool cancelled;
};

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool report(void *context, const char *stage, double fraction)
{
    struct run *run = context;
    struct pool *pool = run->thread->pool;
    if (atomic_load(&pool->stopping)) {
        return false;
    }
    if (!pool->source.progress(pool->source.context, run->job, stage, fraction)) {
        run->cancelled = true;
        return false;
    }
    return true;
}

static enum rejectd_status open_cleaned(void *context, size_t n_kept, struct rejectd_sink *sink,
                                        struct rejectd_error *error)
{
    const struct run *run = context;
    const struct job_source *source = &run->thread->pool->source;
    return source->open_cleaned(source->context, run->job, n_kept, sink, error);
}

static enum pool_outcome_kind outcome_kind(const struct run *run, enum rejectd_status status)
{
    if (status == REJECTD_OK) {
        return POOL_SUCCEEDED;
    }
    if (run->cancelled) {
        return POOL_CANCELLED;
    }
    /* Whatever else a job says while the process leaves, it deserves another run. */
    return atomic_load(&run->thread->pool->stopping) ? POOL_RELEASED : POOL_FAILED;
}

static void run_job(struct pool_thread *thread, struct pool_job *job)
{
    const struct job_source *source = &thread->pool->source;
    struct run run = {.thread = thread, .job = job};
    struct task_result result = {0};
    struct pool_outcome outcome = {.result = &result};
    struct rejectd_error error = {0};
    const double start = now_seconds();

    const struct pool_runner *runner = thread->device.runner;
    struct rejectd_compute_options options = thread->device.options;
    options.monitor = (struct rejectd_monitor){.report = report, .context = &run};
    const struct task_cleaned cleaned = {.open = open_cleaned, .context = &run};
    const enum rejectd_status status =
        runner != NULL ? runner->run(runner->context, job, &options.monitor, &cleaned, &error)
                       : task_run(&job->task, &options, &cleaned, &result, &error);
    outcome.kind = outcome_kind(&run, status);
    outcome.error = outcome.kind == POOL_FAILED ? &error : NULL;
    outcome.seconds = now_seconds() - start;
    source->finish(source->context, job, &outcome);
    task_result_clear(&result);
}

static void *thread_main(void *argument)
{
    struct pool_thread *thread = argument;
    const struct job_source *source = &thread->pool->source;
    const struct pool_runner *runner = thread->device.runner;
    while (!atomic_load(&thread->pool->stopping)) {
        if (runner != NULL && !runner->attend(runner->context)) {
            continue;
        }
        struct pool_job *job = source->claim(source->context, thread->device.name,
                                             runner != NULL ? claim_seconds : -1.0);
        if (job != NULL) {
            run_job(thread, job);
        }
    }
    if (runner != NULL) {
        runner->leave(runner->context);
    }
    return NULL;
}

enum rejectd_status pool_start(const struct job_source *source, const struct pool_device *devices,
                               size_t n_devices, struct pool **pool, struct rejectd_error *error)
{
    const size_t bytes = sizeof(struct pool) + n_devices * sizeof(struct pool_thread);
    struct pool *made = calloc(1, bytes);
    *pool = NULL;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, bytes);
    }
    made->source = *source;
    made->n_threads = n_devices;
    atomic_init(&made->stopping, false);
    for (size_t i = 0; i < n_devices; i++) {
        struct pool_thread *thread = &made->threads[i];
        thread->pool = made;
        thread->device = devices[i];
        const int failed = pthread_create(&thread->thread, NULL, thread_main, thread);
        if (failed != 0) {
            pool_stop(made);
            return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "",
                                "the thread for device %s cannot be started: %s", devices[i].name,
                                strerror(failed));
        }
        thread->started = true;
    }
    *pool = made;
    return REJECTD_OK;
}

void pool_stop(struct pool *pool)
{
    if (pool == NULL) {
        return;
    }
    atomic_store(&pool->stopping, true);
    pool->source.interrupt(pool->source.context);
    for (size_t i = 0; i < pool->n_threads; i++) {
        if (pool->threads[i].started) {
            pthread_join(pool->threads[i].thread, NULL);
        }
    }
    free(pool);
}
