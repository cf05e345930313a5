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

/* Lists the sets of one epoch, whose first row and first pick in the chunk are given, from `next`
 * on, and returns what follows them. */
static struct set *list_sets(const struct repaired_rows &repaired, size_t epoch, size_t row,
                             size_t pick, size_t *matrices, struct set *next)
{
    for (size_t v = 0; v < repaired.n_values; v++) {
        const size_t size = repairs_prefix(repaired, v, epoch);
        if (size == 0)
            continue;
        const bool large = size > SHARED_SET;
        *next++ = {(uint32_t)row, (uint32_t)pick, (uint32_t)size, 0, large ? *matrices : 0};
        *matrices += large ? size * size : 0;
        row += size;
    }
    return next;
}

/* The same for the tasks of one epoch, whose rows are first..end-1 of the chunk. */
static struct task *list_tasks(size_t epoch, size_t first, size_t end, struct task *next)
{
    for (size_t row = first; row < end; row += TASK_ROWS) {
        const size_t left = end - row;
        *next++ = {(uint32_t)epoch, (uint32_t)(left < TASK_ROWS ? left : (size_t)TASK_ROWS),
                   (uint32_t)row, 0};
    }
    return next;
}

/* The row of the chunk's weights that is row `row` of all. */
static uint32_t place_of(uint32_t row, struct repair_lists *lists)
{
    if (lists->place[row] == UNUSED) {
        lists->place[row] = (uint32_t)lists->used.size();
        lists->used.push_back(row);
    }
    return lists->place[row];
}

static void list_numbers(const struct repaired_rows &repaired, size_t epoch,
                         const struct backend_weights *given, struct repair_lists *lists)
{
    const size_t listed = repaired.picks.size();
    for (size_t v = 0; v < repaired.n_values; v++) {
        const uint32_t *rows = given->row + v * listed + repaired.offsets[epoch];
        for (size_t i = 0; i < repairs_prefix(repaired, v, epoch); i++)
            lists->numbers.push_back(place_of(rows[i], lists));
    }
}

/* No row of the weights is used yet. */
static void clear_numbers(const struct backend_weights *given, struct repair_lists *lists)
{
    lists->numbers.clear();
    for (const uint32_t row : lists->used)
        lists->place[row] = UNUSED;
    lists->used.clear();
    if (given != nullptr)
        lists->place.resize(given->n_rows, UNUSED);
}

void repairs_list(const struct backend_session *session, size_t e, size_t n,
                  const struct backend_weights *given, struct repair_lists *lists)
{
    const struct repaired_rows &repaired = session->repaired;
    const size_t base = repaired.first_row[e];
    lists->n_rows = repaired.first_row[e + n] - base;
    lists->matrices = 0;
    clear_numbers(given, lists);
    /* As many as there can be, to be cut. */
    lists->sets.resize(given == nullptr ? n * repaired.n_values : 0);
    lists->tasks.resize(lists->n_rows / TASK_ROWS + n);
    struct set *set = lists->sets.data();
    struct task *task = lists->tasks.data();
    for (size_t i = e; i < e + n; i++) {
        const size_t first = repaired.first_row[i] - base, end = repaired.first_row[i + 1] - base;
        if (given == nullptr)
            set = list_sets(repaired, i, first, repaired.offsets[i] - repaired.offsets[e],
                            &lists->matrices, set);
        else
            list_numbers(repaired, i, given, lists);
        task = list_tasks(i - e, first, end, task);
    }
    lists->sets.resize((size_t)(set - lists->sets.data()));
    lists->tasks.resize((size_t)(task - lists->tasks.data()));
}
