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

/* Epochs first..end-1 of the cells, for one value. */
struct part {
    size_t value, first, end;
};

/* Calls f(pick, change) for every row of a part that its value repairs otherwise than the one
 * before, cell by cell. */
template <typename Function>
static void for_each_change(const struct backend_session *session, const struct grid_lists *lists,
                            const struct part &part, Function f)
{
    const struct repaired_rows &repaired = session->repaired;
    const struct backend_local_cv *cv = lists->cv;
    const size_t n = session->n_epochs, value = part.value;
    const uint16_t *sizes = repaired.prefix.data() + value * n;
    for (size_t at = part.first; at < part.end; at++) {
        const uint32_t e = lists->cell_epochs[at];
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

/* Every value's epochs in as many parts as there are threads, or fewer where these are small. */
static std::vector<struct part> cut_into_parts(const struct backend_session *session,
                                               const struct grid_lists *lists, size_t *per_value)
{
    enum { SMALL = 256 };
    const size_t n = lists->cell_epochs.size(), threads = (size_t)session->options.n_threads;
    std::vector<struct part> parts;
    *per_value = n / SMALL < threads ? n / SMALL + 1 : threads;
    for (size_t v = 0; v < lists->n_values; v++)
        for (size_t p = 0; p < *per_value; p++)
            parts.push_back({v, n * p / *per_value, n * (p + 1) / *per_value});
    return parts;
}

/* Parts are listed at the same time, once it is known how many changes of each pick those before
 * have: their lists lie one after the other. */
static void list_changes(const struct backend_session *session, struct grid_lists *lists)
{
    const size_t c = session->n_picks;
    size_t per_value, n = 0;
    const std::vector<struct part> parts = cut_into_parts(session, lists, &per_value);
    std::vector<size_t> places(parts.size() * c, 0); /* counts, then where the next one goes */
#pragma omp parallel for num_threads(session->options.n_threads) schedule(dynamic, 1)
    for (size_t p = 0; p < parts.size(); p++) {
        size_t *counts = places.data() + p * c;
        for_each_change(session, lists, parts[p],
                        [&](size_t pick, const struct change &) { counts[pick]++; });
    }
    lists->change_offsets.clear();
    for (size_t v = 0; v < lists->n_values; v++)
        for (size_t pick = 0; pick < c; pick++) {
            lists->change_offsets.push_back(n);
            for (size_t p = v * per_value; p < (v + 1) * per_value; p++) {
                const size_t count = places[p * c + pick];
                places[p * c + pick] = n;
                n += count;
            }
        }
    lists->change_offsets.push_back(n);
    lists->n_changes = n;
    lists->changes.reset(new struct change[n]);
#pragma omp parallel for num_threads(session->options.n_threads) schedule(dynamic, 1)
    for (size_t p = 0; p < parts.size(); p++) {
        size_t *at = places.data() + p * c;
        struct change *changes = lists->changes.get();
        for_each_change(session, lists, parts[p], [&](size_t pick, const struct change &change) {
            changes[at[pick]++] = change;
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
