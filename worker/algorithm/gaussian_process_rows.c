#include "worker/algorithm/gaussian_process_rows.h"

#include <math.h>
#include <string.h>

#if defined(__AVX512F__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
enum { BLOCK = GAUSSIAN_PROCESS_BLOCK, VECTORS = 8 };

typedef double lanes __attribute__((vector_size(LANES * sizeof(double)), aligned(8), may_alias));

/* exp(-d^2 / 2) of each candidate to x. Thresholds in volts lie so close together that the series
 * to the third power gives every bit. */
static void kernel_row(const double candidates[BLOCK], size_t n,
                       const struct gaussian_process_step *step, double row[BLOCK])
{
    for (size_t i = 0; i < BLOCK && step->series; i++) {
        double distance = candidates[i] - step->x;
        double half_square = 0.5 * (distance * distance);
        row[i] = 1.0 - half_square * (1.0 - half_square * (0.5 - half_square / 6.0));
    }
    for (size_t i = 0; i < n && !step->series; i++) {
        double distance = candidates[i] - step->x;
        row[i] = exp(-0.5 * (distance * distance));
    }
}

/* One row of a block, a few vectors at a time that stay in registers. */
static void eliminate(const double kernel[BLOCK], const struct gaussian_process_step *step,
                      size_t point, double *rows, double *mean, double *variance)
{
    for (size_t start = 0; start < BLOCK; start += LANES * VECTORS) {
        lanes sums[VECTORS];
        const lanes *from = (const lanes *)(kernel + start);
        for (size_t v = 0; v < VECTORS; v++)
            sums[v] = from[v];
        for (size_t j = 0; j < point; j++) {
            const lanes *earlier = (const lanes *)(rows + j * BLOCK + start);
            for (size_t v = 0; v < VECTORS; v++)
                sums[v] -= step->factor[j] * earlier[v];
        }
        lanes *row = (lanes *)(rows + point * BLOCK + start);
        lanes *to_mean = (lanes *)(mean + start), *to_variance = (lanes *)(variance + start);
        for (size_t v = 0; v < VECTORS; v++) {
            row[v] = sums[v] / step->diagonal;
            to_mean[v] += row[v] * step->target;
            to_variance[v] -= row[v] * row[v];
        }
    }
}

void GAUSSIAN_PROCESS_EXTEND(const double *candidates, size_t n, size_t first,
                             const struct gaussian_process_step *steps, size_t n_steps,
                             double *rows, double *mean, double *variance)
{
    for (size_t start = 0; start < n; start += BLOCK) {
        const size_t count = n - start < BLOCK ? n - start : BLOCK;
        double near[BLOCK] = {0}, kernel[BLOCK] = {0};
        memcpy(near, candidates + start, count * sizeof *near);
        for (size_t s = 0; s < n_steps; s++) {
            kernel_row(near, count, &steps[s], kernel);
            eliminate(kernel, &steps[s], first + s, rows + start * GAUSSIAN_PROCESS_MAX_POINTS,
                      mean + start, variance + start);
        }
    }
}
