/*
 * The arithmetic of gaussian_process.c over all candidates, compiled once for each instruction set.
 * What is computed for one candidate is the same sequence of operations in every compilation, so
 * that results are the same to the last bit.
 */
#ifndef WORKER_ALGORITHM_GAUSSIAN_PROCESS_ROWS_H
#define WORKER_ALGORITHM_GAUSSIAN_PROCESS_ROWS_H

#include "worker/algorithm/gaussian_process.h"

/* A point that is added, and its row of the Cholesky factor. */
struct gaussian_process_step {
    double x;
    bool series; /* all candidates are near */
    double factor[GAUSSIAN_PROCESS_MAX_POINTS];
    double diagonal;
    double target;
};

/* Candidates [n] in blocks, rows and all as in struct gaussian_process: writes rows first ..
 * first + n_steps - 1 of every block, and updates mean and variance. */
typedef void gaussian_process_extend(const double *candidates, size_t n, size_t first,
                                     const struct gaussian_process_step *steps, size_t n_steps,
                                     double *rows, double *mean, double *variance);

gaussian_process_extend gaussian_process_extend_baseline;
#if defined(__x86_64__)
gaussian_process_extend gaussian_process_extend_x86_64_v3;
gaussian_process_extend gaussian_process_extend_x86_64_v4;
#endif

#endif
