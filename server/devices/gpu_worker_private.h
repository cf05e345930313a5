/* The parts of a GPU's worker: its process (gpu_worker.c), its jobs (gpu_job.c), and those that it
 * shares with other GPUs (gpu_share.c). */
#ifndef SERVER_DEVICES_GPU_WORKER_PRIVATE_H
#define SERVER_DEVICES_GPU_WORKER_PRIVATE_H

#include "server/devices/forget_list.h"
#include "server/devices/gpu_worker.h"
#include "server/devices/worker_messages.h"
#include "server/devices/worker_process.h"

struct gpu_worker {
    struct gpu_worker_options options;
    struct pool_runner runner;
    struct worker_process process;
    bool ready;                      /* its device is open */
    double ready_since;              /* as all times, clock_monotonic() */
    double heard;                    /* when it last said anything */
    double pinged;                   /* when it was last asked */
    double progressed;               /* when its job, or its start, last got anywhere */
    double start_at;                 /* when to start it (again) */
    int n_failures;                  /* in a row */
    const struct store_claim *claim; /* of the job that runs; NULL: none */
    bool started_before;
    struct device_view contents; /* scratch for what it says of its device */
    char *cleaned;               /* [WORKER_MAX_CLEANED] likewise for samples; owned */
    bool forgetting;             /* it was told to forget, and has not answered */
    struct forget_list to_forget;
};

/* Waits for a message for up to `seconds`; *arrived is false when there was none. After a failure,
 * as of all here, the process is to be given up. */
enum rejectd_status gpu_worker_next(struct gpu_worker *worker, double seconds, bool *arrived,
                                    struct worker_header *header, struct rejectd_error *error);
/* Takes a STATUS. */
enum rejectd_status gpu_worker_take_status(struct gpu_worker *worker, struct rejectd_error *error);
/* Takes OPENED or DONE. */
enum rejectd_status gpu_worker_take_outcome(struct gpu_worker *worker, enum rejectd_status *told,
                                            struct rejectd_error *error);
/* Asks whether it lives, passes on what is to be forgotten, and tells whether it hangs. */
enum rejectd_status gpu_worker_watch(struct gpu_worker *worker, struct rejectd_error *error);
/* The process, or what it sends, is no good. */
enum rejectd_status gpu_worker_fail_protocol(struct rejectd_error *error);

/* Gives the process up: it is ended, and another started after a while. *why becomes the
 * DEVICE_FAILED that it means for a job. */
void gpu_worker_give_up(struct gpu_worker *worker, struct rejectd_error *why);

/* Takes what has arrived while no job runs, and watches the process. */
enum rejectd_status gpu_worker_attend(struct gpu_worker *worker, struct rejectd_error *error);

/* What of a job the process is to do. Zero-initialised it means all. */
struct gpu_part {
    struct rejectd_share share; /* this one of the search, and no more; n 0: everything */
    const struct rejectd_thresholds *joined; /* what all shares have found; NULL: none were made */
    const char *devices;                     /* who found it */
    double seconds_searched;
};

/* Has the process do it. *found is what a share has found, the caller's: rejectd_thresholds_free();
 * else NULL. */
enum rejectd_status gpu_job_run(struct gpu_worker *worker, struct claimed_job *job,
                                const struct gpu_part *part, const struct rejectd_monitor *monitor,
                                const struct task_cleaned *cleaned,
                                struct rejectd_thresholds **found, struct rejectd_error *error);

/* pool_runner.run */
enum rejectd_status gpu_worker_run(void *context, struct pool_job *job,
                                   const struct rejectd_monitor *monitor,
                                   const struct task_cleaned *cleaned, struct rejectd_error *error);

#endif
