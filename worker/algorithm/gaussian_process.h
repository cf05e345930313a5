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

#include <stdbool.h>
#include <stddef.h>

enum {
    GAUSSIAN_PROCESS_MAX_POINTS = 64,
    GAUSSIAN_PROCESS_BLOCK = 64, /* candidates whose rows lie together, and fit the nearest cache */
    GAUSSIAN_PROCESS_CELLS = 288,
};

struct gaussian_process {
    size_t n_candidates;
    const double *candidates; /* borrowed */
    size_t n_points;
    double *rows;     /* [blocks][MAX_POINTS][BLOCK]: inverse(L) K(points, candidates); owned */
    double *mean;     /* [n_candidates] posterior mean; owned, as the next two */
    double *variance; /* [n_candidates] posterior variance, may be slightly negative */
    double *least;    /* [n_candidates] what the acquisition cannot be below */
    double targets[GAUSSIAN_PROCESS_MAX_POINTS];   /* inverse(L) y */
    double improvement[GAUSSIAN_PROCESS_CELLS][2]; /* tangents: value and slope in each cell */
};

/* Makes room for up to n_candidates candidates; -1 without memory. */
int gaussian_process_init(struct gaussian_process *process, size_t n_candidates);
void gaussian_process_free(struct gaussian_process *process);

/* Forgets all points; candidates [n], ascending (n <= the n of init), stay borrowed until the next
 * reset. */
void gaussian_process_reset(struct gaussian_process *process, const double *candidates, size_t n);

/* Adds the observations y [n] at candidates indices [n], in this order; the same index may come
 * again. The result is that of adding one by one, to the last bit, in less time. */
void gaussian_process_add(struct gaussian_process *process, const size_t *indices, const double *y,
                          size_t n);

/* Position of the smallest (mean - best) Phi(z) + sd phi(z), z = (mean - best) / (sd + 1e-12), the
 * first on ties: autoreject's acquisition, an expected improvement whose minimum is taken. */
size_t gaussian_process_next(const struct gaussian_process *process, double best);

#endif
