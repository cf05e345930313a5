/* The parts of the scheduler: claims (scheduler.c), their ends (scheduler_finish.c), and jobs that
 * several GPUs share (scheduler_share.c). */
#ifndef SERVER_JOBS_SCHEDULER_PRIVATE_H
#define SERVER_JOBS_SCHEDULER_PRIVATE_H

#include <pthread.h>

#include "server/jobs/scheduler.h"

struct running {
    struct pool_job job; /* first: a job of the pool is one of these */
    struct claimed_job claimed;
    char device[32];
    double claimed_at; /* clock_monotonic() */
    double foretold;   /* seconds that it was to take; 0: unknown */
    bool succeeded;    /* and that is stored */
    int64_t bytes;     /* of the host that it was foretold to need */
    struct blob_map samples;
    struct blob_writer *writers[ARTIFACT_COUNT]; /* of the arrays it makes, as far as it has */
    struct running *leader; /* of the job that it has a share of; NULL: it has a job */
    struct running *next;   /* the rest under the scheduler's lock */
    size_t n_users;         /* shares of it that others have */
    bool cancelled;
    double most_seconds;    /* that it was stopped after, because they were over; 0: it was not */
    bool after_reservation; /* began when memory was reserved for another job */
    char stage[RESOURCE_STAGE_SIZE];
    double fraction;
    double told; /* when its progress was, last */
};

/* Memory for a job that waits for it. */
struct reservation {
    char job[RESOURCE_ID_SIZE]; /* "": none */
    char device[32];            /* that will run it */
    int64_t bytes;
};

struct scheduler {
    struct scheduler_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool interrupted;
    bool draining;
    struct running *first;
    struct reservation reserved;
};

/* A line of the log about a job that was claimed: with its id, its device, and the request that
 * made it. */
void running_log(const struct scheduler *scheduler, const struct running *running,
                 enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Whether the job has come to another device than it wished for: because it was moved, or because
 * the GPU that it wished for was away or has lost it. */
bool running_is_elsewhere(const struct running *running);

/* Waits so long; false when the pool is to end. */
bool scheduler_pause(struct scheduler *scheduler, double seconds);

/* Ends the claim in the store, as the pool says or as it must; the job stays listed. */
void running_finish(struct scheduler *scheduler, struct running *running,
                    const struct pool_outcome *outcome);
/* Frees one that has a job, and that nobody looks into. */
void running_free(struct running *running);

/* Offers shares of a job that was opened, if it is one for several GPUs. */
enum rejectd_status running_share_out(struct scheduler *scheduler, struct running *running,
                                      struct rejectd_error *error);
/* Takes a share of a running job for a GPU; NULL when there is none. Under the lock. */
struct running *scheduler_take_share(struct scheduler *scheduler, const char *device);
/* How far it is with its share; false when that is no longer wanted. */
bool running_report_share(struct scheduler *scheduler, struct running *running, double fraction);
/* Gives what was found, or the share back, and frees *running. */
void running_finish_share(struct scheduler *scheduler, struct running *running,
                          const struct pool_outcome *outcome);
/* Frees one that has a job now, or when the last of those who share it has left. */
void running_leave(struct scheduler *scheduler, struct running *running);

void running_end(struct scheduler *scheduler, struct running *running,
                 const struct store_outcome *outcome);

#endif
