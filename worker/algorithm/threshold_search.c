#include "worker/algorithm/threshold_search.h"

#include <math.h>

#include "worker/algorithm/mt19937.h"

enum {
    START_CANDIDATES = THRESHOLD_SEARCH_STARTS - 1, /* of one channel, and the last */
    GLOBAL_CANDIDATES = 5,                          /* of all channels, and the last */
    BAYESIAN_STEPS = 10,
};

struct threshold threshold_search_exact(const double *candidates, const double *losses, size_t m)
{
    size_t best = 0;
    for (size_t i = 1; i < m; i++)
        if (losses[i] < losses[best])
            best = i;
    return (struct threshold){candidates[best], losses[best]};
}

/* The search while it runs. */
struct bayesian_search {
    const struct backend_losses *losses;
    struct gaussian_process *process;
    size_t best;
    double best_loss;
};

/* Looks candidates up. An infinite loss is no observation. */
static void visit(struct bayesian_search *search, const size_t *indices, size_t n)
{
    size_t seen[START_CANDIDATES + 1], n_seen = 0;
    double losses[START_CANDIDATES + 1];
    for (size_t i = 0; i < n; i++) {
        const double loss = search->losses->at(search->losses->context, indices[i]);
        if (isinf(loss))
            continue;
        seen[n_seen] = indices[i];
        losses[n_seen++] = loss;
        if (loss < search->best_loss) {
            search->best_loss = loss;
            search->best = indices[i];
        }
    }
    gaussian_process_add(search->process, seen, losses, n_seen);
}

/* Ranks spread over the m candidates, n_start and the last; returns how many there are. */
static size_t start_ranks(size_t m, size_t n_start, size_t *ranks)
{
    const double step = (double)m / (double)n_start;
    size_t n = 0;
    for (size_t i = 0; i <= n_start; i++) {
        const size_t rank = i < n_start ? (size_t)((double)i * step) : m - 1;
        if (n == 0 || rank != ranks[n - 1])
            ranks[n++] = rank;
    }
    return n;
}

static struct threshold search_bayesian(const double *candidates,
                                        const struct backend_losses *losses, size_t m,
                                        size_t n_start, struct gaussian_process *process)
{
    struct bayesian_search search = {.losses = losses, .process = process, .best_loss = INFINITY};
    size_t start[START_CANDIDATES + 1];
    gaussian_process_reset(process, candidates, m);
    visit(&search, start, start_ranks(m, n_start, start));
    for (int i = 0; i < BAYESIAN_STEPS; i++) {
        const size_t next = gaussian_process_next(process, search.best_loss);
        visit(&search, &next, 1);
    }
    return (struct threshold){candidates[search.best], search.best_loss};
}

static double loss_in_table(void *context, size_t rank)
{
    return ((const double *)context)[rank];
}

/* Losses that lie in a table. It is only read. */
static struct backend_losses table_losses(const double *losses)
{
    union {
        const double *read;
        void *context;
    } table = {.read = losses};
    return (struct backend_losses){loss_in_table, table.context};
}

size_t threshold_search_starts(size_t m, size_t ranks[THRESHOLD_SEARCH_STARTS])
{
    return start_ranks(m, START_CANDIDATES, ranks);
}

struct threshold threshold_search_asking(const double *candidates,
                                         const struct backend_losses *losses, size_t m,
                                         struct gaussian_process *process)
{
    return search_bayesian(candidates, losses, m, START_CANDIDATES, process);
}

struct threshold threshold_search_bayesian(const double *candidates, const double *losses, size_t m,
                                           struct gaussian_process *process)
{
    const struct backend_losses table = table_losses(losses);
    return search_bayesian(candidates, &table, m, START_CANDIDATES, process);
}

struct threshold threshold_search_global(const double *candidates, const double *losses, size_t m,
                                         struct gaussian_process *process)
{
    const struct backend_losses table = table_losses(losses);
    return search_bayesian(candidates, &table, m, GLOBAL_CANDIDATES, process);
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

void threshold_search_draw(uint32_t seed, double draws[THRESHOLD_SEARCH_DRAWS])
{
    struct mt19937 generator;
    mt19937_seed(&generator, seed);
    for (int i = 0; i < THRESHOLD_SEARCH_DRAWS; i++)
        draws[i] = mt19937_uniform(&generator);
}

struct threshold threshold_search_random(const double *candidates, const double *losses, size_t m,
                                         uint32_t seed)
{
    double draws[THRESHOLD_SEARCH_DRAWS];
    threshold_search_draw(seed, draws);
    struct threshold best = {NAN, INFINITY};
    for (int i = 0; i < THRESHOLD_SEARCH_DRAWS; i++) {
        double value = draws[i] * candidates[m - 1] + candidates[0];
        double loss = losses[rank_of(candidates, m, value)];
        if (i == 0 || loss < best.loss)
            best = (struct threshold){value, loss};
    }
    return best;
}
