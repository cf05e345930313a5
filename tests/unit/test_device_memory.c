/*
 * A device that others use as well: any one allocation finds no room, and what comes out is the
 * same to the bit, or the error that makes the job go to the processor.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rejectd/devices.h>

#include "base/sanitized.h"
#include "fit_fixture.h"
#include "run_suite.h"

enum { N_EPOCHS = 24, N_CHANNELS = 9, N_TIMES = 40 };

/* Numbers that a job of one kind found. */
struct found {
    double values[N_EPOCHS * N_CHANNELS];
    size_t n;
};

typedef enum rejectd_status job(const struct rejectd_epochs *epochs,
                                const struct rejectd_compute_options *options, struct found *found,
                                struct rejectd_error *error);

static void keep(struct found *found, const double *values, size_t n)
{
    ck_assert_uint_le(found->n + n, N_EPOCHS * N_CHANNELS);
    memcpy(found->values + found->n, values, n * sizeof *values);
    found->n += n;
}

static enum rejectd_status fit(const struct rejectd_epochs *epochs,
                               const struct rejectd_compute_options *options, struct found *found,
                               struct rejectd_error *error)
{
    static const int values[] = {1, 3};
    const struct rejectd_fit_parameters parameters = {.random_state = 42,
                                                      .precision = REJECTD_FLOAT64,
                                                      .cv = 5,
                                                      .n_interpolate = values,
                                                      .n_n_interpolate = 2};
    struct rejectd_fit *made;
    const enum rejectd_status status = rejectd_fit(epochs, &parameters, options, &made, error);
    if (status != REJECTD_OK)
        return status;
    const struct rejectd_type_fit *type = &made->types[0];
    keep(found, made->thresholds, made->n_channels);
    keep(found, type->loss, type->n_consensus * type->n_n_interpolate * type->n_folds);
    rejectd_fit_free(made);
    return REJECTD_OK;
}

static enum rejectd_status ransac(const struct rejectd_epochs *epochs,
                                  const struct rejectd_compute_options *options,
                                  struct found *found, struct rejectd_error *error)
{
    struct rejectd_ransac_parameters parameters = REJECTD_RANSAC_DEFAULTS;
    struct rejectd_ransac *made;
    parameters.n_resample = 20;
    const enum rejectd_status status = rejectd_ransac(epochs, &parameters, options, &made, error);
    if (status != REJECTD_OK)
        return status;
    keep(found, made->correlations, made->n_epochs * made->n_picks);
    rejectd_ransac_free(made);
    return REJECTD_OK;
}

static enum rejectd_status global(const struct rejectd_epochs *epochs,
                                  const struct rejectd_compute_options *options,
                                  struct found *found, struct rejectd_error *error)
{
    const struct rejectd_global_thresholds_parameters parameters = {
        .random_state = 42, .precision = REJECTD_FLOAT64, .decim = 1};
    struct rejectd_global_thresholds *made;
    const enum rejectd_status status =
        rejectd_global_thresholds(epochs, &parameters, options, &made, error);
    if (status != REJECTD_OK)
        return status;
    keep(found, &made->types[0].threshold, 1);
    rejectd_global_thresholds_free(made);
    return REJECTD_OK;
}

/* A fit of samples that an earlier job has brought there. */
static enum rejectd_status refit(const struct rejectd_epochs *epochs,
                                 const struct rejectd_compute_options *options, struct found *found,
                                 struct rejectd_error *error)
{
    struct rejectd_epochs kept = *epochs;
    kept.content = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const enum rejectd_status status = ransac(&kept, options, found, error);
    found->n = 0;
    return status == REJECTD_OK ? fit(&kept, options, found, error) : status;
}

/* Jobs with all samples on the device, and with samples that pass through it. */
static const struct {
    const char *name;
    job *run;
    bool mags;
    size_t budget; /* 0: all there is */
    int n;         /* allocations, of which one finds no room */
    int least;     /* of these, where the device goes on in another way */
} jobs[] = {
    {"fit", fit, false, 0, 39, 32},
    {"fit in pieces", fit, false, 300000, 84, 30},
    {"fit of MEG", fit, true, 0, 36, 30},
    {"fit of a resident", refit, false, 0, 50, 42},
    {"ransac", ransac, false, 0, 6, 4},
    {"global", global, false, 0, 11, 5},
    {"ransac in pieces", ransac, false, 300000, 5, 3},
    {"global in pieces", global, false, 300000, 12, 6},
};
enum { N_JOBS = sizeof jobs / sizeof jobs[0], STEP = SANITIZED ? 5 : 1 };

/* Runs a job on a device of its own, where one allocation finds no room (0: all find some). */
static enum rejectd_status run(int which, int fault_at, const struct rejectd_epochs *epochs,
                               struct found *found, uint64_t *shortages,
                               struct rejectd_error *error)
{
    char fault[32];
    struct rejectd_devices *devices;
    found->n = 0;
    ck_assert_int_eq(rejectd_devices_open(getenv("REJECTD_CUDA_MODULE"), &devices, error),
                     REJECTD_OK);
    struct rejectd_device *device = rejectd_devices_find(devices, "cuda:0");
    const struct rejectd_compute_options options = {.n_threads = 1, .device = device};
    snprintf(fault, sizeof fault, "cuda-memory:%d", fault_at);
    setenv("REJECTD_FAULT", fault, 1);
    enum rejectd_status status = rejectd_device_open(device, jobs[which].budget, error);
    unsetenv("REJECTD_FAULT");
    if (status == REJECTD_OK)
        status = jobs[which].run(epochs, &options, found, error);
    *shortages = rejectd_device_shortages(device);
    rejectd_devices_close(devices);
    return status;
}

START_TEST(any_allocation_may_find_no_room)
{
    struct found expected, found;
    struct rejectd_error error = {0};
    uint64_t without, with;
    int n_tried = 0, n_done = 0;
    if (getenv("REJECTD_CUDA_MODULE") == NULL)
        return;
    struct simulated_epochs made = simulated(N_EPOCHS, N_CHANNELS, N_TIMES);
    if (jobs[_i].mags)
        become_mags(&made);
    enum rejectd_status status = run(_i, 0, &made.epochs, &expected, &without, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", jobs[_i].name, error.message);
    for (int at = 1; at <= jobs[_i].n; at += STEP, n_tried++) {
        status = run(_i, at, &made.epochs, &found, &with, &error);
        ck_assert_msg(status == REJECTD_OK || status == REJECTD_DEVICE_MEMORY, "%s, %d: %s",
                      jobs[_i].name, at, error.message);
        if (status != REJECTD_OK)
            continue;
        n_done++;
        /* What a resident has to spare is room, too. */
        ck_assert_msg(with > without || jobs[_i].run == refit, "%s, %d: there was room",
                      jobs[_i].name, at);
        ck_assert_uint_eq(found.n, expected.n);
        for (size_t i = 0; i < found.n; i++)
            ck_assert_msg(found.values[i] == expected.values[i] ||
                              (isnan(found.values[i]) && isnan(expected.values[i])),
                          "%s, allocation %d, number %zu: %.17g, expected %.17g", jobs[_i].name, at,
                          i, found.values[i], expected.values[i]);
    }
    /* Only a piece that can't be smaller, or a table that is needed whole, has no other way. */
    const bool enough =
        STEP == 1 ? n_done >= jobs[_i].least : jobs[_i].budget != 0 || n_done * 5 > n_tried * 3;
    ck_assert_msg(enough, "%s: %d of %d", jobs[_i].name, n_done, n_tried);
    simulate_free(&made);
}
END_TEST

/* The driver has no memory, though others leave enough: what its pool keeps is given back first. */
START_TEST(nothing_is_given_up_before_the_pool_is_empty)
{
    struct found expected, found;
    struct rejectd_error error = {0};
    struct rejectd_devices *devices;
    char full_at[16];
    if (getenv("REJECTD_CUDA_MODULE") == NULL)
        return;
    struct simulated_epochs made = simulated(N_EPOCHS, N_CHANNELS, N_TIMES);
    snprintf(full_at, sizeof full_at, "%d", _i);
    setenv("REJECTD_EMULATED_FULL_AT", full_at, 1);
    ck_assert_int_eq(rejectd_devices_open(getenv("REJECTD_CUDA_MODULE"), &devices, &error),
                     REJECTD_OK);
    struct rejectd_device *device = rejectd_devices_find(devices, "cuda:0");
    const struct rejectd_compute_options options = {.n_threads = 1, .device = device};
    ck_assert_int_eq(rejectd_device_open(device, 0, &error), REJECTD_OK);
    found.n = expected.n = 0;
    enum rejectd_status status = fit(&made.epochs, &options, &found, &error);
    ck_assert_msg(status == REJECTD_OK, "allocation %d: %s", _i, error.message);
    ck_assert_uint_eq(rejectd_device_shortages(device), 0);
    ck_assert_int_eq(fit(&made.epochs, &options, &expected, &error), REJECTD_OK);
    ck_assert_mem_eq(found.values, expected.values, found.n * sizeof(double));
    rejectd_devices_close(devices);
    simulate_free(&made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device_memory");
    TCase *memory = tcase_create("memory");
    tcase_set_timeout(memory, 600);
    tcase_add_loop_test(memory, any_allocation_may_find_no_room, 0, N_JOBS);
    tcase_add_loop_test(memory, nothing_is_given_up_before_the_pool_is_empty, 40, 70);
    suite_add_tcase(suite, memory);
    return run_suite(suite);
}
