#include "worker/cuda/repair_lists.h"

void repairs_take(struct backend_session *session, const struct backend_repairs *repairs)
{
    struct repaired_rows &repaired = session->repaired;
    const size_t n = repairs->n_epochs, listed = repairs->offsets[n];
    repaired.offsets.assign(repairs->offsets, repairs->offsets + n + 1);
    repaired.picks.assign(repairs->channels, repairs->channels + listed);
    repaired.prefix.assign(repairs->prefix, repairs->prefix + repairs->n_values * n);
    repaired.n_values = repairs->n_values;
    repaired.first_row.assign(n + 1, 0);
    for (size_t e = 0; e < n; e++) {
        size_t rows = 0;
        for (size_t v = 0; v < repairs->n_values; v++)
            rows += repairs->prefix[v * n + e];
        repaired.first_row[e + 1] = repaired.first_row[e] + rows;
    }
    repaired.on_device.clear();
    repaired.on_host.clear();
}

/* The sets of one epoch, whose first row and first pick in the chunk are given. */
static void list_sets(const struct repaired_rows &repaired, size_t epoch, size_t row, size_t pick,
                      struct repair_lists *lists)
{
    for (size_t v = 0; v < repaired.n_values; v++) {
        const size_t size = repairs_prefix(repaired, v, epoch);
        if (size == 0)
            continue;
        const bool large = size > SHARED_SET;
        lists->sets.push_back(
            {(uint32_t)row, (uint32_t)pick, (uint32_t)size, 0, large ? lists->matrices : 0});
        lists->matrices += large ? size * size : 0;
        row += size;
    }
}

static void list_numbers(const struct repaired_rows &repaired, size_t epoch,
                         const struct backend_weights *given, struct repair_lists *lists)
{
    const size_t listed = repaired.picks.size();
    for (size_t v = 0; v < repaired.n_values; v++) {
        const uint32_t *numbers = given->row + v * listed + repaired.offsets[epoch];
        lists->numbers.insert(lists->numbers.end(), numbers,
                              numbers + repairs_prefix(repaired, v, epoch));
    }
}

void repairs_list(const struct backend_session *session, size_t e, size_t n,
                  const struct backend_weights *given, struct repair_lists *lists)
{
    const struct repaired_rows &repaired = session->repaired;
    const size_t base = repaired.first_row[e];
    lists->n_rows = repaired.first_row[e + n] - base;
    lists->matrices = 0;
    lists->sets.clear();
    lists->tasks.clear();
    lists->numbers.clear();
    lists->sets.reserve(given == nullptr ? n * repaired.n_values : 0);
    lists->tasks.reserve(lists->n_rows / TASK_ROWS + n);
    for (size_t i = e; i < e + n; i++) {
        const size_t first = repaired.first_row[i] - base, end = repaired.first_row[i + 1] - base;
        if (given == nullptr)
            list_sets(repaired, i, first, repaired.offsets[i] - repaired.offsets[e], lists);
        else
            list_numbers(repaired, i, given, lists);
        for (size_t row = first; row < end; row += TASK_ROWS) {
            const size_t left = end - row;
            lists->tasks.push_back({(uint32_t)(i - e),
                                    (uint32_t)(left < TASK_ROWS ? left : (size_t)TASK_ROWS),
                                    (uint32_t)row, 0});
        }
    }
}
