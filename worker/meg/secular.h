/*
 * Leave-one-out field mapping of every sensor from one eigendecomposition.
 *
 * Deleting row and column b of a symmetric matrix K = U D U', or projecting any other direction q
 * of unit length out of it on both sides, leaves a matrix whose eigenvalues lambda are the roots of
 * the secular equation sum over i of v_i^2 / (d_i - lambda) = 0,    v = U' q (q = e_b for a row and
 * column), one between any two neighbours of d, and whose eigenvectors are U w, w = (D - lambda)^-1
 * v. See Golub GH (1973). Some modified matrix eigenvalue problems. SIAM Rev 15:318-334. The
 * truncated pseudo-inverse of the rest, applied to share K q + U x, is then U y,   y = sum over the
 * kept lambda of (share + w . x) w / (lambda |w|^2), because (K q) . U w = 1. So a sensor costs
 * O(n^2), and no eigenproblem of its own.
 */
#ifndef WORKER_MEG_SECULAR_H
#define WORKER_MEG_SECULAR_H

#include <stdbool.h>
#include <stddef.h>

struct secular; /* scratch of one thread */

/* Scratch for matrices up to n; NULL without memory. */
struct secular *secular_open(size_t n);
void secular_close(struct secular *secular); /* NULL is allowed */

/*
 * y [n] from the eigenvalues d [n], ascending, and v [n], of unit length; x [n], or NULL for zeros.
 * Eigenvalues lambda are kept, by magnitude, until they add up to 1 - miss of the sum of all
 * magnitudes. False when the roots cannot be found, nothing is left to keep, or x is given and an
 * eigenvalue is kept that the matrix has twice.
 */
bool secular_leave_out(struct secular *secular, const double *d, const double *v, const double *x,
                       double share, size_t n, double miss, double *y);

#endif
