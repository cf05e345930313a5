/* The truncated pseudo-inverse of one symmetric matrix, applied to columns. */
#ifndef WORKER_MEG_MAPPING_H
#define WORKER_MEG_MAPPING_H

#include <rejectd/error.h>
#include <stddef.h>

/* Share of the sum of the eigenvalues' magnitudes that is left out. */
#define MAPPING_MISS 1e-4

#define MAPPING_FAIL(error)                                                                        \
    REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "channels",                                    \
                 "the places of the MEG sensors do not allow field mapping")

struct mapping {
    size_t n, n_columns;
    double *matrix;  /* [n][n] symmetric; destroyed by mapping_solve() */
    double *columns; /* [n_columns][n]: y, and then pseudo-inverse(matrix) y */
};

/* Makes room; *mapping is all-zero on failure. mapping_free(). */
enum rejectd_status mapping_init(struct mapping *mapping, size_t n, size_t n_columns,
                                 struct rejectd_error *error);
void mapping_free(struct mapping *mapping);

/* Solves for all columns: eigenvalues of largest magnitude until they add up to 1 - MAPPING_MISS
 * of all magnitudes. UNSUITABLE_DATASET when the matrix is zero or has no eigenvalues. */
enum rejectd_status mapping_solve(struct mapping *mapping, struct rejectd_error *error);

/* matrix [n][n] <- (I - B'B) matrix (I - B'B) for the orthonormal basis B [n_basis][n]. */
void mapping_project(double *matrix, size_t n, const double *basis, size_t n_basis);

#endif
