/* Work that is done now and then, beside the requests: begun by a tick, run by an executor. */
#ifndef SERVER_CHORE_H
#define SERVER_CHORE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "server/executor.h"

/* All 0 at the beginning, but for what run() is to get. */
struct chore {
    void (*run)(void *context);
    void *context;
    struct executor_task task;
    atomic_bool running;
    double next; /* clock_monotonic() */
};

/* To be called often, by one thread: has run() run when that is due and over, and again not before
 * `pause` seconds from now. Never waits. */
void chore_tick(struct chore *chore, struct executor *executor, double now, double pause);

#endif
