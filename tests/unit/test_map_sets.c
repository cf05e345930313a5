/*
 * The conformance suite's third part: field maps of many sets of sensors at a time, by every
 * backend that has them, against the host's one at a time.
 */
#include <check.h>
#include <math.h>
#include <rejectd/devices.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "every_backend.h"
#include "run_suite.h"
#include "worker/blas_threads.h"
#include "worker/devices.h"
#include "worker/meg/field_map.h"

enum { MOST_VECTORS = 4 };

static uint64_t random_state;

static double random_value(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53 - 0.5;
}

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes > 0 ? bytes : 1);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

/* ---- a helmet, and sets of its sensors ---- */

struct helmet {
    size_t n;
    struct rejectd_channel *channels;
    struct rejectd_projector projector;
    double *vectors; /* [MOST_VECTORS][n] */
    struct rejectd_epochs epochs;
    double *samples; /* [1][n][1] */
    size_t *picks;
    struct field_map *map;
};

/* Magnetometers, with every third place a gradiometer's, all over the upper half of a sphere. */
static void helmet_open(struct helmet *h, size_t n, size_t n_vectors,
                        enum rejectd_meg_legendre legendre)
{
    struct rejectd_error error;
    *h = (struct helmet){.n = n,
                         .channels = allocate(n * sizeof *h->channels),
                         .vectors = allocate(MOST_VECTORS * n * sizeof(double)),
                         .samples = allocate(n * sizeof(double)),
                         .picks = allocate(n * sizeof(size_t))};
    for (size_t i = 0; i < n; i++) {
        const double z = 1.0 - 0.9 * ((double)i + 0.5) / (double)n, turn = 2.399963 * (double)i;
        const double theta = acos(z) + 0.02 * random_value(), phi = turn + 0.05 * random_value();
        const double out[3] = {sin(theta) * cos(phi), sin(theta) * sin(phi), cos(theta)};
        const double x[3] = {cos(theta) * cos(phi), cos(theta) * sin(phi), -sin(theta)};
        const double y[3] = {-sin(phi), cos(phi), 0.0};
        const bool planar = i % 3 == 2;
        h->channels[i] =
            (struct rejectd_channel){.type = planar ? REJECTD_CHANNEL_GRAD : REJECTD_CHANNEL_MAG,
                                     .has_loc = true,
                                     .has_coil_type = true,
                                     .coil_type = planar ? 3012 : 3022};
        for (int k = 0; k < 3; k++)
            h->channels[i].loc[k] = (k == 2 ? 0.04 : 0.0) + 0.12 * out[k];
        memcpy(h->channels[i].loc + 3, x, sizeof x);
        memcpy(h->channels[i].loc + 6, y, sizeof y);
        memcpy(h->channels[i].loc + 9, out, sizeof out);
        h->picks[i] = i;
    }
    for (size_t i = 0; i < MOST_VECTORS * n; i++)
        h->vectors[i] = random_value();
    /* The last of several depends on the first: its direction drops out. */
    for (size_t i = 0; i < n && n_vectors > 2; i++)
        h->vectors[(n_vectors - 1) * n + i] = 2.0 * h->vectors[i];
    h->projector = (struct rejectd_projector){.n_vectors = n_vectors, .vectors = h->vectors};
    h->epochs = (struct rejectd_epochs){.n_epochs = 1,
                                        .n_channels = n,
                                        .n_times = 1,
                                        .dtype = REJECTD_FLOAT64,
                                        .samples = h->samples,
                                        .channels = h->channels,
                                        .projectors = n_vectors > 0 ? &h->projector : NULL,
                                        .n_projectors = n_vectors > 0};
    ck_assert_int_eq(field_map_open(&h->epochs, h->picks, n, legendre, 1, &h->map, &error),
                     REJECTD_OK);
}

static void helmet_close(struct helmet *h)
{
    field_map_close(h->map);
    free(h->channels);
    free(h->vectors);
    free(h->samples);
    free(h->picks);
}

struct sets {
    size_t n_sets;
    size_t *offsets;
    uint16_t *left_out;
};

/* Sets of every size from 1 to `most`, over and over. */
static struct sets draw_sets(size_t n, size_t n_sets, size_t most)
{
    struct sets sets = {n_sets, allocate((n_sets + 1) * sizeof(size_t)),
                        allocate(n_sets * n * sizeof(uint16_t))};
    for (size_t s = 0; s < n_sets; s++) {
        size_t left = s % most + 1, at = sets.offsets[s];
        for (size_t i = 0; i < n; i++)
            if ((random_value() + 0.5) * (double)(n - i) < (double)left) {
                sets.left_out[at++] = (uint16_t)i;
                left--;
            }
        ck_assert_uint_eq(left, 0);
        sets.offsets[s + 1] = at;
    }
    return sets;
}

static void sets_free(struct sets *sets)
{
    free(sets->offsets);
    free(sets->left_out);
}

static struct backend_session *open_session(const struct helmet *h,
                                            const struct tested_backend *tested)
{
    const struct backend_samples samples = {.data = h->samples,
                                            .dtype = REJECTD_FLOAT64,
                                            .n_epochs = 1,
                                            .n_channels = h->n,
                                            .n_times = 1,
                                            .picks = h->picks,
                                            .n_picks = h->n};
    const struct backend_options options = {
        .device = tested->device, .n_threads = 1, .precision = REJECTD_FLOAT32};
    struct backend_session *session;
    struct rejectd_error error;
    ck_assert_msg(tested->backend->open(&samples, &options, &session, &error) == REJECTD_OK, "%s",
                  error.message);
    return session;
}

/* Rows are filled with what no result is before. */
static enum rejectd_status solve(const struct helmet *h, const struct tested_backend *tested,
                                 struct backend_session *session, const struct sets *sets,
                                 double *rows, uint8_t *solved, struct rejectd_error *error)
{
    for (size_t i = 0; i < sets->offsets[sets->n_sets] * h->n; i++)
        rows[i] = NAN;
    memset(solved, 7, sets->n_sets);
    return field_map_sets(h->map, tested->backend, session, sets->offsets, sets->left_out,
                          sets->n_sets, 2, rows, solved, error);
}

/* The largest difference from the host's weights, of the largest weight of the set. */
static double largest_difference(const struct helmet *h, const struct sets *sets, size_t s,
                                 const double *rows)
{
    const uint16_t *out = sets->left_out + sets->offsets[s];
    const size_t n = h->n, n_to = sets->offsets[s + 1] - sets->offsets[s], n_from = n - n_to;
    size_t *from = allocate(n * sizeof *from), *to = allocate(n * sizeof *to), at = 0;
    double *weights = allocate(n_to * n_from * sizeof *weights), worst = 0.0, largest = 0.0;
    struct rejectd_error error;
    for (size_t i = 0; i < n; i++)
        if (at < n_to && out[at] == i)
            to[at++] = i;
        else
            from[i - at] = i;
    ck_assert_int_eq(field_map_between(h->map, from, n_from, to, n_to, weights, &error),
                     REJECTD_OK);
    for (size_t b = 0; b < n_to; b++) {
        for (size_t i = 0; i < n_from; i++) {
            worst = fmax(worst, fabs(rows[b * n + from[i]] - weights[b * n_from + i]));
            largest = fmax(largest, fabs(weights[b * n_from + i]));
            if (isnan(rows[b * n + from[i]]))
                worst = INFINITY;
        }
        for (size_t i = 0; i < n_to; i++)
            ck_assert(rows[b * n + to[i]] == 0.0);
    }
    free(from);
    free(to);
    free(weights);
    return worst / largest;
}

/* ---- */

static const struct {
    size_t n, n_vectors, n_sets, most;
    enum rejectd_meg_legendre legendre;
} cases[] = {
    {2, 0, 2, 1, REJECTD_MEG_LEGENDRE_EXACT},    {3, 0, 6, 2, REJECTD_MEG_LEGENDRE_TABLE},
    {8, 1, 20, 5, REJECTD_MEG_LEGENDRE_TABLE},   {9, 0, 30, 8, REJECTD_MEG_LEGENDRE_EXACT},
    {31, 3, 40, 12, REJECTD_MEG_LEGENDRE_EXACT}, {64, 4, 1, 1, REJECTD_MEG_LEGENDRE_TABLE},
    {65, 0, 40, 20, REJECTD_MEG_LEGENDRE_TABLE}, {102, 3, 30, 30, REJECTD_MEG_LEGENDRE_TABLE},
    {204, 0, 8, 8, REJECTD_MEG_LEGENDRE_TABLE},  {306, 2, 3, 3, REJECTD_MEG_LEGENDRE_TABLE},
};

enum { N_CASES = sizeof cases / sizeof cases[0] };

START_TEST(test_maps_equal_the_hosts)
{
    struct helmet h;
    struct rejectd_error error;
    helmet_open(&h, cases[_i].n, cases[_i].n_vectors, cases[_i].legendre);
    struct sets sets = draw_sets(h.n, cases[_i].n_sets, cases[_i].most);
    double *rows = allocate(sets.offsets[sets.n_sets] * h.n * sizeof *rows);
    uint8_t *solved = allocate(sets.n_sets);
    for (size_t b = 0; every_backend(b).backend != NULL; b++) {
        const struct tested_backend tested = every_backend(b);
        size_t n_solved = 0;
        if (tested.backend->map_sets == NULL)
            continue;
        struct backend_session *session = open_session(&h, &tested);
        ck_assert_msg(solve(&h, &tested, session, &sets, rows, solved, &error) == REJECTD_OK, "%s",
                      error.message);
        const int threads_before = blas_threads_pin();
        for (size_t s = 0; s < sets.n_sets; s++) {
            ck_assert_int_le(solved[s], 1);
            n_solved += solved[s];
            const double worst =
                solved[s] == 1 ? largest_difference(&h, &sets, s, rows + sets.offsets[s] * h.n) : 0;
            ck_assert_msg(worst <= 1e-9, "%zu sensors, set %zu: %.1e", h.n, s, worst);
        }
        blas_threads_restore(threads_before);
        /* Hardly any set is on the edge. */
        ck_assert_uint_ge(n_solved, sets.n_sets - sets.n_sets / 10);
        tested.backend->close(session);
    }
    free(rows);
    free(solved);
    sets_free(&sets);
    helmet_close(&h);
}
END_TEST

/* Each set alone, all together in the other order, and with little memory: the same bits. */
START_TEST(test_the_batch_does_not_show)
{
    enum { N = 40, SETS = 24 };
    struct helmet h;
    struct rejectd_error error;
    struct rejectd_devices *devices;
    const struct tested_backend plenty = cuda_backend_within(0, &devices);
    helmet_open(&h, N, _i == 0 ? 0 : 2, REJECTD_MEG_LEGENDRE_TABLE);
    struct sets sets = draw_sets(N, SETS, 10);
    const size_t bytes = sets.offsets[SETS] * N * sizeof(double);
    double *rows = allocate(bytes), *others = allocate(bytes);
    uint8_t solved[SETS], one;
    if (plenty.backend != NULL && plenty.backend->map_sets != NULL) {
        struct backend_session *session = open_session(&h, &plenty);
        ck_assert_int_eq(solve(&h, &plenty, session, &sets, rows, solved, &error), REJECTD_OK);
        for (size_t s = 0; s < SETS; s++) {
            size_t offsets[2] = {0, sets.offsets[s + 1] - sets.offsets[s]};
            const struct sets alone = {1, offsets, sets.left_out + sets.offsets[s]};
            ck_assert_int_eq(solve(&h, &plenty, session, &alone, others, &one, &error), REJECTD_OK);
            ck_assert_int_eq(one, solved[s]);
            if (one == 1)
                ck_assert_mem_eq(others, rows + sets.offsets[s] * N,
                                 offsets[1] * N * sizeof(double));
        }
        plenty.backend->close(session);
        size_t n_smaller = 0;
        enum rejectd_status status = REJECTD_OK;
        for (size_t budget = 1 << 25; status == REJECTD_OK; budget /= 2) {
            struct rejectd_devices *small;
            const struct tested_backend tested = cuda_backend_within(budget, &small);
            uint8_t again[SETS];
            session = open_session(&h, &tested);
            status = solve(&h, &tested, session, &sets, others, again, &error);
            ck_assert_msg(status == REJECTD_OK || status == REJECTD_DEVICE_MEMORY, "%s",
                          error.message);
            if (status == REJECTD_OK) {
                n_smaller++;
                ck_assert_mem_eq(again, solved, SETS);
                for (size_t s = 0; s < SETS; s++)
                    if (solved[s] == 1)
                        ck_assert_mem_eq(others + sets.offsets[s] * N, rows + sets.offsets[s] * N,
                                         (sets.offsets[s + 1] - sets.offsets[s]) * N *
                                             sizeof(double));
            }
            tested.backend->close(session);
            rejectd_devices_close(small);
            /* Less than this, and the device can't be opened. */
            if (budget < 190000)
                break;
        }
        ck_assert_uint_ge(n_smaller, 4);
    }
    free(rows);
    free(others);
    sets_free(&sets);
    helmet_close(&h);
    rejectd_devices_close(devices);
}
END_TEST

/* Sensors that measure nothing, and two that are the same to rounding at the cut: left to the host.
 */
START_TEST(test_what_rounding_decides_is_left)
{
    enum { N = 6 };
    static const double scale[N] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0};
    static const double zeros[N * N];
    /* Of the five that are kept: 1, and four of 3e-5; the cut is behind the first of them. */
    static const double equal[N] = {1.0, 3e-5, 3e-5, 3e-5, 3e-5, 1.0};
    const size_t offsets[] = {0, 1};
    const uint16_t out[] = {5};
    double matrix[N * N] = {0.0}, rows[N];
    struct helmet h;
    helmet_open(&h, N, 0, REJECTD_MEG_LEGENDRE_EXACT);
    for (size_t i = 0; i < N; i++)
        matrix[i * N + i] = equal[i];
    for (size_t b = 0; every_backend(b).backend != NULL; b++) {
        const struct tested_backend tested = every_backend(b);
        const double *const matrices[] = {zeros, matrix};
        if (tested.backend->map_sets == NULL)
            continue;
        struct backend_session *session = open_session(&h, &tested);
        for (size_t m = 0; m < 2; m++) {
            const struct backend_map_sets sets = {matrices[m], scale, 1e-4, 1,
                                                  offsets,     out,   0,    NULL};
            uint8_t solved = 7;
            struct rejectd_error error;
            ck_assert_int_eq(tested.backend->map_sets(session, &sets, rows, &solved, &error),
                             REJECTD_OK);
            ck_assert_int_eq(solved, 0);
        }
        tested.backend->close(session);
    }
    helmet_close(&h);
}
END_TEST

/* Wherever a fault strikes, it is told. */
START_TEST(test_faults_are_told)
{
    struct helmet h;
    helmet_open(&h, 20, 1, REJECTD_MEG_LEGENDRE_TABLE);
    struct sets sets = draw_sets(h.n, 12, 9);
    double *rows = allocate(sets.offsets[sets.n_sets] * h.n * sizeof *rows);
    uint8_t solved[12];
    size_t n_faults = 0;
    bool reached = false, absent = false;
    for (int at = 1; at < 400 && !reached; at++) {
        struct rejectd_devices *devices;
        struct rejectd_error error = {0};
        char fault[32];
        struct rejectd_devices *unbroken;
        const struct tested_backend there = cuda_backend_within(0, &unbroken);
        absent = there.backend == NULL || there.backend->map_sets == NULL;
        rejectd_devices_close(unbroken);
        if (absent)
            break;
        snprintf(fault, sizeof fault, "cuda:%d", at);
        ck_assert_int_eq(rejectd_devices_open(getenv("REJECTD_CUDA_MODULE"), &devices, &error),
                         REJECTD_OK);
        struct rejectd_device *device = rejectd_devices_find(devices, "cuda:0");
        setenv("REJECTD_FAULT", fault, 1);
        const enum rejectd_status opened = rejectd_device_open(device, 0, &error);
        unsetenv("REJECTD_FAULT");
        struct tested_backend tested = {NULL, NULL};
        if (opened == REJECTD_OK) {
            ck_assert_int_eq(device_backend(device, &tested.backend, &tested.device, &error),
                             REJECTD_OK);
            const struct backend_samples samples = {.data = h.samples,
                                                    .dtype = REJECTD_FLOAT64,
                                                    .n_epochs = 1,
                                                    .n_channels = h.n,
                                                    .n_times = 1,
                                                    .picks = h.picks,
                                                    .n_picks = h.n};
            const struct backend_options options = {
                .device = tested.device, .n_threads = 1, .precision = REJECTD_FLOAT64};
            struct backend_session *session;
            if (tested.backend->open(&samples, &options, &session, &error) == REJECTD_OK) {
                const enum rejectd_status status =
                    solve(&h, &tested, session, &sets, rows, solved, &error);
                ck_assert_msg(status == REJECTD_OK || status == REJECTD_DEVICE_FAILED, "%s",
                              error.message);
                n_faults += status != REJECTD_OK;
                reached = status == REJECTD_OK;
                tested.backend->close(session);
            }
        }
        rejectd_devices_close(devices);
    }
    ck_assert(absent || (reached && n_faults >= 10));
    free(rows);
    sets_free(&sets);
    helmet_close(&h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("field maps of many sets");
    TCase *operations = tcase_create("operations");
    tcase_set_timeout(operations, 300);
    tcase_add_loop_test(operations, test_maps_equal_the_hosts, 0, N_CASES);
    tcase_add_loop_test(operations, test_the_batch_does_not_show, 0, 2);
    tcase_add_test(operations, test_what_rounding_decides_is_left);
    tcase_add_test(operations, test_faults_are_told);
    suite_add_tcase(suite, operations);
    /* OpenMP's threads do not survive a fork. */
    return run_suite_in_process(suite);
}
