#include "worker/algorithm/repair_sets.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "worker/blas_threads.h"
#include "worker/meg/field_map.h"

/* The sensors that one value of n_interpolate repairs in one epoch. */
struct use {
    const uint16_t *sensors; /* [n] ascending */
    size_t n;
    size_t value, epoch;
    size_t first_row; /* of its set */
};

struct uses {
    struct use *items;
    size_t n;
    uint16_t *sensors; /* where they all point to */
};

static size_t prefix_of(const struct backend_repairs *repairs, size_t value, size_t epoch)
{
    return repairs->prefix[value * repairs->n_epochs + epoch];
}

static int ascending(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static int by_set(const void *a, const void *b)
{
    const struct use *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    const int order = memcmp(x->sensors, y->sensors, x->n * sizeof *x->sensors);
    if (order != 0)
        return order;
    /* Any order would do; the same one each time keeps results the same. */
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return (x->epoch > y->epoch) - (x->epoch < y->epoch);
}

static bool same_set(const struct use *a, const struct use *b)
{
    return a->n == b->n && memcmp(a->sensors, b->sensors, a->n * sizeof *a->sensors) == 0;
}

/* Lists what is repaired, equal sets next to each other. */
static enum rejectd_status uses_init(struct uses *uses, const struct backend_repairs *repairs,
                                     struct rejectd_error *error)
{
    size_t n_sensors = 0, n = 0;
    *uses = (struct uses){0};
    for (size_t v = 0; v < repairs->n_values; v++)
        for (size_t e = 0; e < repairs->n_epochs; e++) {
            n_sensors += prefix_of(repairs, v, e);
            n += prefix_of(repairs, v, e) > 0;
        }
    uses->items = malloc((n + 1) * sizeof *uses->items);
    uses->sensors = malloc((n_sensors + 1) * sizeof *uses->sensors);
    if (uses->items == NULL || uses->sensors == NULL)
        return REJECTD_FAIL_MEMORY(error, n_sensors * sizeof *uses->sensors);
    uint16_t *at = uses->sensors;
    for (size_t v = 0; v < repairs->n_values; v++)
        for (size_t e = 0; e < repairs->n_epochs; e++) {
            const size_t count = prefix_of(repairs, v, e);
            if (count == 0)
                continue;
            memcpy(at, repairs->channels + repairs->offsets[e], count * sizeof *at);
            qsort(at, count, sizeof *at, ascending);
            uses->items[uses->n++] =
                (struct use){.sensors = at, .n = count, .value = v, .epoch = e};
            at += count;
        }
    qsort(uses->items, uses->n, sizeof *uses->items, by_set);
    return REJECTD_OK;
}

static void uses_free(struct uses *uses)
{
    free(uses->items);
    free(uses->sensors);
}

/* Gives every use the rows of its set; lists the first use of each set. */
static size_t number_rows(struct uses *uses, size_t *first_uses, size_t *n_sets)
{
    size_t rows = 0, sets = 0;
    for (size_t i = 0; i < uses->n; i++) {
        struct use *use = &uses->items[i];
        if (i > 0 && same_set(use, use - 1)) {
            use->first_row = use[-1].first_row;
            continue;
        }
        use->first_row = rows;
        rows += use->n;
        first_uses[sets++] = i;
    }
    *n_sets = sets;
    return rows;
}

/* Scratch of one thread for n picks. */
struct set_scratch {
    size_t *from, *to; /* [n] */
    double *weights;   /* [n][n] at most: [n_to][n_from] */
};

/* With fewer sets than this a device is not asked: it solves hundreds in the time of one, which is
 * that of 1 to 3 sets on each of 16 threads (102 to 306 sensors on an H200, measured by
 * tests/bench/bench_maps.c). The number of threads has no say, so that it does not show. */
enum { DEVICE_SETS = 16 };

/* Projectors with more vectors than this, of which there are none, are the host's. */
enum { DEVICE_VECTORS = 256 };

/* Whether the host has the row of a set already. */
static bool is_known(const struct interpolation *interpolation, const struct use *use)
{
    return use->n == 1 && interpolation->leave_one_out != NULL;
}

/* Solves one set into its rows. */
static enum rejectd_status solve_set(const struct interpolation *interpolation,
                                     const struct use *use, struct set_scratch *scratch,
                                     double *rows, struct rejectd_error *error)
{
    const size_t n = interpolation->n;
    if (is_known(interpolation, use)) {
        memcpy(rows, interpolation->leave_one_out + use->sensors[0] * n, n * sizeof *rows);
        return REJECTD_OK;
    }
    size_t n_from = 0, n_to = 0;
    for (size_t i = 0; i < n; i++) {
        if (n_to < use->n && use->sensors[n_to] == i)
            scratch->to[n_to++] = i;
        else
            scratch->from[n_from++] = i;
    }
    enum rejectd_status status = field_map_between(interpolation->field, scratch->from, n_from,
                                                   scratch->to, n_to, scratch->weights, error);
    memset(rows, 0, n_to * n * sizeof *rows);
    for (size_t b = 0; b < n_to && status == REJECTD_OK; b++)
        for (size_t i = 0; i < n_from; i++)
            rows[b * n + scratch->from[i]] = scratch->weights[b * n_from + i];
    return status;
}

/* Sets on their way to a device: as backend_map_sets has them. */
struct device_sets {
    size_t *offsets;
    uint16_t *left_out;
};

static enum rejectd_status list_slice(const struct uses *uses, const size_t *first_uses,
                                      size_t n_sets, struct device_sets *slice,
                                      struct rejectd_error *error)
{
    size_t n = 0;
    for (size_t s = 0; s < n_sets; s++)
        n += uses->items[first_uses[s]].n;
    slice->offsets = malloc((n_sets + 1) * sizeof *slice->offsets);
    slice->left_out = malloc((n + 1) * sizeof *slice->left_out);
    if (slice->offsets == NULL || slice->left_out == NULL)
        return REJECTD_FAIL_MEMORY(error, n * sizeof *slice->left_out);
    slice->offsets[0] = 0;
    for (size_t s = 0; s < n_sets; s++) {
        const struct use *use = &uses->items[first_uses[s]];
        memcpy(slice->left_out + slice->offsets[s], use->sensors, use->n * sizeof *use->sensors);
        slice->offsets[s + 1] = slice->offsets[s] + use->n;
    }
    return REJECTD_OK;
}

/* Has a device solve what it can, where that is worth it; done[s] tells what has rows. This is the
 * one place that decides between the two. */
static enum rejectd_status solve_on_device(const struct interpolation *interpolation,
                                           const struct backend *backend,
                                           struct backend_session *session, const struct uses *uses,
                                           const size_t *first_uses, size_t n_sets,
                                           struct progress *progress, double *rows, uint8_t *done,
                                           struct rejectd_error *error)
{
    const size_t most = field_map_slice(interpolation->field);
    size_t first = 0;
    /* Sets are in the order of their sizes. */
    while (first < n_sets && is_known(interpolation, &uses->items[first_uses[first]]))
        first++;
    if (backend->map_sets == NULL || n_sets - first < DEVICE_SETS ||
        field_map_vectors(interpolation->field) > DEVICE_VECTORS)
        return REJECTD_OK;
    enum rejectd_status status = REJECTD_OK;
    const int blas_threads_before = blas_threads_pin();
    while (first < n_sets && status == REJECTD_OK) {
        const size_t count = n_sets - first < most ? n_sets - first : most;
        struct device_sets slice = {0};
        status = list_slice(uses, first_uses + first, count, &slice, error);
        if (status == REJECTD_OK)
            status =
                field_map_sets(interpolation->field, backend, session, slice.offsets,
                               slice.left_out, count, interpolation->n_threads,
                               rows + uses->items[first_uses[first]].first_row * interpolation->n,
                               done + first, error);
        free(slice.offsets);
        free(slice.left_out);
        first += count;
        if (status == REJECTD_OK &&
            !progress_advance(progress, 0.9 * (double)first / (double)n_sets))
            status = REJECTD_FAIL(error, REJECTD_CANCELLED, "", "the work was cancelled");
    }
    blas_threads_restore(blas_threads_before);
    return status;
}

/* Solves the sets that are not done. */
static enum rejectd_status solve_sets(const struct interpolation *interpolation,
                                      const struct uses *uses, const size_t *first_uses,
                                      size_t n_sets, const uint8_t *done, struct progress *progress,
                                      double *rows, struct rejectd_error *error)
{
    const size_t n = interpolation->n;
    enum rejectd_status status = REJECTD_OK;
    bool stop = false;
    const int blas_threads_before = blas_threads_pin();
#pragma omp parallel num_threads(interpolation->n_threads)
    {
        struct set_scratch scratch = {malloc(n * sizeof(size_t)), malloc(n * sizeof(size_t)),
                                      malloc(n * n * sizeof(double))};
#pragma omp for schedule(dynamic, 1)
        for (size_t s = 0; s < n_sets; s++) {
            struct rejectd_error mine = {0};
            enum rejectd_status failed = REJECTD_OK;
            bool stopped;
#pragma omp atomic read
            stopped = stop;
            if (stopped || done[s])
                continue;
            /* The largest sets are the last ones and cost the least: any order is as good. */
            const struct use *use = &uses->items[first_uses[s]];
            if (scratch.from == NULL || scratch.to == NULL || scratch.weights == NULL)
                failed = REJECTD_FAIL_MEMORY(&mine, n * n * sizeof(double));
            else
                failed = solve_set(interpolation, use, &scratch, rows + use->first_row * n, &mine);
            if (failed == REJECTD_OK && omp_get_thread_num() == 0 &&
                !progress_advance(progress, 0.9 * (double)s / (double)n_sets))
                failed = REJECTD_FAIL(&mine, REJECTD_CANCELLED, "", "the work was cancelled");
            if (failed != REJECTD_OK) {
#pragma omp critical(repair_sets_failure)
                {
                    status = failed;
                    *error = mine;
                }
#pragma omp atomic write
                stop = true;
            }
        }
        free(scratch.from);
        free(scratch.to);
        free(scratch.weights);
    }
    blas_threads_restore(blas_threads_before);
    return status;
}

/* Tells the backend which row repairs which sensor of which epoch. */
static void fill_row_numbers(const struct uses *uses, const struct backend_repairs *repairs,
                             uint32_t *row)
{
    const size_t n_listed = repairs->offsets[repairs->n_epochs];
    for (size_t u = 0; u < uses->n; u++) {
        const struct use *use = &uses->items[u];
        const size_t first = repairs->offsets[use->epoch];
        for (size_t i = 0; i < use->n; i++) {
            const uint16_t *found = bsearch(&repairs->channels[first + i], use->sensors, use->n,
                                            sizeof *use->sensors, ascending);
            row[use->value * n_listed + first + i] =
                (uint32_t)(use->first_row + (size_t)(found - use->sensors));
        }
    }
}

void repair_sets_free(struct repair_sets *sets)
{
    free((void *)(uintptr_t)sets->weights.rows);
    free((void *)(uintptr_t)sets->weights.row);
    *sets = (struct repair_sets){0};
}

enum rejectd_status repair_sets_make(const struct interpolation *interpolation,
                                     const struct backend *backend, struct backend_session *session,
                                     const struct backend_repairs *repairs,
                                     struct progress *progress, struct repair_sets *sets,
                                     struct rejectd_error *error)
{
    struct uses uses = {0};
    size_t *first_uses = NULL, bytes;
    double *rows = NULL;
    uint32_t *row = NULL;
    uint8_t *done = NULL;
    *sets = (struct repair_sets){0};
    enum rejectd_status status = uses_init(&uses, repairs, error);
    if (status != REJECTD_OK)
        goto cleanup;
    first_uses = malloc((uses.n + 1) * sizeof *first_uses);
    if (first_uses == NULL) {
        status = REJECTD_FAIL_MEMORY(error, uses.n * sizeof *first_uses);
        goto cleanup;
    }
    const size_t n_rows = number_rows(&uses, first_uses, &sets->n_sets);
    if (!checked_multiply3(n_rows + 1, interpolation->n, sizeof *rows, &bytes))
        bytes = SIZE_MAX;
    rows = malloc(bytes);
    row = calloc(repairs->n_values * repairs->offsets[repairs->n_epochs] + 1, sizeof *row);
    done = calloc(sets->n_sets + 1, sizeof *done);
    if (rows == NULL || row == NULL || done == NULL) {
        status = REJECTD_FAIL_MEMORY(error, bytes);
        goto cleanup;
    }
    sets->weights = (struct backend_weights){n_rows, rows, row};
    status = solve_on_device(interpolation, backend, session, &uses, first_uses, sets->n_sets,
                             progress, rows, done, error);
    if (status == REJECTD_OK)
        status =
            solve_sets(interpolation, &uses, first_uses, sets->n_sets, done, progress, rows, error);
    fill_row_numbers(&uses, repairs, row);
cleanup:
    if (sets->weights.rows == NULL) {
        free(rows);
        free(row);
    }
    if (status != REJECTD_OK)
        repair_sets_free(sets);
    uses_free(&uses);
    free(first_uses);
    free(done);
    return status;
}
