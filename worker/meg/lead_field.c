#include "worker/meg/lead_field.h"

#include <math.h>
#include <stdlib.h>

#include "worker/meg/legendre.h"

static const double centre[3] = {0.0, 0.0, 0.04};     /* m, of the sphere, in head coordinates */
static const double source_radius = 0.06;             /* m, that sources reach */
static const double magnetic_constant = 4e-14 * M_PI; /* mu_0^2 / (4 pi) */

const double lead_field_least_radius = 0.0605;

double lead_field_radius(const double point[3])
{
    double square = 0.0;
    for (int axis = 0; axis < 3; axis++)
        square += (point[axis] - centre[axis]) * (point[axis] - centre[axis]);
    return sqrt(square);
}

/* All points of all coils, one array for each property so that lanes are neighbours. */
struct points {
    size_t n;
    size_t *first;   /* [n_coils + 1] */
    double *unit[3]; /* [n] from the centre */
    double *direction[3];
    double *along;  /* [n] direction . unit */
    double *radius; /* [n] m */
    double *weight; /* [n] */
    double *storage;
};

static void points_free(struct points *points)
{
    free(points->first);
    free(points->storage);
}

static enum rejectd_status points_init(struct points *points, const struct coil *coils,
                                       size_t n_coils, struct rejectd_error *error)
{
    size_t n = 0;
    for (size_t c = 0; c < n_coils; c++)
        n += coils[c].n_points;
    *points = (struct points){.n = n,
                              .first = malloc((n_coils + 1) * sizeof(size_t)),
                              .storage = malloc(9 * n * sizeof(double))};
    if (points->first == NULL || points->storage == NULL)
        return REJECTD_FAIL_MEMORY(error, 9 * n * sizeof(double));
    for (int axis = 0; axis < 3; axis++) {
        points->unit[axis] = points->storage + (size_t)axis * n;
        points->direction[axis] = points->storage + (size_t)(3 + axis) * n;
    }
    points->along = points->storage + 6 * n;
    points->radius = points->storage + 7 * n;
    points->weight = points->storage + 8 * n;
    size_t at = 0;
    for (size_t c = 0; c < n_coils; c++) {
        points->first[c] = at;
        for (size_t i = 0; i < coils[c].n_points; i++, at++) {
            points->radius[at] = lead_field_radius(coils[c].points[i]);
            points->weight[at] = coils[c].weights[i];
            points->along[at] = 0.0;
            for (int axis = 0; axis < 3; axis++) {
                points->unit[axis][at] =
                    (coils[c].points[i][axis] - centre[axis]) / points->radius[at];
                points->direction[axis][at] = coils[c].direction[axis];
                points->along[at] += points->unit[axis][at] * coils[c].direction[axis];
            }
        }
    }
    points->first[n_coils] = n;
    return REJECTD_OK;
}

/* Weighted products of point i with points j .. j + LEGENDRE_LANES - 1, those beyond n being 0. */
static void lane_products(const struct points *p, const struct legendre_table *table, size_t i,
                          size_t j, double out[LEGENDRE_LANES])
{
    double cosine[LEGENDRE_LANES], beta[LEGENDRE_LANES], sums[4][LEGENDRE_LANES];
    for (size_t l = 0; l < LEGENDRE_LANES; l++) {
        const size_t k = j + l < p->n ? j + l : p->n - 1;
        double c = p->unit[0][i] * p->unit[0][k] + p->unit[1][i] * p->unit[1][k] +
                   p->unit[2][i] * p->unit[2][k];
        cosine[l] = c < -1.0 ? -1.0 : c > 1.0 ? 1.0 : c;
        beta[l] = source_radius * source_radius / (p->radius[i] * p->radius[k]);
    }
    legendre_sums(table, cosine, beta, sums);
    for (size_t l = 0; l < LEGENDRE_LANES; l++) {
        const size_t k = j + l < p->n ? j + l : p->n - 1;
        const double c = cosine[l], a = p->along[i], d = p->along[k];
        double b = 0.0, cross = 0.0, directions = 0.0;
        for (int axis = 0; axis < 3; axis++) {
            b += p->direction[axis][i] * p->unit[axis][k];
            cross += p->direction[axis][k] * p->unit[axis][i];
            directions += p->direction[axis][i] * p->direction[axis][k];
        }
        const double product = a * d * sums[0][l] +
                               (2.0 * c * a * d - a * cross - b * d) * sums[1][l] +
                               (directions + c * a * d - a * cross - b * d) * sums[2][l] +
                               (b - c * a) * (cross - c * d) * sums[3][l];
        out[l] = j + l < p->n ? product * p->weight[i] * p->weight[k] * magnetic_constant /
                                    (p->radius[i] * p->radius[k])
                              : 0.0;
    }
}

/* Row `coil` of the products from the diagonal on: sums [points] is scratch. */
static void coil_row(const struct points *p, const struct legendre_table *table, size_t coil,
                     size_t n_coils, double *sums, double *row)
{
    const size_t start = p->first[coil];
    for (size_t j = start; j < p->n; j++)
        sums[j] = 0.0;
    for (size_t i = p->first[coil]; i < p->first[coil + 1]; i++)
        for (size_t j = start; j < p->n; j += LEGENDRE_LANES) {
            double lanes[LEGENDRE_LANES];
            lane_products(p, table, i, j, lanes);
            for (size_t l = 0; l < LEGENDRE_LANES && j + l < p->n; l++)
                sums[j + l] += lanes[l];
        }
    for (size_t other = coil; other < n_coils; other++) {
        row[other] = 0.0;
        for (size_t j = p->first[other]; j < p->first[other + 1]; j++)
            row[other] += sums[j];
    }
}

enum rejectd_status lead_field_products(const struct coil *coils, size_t n,
                                        enum rejectd_meg_legendre legendre, int n_threads,
                                        double *products, struct rejectd_error *error)
{
    struct points points = {0};
    struct legendre_table *table = NULL;
    bool failed = false;
    enum rejectd_status status = points_init(&points, coils, n, error);
    if (status == REJECTD_OK && legendre == REJECTD_MEG_LEGENDRE_TABLE)
        status = legendre_table_make(&table, error);
    if (status != REJECTD_OK)
        goto cleanup;
#pragma omp parallel num_threads(n_threads)
    {
        double *sums = malloc(points.n * sizeof *sums);
        if (sums == NULL) {
#pragma omp atomic write
            failed = true;
        }
#pragma omp for schedule(dynamic, 1)
        for (size_t c = 0; c < n; c++)
            if (sums != NULL)
                coil_row(&points, table, c, n, sums, products + c * n);
        free(sums);
    }
    if (failed)
        status = REJECTD_FAIL_MEMORY(error, points.n * sizeof(double));
    for (size_t i = 0; i < n && status == REJECTD_OK; i++)
        for (size_t j = 0; j < i; j++)
            products[i * n + j] = products[j * n + i];
cleanup:
    points_free(&points);
    legendre_table_free(table);
    return status;
}
