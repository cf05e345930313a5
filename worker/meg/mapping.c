/*
 * The matrix is made tridiagonal, and the columns are taken through the eigenvectors of the
 * tridiagonal form and the reflections that led to it: neither the pseudo-inverse nor the
 * eigenvectors of the matrix itself are ever formed.
 */
#include "worker/meg/mapping.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "worker/meg/projection.h"

extern void dsytrd_(const char *uplo, const int *n, double *a, const int *lda, double *d, double *e,
                    double *tau, double *work, const int *lwork, int *info);
extern void dstedc_(const char *compz, const int *n, double *d, double *e, double *z,
                    const int *ldz, double *work, const int *lwork, int *iwork, const int *liwork,
                    int *info);
extern void dormtr_(const char *side, const char *uplo, const char *trans, const int *m,
                    const int *n, const double *a, const int *lda, const double *tau, double *c,
                    const int *ldc, double *work, const int *lwork, int *info);

enum { BLOCK = 64 }; /* columns a blocked LAPACK routine works on at most */

enum rejectd_status mapping_init(struct mapping *mapping, size_t n, size_t n_columns,
                                 struct rejectd_error *error)
{
    *mapping = (struct mapping){.n = n,
                                .n_columns = n_columns,
                                .matrix = malloc(n * n * sizeof(double)),
                                .columns = malloc((n_columns * n + 1) * sizeof(double))};
    if (mapping->matrix == NULL || mapping->columns == NULL) {
        mapping_free(mapping);
        return REJECTD_FAIL_MEMORY(error, n * n * sizeof(double));
    }
    return REJECTD_OK;
}

void mapping_free(struct mapping *mapping)
{
    free(mapping->matrix);
    free(mapping->columns);
    *mapping = (struct mapping){0};
}

void mapping_project(double *matrix, size_t n, const double *basis, size_t n_basis)
{
    for (size_t i = 0; i < n; i++)
        projection_apply(basis, n_basis, n, matrix + i * n);
    /* The matrix was symmetric: its columns are projected through the transpose. */
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            double swap = matrix[i * n + j];
            matrix[i * n + j] = matrix[j * n + i];
            matrix[j * n + i] = swap;
        }
    for (size_t i = 0; i < n; i++)
        projection_apply(basis, n_basis, n, matrix + i * n);
}

/* The tridiagonal form, and what finding its eigenvectors needs. */
struct tridiagonal {
    double *values, *off; /* [n] the diagonal, which becomes the eigenvalues, ascending */
    double *tau;          /* [n] */
    double *vectors;      /* [n][n] of each eigenvalue */
    double *work;         /* [work_size] */
    int *integers;        /* [integer_size] */
    size_t work_size, integer_size;
    double *storage;
};

static bool tridiagonal_init(struct tridiagonal *t, size_t n, size_t n_columns)
{
    const size_t reflecting = BLOCK * (n + n_columns), solving = 1 + 4 * n + n * n;
    t->work_size = reflecting > solving ? reflecting : solving;
    t->integer_size = 3 + 5 * n;
    t->storage = malloc((3 * n + n * n + t->work_size) * sizeof(double));
    t->integers = malloc(t->integer_size * sizeof(int));
    if (t->storage == NULL || t->integers == NULL)
        return false;
    t->values = t->storage;
    t->off = t->storage + n;
    t->tau = t->storage + 2 * n;
    t->vectors = t->storage + 3 * n;
    t->work = t->vectors + n * n;
    return true;
}

static void tridiagonal_free(struct tridiagonal *t)
{
    free(t->storage);
    free(t->integers);
}

/* How many eigenvalues from the lower and from the upper end are kept; false when all are zero. */
static bool choose(const double *values, size_t n, size_t *n_low, size_t *n_high)
{
    double total = 0.0, sum = 0.0;
    for (size_t i = 0; i < n; i++)
        total += fabs(values[i]);
    *n_low = *n_high = 0;
    while (*n_low + *n_high < n && sum < (1.0 - MAPPING_MISS) * total) {
        const double low = fabs(values[*n_low]), high = fabs(values[n - 1 - *n_high]);
        if (low > high) {
            sum += low;
            (*n_low)++;
        } else {
            sum += high;
            (*n_high)++;
        }
    }
    return total > 0.0 && isfinite(total);
}

/* All eigenvectors, by divide and conquer: most of the eigenvalues are nearly zero and drop out of
 * it. The method of relatively robust representations takes half as long again, and now and then
 * fails for matrices like these. */
static bool find_vectors(struct tridiagonal *t, size_t n)
{
    const int order = (int)n, work_size = (int)t->work_size, integer_size = (int)t->integer_size;
    int info = 0;
    dstedc_("I", &order, t->values, t->off, t->vectors, &order, t->work, &work_size, t->integers,
            &integer_size, &info);
    return info == 0;
}

/* Adds vectors diag(1 / values) vectors' columns, over eigenvalues first .. first + count - 1, to
 * sums. */
static void add_range(const struct tridiagonal *t, size_t n, size_t first, size_t count,
                      const double *columns, size_t n_columns, double *sums)
{
    for (size_t b = 0; b < n_columns; b++)
        for (size_t k = first; k < first + count; k++) {
            const double *vector = t->vectors + k * n;
            double along = 0.0;
            for (size_t i = 0; i < n; i++)
                along += vector[i] * columns[b * n + i];
            along /= t->values[k];
            for (size_t i = 0; i < n; i++)
                sums[b * n + i] += along * vector[i];
        }
}

/* columns <- Q columns, or Q' columns; Q are the reflections that dsytrd left in the matrix. */
static bool reflect(const struct mapping *mapping, struct tridiagonal *t, const char *transpose,
                    double *columns)
{
    const int order = (int)mapping->n, n_columns = (int)mapping->n_columns,
              work_size = (int)t->work_size;
    int info = 0;
    dormtr_("L", "L", transpose, &order, &n_columns, mapping->matrix, &order, t->tau, columns,
            &order, t->work, &work_size, &info);
    return info == 0;
}

enum rejectd_status mapping_solve(struct mapping *mapping, struct rejectd_error *error)
{
    const size_t n = mapping->n;
    const int order = (int)n;
    struct tridiagonal t = {0};
    double *sums = calloc(mapping->n_columns * n + 1, sizeof *sums);
    size_t n_low = 0, n_high = 0;
    int info = 0;
    enum rejectd_status status = REJECTD_OK;
    if (sums == NULL || !tridiagonal_init(&t, n, mapping->n_columns)) {
        status = REJECTD_FAIL_MEMORY(error, n * n * sizeof(double));
        goto cleanup;
    }
    const int work_size = (int)t.work_size;
    dsytrd_("L", &order, mapping->matrix, &order, t.values, t.off, t.tau, t.work, &work_size,
            &info);
    const bool solved = info == 0 && find_vectors(&t, n) && choose(t.values, n, &n_low, &n_high) &&
                        reflect(mapping, &t, "T", mapping->columns);
    if (solved) {
        add_range(&t, n, n - n_high, n_high, mapping->columns, mapping->n_columns, sums);
        add_range(&t, n, 0, n_low, mapping->columns, mapping->n_columns, sums);
    }
    if (!solved || !reflect(mapping, &t, "N", sums))
        status = MAPPING_FAIL(error);
    memcpy(mapping->columns, sums, mapping->n_columns * n * sizeof *sums);
cleanup:
    free(sums);
    tridiagonal_free(&t);
    return status;
}
