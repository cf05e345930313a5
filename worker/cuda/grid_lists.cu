#include "worker/cuda/grid_lists.h"

static void list_cells(const struct backend_session *session, struct grid_lists *lists)
{
    const struct backend_local_cv *cv = lists->cv;
    std::vector<uint32_t> &offsets = lists->cell_offsets;
    offsets.assign(lists->n_cells + 1, 0);
    lists->n_train.assign(lists->n_cells, 0);
    for (size_t e = 0; e < session->n_epochs; e++) {
        if (cv->first_good[e] >= cv->n_consensus)
            continue;
        offsets[cv->first_good[e] * cv->n_folds + cv->fold[e] + 1]++;
    }
    for (size_t i = 0; i < lists->n_cells; i++)
        offsets[i + 1] += offsets[i];
    lists->cell_epochs.resize(offsets[lists->n_cells]);
    std::vector<uint32_t> at(offsets.begin(), offsets.end() - 1);
    for (size_t e = 0; e < session->n_epochs; e++)
        if (cv->first_good[e] < cv->n_consensus)
            lists->cell_epochs[at[cv->first_good[e] * cv->n_folds + cv->fold[e]]++] = (uint32_t)e;
    for (size_t k = 0; k < cv->n_consensus; k++)
        for (size_t f = 0; f < cv->n_folds; f++) {
            uint32_t n = k > 0 ? lists->n_train[(k - 1) * cv->n_folds + f] : 0;
            for (size_t g = 0; g < cv->n_folds; g++)
                if (g != f)
                    n += offsets[k * cv->n_folds + g + 1] - offsets[k * cv->n_folds + g];
            lists->n_train[k * cv->n_folds + f] = n;
        }
}

/* Calls f(pick, change) for every row that a value repairs otherwise than the one before, cell by
 * cell. */
template <typename Function>
static void for_each_change(const struct backend_session *session, const struct grid_lists *lists,
                            size_t value, Function f)
{
    const struct repaired_rows &repaired = session->repaired;
    const struct backend_local_cv *cv = lists->cv;
    const size_t n = session->n_epochs;
    const uint16_t *sizes = repaired.prefix.data() + value * n;
    for (const uint32_t e : lists->cell_epochs) {
        const size_t size = sizes[e], before = value > 0 ? (sizes - n)[e] : 0;
        if (size <= before)
            continue;
        size_t row = repaired.first_row[e];
        for (size_t u = 0; u < value; u++)
            row += repaired.prefix[u * n + e];
        const uint16_t *picks = repaired.picks.data() + repaired.offsets[e];
        struct change change = {(uint32_t)(cv->first_good[e] * cv->n_folds + cv->fold[e]), e, 0, 0};
        for (size_t i = 0; i < size; i++) {
            change.row = (uint32_t)(row + i);
            change.old = i < before ? (uint32_t)(row - before + i) : NO_ROW;
            f(picks[i], change);
        }
    }
}

/* Values are listed at the same time: their lists lie apart. */
static void list_changes(const struct backend_session *session, struct grid_lists *lists)
{
    const size_t c = session->n_picks, n_values = lists->n_values;
    std::vector<size_t> &offsets = lists->change_offsets;
    offsets.assign(n_values * c + 1, 0);
#pragma omp parallel for num_threads(session->options.n_threads) schedule(dynamic, 1)
    for (size_t v = 0; v < n_values; v++)
        for_each_change(session, lists, v,
                        [&](size_t pick, const struct change &) { offsets[v * c + pick + 1]++; });
    for (size_t i = 0; i < n_values * c; i++)
        offsets[i + 1] += offsets[i];
    lists->changes.resize(offsets.back());
#pragma omp parallel for num_threads(session->options.n_threads) schedule(dynamic, 1)
    for (size_t v = 0; v < n_values; v++) {
        const auto first = offsets.begin() + (ptrdiff_t)(v * c);
        std::vector<size_t> at(first, first + (ptrdiff_t)c);
        for_each_change(session, lists, v, [&](size_t pick, const struct change &change) {
            lists->changes[at[pick]++] = change;
        });
    }
}

void grid_list(const struct backend_session *session, const struct backend_local_cv *cv,
               struct grid_lists *lists)
{
    lists->cv = cv;
    lists->n_values = session->repaired.n_values;
    lists->n_cells = cv->n_consensus * cv->n_folds;
    list_cells(session, lists);
    list_changes(session, lists);
}
