/*
 * What figures are kept in: counters and histograms that any thread may add to at any time, without
 * a lock. A reader sees each number as it was at some moment while it read.
 */
#ifndef SERVER_METRICS_INSTRUMENTS_H
#define SERVER_METRICS_INSTRUMENTS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { METRIC_MAX_BOUNDS = 16 };

/* All-zero is a counter that stands at 0, and a histogram that has seen nothing. */
struct metric_counter {
    atomic_uint_least64_t value;
};

/* The upper ends of the buckets, in seconds, ascending; static storage. */
struct metric_bounds {
    size_t n; /* at most METRIC_MAX_BOUNDS */
    double at[METRIC_MAX_BOUNDS];
};

struct metric_histogram {
    atomic_uint_least64_t
        counts[METRIC_MAX_BOUNDS + 1]; /* of each bucket alone; the last: beyond */
    atomic_uint_least64_t nanoseconds; /* the sum of all */
};

void metric_add(struct metric_counter *counter, uint64_t count);
uint64_t metric_value(const struct metric_counter *counter);

/* seconds: below 0 and NaN count as 0. */
void metric_observe(struct metric_histogram *histogram, const struct metric_bounds *bounds,
                    double seconds);
/* How many it has seen. */
uint64_t metric_observed(const struct metric_histogram *histogram);

#endif
