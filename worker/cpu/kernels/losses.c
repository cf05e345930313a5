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

enum { CHUNK_ROWS = 128 };

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
 * Walks train rows first..last-1 of one fold (positions in its list), at most CHUNK_ROWS. Lanes
 * are added up in a loop of their own, where no row waits for the one before.
 */
static void walk_train_rows(const work *group, const uint32_t *rows, size_t first, size_t last,
                            const work *medians, const double *weights, struct running *running,
                            double *sums)
{
    work_vector squares[CHUNK_ROWS];
    work_vector sum[WORK_VECTORS], median[WORK_VECTORS];
    memcpy(sum, running->sum, sizeof sum);
    memcpy(median, medians, sizeof median);
    for (size_t i = first; i < last; i++)
        squares[i - first] = add_row(sum, median, group + (size_t)rows[i] * GROUP);
    memcpy(running->sum, sum, sizeof sum);
    size_t i = first;
    for (; i + WORK_LANES <= last; i += WORK_LANES) {
        work totals[WORK_LANES];
        const work_vector total = vector_sums(&squares[i - first]);
        memcpy(totals, &total, sizeof totals);
        for (size_t l = 0; l < WORK_LANES; l++)
            sums[i + l] += (double)totals[l] * weights[i + l];
    }
    for (; i < last; i++)
        sums[i] += vector_sum(squares[i - first]) * weights[i];
}

/* First position from `first` on whose row is not below `limit`. */
static size_t chunk_end(const uint32_t *rows, size_t first, size_t n, size_t limit)
{
    size_t last = n - first < CHUNK_ROWS ? n : first + CHUNK_ROWS;
    while (first < last) {
        size_t middle = first + (last - first) / 2;
        if (rows[middle] < limit)
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

void KERNEL(losses)(const void *group, const struct fold_rows *train, const void *medians,
                    const double *weights, double *sums)
{
    /* Folds are taken together chunk by chunk; a fold's position is where its list has got to. */
    for (size_t f0 = 0; f0 < train->n_folds; f0 += 16) {
        size_t f1 = f0 + 16 < train->n_folds ? f0 + 16 : train->n_folds;
        struct running running[16];
        size_t position[16] = {0};
        memset(running, 0, sizeof running);
        bool more = true;
        for (size_t limit = CHUNK_ROWS; more; limit += CHUNK_ROWS) {
            more = false;
            for (size_t f = f0; f < f1; f++) {
                const uint32_t *rows = train->rows + train->offsets[f];
                size_t n = train->offsets[f + 1] - train->offsets[f];
                size_t first = position[f - f0], last = chunk_end(rows, first, n, limit);
                walk_train_rows(group, rows, first, last, (const work *)medians + f * GROUP,
                                weights, &running[f - f0], sums + train->offsets[f]);
                position[f - f0] = last;
                more |= last < n;
            }
        }
    }
}
