/*
 * One thread per device.
 *
 * A thread claims a job, runs it and finishes it, until the source says that there is nothing
 * more. A fit is three steps: the fit itself, what must be kept of it (the model), and the
 * cleaned epochs; an apply is two: the reject log and the cleaned epochs. Their progress is
 * mapped to one fraction of the whole job, so that what a person sees never goes backwards.
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
    double base; /* the fraction of the job that was done before the current step */
    double span; /* and the share of the current step */
    bool cancelled;
    struct rejectd_fit *fit;
    struct rejectd_model *model;
    struct rejectd_reject_log log; /* of an apply */
};

/* Shares of a job's time, from measured fits: cleaning is mostly copying. */
static const double fit_share = 0.9;
static const double apply_share = 0.5;

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
    const double done = run->base + run->span * fraction;
    if (!pool->source.progress(pool->source.context, run->job, stage, done)) {
        run->cancelled = true;
        return false;
    }
    return true;
}

static struct rejectd_compute_options step_options(struct run *run, double base, double span)
{
    run->base = base;
    run->span = span;
    struct rejectd_compute_options options = run->thread->device.options;
    options.monitor = (struct rejectd_monitor){.report = report, .context = run};
    return options;
}

static size_t count_kept(const struct rejectd_reject_log *log)
{
    size_t n_kept = 0;
    for (size_t epoch = 0; epoch < log->n_epochs; epoch++) {
        n_kept += log->bad_epochs[epoch] == 0;
    }
    return n_kept;
}

static enum rejectd_status write_cleaned(struct run *run, const struct rejectd_reject_log *log,
                                         enum rejectd_meg_legendre meg_legendre, double base,
                                         struct rejectd_error *error)
{
    const struct job_source *source = &run->thread->pool->source;
    struct rejectd_sink sink = {0};
    enum rejectd_status status =
        source->open_cleaned(source->context, run->job, count_kept(log), &sink, error);
    if (status != REJECTD_OK) {
        return status;
    }
    const struct rejectd_compute_options options = step_options(run, base, 1.0 - base);
    return rejectd_clean(&run->job->epochs, log, meg_legendre, &options, &sink, error);
}

static enum rejectd_status run_fit(struct run *run, struct pool_outcome *outcome,
                                   struct rejectd_error *error)
{
    const struct pool_job *job = run->job;
    const struct rejectd_compute_options options = step_options(run, 0.0, fit_share);
    enum rejectd_status status =
        rejectd_fit(&job->epochs, &job->parameters, &options, &run->fit, error);
    if (status == REJECTD_OK) {
        status = rejectd_model_from_fit(run->fit, &job->epochs, &run->model, error);
    }
    if (status == REJECTD_OK) {
        status = write_cleaned(run, &run->fit->log, run->fit->meg_legendre, fit_share, error);
    }
    if (status == REJECTD_OK) {
        outcome->fit = run->fit;
        outcome->model = run->model;
        outcome->log = &run->fit->log;
    }
    return status;
}

static enum rejectd_status run_apply(struct run *run, struct pool_outcome *outcome,
                                     struct rejectd_error *error)
{
    const struct pool_job *job = run->job;
    const struct rejectd_compute_options options = step_options(run, 0.0, apply_share);
    enum rejectd_status status =
        rejectd_apply(&job->epochs, job->model, &options, &run->log, error);
    if (status == REJECTD_OK) {
        status = write_cleaned(run, &run->log, job->model->meg_legendre, apply_share, error);
    }
    if (status == REJECTD_OK) {
        outcome->model = job->model;
        outcome->log = &run->log;
    }
    return status;
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
    struct pool_outcome outcome = {0};
    struct rejectd_error error = {0};
    const double start = now_seconds();

    const enum rejectd_status status =
        job->type == POOL_FIT ? run_fit(&run, &outcome, &error) : run_apply(&run, &outcome, &error);
    outcome.kind = outcome_kind(&run, status);
    outcome.error = outcome.kind == POOL_FAILED ? &error : NULL;
    outcome.seconds = now_seconds() - start;
    source->finish(source->context, job, &outcome);

    rejectd_fit_free(run.fit);
    rejectd_model_free(run.model);
    rejectd_reject_log_clear(&run.log);
}

static void *thread_main(void *argument)
{
    struct pool_thread *thread = argument;
    const struct job_source *source = &thread->pool->source;
    struct pool_job *job;
    while ((job = source->claim(source->context, thread->device.name)) != NULL) {
        run_job(thread, job);
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
