#include "worker/algorithm/gaussian_process.h"

#include <math.h>
#include <stdlib.h>

static const double noise = 1e-10;

int gaussian_process_init(struct gaussian_process *process, size_t n_candidates)
{
    *process = (struct gaussian_process){0};
    process->rows = malloc(GAUSSIAN_PROCESS_MAX_POINTS * n_candidates * sizeof(double));
    process->mean = malloc(n_candidates * sizeof(double));
    process->variance = malloc(n_candidates * sizeof(double));
    if (process->rows == NULL || process->mean == NULL || process->variance == NULL) {
        gaussian_process_free(process);
        return -1;
    }
    return 0;
}

void gaussian_process_free(struct gaussian_process *process)
{
    free(process->rows);
    free(process->mean);
    free(process->variance);
    *process = (struct gaussian_process){0};
}

void gaussian_process_reset(struct gaussian_process *process, const double *candidates, size_t n)
{
    process->candidates = candidates;
    process->n_candidates = n;
    process->n_points = 0;
    for (size_t i = 0; i < n; i++) {
        process->mean[i] = 0.0;
        process->variance[i] = 1.0;
    }
}

/* exp(-d^2 / 2) of each candidate to x. Thresholds in volts lie so close together that the series
 * to the third power gives every bit. */
static void kernel_row(const double *restrict candidates, size_t n, double x, double *restrict row)
{
    double furthest = 0.0;
    for (size_t i = 0; i < n; i++) {
        double distance = candidates[i] - x;
        double half_square = 0.5 * (distance * distance);
        furthest = half_square > furthest ? half_square : furthest;
        row[i] = 1.0 - half_square * (1.0 - half_square * (0.5 - half_square / 6.0));
    }
    if (furthest < 1e-4)
        return;
    for (size_t i = 0; i < n; i++) {
        double distance = candidates[i] - x;
        row[i] = exp(-0.5 * (distance * distance));
    }
}

void gaussian_process_add(struct gaussian_process *process, size_t index, double y)
{
    enum { BLOCK = 256 };
    const size_t n = process->n_candidates, points = process->n_points;
    double factor[GAUSSIAN_PROCESS_MAX_POINTS]; /* the new row of the Cholesky factor */
    double diagonal = 1.0 + noise, target = y;
    for (size_t j = 0; j < points; j++) {
        factor[j] = process->rows[j * n + index];
        diagonal -= factor[j] * factor[j];
        target -= factor[j] * process->targets[j];
    }
    diagonal = sqrt(diagonal > 0.0 ? diagonal : noise);
    target /= diagonal;
    double *restrict row = process->rows + points * n;
    kernel_row(process->candidates, n, process->candidates[index], row);
    for (size_t start = 0; start < n; start += BLOCK) {
        const size_t end = n - start < BLOCK ? n : start + BLOCK;
        for (size_t j = 0; j < points; j++) {
            const double *restrict earlier = process->rows + j * n;
            for (size_t i = start; i < end; i++)
                row[i] -= factor[j] * earlier[i];
        }
        for (size_t i = start; i < end; i++) {
            row[i] /= diagonal;
            process->mean[i] += row[i] * target;
            process->variance[i] -= row[i] * row[i];
        }
    }
    process->targets[points] = target;
    process->n_points++;
}

size_t gaussian_process_next(const struct gaussian_process *process, double best)
{
    size_t chosen = 0;
    double least = INFINITY;
    for (size_t i = 0; i < process->n_candidates; i++) {
        double variance = process->variance[i];
        double sd = variance > 0.0 ? sqrt(variance) : 0.0;
        double excess = process->mean[i] - best;
        double z = excess / (sd + 1e-12);
        double density = exp(-0.5 * z * z) / sqrt(2.0 * M_PI);
        double value = excess * 0.5 * erfc(-z / M_SQRT2) + sd * density;
        if (value < least) {
            least = value;
            chosen = i;
        }
    }
    return chosen;
}
