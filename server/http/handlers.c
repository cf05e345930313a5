#include "server/http/handlers.h"

size_t handlers_enter(struct handlers *handlers, double now)
{
    const int_least64_t milliseconds = 1 + (int_least64_t)(1e3 * now);
    for (size_t i = 0; i < HANDLERS_MOST; i++) {
        int_least64_t expected = 0;
        if (atomic_compare_exchange_strong_explicit(&handlers->since[i], &expected, milliseconds,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            return i;
        }
    }
    return HANDLERS_MOST; /* more than there are threads: isn't watched */
}

void handlers_leave(struct handlers *handlers, size_t slot)
{
    if (slot < HANDLERS_MOST) {
        atomic_store_explicit(&handlers->since[slot], 0, memory_order_relaxed);
    }
}

double handlers_longest(const struct handlers *handlers, double now)
{
    double longest = 0.0;
    for (size_t i = 0; i < HANDLERS_MOST; i++) {
        const int_least64_t since = atomic_load_explicit(&handlers->since[i], memory_order_relaxed);
        const double seconds = since == 0 ? 0.0 : now - 1e-3 * (double)since;
        longest = seconds > longest ? seconds : longest;
    }
    return longest;
}
