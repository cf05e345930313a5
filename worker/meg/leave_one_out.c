/*
 * Each sensor predicted from all others: field_map_leave_one_out().
 *
 * Without projectors all maps come from one eigendecomposition (secular.h). With projectors they
 * do, too, where all sensors have the same noise level. Let V be what the projectors remove, P = I
 * - V V' and K the whitened products. Restricting the projectors to the sensors but b removes the
 * span of V and e_b from all sensors, so that what is left is K_b = Q K_0 Q,   K_0 = P K P,   Q = I
 * - q q',   q = P e_b / |P e_b|: one direction is left out of the eigenvectors of K_0, if not the
 * axis of a sensor. What is mapped, P_b K e_b, is |P e_b| K_0 q and a combination of the columns of
 * P K V, up to q and V.
 *
 * A sensor for which this does not hold gets its own eigenproblem: noise levels that differ,
 * vectors of the projectors that are (nearly) dependent on the other sensors, eigenvalues that
 * coincide.
 */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "worker/blas_threads.h"
#include "worker/meg/field_map.h"
#include "worker/meg/field_map_private.h"
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

/* |P e_b| below which q is not known well enough. */
static const double least_rest = 1e-3;

/* What the sensors share. */
struct whole {
    const struct field_map *map;
    double *values;  /* [n] eigenvalues of K_0, ascending */
    double *vectors; /* [n][n] its eigenvectors, row i is vector i */
    size_t n_basis;
    double *basis;       /* [n_basis][n] V */
    double *basis_along; /* [n_basis][n] V by the eigenvectors */
    double *rest_along;  /* [n_basis][n] P K V by the eigenvectors */
    double *factors;     /* [n][n] row b is the map of sensor b by the eigenvectors */
    bool *done;          /* [n] whether it has one */
};

static void whole_free(struct whole *whole)
{
    free(whole->values);
    free(whole->vectors);
    free(whole->basis);
    free(whole->basis_along);
    free(whole->rest_along);
    free(whole->factors);
    free(whole->done);
}

static enum rejectd_status whole_init(struct whole *whole, const struct field_map *map,
                                      struct rejectd_error *error)
{
    const size_t n = map->n, n_vectors = map->n_vectors * n + 1;
    *whole = (struct whole){
        .map = map,
        .values = malloc(n * sizeof(double)),
        .vectors = malloc(n * n * sizeof(double)),
        .basis = malloc(n_vectors * sizeof(double)),
        .basis_along = malloc(n_vectors * sizeof(double)),
        .rest_along = malloc(n_vectors * sizeof(double)),
        .factors = calloc(n * n, sizeof(double)),
        .done = calloc(n, sizeof(bool)),
    };
    if (whole->values == NULL || whole->vectors == NULL || whole->basis == NULL ||
        whole->basis_along == NULL || whole->rest_along == NULL || whole->factors == NULL ||
        whole->done == NULL)
        return REJECTD_FAIL_MEMORY(error, n * n * sizeof(double));
    return REJECTD_OK;
}

/* c [m][n] = a [m][k] b [k][n], in rows: in columns the transposes in reverse order. With
 * `transposed`, b is [n][k]. */
static void multiply(const double *a, const double *b, bool transposed, size_t m, size_t k,
                     size_t n, double *c)
{
    const int rows = (int)m, inner = (int)k, columns = (int)n;
    const double one = 1.0, zero = 0.0;
    dgemm_(transposed ? "T" : "N", "N", &columns, &rows, &inner, &one, b,
           transposed ? &inner : &columns, a, &inner, &zero, c, &columns);
}

/* V, an orthonormal basis of the projectors' vectors over all sensors. */
static enum rejectd_status make_basis(struct whole *whole, struct rejectd_error *error)
{
    const struct field_map *map = whole->map;
    double *vectors = malloc(map->n_vectors * map->n * sizeof *vectors);
    if (vectors == NULL)
        return REJECTD_FAIL_MEMORY(error, map->n_vectors * map->n * sizeof *vectors);
    memcpy(vectors, map->vectors, map->n_vectors * map->n * sizeof *vectors);
    enum rejectd_status status =
        projection_basis(vectors, map->n_vectors, map->n, whole->basis, &whole->n_basis, error);
    free(vectors);
    return status;
}

/* K_0 into the place of its eigenvectors, P K V into that of its products with them. */
static void fill_matrix(struct whole *whole)
{
    const struct field_map *map = whole->map;
    const size_t n = map->n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            whole->vectors[i * n + j] =
                map->products[i * n + j] * map->inverse_noise[i] * map->inverse_noise[j];
    if (whole->n_basis == 0)
        return;
    multiply(whole->basis, whole->vectors, false, whole->n_basis, n, n, whole->rest_along);
    for (size_t v = 0; v < whole->n_basis; v++)
        projection_apply(whole->basis, whole->n_basis, n, whole->rest_along + v * n);
    mapping_project(whole->vectors, n, whole->basis, whole->n_basis);
}

static enum rejectd_status decompose(struct whole *whole, struct rejectd_error *error)
{
    const size_t n = whole->map->n;
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
    fill_matrix(whole);
    dsyevd_("V", "L", &order, whole->vectors, &order, whole->values, work, &work_size, integers,
            &integer_size, &info);
    if (info != 0)
        status = MAPPING_FAIL(error);
    if (info == 0 && whole->n_basis > 0) {
        memcpy(work, whole->rest_along, whole->n_basis * n * sizeof *work);
        multiply(work, whole->vectors, true, whole->n_basis, n, n, whole->rest_along);
        multiply(whole->basis, whole->vectors, true, whole->n_basis, n, n, whole->basis_along);
    }
cleanup:
    free(work);
    free(integers);
    return status;
}

/* Scratch of one thread. */
struct scratch {
    struct secular *secular;
    double *v, *x;          /* [n] */
    double *vectors, *kept; /* [n_vectors][n] */
};

static bool scratch_init(struct scratch *scratch, const struct field_map *map)
{
    const size_t n = map->n, n_vectors = map->n_vectors * n + 1;
    *scratch =
        (struct scratch){secular_open(n), malloc(n * sizeof(double)), malloc(n * sizeof(double)),
                         malloc(n_vectors * sizeof(double)), malloc(n_vectors * sizeof(double))};
    return scratch->secular != NULL && scratch->v != NULL && scratch->x != NULL &&
           scratch->vectors != NULL && scratch->kept != NULL;
}

static void scratch_free(struct scratch *scratch)
{
    secular_close(scratch->secular);
    free(scratch->v);
    free(scratch->x);
    free(scratch->vectors);
    free(scratch->kept);
}

/* Whether the projectors restricted to the sensors but b remove all that they do, with as many
 * dimensions. */
static bool removes_the_same(const struct whole *whole, size_t b, struct scratch *scratch)
{
    const struct field_map *map = whole->map;
    const size_t n = map->n;
    size_t n_basis;
    for (size_t v = 0; v < map->n_vectors; v++) {
        double *to = scratch->vectors + v * (n - 1);
        const double *from = map->vectors + v * n;
        memcpy(to, from, b * sizeof *to);
        memcpy(to + b, from + b + 1, (n - 1 - b) * sizeof *to);
    }
    return whole->n_basis == map->n_vectors &&
           projection_basis(scratch->vectors, map->n_vectors, n - 1, scratch->kept, &n_basis,
                            NULL) == REJECTD_OK &&
           n_basis == map->n_vectors;
}

/* Row b of the factors; false when they have to be found otherwise. */
static bool leave_out(struct whole *whole, size_t b, struct scratch *scratch)
{
    const size_t n = whole->map->n;
    double *v = scratch->v, *x = scratch->x, *y = whole->factors + b * n, share = 1.0;
    for (size_t i = 0; i < n; i++)
        v[i] = whole->vectors[i * n + b];
    if (whole->map->n_vectors == 0)
        return secular_leave_out(scratch->secular, whole->values, v, NULL, share, n, MAPPING_MISS,
                                 y);
    if (!removes_the_same(whole, b, scratch))
        return false;
    memset(x, 0, n * sizeof *x);
    for (size_t k = 0; k < whole->n_basis; k++) {
        const double along = whole->basis[k * n + b];
        for (size_t i = 0; i < n; i++) {
            v[i] -= along * whole->basis_along[k * n + i];
            x[i] += along * whole->rest_along[k * n + i];
        }
    }
    double square = 0.0;
    for (size_t i = 0; i < n; i++)
        square += v[i] * v[i];
    share = sqrt(square);
    if (!(share > least_rest))
        return false;
    for (size_t i = 0; i < n; i++)
        v[i] /= share;
    return secular_leave_out(scratch->secular, whole->values, v, x, share, n, MAPPING_MISS, y);
}

static enum rejectd_status leave_out_all(struct whole *whole, int n_threads,
                                         struct rejectd_error *error)
{
    const size_t n = whole->map->n;
    bool no_memory = false;
#pragma omp parallel num_threads(n_threads)
    {
        struct scratch scratch;
        const bool ready = scratch_init(&scratch, whole->map);
        if (!ready) {
#pragma omp atomic write
            no_memory = true;
        }
#pragma omp for schedule(dynamic, 1)
        for (size_t b = 0; b < n; b++)
            whole->done[b] = ready && leave_out(whole, b, &scratch);
        scratch_free(&scratch);
    }
    return no_memory ? REJECTD_FAIL_MEMORY(error, n * n * sizeof(double)) : REJECTD_OK;
}

/* The rows that have no factors, each by an eigenproblem of its own. */
static enum rejectd_status leave_out_one_by_one(const struct field_map *map, const bool *done,
                                                int n_threads, double *weights,
                                                struct rejectd_error *error)
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
            if (done[b])
                continue;
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

static bool same_noise(const struct field_map *map)
{
    for (size_t i = 1; i < map->n; i++)
        if (map->inverse_noise[i] != map->inverse_noise[0])
            return false;
    return true;
}

static enum rejectd_status make_weights(const struct field_map *map, int n_threads, double *weights,
                                        struct rejectd_error *error)
{
    const size_t n = map->n;
    struct whole whole;
    enum rejectd_status status = whole_init(&whole, map, error);
    if (status != REJECTD_OK)
        goto cleanup;
    if (map->n_vectors == 0 || same_noise(map)) {
        if (map->n_vectors > 0)
            status = make_basis(&whole, error);
        if (status == REJECTD_OK)
            status = decompose(&whole, error);
        if (status == REJECTD_OK)
            status = leave_out_all(&whole, n_threads, error);
        if (status != REJECTD_OK)
            goto cleanup;
        multiply(whole.factors, whole.vectors, false, n, n, n, weights);
        for (size_t b = 0; b < n; b++)
            for (size_t j = 0; j < n; j++)
                weights[b * n + j] =
                    j == b ? 0.0
                           : weights[b * n + j] * map->inverse_noise[j] / map->inverse_noise[b];
    }
    status = leave_out_one_by_one(map, whole.done, n_threads, weights, error);
cleanup:
    whole_free(&whole);
    return status;
}

enum rejectd_status field_map_leave_one_out(const struct field_map *map, int n_threads,
                                            double *weights, struct rejectd_error *error)
{
    const int blas_threads_before = blas_threads_pin();
    enum rejectd_status status = make_weights(map, n_threads, weights, error);
    blas_threads_restore(blas_threads_before);
    return status;
}
