/*
 * The spline through the sensors R is x(t) = g_t' a + b, where (G_RR + alpha I) a + 1 b = x_R and
 * 1' a = 0 (Perrin et al. 1989, eq. 1-2). With Q the inverse of G_RR + alpha I, q = Q 1 and
 * s = 1' Q 1 the weights of target t are Q g_t + (1 - 1' Q g_t) q / s.
 */
#include "worker/algorithm/spline_mapping.h"

#include <stdbool.h>
#include <stdlib.h>

#include "worker/algorithm/spline.h"
#include "worker/blas_threads.h"

/* LAPACK, column-major: a row-major [n][n_from] matrix is its n right-hand sides. */
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
extern void dpotrs_(const char *uplo, const int *n, const int *n_right, const double *a,
                    const int *lda, double *b, const int *ldb, int *info);

struct spline_mapper {
    size_t n;
    double kernel[]; /* [n][n] */
};

/* G_RR + alpha I, and the right-hand sides: 1 in sums, g_t in each row of weights. */
static void fill_system(const struct spline_mapper *mapper, const size_t *from, size_t n_from,
                        const size_t *to, size_t n_to, double *system, double *sums,
                        double *weights)
{
    const size_t n = mapper->n;
    for (size_t i = 0; i < n_from; i++) {
        for (size_t j = 0; j < n_from; j++)
            system[i * n_from + j] = mapper->kernel[from[i] * n + from[j]];
        system[i * n_from + i] += spline_regularisation;
        sums[i] = 1.0;
    }
    for (size_t i = 0; i < n_to; i++)
        for (size_t j = 0; j < n_from; j++)
            weights[i * n_from + j] = mapper->kernel[to[i] * n + from[j]];
}

/* Replaces the right-hand sides by the solutions; false when the matrix is singular. */
static bool solve_system(double *system, size_t n_from, size_t n_to, double *sums, double *weights)
{
    const int order = (int)n_from, n_targets = (int)n_to, one = 1;
    const int blas_threads_before = blas_threads_pin();
    int info;
    dpotrf_("L", &order, system, &order, &info);
    if (info == 0)
        dpotrs_("L", &order, &one, system, &order, sums, &order, &info);
    if (info == 0)
        dpotrs_("L", &order, &n_targets, system, &order, weights, &order, &info);
    blas_threads_restore(blas_threads_before);
    return info == 0;
}

/* Q g_t becomes the weights of target t: they add up to 1. */
static void add_constant(size_t n_from, size_t n_to, const double *sums, double *weights)
{
    double total = 0.0;
    for (size_t j = 0; j < n_from; j++)
        total += sums[j];
    for (size_t i = 0; i < n_to; i++) {
        double *row = weights + i * n_from, missing = 1.0;
        for (size_t j = 0; j < n_from; j++)
            missing -= row[j];
        for (size_t j = 0; j < n_from; j++)
            row[j] += missing * sums[j] / total;
    }
}

static enum rejectd_status make(void *context, const size_t *from, size_t n_from, const size_t *to,
                                size_t n_to, double *weights, struct rejectd_error *error)
{
    double *system = malloc((n_from + 1) * n_from * sizeof *system);
    if (system == NULL)
        return REJECTD_FAIL_MEMORY(error, (n_from + 1) * n_from * sizeof *system);
    double *sums = system + n_from * n_from;
    enum rejectd_status status = REJECTD_OK;
    fill_system(context, from, n_from, to, n_to, system, sums, weights);
    if (solve_system(system, n_from, n_to, sums, weights))
        add_constant(n_from, n_to, sums, weights);
    else
        status = REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "channels",
                              "the sensor positions do not allow spherical splines");
    free(system);
    return status;
}

enum rejectd_status spline_mapping_maker(const double (*positions)[3], size_t n,
                                         struct mapping_maker *maker, struct rejectd_error *error)
{
    struct spline_mapper *mapper = malloc(sizeof *mapper + n * n * sizeof *mapper->kernel);
    *maker = (struct mapping_maker){.make = make, .free = free, .context = mapper};
    if (mapper == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *mapper + n * n * sizeof *mapper->kernel);
    mapper->n = n;
    spline_kernel_matrix(positions, n, 1, mapper->kernel);
    return REJECTD_OK;
}
