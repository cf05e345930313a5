/* The two halves of the scheduler: claims (scheduler.c) and their ends (scheduler_finish.c). */
#ifndef SERVER_JOBS_SCHEDULER_PRIVATE_H
#define SERVER_JOBS_SCHEDULER_PRIVATE_H

#include <pthread.h>

#include "server/jobs/scheduler.h"

struct running {
    struct pool_job job; /* first: a job of the pool is one of these */
    struct claimed_job claimed;
    char device[32];
    bool ended; /* has reached a final state */
    struct blob_map samples;
    struct blob_writer *writers[ARTIFACT_COUNT]; /* of the arrays it makes, as far as it has */
    struct running *next;                        /* the rest under the scheduler's lock */
    bool cancelled;
    char stage[RESOURCE_STAGE_SIZE];
    double fraction;
    double started; /* clock_monotonic() */
    double told;    /* when its progress was, last */
};

struct scheduler {
    struct scheduler_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool interrupted;
    struct running *first;
};

/* Ends the claim in the store, as the pool says or as it must; the job stays listed. */
void running_finish(struct scheduler *scheduler, struct running *running,
                    const struct pool_outcome *outcome);
void running_end(struct scheduler *scheduler, struct running *running,
                 const struct store_outcome *outcome);

#endif
