#include "worker/algorithm/spline.h"

#include <math.h>
#include <stdlib.h>

#include "worker/blas_threads.h"

/* LAPACK, column-major; a symmetric matrix does not mind. */
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
extern void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info);

enum { LEGENDRE_TERMS = 50, ORDER = 4, COSINES = 16, ROWS = 16 };

const double spline_regularisation = 1e-5;

/* Perrin et al. 1989, eq. 3: g(x) = sum over n of (2n + 1) P_n(x) / (4 pi n^4 (n + 1)^4), of
 * COSINES values at a time: each waits for its own division only. */
static void spline_kernels(const double x[COSINES], const double factors[LEGENDRE_TERMS + 1],
                           double sum[COSINES])
{
    double before[COSINES], legendre[COSINES];
    for (int i = 0; i < COSINES; i++) {
        before[i] = 1.0;
        legendre[i] = x[i];
        sum[i] = factors[1] * x[i];
    }
    for (int n = 2; n <= LEGENDRE_TERMS; n++)
        for (int i = 0; i < COSINES; i++) {
            double next = ((2 * n - 1) * x[i] * legendre[i] - (n - 1) * before[i]) / n;
            before[i] = legendre[i];
            legendre[i] = next;
            sum[i] += factors[n] * next;
        }
}

static void kernel_factors(double factors[LEGENDRE_TERMS + 1])
{
    factors[0] = 0.0;
    for (int n = 1; n <= LEGENDRE_TERMS; n++)
        factors[n] = (2 * n + 1) / (4.0 * M_PI * pow(n, ORDER) * pow(n + 1, ORDER));
}

static void direction_of(const double position[3], double direction[3])
{
    const double radius =
        sqrt(position[0] * position[0] + position[1] * position[1] + position[2] * position[2]);
    for (int axis = 0; axis < 3; axis++)
        direction[axis] = position[axis] / radius;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The kernel between up to COSINES sensors from `column` on and up to ROWS from `row` on, and the
 * same mirrored; not what lies above the diagonal. */
static void kernel_tile(const double (*positions)[3], size_t n, size_t row, size_t column,
                        const double factors[LEGENDRE_TERMS + 1], double *matrix)
{
    double to[3], from[COSINES][3], cosines[COSINES], kernels[COSINES];
    const size_t end = smaller(row + ROWS, n);
    /* Those beyond the last are computed for nobody. */
    for (size_t j = 0; j < COSINES; j++)
        direction_of(positions[smaller(column + j, n - 1)], from[j]);
    for (size_t i = row > column ? row : column; i < end; i++) {
        const size_t count = smaller(i + 1 - column, COSINES);
        direction_of(positions[i], to);
        for (size_t j = 0; j < COSINES; j++)
            cosines[j] = to[0] * from[j][0] + to[1] * from[j][1] + to[2] * from[j][2];
        spline_kernels(cosines, factors, kernels);
        for (size_t j = 0; j < count; j++)
            matrix[i * n + column + j] = matrix[(column + j) * n + i] = kernels[j];
    }
}

void spline_kernel_matrix(const double (*positions)[3], size_t n, int n_threads, double *matrix)
{
    enum { FEW = 48 }; /* not worth threads */
    double factors[LEGENDRE_TERMS + 1];
    kernel_factors(factors);
#pragma omp parallel for collapse(2) num_threads(n_threads) schedule(dynamic, 1) if (n > FEW)
    for (size_t row = 0; row < n; row += ROWS)
        for (size_t column = 0; column < n; column += COSINES)
            if (column < row + ROWS)
                kernel_tile(positions, n, row, column, factors, matrix);
}

/* Removes the constant from the inverse: P = Q - q q' / s with q = Q 1, s = 1' Q 1. */
static void remove_border(double *matrix, size_t n, double *sums)
{
    double total = 0.0;
    /* Row i's sum, in the order of its columns, for all rows at a time: the matrix is symmetric. */
    for (size_t i = 0; i < n; i++)
        sums[i] = 0.0;
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < n; i++)
            sums[i] += matrix[j * n + i];
    for (size_t i = 0; i < n; i++)
        total += sums[i];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            matrix[i * n + j] -= sums[i] * sums[j] / total;
}

enum rejectd_status spline_precision(const double (*positions)[3], size_t n, int n_threads,
                                     double *precision, struct rejectd_error *error)
{
    double *sums = malloc(n * sizeof *sums);
    enum rejectd_status status = REJECTD_OK;
    if (sums == NULL)
        return REJECTD_FAIL_MEMORY(error, n * sizeof *sums);
    spline_kernel_matrix(positions, n, n_threads, precision);
    for (size_t i = 0; i < n; i++)
        precision[i * n + i] += spline_regularisation;
    const int order = (int)n;
    const int blas_threads_before = blas_threads_pin();
    int info;
    dpotrf_("L", &order, precision, &order, &info);
    if (info == 0)
        dpotri_("L", &order, precision, &order, &info);
    blas_threads_restore(blas_threads_before);
    if (info != 0) {
        status = REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "channels",
                              "the sensor positions do not allow spherical splines");
        goto cleanup;
    }
    /* LAPACK's lower triangle is the upper one of a row-major matrix. */
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            precision[i * n + j] = precision[j * n + i];
    remove_border(precision, n, sums);
cleanup:
    free(sums);
    return status;
}

void spline_leave_one_out(const double *precision, size_t n, double *weights)
{
    for (size_t b = 0; b < n; b++)
        for (size_t j = 0; j < n; j++)
            weights[b * n + j] = j == b ? 0.0 : -precision[b * n + j] / precision[b * n + b];
}
