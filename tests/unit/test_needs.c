/*
 * What tasks are said to need, against what they take: the peak of a process that runs one, on
 * several shapes; and that it grows with the shape, to any size.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sanitized.h"
#include "every_backend.h"
#include "fit_fixture.h"
#include "run_suite.h"
#include "worker/needs.h"

/* What is foretold is at least what is taken, and beyond a constant part (of which the most is a
 * batch of repaired epochs, 64 MB, which these have not) no more than so many times as much. */
static const double most_factor = 1.6, constant_bytes = 80e6;
/* Of budgets that are tried. */
static const double share_step = SANITIZED ? 1.5 : 0.4;

static enum rejectd_status discard(void *context, const void *samples, size_t bytes,
                                   struct rejectd_error *error)
{
    (void)context, (void)samples, (void)bytes, (void)error;
    return REJECTD_OK;
}

static enum rejectd_status open_discard(void *context, size_t n_kept, struct rejectd_sink *sink,
                                        struct rejectd_error *error)
{
    (void)context, (void)n_kept, (void)error;
    *sink = (struct rejectd_sink){.write = discard};
    return REJECTD_OK;
}

/* Bytes of a line of /proc/self/status. */
static double status_bytes(const char *name)
{
    char line[256];
    double kilobytes = NAN;
    FILE *file = fopen("/proc/self/status", "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kilobytes = strtod(line + strlen(name) + 1, NULL);
    fclose(file);
    return 1024.0 * kilobytes;
}

static double run_here(const struct task *task, const struct needs_site *site)
{
    const struct rejectd_compute_options options = {.n_threads = site->n_threads,
                                                    .backend = site->backend};
    const struct task_cleaned cleaned = {.open = open_discard};
    struct task_result result;
    struct rejectd_error error = {0};
    const double before = status_bytes("VmRSS:");
    const enum rejectd_status status = task_run(task, &options, &cleaned, &result, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", error.field, error.message);
    task_result_clear(&result);
    return status_bytes("VmHWM:") - before;
}

/* The peak of a process of its own, beside the samples, which it has already. */
static double measured(const struct task *task, const struct needs_site *site)
{
    int ends[2];
    double bytes = NAN;
    ck_assert_int_eq(pipe(ends), 0);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        bytes = run_here(task, site);
        _exit(write(ends[1], &bytes, sizeof bytes) == (ssize_t)sizeof bytes ? 0 : 1);
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &bytes, sizeof bytes), sizeof bytes);
    close(ends[0]);
    int ended = -1;
    waitpid(child, &ended, 0);
    ck_assert_int_eq(ended, 0);
    return bytes;
}

static struct task_needs needs_of(const struct task *task, const struct needs_site *site)
{
    struct task_needs needs;
    struct rejectd_error error = {0};
    ck_assert_int_eq(task_needs_tell(task, site, &needs, &error), REJECTD_OK);
    return needs;
}

static struct task task_on(enum task_type type, const struct rejectd_epochs *epochs)
{
    struct task task = {
        .type = type,
        .epochs = *epochs,
        .fit = {.precision = REJECTD_FLOAT64},
        .thresholds = {.precision = REJECTD_FLOAT64},
        .ransac = REJECTD_RANSAC_DEFAULTS,
        .global_thresholds = {.precision = REJECTD_FLOAT64, .decim = 1},
        .validation_curve = {.precision = REJECTD_FLOAT64},
    };
    return task;
}

static void compare(const struct task *task, int n_threads, const char *backend)
{
    const struct needs_site site = {.n_threads = n_threads, .backend = backend};
    const struct task_needs needs = needs_of(task, &site);
    if (SANITIZED)
        return; /* what is taken would be the sanitizer's, too */
    const double taken = measured(task, &site);
    const double told = needs.host_bytes - needs.sample_bytes;
    if (getenv("REJECTD_TEST_TELL") != NULL)
        printf("%-24s %zux%zux%zu, %d threads: %.1f MB taken, %.1f told\n", needs.kind,
               task->epochs.n_epochs, task->epochs.n_channels, task->epochs.n_times, n_threads,
               1e-6 * taken, 1e-6 * told);
    ck_assert_msg(told >= taken, "%s: %.0f bytes taken, %.0f told", needs.kind, taken, told);
    ck_assert_msg(told <= most_factor * taken + constant_bytes, "%s: %.0f bytes taken, %.0f told",
                  needs.kind, taken, told);
}

/* ---- against what is taken ---- */

static const struct {
    size_t n_epochs, n_channels, n_times;
    int n_threads;
} shapes[] = {
    {40, 32, 200, 1},   {300, 64, 500, 1},  {100, 128, 1000, 2},
    {1500, 24, 250, 2}, {60, 16, 20000, 1},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static const enum task_type types[] = {TASK_FIT, TASK_THRESHOLDS, TASK_RANSAC,
                                       TASK_GLOBAL_THRESHOLDS, TASK_VALIDATION_CURVE};
enum { N_TYPES = sizeof types / sizeof types[0] };

START_TEST(peak_is_foretold)
{
    struct simulated_epochs made =
        simulated(shapes[_i].n_epochs, shapes[_i].n_channels, shapes[_i].n_times);
    for (int i = 0; i < N_TYPES; i++) {
        struct task task = task_on(types[i], &made.epochs);
        compare(&task, shapes[_i].n_threads, NULL);
    }
    simulate_free(&made);
}
END_TEST

/* Thresholds below everything: all sensors but one are bad in all epochs, and as many are repaired
 * as the parameters allow. */
START_TEST(worst_samples_are_counted)
{
    struct simulated_epochs made = simulated(200, 32, 500);
    const double lowest = 1e-12;
    const int values[] = {1, 2, 4, 8, 16, 31};
    double thresholds[32];
    for (int i = 0; i < 32; i++)
        thresholds[i] = i == 0 ? 1.0 : lowest;
    struct task task = task_on(TASK_FIT, &made.epochs);
    task.fit.thresholds = thresholds;
    task.fit.n_interpolate = values;
    task.fit.n_n_interpolate = 6;
    compare(&task, 1, NULL);
    task.fit.thresholds = NULL;
    task.fit.precision = REJECTD_FLOAT32;
    compare(&task, 1, NULL);
    simulate_free(&made);
}
END_TEST

/* The same value again repairs as many sensors more. */
START_TEST(values_add_up)
{
    struct simulated_epochs made = simulated(300, 64, 250);
    double thresholds[64];
    int values[20];
    for (int i = 0; i < 64; i++)
        thresholds[i] = i == 0 ? 1.0 : 1e-12;
    for (int i = 0; i < 20; i++)
        values[i] = 4;
    struct task task = task_on(TASK_FIT, &made.epochs);
    task.fit.thresholds = thresholds;
    task.fit.n_interpolate = values;
    task.fit.n_n_interpolate = 20;
    compare(&task, 1, NULL);
    simulate_free(&made);
}
END_TEST

START_TEST(decimation_copies)
{
    struct simulated_epochs made = simulated(300, 64, 1000);
    struct task task = task_on(TASK_GLOBAL_THRESHOLDS, &made.epochs);
    const struct needs_site site = {.n_threads = 1};
    const double whole = needs_of(&task, &site).host_bytes;
    task.global_thresholds.decim = 2;
    ck_assert_double_gt(needs_of(&task, &site).host_bytes, whole + 50e6);
    compare(&task, 1, NULL);
    simulate_free(&made);
}
END_TEST

START_TEST(reference_copies)
{
    struct simulated_epochs made = simulated(60, 32, 500);
    struct task task = task_on(TASK_FIT, &made.epochs);
    compare(&task, 1, "reference");
    simulate_free(&made);
}
END_TEST

/* ---- GPUs, where there is one to test ---- */

static const char content[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* Runs it on a device within so much memory. *whole: its samples stayed there. */
static enum rejectd_status run_on_device(const struct task *task, double budget, bool *whole,
                                         struct rejectd_error *error)
{
    struct rejectd_devices *devices;
    struct task_result result = {0};
    struct rejectd_resident residents[4];
    cuda_backend_within((size_t)budget, &devices);
    struct rejectd_device *device = rejectd_devices_find(devices, "cuda:0");
    const struct rejectd_compute_options options = {.device = device, .n_threads = 1};
    const struct task_cleaned cleaned = {.open = open_discard};
    const enum rejectd_status status = task_run(task, &options, &cleaned, &result, error);
    *whole = rejectd_device_residents(device, residents, 4) > 0;
    task_result_clear(&result);
    rejectd_devices_close(devices);
    return status;
}

START_TEST(devices_take_what_is_foretold)
{
    static const size_t sizes[][3] = {{40, 10, 64}, {90, 12, 32}, {20, 8, 330}};
    static const enum rejectd_dtype precisions[] = {REJECTD_FLOAT64, REJECTD_FLOAT16};
    /* Each size once will do, where it takes five times as long. */
    if (getenv("REJECTD_CUDA_MODULE") == NULL || (SANITIZED && _i % 2 != _i / 2 % 2))
        return;
    struct simulated_epochs made = simulated(sizes[_i / 2][0], sizes[_i / 2][1], sizes[_i / 2][2]);
    made.epochs.content = content;
    for (int i = 0; i < N_TYPES; i++) {
        struct task task = task_on(types[i], &made.epochs);
        task.fit.precision = task.thresholds.precision = task.ransac.precision =
            task.global_thresholds.precision = task.validation_curve.precision = precisions[_i % 2];
        const struct needs_site site = {.gpu = true, .n_threads = 1};
        const struct task_needs needs = needs_of(&task, &site);
        struct rejectd_error error = {0};
        bool whole;
        enum rejectd_status status = run_on_device(&task, needs.device_bytes, &whole, &error);
        ck_assert_msg(status == REJECTD_OK && whole, "%s, %.0f bytes: %s", needs.kind,
                      needs.device_bytes, error.message);
        status = run_on_device(&task, needs.device_least, &whole, &error);
        ck_assert_msg(status == REJECTD_OK, "%s, %.0f bytes: %s", needs.kind, needs.device_least,
                      error.message);
    }
    simulate_free(&made);
}
END_TEST

/* All sensors but one are bad in all epochs: repairs are made in as small pieces as there is room
 * for. */
START_TEST(repairs_shrink_to_what_there_is)
{
    enum { CHANNELS = 64, VALUES = 16 };
    double thresholds[CHANNELS];
    int values[VALUES];
    if (getenv("REJECTD_CUDA_MODULE") == NULL)
        return;
    struct simulated_epochs made = simulated(128, CHANNELS, 32);
    made.epochs.content = content;
    for (int i = 0; i < CHANNELS; i++)
        thresholds[i] = i == 5 ? 1.0 : 1e-12;
    for (int i = 0; i < VALUES; i++)
        values[i] = 4;
    struct task task = task_on(TASK_FIT, &made.epochs);
    task.fit.thresholds = thresholds;
    task.fit.n_interpolate = values;
    task.fit.n_n_interpolate = VALUES;
    const struct needs_site site = {.gpu = true, .n_threads = 1};
    const struct task_needs needs = needs_of(&task, &site);
    for (double share = 1.0; share < 3.0; share += share_step) {
        struct rejectd_error error = {0};
        bool whole;
        const double budget = share * needs.device_least;
        const enum rejectd_status status = run_on_device(&task, budget, &whole, &error);
        ck_assert_msg(status == REJECTD_OK, "%.0f bytes: %s", budget, error.message);
    }
    simulate_free(&made);
}
END_TEST

/* Every epoch has other bad sensors, so that there are more weights than anything else: they are
 * brought as far as there is room. */
START_TEST(given_weights_come_in_pieces)
{
    enum { EPOCHS = 192, CHANNELS = 48 };
    const int values[] = {12, 12, 12};
    double thresholds[CHANNELS];
    if (getenv("REJECTD_CUDA_MODULE") == NULL)
        return;
    struct simulated_epochs made = simulated(EPOCHS, CHANNELS, 16);
    made.epochs.content = content;
    become_mags(&made);
    for (size_t i = 0; i < CHANNELS; i++) {
        thresholds[i] = i == 5 ? 1e9 : 1.0;
        for (size_t e = 0; e < EPOCHS; e++)
            *sample_at(&made, e, i, 0) += (e * 7 + i * i * 3) % 5 < 4 ? 10.0 + (double)i : 0.0;
    }
    struct task task = task_on(TASK_FIT, &made.epochs);
    task.fit.thresholds = thresholds;
    task.fit.n_interpolate = values;
    task.fit.n_n_interpolate = 3;
    task.without_cleaned = true;
    const struct needs_site site = {.gpu = true, .n_threads = 1};
    const struct task_needs needs = needs_of(&task, &site);
    ck_assert_double_lt(needs.device_least, EPOCHS * 36 * CHANNELS * sizeof(double));
    for (double share = 1.0; share < 3.0; share += 0.9) {
        struct rejectd_error error = {0};
        bool whole;
        const double budget = share * needs.device_least;
        const enum rejectd_status status = run_on_device(&task, budget, &whole, &error);
        ck_assert_msg(status == REJECTD_OK, "%.0f bytes: %s", budget, error.message);
    }
    simulate_free(&made);
}
END_TEST

/* Predictions by so many resamples are more than a block can share. */
START_TEST(many_resamples_are_foretold)
{
    if (getenv("REJECTD_CUDA_MODULE") == NULL)
        return;
    struct simulated_epochs made = simulated(40, 9, 80);
    made.epochs.content = content;
    struct task task = task_on(TASK_RANSAC, &made.epochs);
    task.ransac.n_resample = 900;
    const struct needs_site site = {.gpu = true, .n_threads = 1};
    const struct task_needs needs = needs_of(&task, &site);
    for (double share = 1.0; share < 3.0; share += share_step) {
        struct rejectd_error error = {0};
        bool whole;
        const double budget = share * needs.device_least;
        const enum rejectd_status status = run_on_device(&task, budget, &whole, &error);
        ck_assert_msg(status == REJECTD_OK, "%.0f bytes: %s", budget, error.message);
    }
    simulate_free(&made);
}
END_TEST

/* ---- by shape alone ---- */

/* Epochs of any size: nobody looks at the samples. */
static struct rejectd_epochs sized(struct rejectd_channel *channels, enum rejectd_channel_type type,
                                   size_t n_epochs, size_t n_channels, size_t n_times)
{
    for (size_t i = 0; i < n_channels; i++) {
        channels[i] = (struct rejectd_channel){.type = type, .has_position = true};
        snprintf(channels[i].name, sizeof channels[i].name, "c%zu", i);
    }
    return (struct rejectd_epochs){.n_epochs = n_epochs,
                                   .n_channels = n_channels,
                                   .n_times = n_times,
                                   .dtype = REJECTD_FLOAT64,
                                   .channels = channels};
}

static void check_grows(const struct task *task, const struct needs_site *site,
                        struct task_needs *before)
{
    const struct task_needs needs = needs_of(task, site);
    const double all[] = {needs.host_bytes, needs.sample_bytes, needs.device_bytes,
                          needs.device_least, needs.work};
    const double last[] = {before->host_bytes, before->sample_bytes, before->device_bytes,
                           before->device_least, before->work};
    for (int i = 0; i < 5; i++) {
        ck_assert_msg(isfinite(all[i]) && all[i] >= last[i],
                      "%s, number %d: %g after %g at %zux%zux%zu", needs.kind, i, all[i], last[i],
                      task->epochs.n_epochs, task->epochs.n_channels, task->epochs.n_times);
    }
    ck_assert_double_ge(needs.host_bytes, needs.sample_bytes);
    ck_assert_double_ge(needs.device_bytes, needs.device_least);
    ck_assert(site->gpu == (needs.device_least > 0.0) || needs.sample_bytes == 0.0 ||
              task->type == TASK_APPLY || task->type == TASK_INTERPOLATE);
    *before = needs;
}

/* Every size grows alone, from 2 to the most that there may be, past where doubles of integers
 * would have ended. */
START_TEST(grows_with_every_size)
{
    static const enum rejectd_channel_type channel_types[] = {
        REJECTD_CHANNEL_EEG, REJECTD_CHANNEL_MAG, REJECTD_CHANNEL_SEEG};
    struct rejectd_channel *channels = calloc(REJECTD_MAX_CHANNELS, sizeof *channels);
    ck_assert_ptr_nonnull(channels);
    const size_t most[3] = {REJECTD_MAX_EPOCHS, REJECTD_MAX_CHANNELS, REJECTD_MAX_TIMES};
    for (int gpu = 0; gpu < 2; gpu++)
        for (int kind = 0; kind < 3; kind++)
            for (int grown = 0; grown < 3; grown++) {
                const struct needs_site site = {.gpu = gpu != 0, .n_threads = 3};
                struct task_needs before = {0};
                size_t size[3] = {50, 40, 300};
                for (size_t n = 2; n <= most[grown]; n += n / 3 + 1) {
                    size[grown] = n;
                    const struct rejectd_epochs epochs =
                        sized(channels, channel_types[kind], size[0], size[1], size[2]);
                    const struct task task = task_on(types[_i], &epochs);
                    check_grows(&task, &site, &before);
                }
            }
    free(channels);
}
END_TEST

START_TEST(absurd_shapes_have_finite_needs)
{
    struct rejectd_channel *channels = calloc(REJECTD_MAX_CHANNELS, sizeof *channels);
    ck_assert_ptr_nonnull(channels);
    const struct rejectd_epochs epochs = sized(channels, REJECTD_CHANNEL_EEG, REJECTD_MAX_EPOCHS,
                                               REJECTD_MAX_CHANNELS, REJECTD_MAX_TIMES);
    const double samples = 8.0 * REJECTD_MAX_EPOCHS * (double)REJECTD_MAX_CHANNELS *
                           REJECTD_MAX_TIMES; /* 3e17 bytes */
    int values[REJECTD_MAX_GRID];
    for (int i = 0; i < REJECTD_MAX_GRID; i++)
        values[i] = 3 * i;
    for (int gpu = 0; gpu < 2; gpu++) {
        const struct needs_site site = {.gpu = gpu != 0, .n_threads = 4096};
        struct task task = task_on(types[_i], &epochs);
        task.fit.n_interpolate = values;
        task.fit.n_n_interpolate = REJECTD_MAX_GRID;
        const struct task_needs needs = needs_of(&task, &site);
        ck_assert_double_eq(needs.sample_bytes, samples);
        ck_assert(isfinite(needs.host_bytes) && needs.host_bytes > samples);
        ck_assert(isfinite(needs.device_bytes) && isfinite(needs.work));
    }
    free(channels);
}
END_TEST

/* A GPU with less than all takes the samples in pieces, which costs more. */
START_TEST(pieces_cost_more)
{
    struct rejectd_channel channels[64];
    const struct rejectd_epochs epochs = sized(channels, REJECTD_CHANNEL_EEG, 1000, 64, 1000);
    const struct task task = task_on(TASK_FIT, &epochs);
    struct needs_site site = {.gpu = true, .n_threads = 2, .device_budget = 80e9};
    const struct task_needs whole = needs_of(&task, &site);
    ck_assert(!whole.in_pieces);
    ck_assert_double_ge(whole.device_bytes, 1000.0 * 64 * 1024 * 8 * 1.5);
    ck_assert_double_lt(whole.device_least, whole.device_bytes / 2.0);
    site.device_budget = whole.device_bytes - 1.0;
    const struct task_needs pieces = needs_of(&task, &site);
    ck_assert(pieces.in_pieces);
    ck_assert_double_gt(pieces.work, whole.work);
    ck_assert_double_gt(pieces.host_bytes, whole.host_bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("needs");
    TCase *peaks = tcase_create("peaks"), *sizes = tcase_create("sizes");
    tcase_set_timeout(peaks, 300);
    tcase_set_timeout(sizes, 120);
    tcase_add_loop_test(peaks, peak_is_foretold, 0, N_SHAPES);
    tcase_add_test(peaks, worst_samples_are_counted);
    tcase_add_test(peaks, values_add_up);
    tcase_add_test(peaks, decimation_copies);
    tcase_add_test(peaks, reference_copies);
    tcase_add_loop_test(peaks, devices_take_what_is_foretold, 0, 6);
    tcase_add_test(peaks, repairs_shrink_to_what_there_is);
    tcase_add_test(peaks, given_weights_come_in_pieces);
    tcase_add_test(peaks, many_resamples_are_foretold);
    tcase_add_loop_test(sizes, grows_with_every_size, 0, N_TYPES);
    tcase_add_loop_test(sizes, absurd_shapes_have_finite_needs, 0, N_TYPES);
    tcase_add_test(sizes, pieces_cost_more);
    suite_add_tcase(suite, peaks);
    suite_add_tcase(suite, sizes);
    return run_suite(suite);
}
