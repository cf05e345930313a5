/*
 * Leave-one-out field mapping of every sensor from one eigendecomposition.
 *
 * Deleting row and column b of a symmetric matrix K = U D U' leaves a matrix whose eigenvalues
 * lambda are the roots of the secular equation
 *     sum over i of v_i^2 / (d_i - lambda) = 0,    v = U' e_b,
 * one between any two neighbours of d, and whose eigenvectors are U w, w = (D - lambda)^-1 v. See
 *   Golub GH (1973). Some modified matrix eigenvalue problems. SIAM Rev 15:318-334.
 * The truncated pseudo-inverse of the rest, applied to the deleted row, is then
 *     U y,   y = sum over the kept lambda of (D - lambda)^-1 v / (lambda |(D - lambda)^-1 v|^2),
 * because (K e_b) . U w / |w| = 1 / |w|. So a sensor costs O(n^2), and no eigenproblem of its own.
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
 * y [n] from the eigenvalues d [n], ascending, and v [n], of unit length. Eigenvalues lambda are
 * kept, by magnitude, until they add up to 1 - miss of the sum of all magnitudes. False when the
 * roots cannot be found, or nothing is left to keep.
 */
bool secular_leave_out(struct secular *secular, const double *d, const double *v, size_t n,
                       double miss, double *y);

#endif
