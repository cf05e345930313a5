/*
 * Tells listeners what no single change of a job tells: places in the queue, how many jobs wait and
 * run, and, to those who listen to the queue, how far the running ones are.
 *
 * Changes are found by looking, once a second while anybody listens, and less often when a look at
 * a long queue takes long. Used by one thread at a time.
 */
#ifndef SERVER_JOBS_QUEUE_WATCH_H
#define SERVER_JOBS_QUEUE_WATCH_H

#include "server/http/events.h"
#include "server/jobs/scheduler.h"
#include "server/store/store.h"

struct queue_watch;

struct queue_watch_options {
    struct events *events; /* all borrowed */
    struct store *store;
    struct scheduler *scheduler; /* knows the progress */
};

enum rejectd_status queue_watch_open(const struct queue_watch_options *options,
                                     struct queue_watch **watch, struct rejectd_error *error);
void queue_watch_close(struct queue_watch *watch); /* NULL is allowed */

/* Looks when it is time to. now: clock_monotonic(). */
void queue_watch_tick(struct queue_watch *watch, double now);

#endif
