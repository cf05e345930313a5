/*
 * The CUDA backend as users meet it: whole jobs through the public library, on a device with room
 * for everything, with little room, with none, and with faults.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "every_backend.h"
#include "fit_fixture.h"
#include "run_suite.h"

/* A device of its own; NULL where there is none to test. */
static struct rejectd_device *device_within(size_t budget, struct rejectd_devices **devices)
{
    return cuda_backend_within(budget, devices).backend != NULL
               ? rejectd_devices_find(*devices, "cuda:0")
               : NULL;
}

static const char content[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* The same decisions, and losses that agree to rounding. */
static void agree(const struct rejectd_fit *a, const struct rejectd_fit *b, double tolerance)
{
    ck_assert_uint_eq(a->n_channels, b->n_channels);
    for (size_t c = 0; c < a->n_channels; c++) {
        ck_assert(isnan(a->thresholds[c]) == isnan(b->thresholds[c]));
        if (!isnan(a->thresholds[c]))
            ck_assert_msg(fabs(a->thresholds[c] - b->thresholds[c]) <= tolerance * b->thresholds[c],
                          "threshold %zu: %.17g, expected %.17g", c, a->thresholds[c],
                          b->thresholds[c]);
    }
    ck_assert_uint_eq(a->n_types, b->n_types);
    for (size_t i = 0; i < a->n_types; i++) {
        const struct rejectd_type_fit *x = &a->types[i], *y = &b->types[i];
        ck_assert_double_eq(x->consensus, y->consensus);
        ck_assert_int_eq(x->n_interpolate, y->n_interpolate);
        for (size_t cell = 0; cell < x->n_consensus * x->n_n_interpolate * x->n_folds; cell++) {
            if (isinf(x->loss[cell]) || isinf(y->loss[cell]))
                ck_assert_double_eq(x->loss[cell], y->loss[cell]);
            else
                ck_assert_double_le(fabs(x->loss[cell] - y->loss[cell]), tolerance * y->loss[cell]);
        }
    }
    same_log(&a->log, &b->log);
}

START_TEST(test_fits_equal_those_of_the_processor)
{
    static const enum rejectd_threshold_method methods[] = {REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION,
                                                            REJECTD_THRESHOLD_RANDOM_SEARCH,
                                                            REJECTD_THRESHOLD_EXACT};
    struct rejectd_devices *devices;
    struct rejectd_device *device = device_within(0, &devices);
    struct simulated_epochs made = simulated(40, 8, 48);
    const struct rejectd_fit_parameters parameters = {
        .thresh_method = methods[_i], .random_state = 42, .precision = REJECTD_FLOAT64};
    const struct rejectd_compute_options cpu = {.n_threads = 2};
    const struct rejectd_compute_options gpu = {.n_threads = 2, .device = device};
    if (device != NULL) {
        struct rejectd_fit *expected = fitted(&made.epochs, &parameters, &cpu);
        struct rejectd_fit *found = fitted(&made.epochs, &parameters, &gpu);
        agree(found, expected, 1e-9);
        rejectd_fit_free(expected);
        rejectd_fit_free(found);
    }
    simulate_free(&made);
    rejectd_devices_close(devices);
}
END_TEST

/* From plenty of memory to too little for anything: the same bits, as long as there is a result;
 * and when there is none, the error that makes the job go elsewhere. */
START_TEST(test_results_do_not_depend_on_memory)
{
    struct rejectd_devices *devices;
    struct rejectd_device *device = device_within(0, &devices);
    struct simulated_epochs made = simulated(120, 10, 40);
    const struct rejectd_fit_parameters parameters = {.random_state = 42,
                                                      .precision = (enum rejectd_dtype)_i};
    struct rejectd_compute_options options = {.n_threads = 2, .device = device};
    struct rejectd_fit *whole = NULL, *found = NULL;
    struct rejectd_error error = {0};
    enum rejectd_status status = REJECTD_OK;
    size_t n_smaller = 0;
    if (device != NULL)
        whole = fitted(&made.epochs, &parameters, &options);
    for (size_t budget = (size_t)4 << 20; device != NULL && status == REJECTD_OK;
         budget = budget / 10 * 7) {
        struct rejectd_devices *others;
        options.device = device_within(budget, &others);
        status = rejectd_fit(&made.epochs, &parameters, &options, &found, &error);
        if (status == REJECTD_OK) {
            n_smaller++;
            same_fit(found, whole);
            rejectd_fit_free(found);
        }
        rejectd_devices_close(others);
    }
    if (device != NULL) {
        /* The samples alone are 0.6 MB at most, and the first budgets hold them. */
        ck_assert_uint_ge(n_smaller, 5);
        ck_assert_msg(status == REJECTD_DEVICE_MEMORY, "%s", error.message);
    }
    rejectd_fit_free(whole);
    simulate_free(&made);
    rejectd_devices_close(devices);
}
END_TEST

/* About where there is room for the predictions of all sensors, but not for all that is begun while
 * the samples arrive and for their search beside it. */
START_TEST(test_a_little_more_memory_does_no_harm)
{
    struct simulated_epochs made = simulated(20, 8, 32);
    const struct rejectd_fit_parameters parameters = {.random_state = 42,
                                                      .precision = REJECTD_FLOAT32};
    for (size_t budget = 225000; budget <= 261000; budget += 3000) {
        struct rejectd_devices *devices;
        struct rejectd_error error = {0};
        struct rejectd_fit *fit = NULL;
        const struct rejectd_compute_options options = {.n_threads = 1,
                                                        .device = device_within(budget, &devices)};
        const enum rejectd_status status =
            rejectd_fit(&made.epochs, &parameters, &options, &fit, &error);
        ck_assert_msg(status == REJECTD_OK, "%zu: %s", budget, error.message);
        rejectd_fit_free(fit);
        rejectd_devices_close(devices);
    }
    simulate_free(&made);
}
END_TEST

/* Multiples of the samples by powers of two, from tesla to what float16 does not hold: the same
 * decisions, and losses and thresholds that are the same multiples, to the bit. */
START_TEST(test_float16_has_any_unit)
{
    static const int exponents[] = {-30, -60, 40, 900};
    struct rejectd_devices *devices;
    struct rejectd_device *device = device_within(0, &devices);
    const struct rejectd_fit_parameters parameters = {
        .random_state = 42,
        .precision = REJECTD_FLOAT16,
        .thresh_method = REJECTD_THRESHOLD_EXACT, /* the other's kernel has a scale of its own */
    };
    const struct rejectd_compute_options options = {.n_threads = 2, .device = device};
    struct simulated_epochs made = simulated(30, 8, 48), scaled = simulated(30, 8, 48);
    enum { SAMPLES = 30 * 8 * 48 };
    static double multiples[SAMPLES];
    scaled.epochs.samples = multiples;
    struct rejectd_fit *fit = device != NULL ? fitted(&made.epochs, &parameters, &options) : NULL;
    for (size_t i = 0; i < sizeof exponents / sizeof exponents[0] && device != NULL; i++) {
        const double scale = ldexp(1.0, exponents[i]);
        for (size_t at = 0; at < SAMPLES; at++)
            multiples[at] = ((const double *)made.epochs.samples)[at] * scale;
        struct rejectd_fit *other = fitted(&scaled.epochs, &parameters, &options);
        for (size_t c = 0; c < 8; c++) {
            ck_assert_double_eq(other->thresholds[c], fit->thresholds[c] * scale);
            ck_assert_double_eq(other->threshold_losses[c], fit->threshold_losses[c] * scale);
        }
        const struct rejectd_type_fit *type = &fit->types[0];
        for (size_t at = 0; at < type->n_consensus * type->n_n_interpolate * type->n_folds; at++)
            ck_assert_double_eq(other->types[0].loss[at], type->loss[at] * scale);
        same_log(&other->log, &fit->log);
        rejectd_fit_free(other);
    }
    rejectd_fit_free(fit);
    simulate_free(&made);
    simulate_free(&scaled);
    rejectd_devices_close(devices);
}
END_TEST

struct cleaned {
    double *samples;
    size_t bytes;
};

static enum rejectd_status keep(void *context, const void *samples, size_t bytes,
                                struct rejectd_error *error)
{
    struct cleaned *cleaned = context;
    (void)error;
    cleaned->samples = realloc(cleaned->samples, cleaned->bytes + bytes);
    memcpy((char *)cleaned->samples + cleaned->bytes, samples, bytes);
    cleaned->bytes += bytes;
    return REJECTD_OK;
}

START_TEST(test_cleaning_equals_that_of_the_processor)
{
    struct rejectd_devices *devices;
    struct rejectd_device *device = device_within(0, &devices);
    struct simulated_epochs made = simulated(40, 8, 48);
    const struct rejectd_compute_options cpu = {.n_threads = 2};
    const struct rejectd_compute_options gpu = {.n_threads = 2, .device = device};
    struct cleaned by_cpu = {0}, by_gpu = {0};
    struct rejectd_error error = {0};
    made.epochs.content = content;
    if (device != NULL) {
        struct rejectd_fit *fit = fitted(&made.epochs, NULL, &gpu);
        const struct rejectd_sink to_cpu = {keep, &by_cpu}, to_gpu = {keep, &by_gpu};
        const struct rejectd_clean_parameters parameters = {.meg_legendre = fit->meg_legendre};
        ck_assert_int_eq(rejectd_clean(&made.epochs, &fit->log, &parameters, &cpu, &to_cpu, &error),
                         REJECTD_OK);
        ck_assert_int_eq(rejectd_clean(&made.epochs, &fit->log, &parameters, &gpu, &to_gpu, &error),
                         REJECTD_OK);
        ck_assert_uint_eq(by_cpu.bytes, by_gpu.bytes);
        double largest = 0.0;
        for (size_t i = 0; i < by_cpu.bytes / sizeof(double); i++)
            largest = fmax(largest, fabs(by_cpu.samples[i]));
        for (size_t i = 0; i < by_cpu.bytes / sizeof(double); i++)
            ck_assert_double_le(fabs(by_cpu.samples[i] - by_gpu.samples[i]), 1e-12 * largest);
        rejectd_fit_free(fit);
    }
    free(by_cpu.samples);
    free(by_gpu.samples);
    simulate_free(&made);
    rejectd_devices_close(devices);
}
END_TEST

/* Wherever it strikes, a fault is told as such, nothing hangs, and the device stays failed. */
START_TEST(test_faults_are_told)
{
    struct simulated_epochs made = simulated(12, 8, 40);
    const struct rejectd_fit_parameters parameters = {.random_state = 42,
                                                      .precision = REJECTD_FLOAT64};
    size_t n_faults = 0;
    for (int at = 1; at < 2000; at = at < 40 ? at + 1 : at + 17) {
        struct rejectd_devices *devices;
        struct rejectd_error error = {0};
        struct rejectd_fit *fit = NULL;
        char fault[32];
        snprintf(fault, sizeof fault, "cuda:%d", at);
        ck_assert_int_eq(rejectd_devices_open(getenv("REJECTD_CUDA_MODULE"), &devices, &error),
                         REJECTD_OK);
        struct rejectd_device *device = rejectd_devices_find(devices, "cuda:0");
        if (device == NULL) {
            rejectd_devices_close(devices);
            break;
        }
        setenv("REJECTD_FAULT", fault, 1);
        enum rejectd_status status = rejectd_device_open(device, 0, &error);
        unsetenv("REJECTD_FAULT");
        const bool opened = status == REJECTD_OK;
        const struct rejectd_compute_options options = {.n_threads = 1, .device = device};
        if (opened)
            status = rejectd_fit(&made.epochs, &parameters, &options, &fit, &error);
        const bool through = status == REJECTD_OK;
        if (!through) {
            ck_assert_msg(status == REJECTD_DEVICE_FAILED, "%d: %s", at, error.message);
            n_faults++;
        }
        if (opened && !through) {
            status = rejectd_fit(&made.epochs, &parameters, &options, &fit, &error);
            ck_assert_int_eq(status, REJECTD_DEVICE_FAILED);
        }
        rejectd_fit_free(fit);
        rejectd_devices_close(devices);
        if (through)
            break;
    }
    ck_assert(n_faults > 30 || getenv("REJECTD_CUDA_MODULE") == NULL);
    simulate_free(&made);
}
END_TEST

/* Tables that no host has room for: an error, and the next session finds the device as it was. */
START_TEST(test_a_host_without_memory_is_told)
{
    static double data[40][1][8];
    static const size_t pick = 0;
    static double ptp[40], losses[40];
    static uint32_t order[40];
    static uint8_t is_test[1];
    struct rejectd_devices *devices;
    const struct tested_backend cuda = cuda_backend_within(0, &devices);
    const struct backend_samples samples = {
        .data = data,
        .dtype = REJECTD_FLOAT64,
        .n_epochs = 40,
        .n_channels = 1,
        .n_times = 8,
        .picks = &pick,
        .n_picks = 1,
        .content = content,
        .content_epochs = 40,
    };
    const struct backend_options options = {
        .device = cuda.device, .n_threads = 1, .precision = REJECTD_FLOAT64};
    const struct backend_splits splits = {SIZE_MAX / 8, 40, is_test};
    struct backend_session *session;
    struct rejectd_error error;
    struct rejectd_resident resident;
    for (int i = 0; i < 2 && cuda.backend != NULL; i++) {
        ck_assert_int_eq(cuda.backend->open(&samples, &options, &session, &error), REJECTD_OK);
        ck_assert_int_eq(cuda.backend->predict(session, NULL, 0, 1, NULL, &error), REJECTD_OK);
        ck_assert_int_eq(
            cuda.backend->threshold_losses(session, &splits, order, ptp, losses, &error),
            REJECTD_OUT_OF_MEMORY);
        ck_assert_int_eq(error.status, REJECTD_OUT_OF_MEMORY);
        cuda.backend->close(session);
        rejectd_device_residents(rejectd_devices_find(devices, "cuda:0"), &resident, 1);
        ck_assert(!resident.in_use);
    }
    rejectd_devices_close(devices);
}
END_TEST

START_TEST(test_a_budget_that_is_too_small_is_told)
{
    struct rejectd_devices *devices;
    struct rejectd_error error;
    ck_assert_int_eq(rejectd_devices_open(getenv("REJECTD_CUDA_MODULE"), &devices, &error),
                     REJECTD_OK);
    struct rejectd_device *device = rejectd_devices_find(devices, "cuda:0");
    if (device != NULL) {
        ck_assert_int_eq(rejectd_device_open(device, 1000, &error), REJECTD_DEVICE_FAILED);
        ck_assert_int_eq(error.status, REJECTD_DEVICE_FAILED);
        ck_assert_int_eq(rejectd_device_open(device, 0, &error), REJECTD_OK);
    }
    rejectd_devices_close(devices);
}
END_TEST

START_TEST(test_devices_are_listed)
{
    struct rejectd_devices *devices;
    struct rejectd_error error;
    size_t free_bytes, budget;
    ck_assert_int_eq(rejectd_devices_open("/nowhere/rejectd_cuda.so", &devices, &error),
                     REJECTD_OK);
    struct rejectd_device *cpu = rejectd_devices_at(devices, 0);
    ck_assert_str_eq(rejectd_device_info(cpu)->id, "cpu");
    ck_assert_ptr_null(rejectd_devices_at(devices, 1));
    ck_assert_ptr_null(rejectd_devices_find(devices, "cuda:0"));
    ck_assert_ptr_nonnull(strstr(rejectd_devices_note(devices), "/nowhere/rejectd_cuda.so"));
    ck_assert_int_eq(rejectd_device_open(cpu, 0, &error), REJECTD_OK);
    rejectd_device_memory(cpu, &free_bytes, &budget);
    ck_assert_uint_eq(free_bytes + budget, 0);
    rejectd_devices_close(devices);
    rejectd_devices_close(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("devices");
    TCase *tests = tcase_create("devices");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, test_fits_equal_those_of_the_processor, 0, 3);
    tcase_add_test(tests, test_float16_has_any_unit);
    tcase_add_test(tests, test_cleaning_equals_that_of_the_processor);
    tcase_add_test(tests, test_a_host_without_memory_is_told);
    tcase_add_test(tests, test_a_budget_that_is_too_small_is_told);
    tcase_add_test(tests, test_devices_are_listed);
    suite_add_tcase(suite, tests);
    /* Tens of fits, hundreds of devices opened: CK_RUN_CASE=devices leaves them out where that
     * takes long. */
    TCase *budgets = tcase_create("budgets");
    tcase_set_timeout(budgets, 300);
    /* bfloat16 goes the way of float16. */
    tcase_add_loop_test(budgets, test_results_do_not_depend_on_memory, 0, REJECTD_FLOAT16 + 1);
    tcase_add_test(budgets, test_a_little_more_memory_does_no_harm);
    suite_add_tcase(suite, budgets);
    TCase *faults = tcase_create("faults");
    tcase_set_timeout(faults, 300);
    tcase_add_test(faults, test_faults_are_told);
    suite_add_tcase(suite, faults);
    /* Neither OpenMP's threads nor a GPU survive a fork. */
    return run_suite_in_process(suite);
}
