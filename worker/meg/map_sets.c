/*
 * Field maps of many sets of sensors on a device: field_map_sets(). The device makes the
 * eigenproblems of the sets itself; what the projectors leave of each set, a few vectors, is found
 * here, because it takes a singular value decomposition of next to nothing.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "worker/backend.h"
#include "worker/meg/field_map.h"
#include "worker/meg/field_map_private.h"
#include "worker/meg/mapping.h"
#include "worker/meg/projection.h"

size_t field_map_slice(const struct field_map *map)
{
    enum { MOST_SETS = 1024, MOST_BYTES = 64 << 20 };
    const size_t bytes = map->n_vectors * map->n * sizeof(double);
    const size_t fits = bytes > 0 ? MOST_BYTES / bytes : MOST_SETS;
    return fits < 1 ? 1 : fits < MOST_SETS ? fits : MOST_SETS;
}

/* Scratch of one thread. */
struct scratch {
    double *vectors, *basis; /* [n_vectors][n] */
    size_t *from;            /* [n] */
};

static bool scratch_init(struct scratch *scratch, const struct field_map *map)
{
    const size_t bytes = map->n_vectors * map->n * sizeof(double);
    *scratch = (struct scratch){malloc(bytes), malloc(bytes), malloc(map->n * sizeof(size_t))};
    return scratch->vectors != NULL && scratch->basis != NULL && scratch->from != NULL;
}

static void scratch_free(struct scratch *scratch)
{
    free(scratch->vectors);
    free(scratch->basis);
    free(scratch->from);
}

/* What the projectors remove from the sensors that a set keeps: basis [n_vectors][n], zero where it
 * has fewer rows and at the sensors left out. False where there is none. */
static bool find_basis(const struct field_map *map, const uint16_t *left_out, size_t n_out,
                       struct scratch *scratch, double *basis)
{
    const size_t n = map->n, n_from = n - n_out;
    size_t at = 0, n_basis;
    for (size_t i = 0; i < n; i++) {
        if (at < n_out && left_out[at] == i)
            at++;
        else
            scratch->from[i - at] = i;
    }
    for (size_t v = 0; v < map->n_vectors; v++)
        for (size_t i = 0; i < n_from; i++)
            scratch->vectors[v * n_from + i] = map->vectors[v * n + scratch->from[i]];
    if (projection_basis(scratch->vectors, map->n_vectors, n_from, scratch->basis, &n_basis,
                         NULL) != REJECTD_OK)
        return false;
    for (size_t v = 0; v < n_basis; v++)
        for (size_t i = 0; i < n_from; i++)
            basis[v * n + scratch->from[i]] = scratch->basis[v * n_from + i];
    return true;
}

/* The basis of every set; done[s] is 0 where there is none. */
static enum rejectd_status find_bases(const struct field_map *map, const size_t *offsets,
                                      const uint16_t *left_out, size_t n_sets, int n_threads,
                                      double *bases, uint8_t *done, struct rejectd_error *error)
{
    const size_t size = map->n_vectors * map->n;
    bool no_memory = false;
#pragma omp parallel num_threads(n_threads)
    {
        struct scratch scratch;
        const bool ready = scratch_init(&scratch, map);
        if (!ready) {
#pragma omp atomic write
            no_memory = true;
        }
#pragma omp for schedule(dynamic, 1)
        for (size_t s = 0; s < n_sets; s++)
            done[s] = ready && find_basis(map, left_out + offsets[s], offsets[s + 1] - offsets[s],
                                          &scratch, bases + s * size);
        scratch_free(&scratch);
    }
    return no_memory ? REJECTD_FAIL_MEMORY(error, size * sizeof(double)) : REJECTD_OK;
}

enum rejectd_status field_map_sets(const struct field_map *map, const struct backend *backend,
                                   struct backend_session *session, const size_t *offsets,
                                   const uint16_t *left_out, size_t n_sets, int n_threads,
                                   double *rows, uint8_t *solved, struct rejectd_error *error)
{
    const size_t size = map->n_vectors * map->n;
    uint8_t *done = malloc(n_sets + 1);
    double *bases = NULL;
    enum rejectd_status status = REJECTD_OK;
    if (size > 0)
        bases = calloc(n_sets * size, sizeof *bases);
    if (done == NULL || (size > 0 && bases == NULL)) {
        status = REJECTD_FAIL_MEMORY(error, n_sets * size * sizeof *bases);
        goto cleanup;
    }
    memset(done, 1, n_sets);
    if (size > 0)
        status = find_bases(map, offsets, left_out, n_sets, n_threads, bases, done, error);
    const struct backend_map_sets sets = {
        .matrix = map->products,
        .scale = map->inverse_noise,
        .miss = MAPPING_MISS,
        .n_sets = n_sets,
        .offsets = offsets,
        .left_out = left_out,
        .n_basis = map->n_vectors,
        .basis = bases,
    };
    if (status == REJECTD_OK)
        status = backend->map_sets(session, &sets, rows, solved, error);
    for (size_t s = 0; s < n_sets && status == REJECTD_OK; s++)
        solved[s] &= done[s];
cleanup:
    free(done);
    free(bases);
    return status;
}
