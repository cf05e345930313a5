/*
 * Whole jobs give the same bits whatever order the blocks and threads of a GPU run in.
 *
 * For every order a process of its own, because the emulation reads its environment once, computes
 * the same jobs on the CUDA backend and sends a hash of each result. On a GPU, which takes no
 * orders, it is the same run again and again.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "every_backend.h"
#include "fit_fixture.h"
#include "run_suite.h"

static const struct {
    const char *order, *threads;
} runs[] = {
    {"forward", "1"},
    {"reverse", "1"},
    {"shuffled:1", "1"},
    {"shuffled:2", "2"},
};

static const char *const jobs[] = {
    "fit",    "fit, float32",      "fit of many epochs", "cleaned epochs",
    "RANSAC", "global thresholds", "validation curve",
};

enum { N_RUNS = sizeof runs / sizeof runs[0], N_JOBS = sizeof jobs / sizeof jobs[0] };

struct hashes {
    uint64_t of[N_JOBS];
};

/* FNV-1a. */
static uint64_t add_bytes(uint64_t hash, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t add_doubles(uint64_t hash, const double *values, size_t n)
{
    return add_bytes(hash, values, n * sizeof *values);
}

static const uint64_t nothing = 0xcbf29ce484222325u;

static uint64_t hash_of_fit(const struct rejectd_fit *fit)
{
    uint64_t hash = add_doubles(nothing, fit->thresholds, fit->n_channels);
    hash = add_doubles(hash, fit->threshold_losses, fit->n_channels);
    for (size_t i = 0; i < fit->n_types; i++) {
        const struct rejectd_type_fit *type = &fit->types[i];
        hash = add_doubles(hash, &type->consensus, 1);
        hash = add_bytes(hash, &type->n_interpolate, sizeof type->n_interpolate);
        hash = add_doubles(hash, type->loss,
                           type->n_consensus * type->n_n_interpolate * type->n_folds);
    }
    hash = add_bytes(hash, fit->log.labels, fit->log.n_epochs * fit->log.n_channels);
    return add_bytes(hash, fit->log.bad_epochs, fit->log.n_epochs);
}

static enum rejectd_status add_epoch(void *context, const void *samples, size_t bytes,
                                     struct rejectd_error *error)
{
    uint64_t *hash = context;
    (void)error;
    *hash = add_bytes(*hash, samples, bytes);
    return REJECTD_OK;
}

static void hash_fits(const struct rejectd_epochs *epochs,
                      const struct rejectd_compute_options *options, struct hashes *hashes)
{
    struct rejectd_fit_parameters parameters = {.random_state = 42, .precision = REJECTD_FLOAT64};
    struct rejectd_error error = {0};
    struct rejectd_fit *fit = fitted(epochs, &parameters, options);
    hashes->of[0] = hash_of_fit(fit);
    const struct rejectd_sink sink = {add_epoch, &hashes->of[3]};
    hashes->of[3] = nothing;
    ck_assert_int_eq(rejectd_clean(epochs, &fit->log, &(struct rejectd_clean_parameters){0},
                                   options, &sink, &error),
                     REJECTD_OK);
    rejectd_fit_free(fit);
    parameters.precision = REJECTD_FLOAT32;
    fit = fitted(epochs, &parameters, options);
    hashes->of[1] = hash_of_fit(fit);
    rejectd_fit_free(fit);
}

/* Folds of more rows than a block keeps: their medians are bounded by samples first. */
static void hash_many_epochs(const struct rejectd_compute_options *options, struct hashes *hashes)
{
    struct simulated_epochs made = simulated(1400, 8, 16);
    const struct rejectd_fit_parameters parameters = {
        .random_state = 42, .precision = REJECTD_FLOAT64, .thresh_method = REJECTD_THRESHOLD_EXACT};
    struct rejectd_fit *fit = fitted(&made.epochs, &parameters, options);
    hashes->of[2] = hash_of_fit(fit);
    rejectd_fit_free(fit);
    simulate_free(&made);
}

static void hash_more_jobs(const struct rejectd_epochs *epochs,
                           const struct rejectd_compute_options *options, struct hashes *hashes)
{
    const struct rejectd_ransac_parameters ransac_parameters = REJECTD_RANSAC_DEFAULTS;
    const struct rejectd_global_thresholds_parameters global_parameters = {.precision =
                                                                               REJECTD_FLOAT64};
    const struct rejectd_validation_curve_parameters curve_parameters = {.precision =
                                                                             REJECTD_FLOAT64};
    struct rejectd_ransac *ransac;
    struct rejectd_global_thresholds *global;
    struct rejectd_validation_curve *curve;
    struct rejectd_error error = {0};
    ck_assert_int_eq(rejectd_ransac(epochs, &ransac_parameters, options, &ransac, &error),
                     REJECTD_OK);
    ck_assert_int_eq(
        rejectd_global_thresholds(epochs, &global_parameters, options, &global, &error),
        REJECTD_OK);
    ck_assert_int_eq(rejectd_validation_curve(epochs, &curve_parameters, options, &curve, &error),
                     REJECTD_OK);
    hashes->of[4] = add_doubles(nothing, ransac->correlations, ransac->n_epochs * ransac->n_picks);
    hashes->of[5] = nothing;
    for (size_t i = 0; i < global->n_types; i++) {
        hashes->of[5] = add_doubles(hashes->of[5], &global->types[i].threshold, 1);
        hashes->of[5] = add_doubles(hashes->of[5], &global->types[i].loss, 1);
    }
    const size_t n_scores = curve->n_params * curve->n_folds;
    hashes->of[6] = add_doubles(nothing, curve->train_scores, n_scores);
    hashes->of[6] = add_doubles(hashes->of[6], curve->test_scores, n_scores);
    rejectd_ransac_free(ransac);
    rejectd_global_thresholds_free(global);
    rejectd_validation_curve_free(curve);
}

/* All jobs; false where there is no device. */
static bool compute(struct hashes *hashes)
{
    struct rejectd_devices *devices;
    const bool found = cuda_backend_within(0, &devices).backend != NULL;
    if (found) {
        const struct rejectd_compute_options options = {
            .n_threads = 1, .device = rejectd_devices_find(devices, "cuda:0")};
        struct simulated_epochs made = simulated(30, 8, 48);
        hash_fits(&made.epochs, &options, hashes);
        hash_more_jobs(&made.epochs, &options, hashes);
        hash_many_epochs(&options, hashes);
        simulate_free(&made);
    }
    rejectd_devices_close(devices);
    return found;
}

/* What a process with its own environment computes; false where there is no device. */
static bool compute_apart(size_t run, struct hashes *hashes)
{
    int ends[2], status = 0;
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct hashes made = {{0}};
        setenv("REJECTD_EMULATION_ORDER", runs[run].order, 1);
        setenv("REJECTD_EMULATED_THREADS", runs[run].threads, 1);
        const bool found = compute(&made);
        const bool sent = !found || write(ends[1], &made, sizeof made) == (ssize_t)sizeof made;
        _exit(sent ? 0 : 1);
    }
    close(ends[1]);
    const ssize_t got = read(ends[0], hashes, sizeof *hashes);
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: the process failed",
                  runs[run].order);
    return got == (ssize_t)sizeof *hashes;
}

START_TEST(test_results_do_not_depend_on_the_order)
{
    struct hashes first = {{0}}, other = {{0}};
    for (size_t run = 0; run < N_RUNS; run++) {
        struct hashes *hashes = run == 0 ? &first : &other;
        if (!compute_apart(run, hashes))
            break;
        for (size_t job = 0; job < N_JOBS; job++) {
            if (run == 0)
                printf("%016llx %s\n", (unsigned long long)first.of[job], jobs[job]);
            ck_assert_msg(hashes->of[job] == first.of[job], "%s: other bits with %s, %s threads",
                          jobs[job], runs[run].order, runs[run].threads);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("orders");
    TCase *tests = tcase_create("orders");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, test_results_do_not_depend_on_the_order);
    suite_add_tcase(suite, tests);
    /* It forks by itself, before OpenMP and CUDA have begun anything. */
    return run_suite_in_process(suite);
}
