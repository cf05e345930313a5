#include "worker/meg/field_map.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "worker/blas_threads.h"
#include "worker/meg/lead_field.h"
#include "worker/meg/mapping.h"
#include "worker/meg/projection.h"
#include "worker/meg/secular.h"

/* BLAS and LAPACK, column-major; a symmetric matrix does not mind. */
extern void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda,
                    double *w, double *work, const int *lwork, int *iwork, const int *liwork,
                    int *info);
extern void dgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k,
                   const double *alpha, const double *a, const int *lda, const double *b,
                   const int *ldb, const double *beta, double *c, const int *ldc);

static const double noise_mag = 20e-15; /* T */
static const double noise_grad = 5e-13; /* T/m */

struct field_map {
    size_t n;
    double *products;      /* [n][n] */
    double *inverse_noise; /* [n] */
    size_t n_vectors;
    double *vectors; /* [n_vectors][n] of the projectors */
};

void field_map_close(struct field_map *map)
{
    if (map == NULL)
        return;
    free(map->products);
    free(map->inverse_noise);
    free(map->vectors);
    free(map);
}

const double *field_map_products(const struct field_map *map)
{
    return map->products;
}

/* The projectors' vectors over the picks, those that are zero there left out. */
static void pick_vectors(struct field_map *map, const struct rejectd_epochs *epochs,
                         const size_t *picks)
{
    for (size_t p = 0; p < epochs->n_projectors; p++)
        for (size_t v = 0; v < epochs->projectors[p].n_vectors; v++) {
            const double *from = epochs->projectors[p].vectors + v * epochs->n_channels;
            double *to = map->vectors + map->n_vectors * map->n;
            bool used = false;
            for (size_t i = 0; i < map->n; i++) {
                to[i] = from[picks[i]];
                used |= to[i] != 0.0;
            }
            map->n_vectors += used;
        }
}

enum rejectd_status field_map_open(const struct rejectd_epochs *epochs, const size_t *picks,
                                   size_t n, enum rejectd_meg_legendre legendre, int n_threads,
                                   struct field_map **map, struct rejectd_error *error)
{
    size_t n_vectors = 0;
    for (size_t p = 0; p < epochs->n_projectors; p++)
        n_vectors += epochs->projectors[p].n_vectors;
    struct field_map *made = calloc(1, sizeof *made);
    struct coil *coils = malloc(n * sizeof *coils);
    enum rejectd_status status = REJECTD_OK;
    *map = NULL;
    if (made == NULL || coils == NULL) {
        status = REJECTD_FAIL_MEMORY(error, n * sizeof *coils);
        goto cleanup;
    }
    made->n = n;
    made->products = malloc(n * n * sizeof(double));
    made->inverse_noise = malloc(n * sizeof(double));
    made->vectors = malloc((n_vectors * n + 1) * sizeof(double));
    if (made->products == NULL || made->inverse_noise == NULL || made->vectors == NULL) {
        status = REJECTD_FAIL_MEMORY(error, n * n * sizeof(double));
        goto cleanup;
    }
    for (size_t i = 0; i < n; i++) {
        const struct rejectd_channel *channel = &epochs->channels[picks[i]];
        coil_place(epochs, channel, &coils[i]);
        made->inverse_noise[i] =
            1.0 / (channel->type == REJECTD_CHANNEL_GRAD ? noise_grad : noise_mag);
    }
    pick_vectors(made, epochs, picks);
    status = lead_field_products(coils, n, legendre, n_threads, made->products, error);
cleanup:
    free(coils);
    if (status != REJECTD_OK) {
        field_map_close(made);
        return status;
    }
    *map = made;
    return REJECTD_OK;
}

/* ---- one mapping ---- */

/* S_RR and S_RB of a mapping, projected and whitened, into the problem. */
static enum rejectd_status fill_problem(const struct field_map *map, const size_t *from,
                                        size_t n_from, const size_t *to, size_t n_to,
                                        struct mapping *mapping, struct rejectd_error *error)
{
    const size_t g = n_from;
    double *vectors = NULL, *basis = NULL;
    size_t n_basis = 0;
    enum rejectd_status status = REJECTD_OK;
    for (size_t i = 0; i < g; i++) {
        for (size_t j = 0; j < g; j++)
            mapping->matrix[i * g + j] = map->products[from[i] * map->n + from[j]];
        for (size_t b = 0; b < n_to; b++)
            mapping->columns[b * g + i] = map->products[from[i] * map->n + to[b]];
    }
    if (map->n_vectors > 0) {
        vectors = malloc(map->n_vectors * g * sizeof *vectors);
        basis = malloc(map->n_vectors * g * sizeof *basis);
        if (vectors == NULL || basis == NULL) {
            status = REJECTD_FAIL_MEMORY(error, map->n_vectors * g * sizeof *basis);
            goto cleanup;
        }
        for (size_t v = 0; v < map->n_vectors; v++)
            for (size_t i = 0; i < g; i++)
                vectors[v * g + i] = map->vectors[v * map->n + from[i]];
        status = projection_basis(vectors, map->n_vectors, g, basis, &n_basis, error);
        if (status != REJECTD_OK || n_basis == 0)
            goto whiten;
        mapping_project(mapping->matrix, g, basis, n_basis);
        for (size_t b = 0; b < n_to; b++)
            projection_apply(basis, n_basis, g, mapping->columns + b * g);
    }
whiten:
    for (size_t i = 0; i < g; i++) {
        for (size_t j = 0; j < g; j++)
            mapping->matrix[i * g + j] *= map->inverse_noise[from[i]] * map->inverse_noise[from[j]];
        for (size_t b = 0; b < n_to; b++)
            mapping->columns[b * g + i] *= map->inverse_noise[from[i]];
    }
cleanup:
    free(vectors);
    free(basis);
    return status;
}

enum rejectd_status field_map_between(const struct field_map *map, const size_t *from,
                                      size_t n_from, const size_t *to, size_t n_to, double *weights,
                                      struct rejectd_error *error)
{
    struct mapping mapping;
    enum rejectd_status status = mapping_init(&mapping, n_from, n_to, error);
    if (status == REJECTD_OK)
        status = fill_problem(map, from, n_from, to, n_to, &mapping, error);
    if (status == REJECTD_OK)
        status = mapping_solve(&mapping, error);
    for (size_t b = 0; b < n_to && status == REJECTD_OK; b++)
        for (size_t i = 0; i < n_from; i++)
            weights[b * n_from + i] = mapping.columns[b * n_from + i] * map->inverse_noise[from[i]];
    mapping_free(&mapping);
    return status;
}

/* ---- leave one out ---- */

/* Each sensor its own mapping: projectors are restricted to the others each time. */
static enum rejectd_status leave_out_one_by_one(const struct field_map *map, int n_threads,
                                                double *weights, struct rejectd_error *error)
{
    const size_t n = map->n;
    enum rejectd_status status = REJECTD_OK;
#pragma omp parallel num_threads(n_threads)
    {
        size_t *from = malloc(n * sizeof *from);
        double *row = malloc(n * sizeof *row);
#pragma omp for schedule(dynamic, 1)
        for (size_t b = 0; b < n; b++) {
            struct rejectd_error mine = {0};
            enum rejectd_status failed = REJECTD_OK;
            if (from == NULL || row == NULL) {
                failed = REJECTD_FAIL_MEMORY(&mine, n * sizeof *row);
            } else {
                for (size_t i = 0; i + 1 < n; i++)
                    from[i] = i + (i >= b);
                failed = field_map_between(map, from, n - 1, &b, 1, row, &mine);
            }
            for (size_t i = 0; i + 1 < n && failed == REJECTD_OK; i++)
                weights[b * n + from[i]] = row[i];
            weights[b * n + b] = 0.0;
            if (failed != REJECTD_OK) {
#pragma omp critical(field_map_failure)
                {
                    status = failed;
                    *error = mine;
                }
            }
        }
        free(from);
        free(row);
    }
    return status;
}

/* Eigenvalues [n] ascending and eigenvectors [n][n] (row i is vector i) of the whitened products.
 */
static enum rejectd_status decompose(const struct field_map *map, double *values, double *vectors,
                                     struct rejectd_error *error)
{
    const size_t n = map->n;
    const int order = (int)n, work_size = 1 + 6 * order + 2 * order * order,
              integer_size = 3 + 5 * order;
    double *work = malloc((size_t)work_size * sizeof *work);
    int *integers = malloc((size_t)integer_size * sizeof *integers);
    enum rejectd_status status = REJECTD_OK;
    int info = 0;
    if (work == NULL || integers == NULL) {
        status = REJECTD_FAIL_MEMORY(error, (size_t)work_size * sizeof *work);
        goto cleanup;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            vectors[i * n + j] =
                map->products[i * n + j] * map->inverse_noise[i] * map->inverse_noise[j];
    dsyevd_("V", "L", &order, vectors, &order, values, work, &work_size, integers, &integer_size,
            &info);
    if (info != 0)
        status = MAPPING_FAIL(error);
cleanup:
    free(work);
    free(integers);
    return status;
}

/* factors [n][n]: row b is y of sensor b (secular.h). */
static enum rejectd_status leave_out_factors(const double *values, const double *vectors, size_t n,
                                             int n_threads, double *factors,
                                             struct rejectd_error *error)
{
    bool no_memory = false, failed = false;
#pragma omp parallel num_threads(n_threads)
    {
        struct secular *secular = secular_open(n);
        double *v = malloc(n * sizeof *v);
        if (secular == NULL || v == NULL) {
#pragma omp atomic write
            no_memory = true;
        }
#pragma omp for schedule(dynamic, 1)
        for (size_t b = 0; b < n; b++) {
            if (secular == NULL || v == NULL)
                continue;
            for (size_t i = 0; i < n; i++)
                v[i] = vectors[i * n + b];
            if (!secular_leave_out(secular, values, v, n, MAPPING_MISS, factors + b * n)) {
#pragma omp atomic write
                failed = true;
            }
        }
        secular_close(secular);
        free(v);
    }
    if (no_memory)
        return REJECTD_FAIL_MEMORY(error, n * n * sizeof(double));
    return failed ? MAPPING_FAIL(error) : REJECTD_OK;
}

static enum rejectd_status leave_out_by_secular_equation(const struct field_map *map, int n_threads,
                                                         double *weights,
                                                         struct rejectd_error *error)
{
    const size_t n = map->n;
    double *values = malloc(n * sizeof *values);
    double *vectors = malloc(n * n * sizeof *vectors);
    double *factors = malloc(n * n * sizeof *factors);
    enum rejectd_status status = REJECTD_OK;
    if (values == NULL || vectors == NULL || factors == NULL)
        status = REJECTD_FAIL_MEMORY(error, n * n * sizeof *factors);
    if (status == REJECTD_OK)
        status = decompose(map, values, vectors, error);
    if (status == REJECTD_OK)
        status = leave_out_factors(values, vectors, n, n_threads, factors, error);
    if (status == REJECTD_OK) {
        /* In rows: weights = factors x vectors; in columns the transposes in reverse order. */
        const int order = (int)n;
        const double one = 1.0, zero = 0.0;
        dgemm_("N", "N", &order, &order, &order, &one, vectors, &order, factors, &order, &zero,
               weights, &order);
        for (size_t b = 0; b < n; b++)
            for (size_t j = 0; j < n; j++)
                weights[b * n + j] =
                    j == b ? 0.0
                           : weights[b * n + j] * map->inverse_noise[j] / map->inverse_noise[b];
    }
    free(values);
    free(vectors);
    free(factors);
    return status;
}

enum rejectd_status field_map_leave_one_out(const struct field_map *map, int n_threads,
                                            double *weights, struct rejectd_error *error)
{
    const int blas_threads_before = blas_threads_pin();
    enum rejectd_status status =
        map->n_vectors > 0 ? leave_out_one_by_one(map, n_threads, weights, error)
                           : leave_out_by_secular_equation(map, n_threads, weights, error);
    blas_threads_restore(blas_threads_before);
    return status;
}
