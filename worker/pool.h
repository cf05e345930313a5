/*
 * The threads that run jobs: one per device, each taking jobs from a job source.
 *
 * A job source is a small table of functions. The server implements it over its store, a test
 * over a list; the pool knows neither HTTP nor the store nor JSON.
 */
#ifndef WORKER_POOL_H
#define WORKER_POOL_H

#include "worker/task.h"

/* A claimed job. Owned by the source, valid until finish(). */
struct pool_job {
    struct task task;
    void *ticket; /* the source's own */
};

enum pool_outcome_kind {
    POOL_SUCCEEDED,
    POOL_FAILED,
    POOL_CANCELLED, /* progress() said so */
    POOL_RELEASED,  /* the pool stops; the job is to be run again, by somebody else */
};

/* What became of a job. The pointers are the pool's and valid only during finish(). */
struct pool_outcome {
    enum pool_outcome_kind kind;
    const struct rejectd_error *error; /* of POOL_FAILED */
    const struct task_result *result;  /* of POOL_SUCCEEDED; all zero when a runner ran the job */
    double seconds;                    /* wall time since the claim */
};

/* The functions are called on the thread of the device; several devices call at once. */
struct job_source {
    /* Blocks until there is a job for the device, for at most `seconds` (negative: for as long as
     * it takes). NULL: there was none, or interrupt() was called. */
    struct pool_job *(*claim)(void *context, const char *device, double seconds);

    /* How far the job is: `fraction` (0..1) of all its work, never decreasing. False cancels. */
    bool (*progress)(void *context, struct pool_job *job, const char *stage, double fraction);

    /* Where the cleaned samples of a task that cleans go: n_kept epochs will be written, before
     * finish(). A sink whose writing failed or was cut short is discarded by the source at
     * finish(). */
    enum rejectd_status (*open_cleaned)(void *context, struct pool_job *job, size_t n_kept,
                                        struct rejectd_sink *sink, struct rejectd_error *error);

    /* Ends the claim and frees the job, exactly once for each claimed job. */
    void (*finish)(void *context, struct pool_job *job, const struct pool_outcome *outcome);

    /* Makes claim() return NULL from now on, on every thread. Called by pool_stop(). */
    void (*interrupt)(void *context);

    void *context;
};

/*
 * Runs the jobs of a device elsewhere: in another process, that may fail and be replaced while the
 * thread goes on. The functions are called on the thread of the device.
 */
struct pool_runner {
    /* Sees to the device; called again and again while no job runs, and before each claim. False:
     * it can take no job now, and the call has waited for a moment. */
    bool (*attend)(void *context);
    /* As task_run(), but the result is left with the ticket of the job, and not with the pool. */
    enum rejectd_status (*run)(void *context, struct pool_job *job,
                               const struct rejectd_monitor *monitor,
                               const struct task_cleaned *cleaned, struct rejectd_error *error);
    /* The thread ends. */
    void (*leave)(void *context);
    void *context;
};

struct pool_device {
    const char *name;                       /* "cpu"; borrowed for the life of the pool */
    struct rejectd_compute_options options; /* its monitor is ignored; strings are borrowed */
    const struct pool_runner *runner;       /* NULL: the thread computes; else borrowed */
};

struct pool;

/* Starts one thread per device. *pool is owned by the caller: pool_stop(). `source` is copied;
 * its context must outlive the pool. */
enum rejectd_status pool_start(const struct job_source *source, const struct pool_device *devices,
                               size_t n_devices, struct pool **pool, struct rejectd_error *error);

/* Interrupts the source, ends running jobs at their next report with POOL_RELEASED, waits for the
 * threads and frees the pool. NULL is allowed. */
void pool_stop(struct pool *pool);

#endif
