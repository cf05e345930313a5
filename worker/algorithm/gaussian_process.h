/*
 * Gaussian-process regression over the candidate thresholds of one channel, point by point.
 *
 *   Rasmussen CE, Williams CKI (2006). Gaussian Processes for Machine Learning. MIT Press.
 *
 * Kernel exp(-d^2 / 2), unit length scale in the channel's own unit, prior variance 1, noise
 * 1e-10, zero mean: scikit-learn's GaussianProcessRegressor as autoreject calls it. Adding a point
 * appends one row to the Cholesky factor and costs O(candidates x points).
 */
#ifndef WORKER_ALGORITHM_GAUSSIAN_PROCESS_H
#define WORKER_ALGORITHM_GAUSSIAN_PROCESS_H

#include <stddef.h>

enum { GAUSSIAN_PROCESS_MAX_POINTS = 64 };

struct gaussian_process {
    size_t n_candidates;
    const double *candidates; /* borrowed */
    size_t n_points;
    double *rows;     /* [MAX_POINTS][n_candidates]: inverse(L) K(points, candidates); owned */
    double *mean;     /* [n_candidates] posterior mean; owned */
    double *variance; /* [n_candidates] posterior variance, may be slightly negative; owned */
    double targets[GAUSSIAN_PROCESS_MAX_POINTS]; /* inverse(L) y */
};

/* Makes room for up to n_candidates candidates; -1 without memory. */
int gaussian_process_init(struct gaussian_process *process, size_t n_candidates);
void gaussian_process_free(struct gaussian_process *process);

/* Forgets all points; candidates [n] (n <= the n of init) stay borrowed until the next reset. */
void gaussian_process_reset(struct gaussian_process *process, const double *candidates, size_t n);

/* Adds the observation y at candidate `index`; the same index may come again. */
void gaussian_process_add(struct gaussian_process *process, size_t index, double y);

/* Position of the smallest (mean - best) Phi(z) + sd phi(z), z = (mean - best) / (sd + 1e-12), the
 * first on ties: autoreject's acquisition, an expected improvement whose minimum is taken. */
size_t gaussian_process_next(const struct gaussian_process *process, double best);

#endif
