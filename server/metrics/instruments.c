#include "server/metrics/instruments.h"

void metric_add(struct metric_counter *counter, uint64_t count)
{
    atomic_fetch_add_explicit(&counter->value, count, memory_order_relaxed);
}

uint64_t metric_value(const struct metric_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

void metric_observe(struct metric_histogram *histogram, const struct metric_bounds *bounds,
                    double seconds)
{
    static const double most = 1e9; /* its nanoseconds still fit many times */
    size_t bucket = 0;
    seconds = seconds > 0.0 ? seconds : 0.0;
    seconds = seconds < most ? seconds : most;
    while (bucket < bounds->n && seconds > bounds->at[bucket]) {
        bucket++;
    }
    atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->nanoseconds, (uint64_t)(1e9 * seconds + 0.5),
                              memory_order_relaxed);
}

uint64_t metric_observed(const struct metric_histogram *histogram)
{
    uint64_t n = 0;
    for (size_t i = 0; i <= METRIC_MAX_BOUNDS; i++) {
        n += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    }
    return n;
}
