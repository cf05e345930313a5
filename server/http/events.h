/*
 * Events of jobs and of the queue as a whole, and who listens to them.
 *
 * A job has a log of its last events from the first listener on; before that nobody can have missed
 * any. The queue has one, too, whose listeners are told only of the jobs that they see. Logs
 * outlive their listeners, so that one that comes back gets what it has missed, until there are too
 * many logs or too much text in them: then those without a listener go, the oldest first. Ids grow
 * over all jobs, and over restarts of the daemon as long as its clock does.
 *
 * All functions may be called by several threads at once. wake() of a listener is called under the
 * lock of the events; it must not call back.
 */
#ifndef SERVER_HTTP_EVENTS_H
#define SERVER_HTTP_EVENTS_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/resource_json.h"

enum {
    EVENTS_KEPT = 64,            /* of a job */
    EVENTS_JOB_BYTES = 64 << 10, /* of its text, beside the latest event */
    EVENTS_QUEUE_KEPT = 1024,
    EVENTS_QUEUE_BYTES = 1 << 20,
};

struct events;
struct listener;

enum event_kind {
    EVENT_JOB,      /* its state has changed */
    EVENT_PROGRESS, /* of a job that runs */
    EVENT_POSITION, /* of a job that is queued */
    EVENT_QUEUE,    /* how many jobs are queued and run */
    EVENT_END,      /* it has reached a final state; the last one */
};

enum events_next {
    EVENTS_NONE,  /* not yet: wake() will be called */
    EVENTS_EVENT, /* there it is */
    EVENTS_GAP,   /* what came after the last one isn't known (any more): look at the job itself */
    EVENTS_OVER,  /* there will be none */
};

/* Ids are above first_id; most_listeners is of all jobs. *events is owned by the caller:
 * events_close(), when nobody listens. */
enum rejectd_status events_open(uint64_t first_id, size_t most_listeners, struct events **events,
                                struct rejectd_error *error);
void events_close(struct events *events); /* NULL is allowed */

/*
 * Who tells what the store says holds this from before it looks until it has published: else
 * somebody who looked later might publish earlier.
 */
void events_hold_order(struct events *events);
void events_release_order(struct events *events);

/* How many listen now. */
size_t events_n_listeners(struct events *events);

/* True when a publication would reach anybody, now or later. */
bool events_wanted(struct events *events, const char *job);
/* Copies one line of text (line ends become spaces). Nothing happens when it isn't wanted, or when
 * there is no memory: listeners then find a gap. */
void events_publish(struct events *events, const char *job, enum event_kind kind, const char *text);

bool events_queue_wanted(struct events *events);
/* The same for those who listen to the queue. ownership: of the job that is told of; NULL: of none,
 * everybody is told. */
void events_publish_queue(struct events *events, const struct ownership *ownership,
                          enum event_kind kind, const char *text);

/*
 * Listens to a job, after the event `last` (0: none). wake() is called when there may be something
 * new. *listener is owned by the caller: events_leave(). UNAVAILABLE when there are too many.
 */
enum rejectd_status events_join(struct events *events, const char *job, uint64_t last,
                                void (*wake)(void *context), void *context,
                                struct listener **listener, struct rejectd_error *error);
/* The same for the queue. sees() tells whether the listener may know of a job with that ownership;
 * it is called under the lock, too. */
enum rejectd_status
events_join_queue(struct events *events, uint64_t last, void (*wake)(void *context),
                  bool (*sees)(void *context, const struct ownership *ownership), void *context,
                  struct listener **listener, struct rejectd_error *error);
/*
 * The job has been looked at, and had ended. A log that was begun after that says so from now on:
 * the listener finds a gap, whatever it has heard, and who comes after it hears that nothing comes.
 */
void events_begin_ended(struct events *events, struct listener *listener);
/* After it, wake() of this listener is neither running nor to come. NULL is allowed. */
void events_leave(struct events *events, struct listener *listener);

/*
 * What comes next. *id is the event's, or after a gap the one that the job is to be looked at
 * under; *text [owned by the caller, free()] is there for an event alone. An event that there is
 * no memory for is a gap.
 */
enum events_next events_next(struct events *events, struct listener *listener, uint64_t *id,
                             enum event_kind *kind, char **text);

/* True when a listener to the queue has found a gap since this was asked last: it was shown the
 * queue as it was then. */
bool events_queue_was_shown(struct events *events);

/* True when nothing comes any more: the listener has heard the end. */
bool events_are_over(struct events *events, struct listener *listener);

/* When wake() is to be called by events_wake_due() at the latest: clock_monotonic(). */
void events_set_due(struct events *events, struct listener *listener, double due);
void events_wake_due(struct events *events, double now);
void events_wake_all(struct events *events);

#endif
