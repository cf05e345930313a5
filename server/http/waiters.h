/*
 * Who waits for a job to end: the long-polls.
 *
 * All functions may be called by several threads at once. wake() is called under the lock of the
 * list, once per waiter that was added; it must not call back into the list.
 */
#ifndef SERVER_HTTP_WAITERS_H
#define SERVER_HTTP_WAITERS_H

#include <pthread.h>
#include <stdbool.h>

#include "protocol/resource_json.h"

/* Owned by who waits; must stay until it was woken or removed. */
struct waiter {
    char job[RESOURCE_ID_SIZE];
    double deadline; /* clock_monotonic() */
    void (*wake)(void *context);
    void *context;
    bool listed; /* the rest is the list's */
    struct waiter *previous;
    struct waiter *next;
};

struct waiters {
    pthread_mutex_t lock;
    struct waiter *first;
};

void waiters_init(struct waiters *waiters);
void waiters_destroy(struct waiters *waiters);

void waiters_add(struct waiters *waiters, struct waiter *waiter);
/* After it, wake() of this waiter is neither running nor to come. */
void waiters_remove(struct waiters *waiters, struct waiter *waiter);

/* Wakes and removes those who wait for a job, whose time is over, or all. */
void waiters_wake_job(struct waiters *waiters, const char *job);
void waiters_wake_expired(struct waiters *waiters, double now);
void waiters_wake_all(struct waiters *waiters);

#endif
