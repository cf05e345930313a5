/*
 * Losses of the few candidates that a search asks for: Jas et al. 2017, eq. 1-3.
 *
 * The rows that a candidate keeps are all rows up to its rank but the fold's test rows. A row is a
 * test row in two folds of ten, so it is added to three sums instead of to the eight of the folds
 * that it trains (losses.c). That the sums of test rows are taken off again costs digits where all
 * samples have a large constant in common; sums in float64 have them to spare.
 */
#include "worker/cpu/kernels/kernel_table.h"

enum { ROWS_AHEAD = 12, FOLDS = 32 /* whose sums are in progress */ };

static inline void prefetch_row(const work *row)
{
    for (size_t byte = 0; byte < GROUP * sizeof(work); byte += 64)
        __builtin_prefetch((const char *)row + byte, 0, 3);
}

/* Adds the rows first..last-1 of a list; asks for those that come after, up to n. */
static inline void add_rows(const work *group, const uint32_t *rows, size_t first, size_t last,
                            size_t n, double_vector *sum)
{
    double_vector s[DOUBLE_VECTORS];
#pragma GCC unroll 4
    for (size_t v = 0; v < DOUBLE_VECTORS; v++)
        s[v] = sum[v];
    for (size_t i = first; i < last; i++) {
        const work *row = group + (size_t)rows[i] * GROUP;
        /* Ranks are in no order that hardware would foresee. */
        if (i + ROWS_AHEAD < n)
            prefetch_row(group + (size_t)rows[i + ROWS_AHEAD] * GROUP);
#pragma GCC unroll 4
        for (size_t v = 0; v < DOUBLE_VECTORS; v++)
            s[v] += vector_widen(row + v * DOUBLE_LANES);
    }
#pragma GCC unroll 4
    for (size_t v = 0; v < DOUBLE_VECTORS; v++)
        sum[v] = s[v];
}

static inline double sum_of_lanes(double_vector v)
{
    double lanes[DOUBLE_LANES];
    memcpy(lanes, &v, sizeof lanes);
    for (size_t half = DOUBLE_LANES / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

/* The squares of one fold. */
static inline double squares_of(const double_vector *all, const double_vector *tested,
                                const work *median, double kept)
{
    const double_vector k = kept - (double_vector){0};
    double_vector square[DOUBLE_VECTORS];
#pragma GCC unroll 4
    for (size_t v = 0; v < DOUBLE_VECTORS; v++) {
        const double_vector difference =
            k * vector_widen(median + v * DOUBLE_LANES) - (all[v] - tested[v]);
        square[v] = difference * difference;
    }
    return sum_of_lanes((square[0] + square[1]) + (square[2] + square[3]));
}

_Static_assert(DOUBLE_VECTORS == 4, "the sum of the squares is written out");

/* Folds f0..f1-1, fewer than FOLDS, of all that KERNEL(walk) does. */
static void walk_folds(const work *group, const struct row_walk *walk, size_t f0, size_t f1,
                       const double *before, const work *medians, double *squares, double *sums)
{
    const size_t n_lists = 1 + walk->n_folds;
    double_vector running[1 + FOLDS][DOUBLE_VECTORS];
    for (size_t i = 0; i <= f1 - f0; i++) {
        const size_t list = i == 0 ? 0 : f0 + i;
        memset(running[i], 0, sizeof running[i]);
        if (before != NULL)
            memcpy(running[i], before + list * GROUP, sizeof running[i]);
    }
    for (size_t stop = 0; stop < walk->n_stops; stop++) {
        const uint32_t *ends = walk->ends + stop * n_lists;
        const bool keeps = (stop + 1) % walk->keep_every == 0;
        for (size_t i = 0; i <= f1 - f0; i++) {
            const size_t list = i == 0 ? 0 : f0 + i;
            const size_t first = stop > 0 ? (ends - n_lists)[list] : 0;
            /* The first list has all rows: the others find them in the cache. */
            const size_t n = list == 0 ? walk->ends[(walk->n_stops - 1) * n_lists] : 0;
            add_rows(group, walk->rows + walk->offsets[list], first, ends[list], n, running[i]);
            if (keeps)
                memcpy(sums + (stop / walk->keep_every * n_lists + list) * GROUP, running[i],
                       sizeof running[i]);
        }
        for (size_t f = f0; f < f1; f++)
            squares[stop * walk->n_folds + f] +=
                squares_of(running[0], running[1 + f - f0], medians + f * GROUP,
                           walk->kept[stop * walk->n_folds + f]);
    }
}

void KERNEL(walk)(const void *group, const struct row_walk *walk, const double *before,
                  const void *medians, double *squares, double *sums)
{
    for (size_t f0 = 0; f0 < walk->n_folds; f0 += FOLDS) {
        const size_t f1 = f0 + FOLDS < walk->n_folds ? f0 + FOLDS : walk->n_folds;
        walk_folds(group, walk, f0, f1, before, medians, squares, sums);
    }
}
