#include "worker/meg/field_map.h"

#include <stdlib.h>

#include "worker/meg/field_map_private.h"
#include "worker/meg/lead_field.h"
#include "worker/meg/mapping.h"
#include "worker/meg/projection.h"

static const double noise_mag = 20e-15; /* T */
static const double noise_grad = 5e-13; /* T/m */

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

size_t field_map_vectors(const struct field_map *map)
{
    return map->n_vectors;
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
