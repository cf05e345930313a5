/*
 * Losses of every candidate threshold: Jas et al. 2017, eq. 1-3, by prefix sums.
 *
 * With the rows in ascending order of peak-to-peak amplitude, the rows that a candidate keeps are
 * the first k train rows, and
 *   median - mean of the first k rows = (sum over the first k rows of (median - row)) / k,
 * so one walk over a fold's train rows gives its loss at every candidate. Summing differences
 * also keeps a constant offset of the samples from costing digits. The running sums and the
 * medians stay in registers; rows are walked in chunks so that the next fold finds them in the
 * first-level cache.
 */
#include "worker/cpu/kernels/kernel_table.h"

struct running {
    work_vector sum[WORK_VECTORS];
};

/* Adds one row's differences to the sums, and returns their squares added up lane by lane. */
static inline work_vector add_row(work_vector *sum, const work_vector *median, const work *row)
{
    const work_vector *x = (const work_vector *)row;
    work_vector squares[WORK_VECTORS];
    for (size_t v = 0; v < WORK_VECTORS; v++) {
        sum[v] += median[v] - x[v];
        squares[v] = sum[v] * sum[v];
    }
    /* A tree, not a chain: the processor waits for these sums. */
    for (size_t n = WORK_VECTORS / 2; n > 0; n /= 2)
        for (size_t v = 0; v < n; v++)
            squares[v] += squares[v + n];
    return squares[0];
}

/*
 * Walks n of a fold's train rows, given by their steps. Lanes are added up in a loop of their own,
 * where no row waits for the one before.
 */
static void walk_train_rows(const work *const *rows, const uint8_t *steps, size_t n,
                            const work *medians, const double *weights, struct running *running,
                            double *sums)
{
    work_vector squares[KERNELS_CHUNK];
    work_vector sum[WORK_VECTORS], median[WORK_VECTORS];
    memcpy(sum, running->sum, sizeof sum);
    memcpy(median, medians, sizeof median);
    for (size_t i = 0; i < n; i++)
        squares[i] = add_row(sum, median, rows[steps[i]]);
    memcpy(running->sum, sum, sizeof sum);
    size_t i = 0;
    for (; i + WORK_LANES <= n; i += WORK_LANES) {
        work totals[WORK_LANES];
        const work_vector total = vector_sums(&squares[i]);
        memcpy(totals, &total, sizeof totals);
        for (size_t l = 0; l < WORK_LANES; l++)
            sums[i + l] += (double)totals[l] * weights[i + l];
    }
    for (; i < n; i++)
        sums[i] += vector_sum(squares[i]) * weights[i];
}

/* Finds the rows of a chunk. */
static size_t find_chunk(const work *group, const struct train_ranks *train, size_t first,
                         const work **rows)
{
    const size_t left = train->n_rows - first, n = left < KERNELS_CHUNK ? left : KERNELS_CHUNK;
    for (size_t i = 0; i < n; i++)
        rows[i] = group + (size_t)train->order[first + i] * GROUP;
    return n;
}

/* Asks for the rows of a chunk: they lie in no order that hardware would foresee. */
static void prefetch_chunk(const work *const *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t byte = 0; byte < GROUP * sizeof(work); byte += 64)
            __builtin_prefetch((const char *)rows[i] + byte, 0, 2);
}

void KERNEL(losses)(const void *group, const struct train_ranks *train, const void *medians,
                    const double *weights, double *sums)
{
    enum { FOLDS = 16 }; /* whose sums are in progress */
    const size_t n_folds = train->n_folds;
    for (size_t f0 = 0; f0 < n_folds; f0 += FOLDS) {
        const size_t f1 = f0 + FOLDS < n_folds ? f0 + FOLDS : n_folds;
        struct running running[FOLDS];
        const work *rows[2][KERNELS_CHUNK];
        memset(running, 0, sizeof running);
        find_chunk(group, train, 0, rows[0]);
        for (size_t first = 0, chunk = 0; first < train->n_rows; first += KERNELS_CHUNK, chunk++) {
            const work **here = rows[chunk % 2], **next = rows[(chunk + 1) % 2];
            if (first + KERNELS_CHUNK < train->n_rows)
                prefetch_chunk(next, find_chunk(group, train, first + KERNELS_CHUNK, next));
            const uint32_t *ends = train->ends + chunk * n_folds;
            for (size_t f = f0; f < f1; f++) {
                const size_t done = chunk > 0 ? (ends - n_folds)[f] : 0,
                             at = train->offsets[f] + done;
                walk_train_rows(here, train->steps + at, ends[f] - done,
                                (const work *)medians + f * GROUP, weights + done, &running[f - f0],
                                sums + at);
            }
        }
    }
}
