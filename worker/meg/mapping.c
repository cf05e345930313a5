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
extern void dstemr_(const char *jobz, const char *range, const int *n, double *d, double *e,
                    const double *vl, const double *vu, const int *il, const int *iu, int *m,
                    double *w, double *z, const int *ldz, const int *nzc, int *isuppz, int *tryrac,
                    double *work, const int *lwork, int *iwork, const int *liwork, int *info);
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
    double *diagonal, *off; /* [n] */
    double *tau;            /* [n] */
    double *off_copy;       /* [n] */
    double *values;         /* [n] ascending */
    double *vectors;        /* [n][n] of each eigenvalue */
    double *work;
    int *integers; /* isuppz [2 n], iwork [10 n] */
    double *storage;
};

static bool tridiagonal_init(struct tridiagonal *t, size_t n, size_t n_columns)
{
    const size_t work = BLOCK * (n + n_columns) + 18 * n;
    t->storage = malloc((5 * n + work) * sizeof(double));
    t->integers = malloc(12 * n * sizeof(int));
    t->vectors = malloc(n * n * sizeof(double));
    if (t->storage == NULL || t->integers == NULL || t->vectors == NULL)
        return false;
    t->diagonal = t->storage;
    t->off = t->storage + n;
    t->tau = t->storage + 2 * n;
    t->off_copy = t->storage + 3 * n;
    t->values = t->storage + 4 * n;
    t->work = t->storage + 5 * n;
    return true;
}

static void tridiagonal_free(struct tridiagonal *t)
{
    free(t->storage);
    free(t->integers);
    free(t->vectors);
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

/* All eigenvectors: to find but some of them LAPACK would bisect, which takes longer. */
static bool find_vectors(struct tridiagonal *t, size_t n)
{
    const int order = (int)n, work_size = 18 * order, integer_size = 10 * order, none = 0;
    const double no_bound = 0.0;
    int found = 0, accurate = 1, info = 0;
    memcpy(t->off_copy, t->off, n * sizeof(double));
    dstemr_("V", "A", &order, t->diagonal, t->off_copy, &no_bound, &no_bound, &none, &none, &found,
            t->values, t->vectors, &order, &order, t->integers, &accurate, t->work, &work_size,
            t->integers + 2 * n, &integer_size, &info);
    return info == 0 && found == order;
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
              work_size = BLOCK * (order + n_columns);
    int info = 0;
    dormtr_("L", "L", transpose, &order, &n_columns, mapping->matrix, &order, t->tau, columns,
            &order, t->work, &work_size, &info);
    return info == 0;
}

enum rejectd_status mapping_solve(struct mapping *mapping, struct rejectd_error *error)
{
    const size_t n = mapping->n;
    const int order = (int)n, work_size = BLOCK * order;
    struct tridiagonal t = {0};
    double *sums = calloc(mapping->n_columns * n + 1, sizeof *sums);
    size_t n_low = 0, n_high = 0;
    int info = 0;
    enum rejectd_status status = REJECTD_OK;
    if (sums == NULL || !tridiagonal_init(&t, n, mapping->n_columns)) {
        status = REJECTD_FAIL_MEMORY(error, n * n * sizeof(double));
        goto cleanup;
    }
    t.off[n - 1] = 0.0;
    dsytrd_("L", &order, mapping->matrix, &order, t.diagonal, t.off, t.tau, t.work, &work_size,
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
