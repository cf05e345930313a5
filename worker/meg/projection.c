#include "worker/meg/projection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* LAPACK, column-major: the rows of `vectors` are the columns it sees. */
extern void dgesvd_(const char *jobu, const char *jobvt, const int *m, const int *n, double *a,
                    const int *lda, double *s, double *u, const int *ldu, double *vt,
                    const int *ldvt, double *work, const int *lwork, int *info);

static const double least_singular_value = 1e-2; /* of the largest */

/* Scales each vector to unit length, moves those that are not zero to the front, counts them. */
static size_t normalise(double *vectors, size_t n_vectors, size_t n)
{
    size_t kept = 0;
    for (size_t v = 0; v < n_vectors; v++) {
        double largest = 0.0, square = 0.0;
        for (size_t i = 0; i < n; i++)
            largest = fmax(largest, fabs(vectors[v * n + i]));
        if (largest == 0.0)
            continue;
        for (size_t i = 0; i < n; i++)
            square += (vectors[v * n + i] / largest) * (vectors[v * n + i] / largest);
        for (size_t i = 0; i < n; i++)
            vectors[kept * n + i] = vectors[v * n + i] / largest / sqrt(square);
        kept++;
    }
    return kept;
}

enum rejectd_status projection_basis(double *vectors, size_t n_vectors, size_t n, double *basis,
                                     size_t *n_basis, struct rejectd_error *error)
{
    const size_t kept = normalise(vectors, n_vectors, n);
    const size_t rank = kept < n ? kept : n;
    *n_basis = 0;
    if (kept == 0)
        return REJECTD_OK;
    const int rows = (int)n, columns = (int)kept, work_size = 8 * (rows + columns) + 64, one = 1;
    double *values = malloc(rank * sizeof *values);
    double *left = malloc(n * rank * sizeof *left);
    double *work = malloc((size_t)work_size * sizeof *work);
    enum rejectd_status status = REJECTD_OK;
    int info = 0;
    if (values == NULL || left == NULL || work == NULL) {
        status = REJECTD_FAIL_MEMORY(error, n * rank * sizeof *left);
        goto cleanup;
    }
    dgesvd_("S", "N", &rows, &columns, vectors, &rows, values, left, &rows, NULL, &one, work,
            &work_size, &info);
    if (info != 0) {
        status = REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "projectors",
                              "the projectors' vectors have no singular value decomposition");
        goto cleanup;
    }
    while (*n_basis < rank && values[*n_basis] / values[0] > least_singular_value)
        (*n_basis)++;
    if (*n_basis >= n)
        status = REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "projectors",
                              "%zu projectors leave nothing of %zu channels", *n_basis, n);
    memcpy(basis, left, *n_basis * n * sizeof *basis);
cleanup:
    free(values);
    free(left);
    free(work);
    return status;
}

void projection_apply(const double *basis, size_t n_basis, size_t n, double *x)
{
    for (size_t v = 0; v < n_basis; v++) {
        double along = 0.0;
        for (size_t i = 0; i < n; i++)
            along += basis[v * n + i] * x[i];
        for (size_t i = 0; i < n; i++)
            x[i] -= along * basis[v * n + i];
    }
}
