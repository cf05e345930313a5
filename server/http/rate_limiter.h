/*
 * How often each user asks: a bucket of tokens a user, which fills at the rate and holds two
 * seconds' worth of it. May be used by several threads at once.
 */
#ifndef SERVER_HTTP_RATE_LIMITER_H
#define SERVER_HTTP_RATE_LIMITER_H

#include <rejectd/error.h>
#include <stdbool.h>

struct rate_limiter;

enum rejectd_status rate_limiter_open(struct rate_limiter **limiter, struct rejectd_error *error);
void rate_limiter_close(struct rate_limiter *limiter); /* NULL is allowed */

/*
 * Takes one token of the user's at `now` (clock_monotonic()) when there is one; else *wait is the
 * seconds until there is. Users who were not seen for long are forgotten, which loses nothing:
 * their bucket is full.
 */
bool rate_limiter_take(struct rate_limiter *limiter, const char *user, double per_second,
                       double now, double *wait);

#endif
