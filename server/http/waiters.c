#include "server/http/waiters.h"

#include <string.h>

void waiters_init(struct waiters *waiters)
{
    pthread_mutex_init(&waiters->lock, NULL);
    waiters->first = NULL;
}

void waiters_destroy(struct waiters *waiters)
{
    pthread_mutex_destroy(&waiters->lock);
}

void waiters_add(struct waiters *waiters, struct waiter *waiter)
{
    pthread_mutex_lock(&waiters->lock);
    waiter->listed = true;
    waiter->previous = NULL;
    waiter->next = waiters->first;
    if (waiter->next != NULL) {
        waiter->next->previous = waiter;
    }
    waiters->first = waiter;
    pthread_mutex_unlock(&waiters->lock);
}

static void unlink_waiter(struct waiters *waiters, struct waiter *waiter)
{
    if (!waiter->listed) {
        return;
    }
    waiter->listed = false;
    if (waiter->previous != NULL) {
        waiter->previous->next = waiter->next;
    } else {
        waiters->first = waiter->next;
    }
    if (waiter->next != NULL) {
        waiter->next->previous = waiter->previous;
    }
}

void waiters_remove(struct waiters *waiters, struct waiter *waiter)
{
    pthread_mutex_lock(&waiters->lock);
    unlink_waiter(waiters, waiter);
    pthread_mutex_unlock(&waiters->lock);
}

/* job NULL: whoever has a deadline before now. */
static void wake(struct waiters *waiters, const char *job, double now)
{
    pthread_mutex_lock(&waiters->lock);
    for (struct waiter *waiter = waiters->first; waiter != NULL;) {
        struct waiter *next = waiter->next;
        const bool due = job != NULL ? strcmp(waiter->job, job) == 0 : waiter->deadline <= now;
        if (due) {
            unlink_waiter(waiters, waiter);
            waiter->wake(waiter->context);
        }
        waiter = next;
    }
    pthread_mutex_unlock(&waiters->lock);
}

void waiters_wake_job(struct waiters *waiters, const char *job)
{
    wake(waiters, job, 0.0);
}

void waiters_wake_expired(struct waiters *waiters, double now)
{
    wake(waiters, NULL, now);
}

void waiters_wake_all(struct waiters *waiters)
{
    wake(waiters, NULL, __builtin_inf());
}
