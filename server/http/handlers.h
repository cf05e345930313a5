/*
 * Which handlers of HTTP run now, and since when: the watchdog's way to see that a thread of
 * libmicrohttpd is stuck. Handlers never wait, so one that runs for seconds will for ever.
 */
#ifndef SERVER_HTTP_HANDLERS_H
#define SERVER_HTTP_HANDLERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { HANDLERS_MOST = 64 }; /* threads of libmicrohttpd */

/* All-zero: none runs. */
struct handlers {
    atomic_int_least64_t since[HANDLERS_MOST]; /* clock_monotonic() in milliseconds; 0: free */
};

/* A handler begins, and ends with what this returned. Any thread; nobody waits for anybody. */
size_t handlers_enter(struct handlers *handlers, double now);
void handlers_leave(struct handlers *handlers, size_t slot);

/* For how many seconds the longest has run; 0 when none runs. */
double handlers_longest(const struct handlers *handlers, double now);

#endif
