#include "worker/algorithm/threshold_search.h"

#include <math.h>

#include "worker/algorithm/mt19937.h"

enum { START_CANDIDATES = 40, BAYESIAN_STEPS = 10, RANDOM_DRAWS = 20 };

struct threshold threshold_search_exact(const double *candidates, const double *losses, size_t m)
{
    size_t best = 0;
    for (size_t i = 1; i < m; i++)
        if (losses[i] < losses[best])
            best = i;
    return (struct threshold){candidates[best], losses[best]};
}

struct threshold threshold_search_bayesian(const double *candidates, const double *losses, size_t m,
                                           struct gaussian_process *process)
{
    gaussian_process_reset(process, candidates, m);
    const double step = (double)m / START_CANDIDATES;
    size_t best = 0, before = m;
    double best_loss = INFINITY;
    for (size_t i = 0; i <= START_CANDIDATES; i++) {
        size_t index = i < START_CANDIDATES ? (size_t)((double)i * step) : m - 1;
        if (index == before)
            continue;
        before = index;
        gaussian_process_add(process, index, losses[index]);
        if (losses[index] < best_loss) {
            best_loss = losses[index];
            best = index;
        }
    }
    for (int i = 0; i < BAYESIAN_STEPS; i++) {
        size_t index = gaussian_process_next(process, best_loss);
        gaussian_process_add(process, index, losses[index]);
        if (losses[index] < best_loss) {
            best_loss = losses[index];
            best = index;
        }
    }
    return (struct threshold){candidates[best], best_loss};
}

/* Rank of the largest candidate <= value; 0 when there is none. */
static size_t rank_of(const double *candidates, size_t m, double value)
{
    size_t low = 0, high = m;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (candidates[middle] <= value)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

struct threshold threshold_search_random(const double *candidates, const double *losses, size_t m,
                                         uint32_t seed)
{
    struct mt19937 generator;
    mt19937_seed(&generator, seed);
    struct threshold best = {NAN, INFINITY};
    for (int i = 0; i < RANDOM_DRAWS; i++) {
        double value = mt19937_uniform(&generator) * candidates[m - 1] + candidates[0];
        double loss = losses[rank_of(candidates, m, value)];
        if (i == 0 || loss < best.loss)
            best = (struct threshold){value, loss};
    }
    return best;
}
