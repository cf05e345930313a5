/*
 * Between the queue and the workers: a job source (worker/pool.h) over the store and the blobs.
 *
 * The store alone knows the jobs; the scheduler only keeps what is running now, with its progress,
 * which is not worth a commit. All functions may be called by several threads at once.
 *
 * Jobs that run at the same time have room together in the memory for jobs (forecast.h). One that
 * has none beside those that run is passed over, and the first one that was has its memory
 * reserved: what begins after that must leave room for it, so that it runs at the latest when
 * those have ended that ran before. A job that runs alone always has room.
 */
#ifndef SERVER_JOBS_SCHEDULER_H
#define SERVER_JOBS_SCHEDULER_H

#include "server/blobs/blobs.h"
#include "server/devices/device_board.h"
#include "server/jobs/forecast.h"
#include "server/jobs/job_products.h"
#include "server/jobs/split.h"
#include "server/log.h"
#include "server/metrics/metrics.h"
#include "server/store/store.h"
#include "worker/pool.h"

struct scheduler_options {
    struct store *store; /* all borrowed for the life of the scheduler */
    struct blobs *blobs;
    struct device_board *board;
    const struct log *log;
    struct metrics *metrics;
    struct forecaster *forecaster;
    const char *backend; /* what jobs are computed with on the processor, for their results */
    /* A job has reached a final state. Called on the thread that brought it there. */
    void (*ended)(void *context, const char *job);
    /* A job runs now, or is queued again. */
    void (*changed)(void *context, const char *job);
    /* At most ten times a second and job; seconds_left 0: unknown. */
    void (*progressed)(void *context, const char *job, const char *stage, double fraction,
                       double seconds_left);
    /* How many seconds a job may run; 0: as long as it takes. */
    double (*most_seconds)(void *context);
    void *context;
};

/* What the ticket of a job points to: a claim, with all that the job needs. */
struct claimed_job {
    struct store_claim claim;
    struct job_texts texts;
    struct job_inputs inputs;
    char model_id[RESOURCE_ID_SIZE]; /* of the model that it makes or applies; "": none */
    struct rejectd_warning warning;  /* for its result; code "": none */
    struct job_products products;    /* who runs it elsewhere leaves them here */
    struct split *split; /* of a job whose search several GPUs share; NULL: it is for one */
    size_t place;        /* of the device among these GPUs */
    /* A device that helps with the job of another has one share of the search to do, and no more;
     * all but `products` is the other's then. */
    struct rejectd_share share; /* n 0: it does not help */
};

struct scheduler;

enum rejectd_status scheduler_open(const struct scheduler_options *options,
                                   struct scheduler **scheduler, struct rejectd_error *error);
void scheduler_close(struct scheduler *scheduler); /* after pool_stop(); NULL is allowed */

/* The table to start a pool with. */
struct job_source scheduler_source(struct scheduler *scheduler);

/* No job is claimed from now on; those that run go on. */
void scheduler_drain(struct scheduler *scheduler);
/* How many jobs run. */
size_t scheduler_n_running(struct scheduler *scheduler);

/* A job was queued, or a device takes other jobs than before. */
void scheduler_wake(struct scheduler *scheduler);
/* A job was cancelled: tells its worker when it runs, and frees the memory that it waits for. */
void scheduler_cancel(struct scheduler *scheduler, const char *job);
/* Fills stage, fraction and time left of a job that is running, here and by its own state; false
 * when it doesn't run. */
bool scheduler_show_progress(struct scheduler *scheduler, struct job_view *job);

#endif
