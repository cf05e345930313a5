#include "worker/algorithm/spline.h"

#include <math.h>
#include <stdlib.h>

#include "worker/blas_threads.h"

/* LAPACK, column-major; a symmetric matrix does not mind. */
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
extern void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info);

enum { LEGENDRE_TERMS = 50, ORDER = 4, COSINES = 8 };

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

void spline_kernel_matrix(const double (*positions)[3], size_t n, double *matrix)
{
    double factors[LEGENDRE_TERMS + 1], cosines[COSINES], kernels[COSINES], a[3], b[3];
    kernel_factors(factors);
    for (size_t i = 0; i < n; i++) {
        direction_of(positions[i], a);
        for (size_t first = 0; first <= i; first += COSINES) {
            const size_t left = i + 1 - first, count = left < COSINES ? left : (size_t)COSINES;
            for (size_t j = 0; j < COSINES; j++) {
                /* Those beyond the last are computed for nobody. */
                direction_of(positions[j < count ? first + j : i], b);
                cosines[j] = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
            }
            spline_kernels(cosines, factors, kernels);
            for (size_t j = first; j < first + count; j++)
                matrix[i * n + j] = matrix[j * n + i] = kernels[j - first];
        }
    }
}

/* Removes the constant from the inverse: P = Q - q q' / s with q = Q 1, s = 1' Q 1. */
static void remove_border(double *matrix, size_t n, double *sums)
{
    double total = 0.0;
    for (size_t i = 0; i < n; i++) {
        sums[i] = 0.0;
        for (size_t j = 0; j < n; j++)
            sums[i] += matrix[i * n + j];
        total += sums[i];
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            matrix[i * n + j] -= sums[i] * sums[j] / total;
}

enum rejectd_status spline_precision(const double (*positions)[3], size_t n, double *precision,
                                     struct rejectd_error *error)
{
    double *sums = malloc(n * sizeof *sums);
    enum rejectd_status status = REJECTD_OK;
    if (sums == NULL)
        return REJECTD_FAIL_MEMORY(error, n * sizeof *sums);
    spline_kernel_matrix(positions, n, precision);
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
