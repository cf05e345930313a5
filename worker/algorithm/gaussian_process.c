/*
 * Which candidate comes next is decided by the last bits of what is computed here: no operation may
 * be reordered, or contracted into a fused one.
 *
 * Points whose observations are known beforehand are added together: their rows of the Cholesky
 * factor need no more than the columns of these points, which are computed first, as a small
 * problem of their own; then all candidates go through all points block by block.
 */
#include "worker/algorithm/gaussian_process.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/processor.h"
#include "worker/algorithm/gaussian_process_rows.h"

enum { BLOCK = GAUSSIAN_PROCESS_BLOCK, MAX_POINTS = GAUSSIAN_PROCESS_MAX_POINTS };

static const double noise = 1e-10;

/* Cells of z in the table of the improvement. */
static const double first_cell = -9.0, cells_per_unit = 16.0;

static gaussian_process_extend *choose_extend(void)
{
#if defined(__x86_64__)
    if (processor_has_x86_64_v4())
        return gaussian_process_extend_x86_64_v4;
    if (processor_has_x86_64_v3())
        return gaussian_process_extend_x86_64_v3;
#endif
    return gaussian_process_extend_baseline;
}

/* Tangents of z Phi(z) + phi(z) in the middle of each cell: below it everywhere, for it is convex.
 */
static void fill_improvement(struct gaussian_process *process)
{
    for (size_t i = 0; i < GAUSSIAN_PROCESS_CELLS; i++) {
        const double z = first_cell + ((double)i + 0.5) / cells_per_unit;
        const double slope = 0.5 * erfc(-z / M_SQRT2);
        process->improvement[i][0] = exp(-0.5 * z * z) / sqrt(2.0 * M_PI);
        process->improvement[i][1] = slope; /* at 0 the tangent is z Phi + phi - z Phi */
    }
}

int gaussian_process_init(struct gaussian_process *process, size_t n_candidates)
{
    const size_t n = (n_candidates + BLOCK - 1) / BLOCK * BLOCK;
    *process = (struct gaussian_process){0};
    process->rows = malloc(MAX_POINTS * n * sizeof(double));
    process->mean = malloc(n * sizeof(double));
    process->variance = malloc(n * sizeof(double));
    process->least = malloc(n * sizeof(double));
    if (process->rows == NULL || process->mean == NULL || process->variance == NULL ||
        process->least == NULL) {
        gaussian_process_free(process);
        return -1;
    }
    fill_improvement(process);
    return 0;
}

void gaussian_process_free(struct gaussian_process *process)
{
    free(process->rows);
    free(process->mean);
    free(process->variance);
    free(process->least);
    *process = (struct gaussian_process){0};
}

void gaussian_process_reset(struct gaussian_process *process, const double *candidates, size_t n)
{
    process->candidates = candidates;
    process->n_candidates = n;
    process->n_points = 0;
    for (size_t i = 0; i < (n + BLOCK - 1) / BLOCK * BLOCK; i++) {
        process->mean[i] = 0.0;
        process->variance[i] = 1.0;
    }
}

/* Whether the series of the kernel serves for all candidates: those at the ends are the furthest.
 */
static bool all_near(const struct gaussian_process *process, double x)
{
    const double first = process->candidates[0] - x;
    const double last = process->candidates[process->n_candidates - 1] - x;
    return !(0.5 * (first * first) >= 1e-4) && !(0.5 * (last * last) >= 1e-4);
}

/* The columns of a few candidates, all of which are going to be points. */
struct columns {
    double candidates[BLOCK];
    double rows[MAX_POINTS][BLOCK];
    double mean[BLOCK], variance[BLOCK]; /* of no use */
};

static void take_columns(const struct gaussian_process *process, const size_t *indices, size_t n,
                         struct columns *columns)
{
    if (n > 1) /* the rows will be used whole */
        memset(columns, 0, sizeof *columns);
    for (size_t i = 0; i < n; i++) {
        const size_t index = indices[i];
        const double *block = process->rows + index / BLOCK * BLOCK * MAX_POINTS + index % BLOCK;
        columns->candidates[i] = process->candidates[index];
        for (size_t j = 0; j < process->n_points; j++)
            columns->rows[j][i] = block[j * BLOCK];
    }
}

void gaussian_process_add(struct gaussian_process *process, const size_t *indices, const double *y,
                          size_t n)
{
    struct gaussian_process_step steps[MAX_POINTS];
    struct columns columns;
    gaussian_process_extend *extend = choose_extend();
    take_columns(process, indices, n, &columns);
    for (size_t i = 0; i < n; i++) {
        struct gaussian_process_step *step = &steps[i];
        const size_t points = process->n_points + i;
        double diagonal = 1.0 + noise, target = y[i];
        for (size_t j = 0; j < points; j++) {
            step->factor[j] = columns.rows[j][i];
            diagonal -= step->factor[j] * step->factor[j];
            target -= step->factor[j] * process->targets[j];
        }
        step->diagonal = sqrt(diagonal > 0.0 ? diagonal : noise);
        step->target = process->targets[points] = target / step->diagonal;
        step->x = columns.candidates[i];
        step->series = all_near(process, step->x);
        if (i + 1 < n)
            extend(columns.candidates, n, points, step, 1, columns.rows[0], columns.mean,
                   columns.variance);
    }
    extend(process->candidates, process->n_candidates, process->n_points, steps, n, process->rows,
           process->mean, process->variance);
    process->n_points += n;
}

static double standard_deviation(const struct gaussian_process *process, size_t i)
{
    const double variance = process->variance[i];
    return variance > 0.0 ? sqrt(variance) : 0.0;
}

static double acquisition(const struct gaussian_process *process, size_t i, double best)
{
    const double sd = standard_deviation(process, i);
    const double excess = process->mean[i] - best;
    const double z = excess / (sd + 1e-12);
    const double density = exp(-0.5 * z * z) / sqrt(2.0 * M_PI);
    return excess * 0.5 * erfc(-z / M_SQRT2) + sd * density;
}

/*
 * What acquisition() cannot be below: it is sd (z Phi + phi), but for 1e-12 z Phi and for rounding,
 * each of which is less than what is taken off. Infinite where that isn't known.
 */
static double least_acquisition(const struct gaussian_process *process, size_t i, double best)
{
    const double sd = standard_deviation(process, i);
    const double z = (process->mean[i] - best) / (sd + 1e-12);
    const double cell = (z - first_cell) * cells_per_unit;
    double improvement = 0.0;
    if (!(cell > -INFINITY))
        return -INFINITY;
    if (cell >= 0.0) {
        const bool within = cell < GAUSSIAN_PROCESS_CELLS;
        const size_t number = within ? (size_t)cell : GAUSSIAN_PROCESS_CELLS - 1;
        const double *tangent = process->improvement[number];
        improvement = tangent[0] + tangent[1] * (within ? z : -first_cell);
    }
    return sd * (improvement - 1e-9) - 1e-12;
}

size_t gaussian_process_next(const struct gaussian_process *process, double best)
{
    const size_t n = process->n_candidates;
    size_t chosen = 0, lowest = 0;
    for (size_t i = 0; i < n; i++) {
        process->least[i] = least_acquisition(process, i, best);
        if (process->least[i] < process->least[lowest])
            lowest = i;
    }
    /* Only few can be below what the most promising one has. */
    const double there = acquisition(process, lowest, best);
    double least = INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (process->least[i] > there)
            continue;
        const double value = acquisition(process, i, best);
        if (value < least) {
            least = value;
            chosen = i;
        }
    }
    return chosen;
}
