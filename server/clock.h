/* Time of day, as the store keeps it and the API shows it, and time that passes. */
#ifndef SERVER_CLOCK_H
#define SERVER_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

enum { CLOCK_TEXT_SIZE = 32 };

/* Milliseconds since 1970, UTC. */
int64_t clock_milliseconds(void);
/* ISO 8601 UTC with milliseconds: "2024-05-01T12:00:00.000Z". */
void clock_text(int64_t milliseconds, char out[CLOCK_TEXT_SIZE]);
/* Seconds that never jump, from some start. */
double clock_monotonic(void);
/* The same clock so many seconds from now, for pthread_cond_timedwait() on a condition that
 * clock_condition_init() has made. */
struct timespec clock_from_now(double seconds);
void clock_condition_init(pthread_cond_t *condition);

#endif
