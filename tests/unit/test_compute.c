/*
 * The public library, fitting: progress and cancelling, results that depend on nothing but the
 * input, and what a fit says about input that is legal but odd.
 */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fit_fixture.h"
#include "run_suite.h"
#include "worker/algorithm/progress.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const char *const backends[] = {"cpu", "reference"};

/* Everything that a monitor was told. */
struct watch {
    size_t calls;
    size_t stop_at; /* the call that answers no; 0: none */
    size_t moves;   /* calls that told more than the one before */
    double first, last, furthest_move;
    bool decreased, elsewhere;
    size_t stages; /* in the order of stage_names */
    pthread_t caller;
};

static const char *const stage_names[] = {"thresholds", "repair", "local_cv"};

static bool watch_report(void *context, const char *stage, double fraction)
{
    struct watch *watch = context;
    watch->calls++;
    watch->elsewhere |= !pthread_equal(pthread_self(), watch->caller);
    if (watch->calls == 1)
        watch->first = watch->last = fraction;
    watch->decreased |= fraction < watch->last;
    watch->moves += fraction > watch->last;
    watch->furthest_move = fmax(watch->furthest_move, fraction - watch->last);
    watch->last = fraction;
    if (watch->stages < LENGTH(stage_names) && strcmp(stage, stage_names[watch->stages]) == 0)
        watch->stages++;
    ck_assert(strcmp(stage, stage_names[watch->stages - 1]) == 0);
    return watch->calls != watch->stop_at;
}

static struct rejectd_compute_options watched(struct watch *watch, const char *backend,
                                              int n_threads)
{
    *watch = (struct watch){.caller = pthread_self()};
    return (struct rejectd_compute_options){
        .backend = backend, .n_threads = n_threads, .monitor = {watch_report, watch}};
}

START_TEST(test_progress_goes_from_0_to_1_in_small_moves)
{
    struct simulated_epochs made = simulated(30, 24, 60);
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        struct watch watch;
        struct rejectd_compute_options options = watched(&watch, backends[_i], n_threads);
        rejectd_fit_free(fitted(&made.epochs, NULL, &options));
        ck_assert(!watch.decreased && !watch.elsewhere);
        ck_assert_uint_eq(watch.stages, LENGTH(stage_names));
        ck_assert_double_ge(watch.first, 0.0);
        ck_assert_double_lt(watch.first, 0.1);
        ck_assert_double_eq_tol(watch.last, 1.0, 1e-12);
        /* Of several threads the calling one may be given little to do, and so little to tell. */
        if (n_threads == 1) {
            ck_assert_uint_gt(watch.moves, 10);
            ck_assert_double_lt(watch.furthest_move, 0.1);
        }
    }
    simulate_free(&made);
}
END_TEST

/* Steps may overlap and backends count as they like: what was told does not go back. */
START_TEST(test_what_was_told_is_not_taken_back)
{
    struct watch watch;
    struct rejectd_compute_options options = watched(&watch, NULL, 1);
    struct progress progress = {.monitor = &options.monitor};
    progress_step(&progress, "thresholds", 0.25, 0.5);
    progress_advance(&progress, 1.0);
    progress_advance(&progress, 0.5);
    ck_assert_double_eq(watch.last, 0.75);
    progress_step(&progress, "repair", 0.5, 0.5);
    progress_advance(&progress, 0.0);
    ck_assert_double_eq(watch.last, 0.75);
    progress_advance(&progress, 1.0);
    ck_assert_double_eq(watch.last, 1.0);
    ck_assert(!watch.decreased);
}
END_TEST

/* Whenever no is the answer: the call ends without asking again, and without a result. */
START_TEST(test_a_fit_can_be_cancelled_at_every_report)
{
    struct simulated_epochs made = simulated(12, 8, 20);
    const struct rejectd_fit_parameters parameters = {.precision = REJECTD_FLOAT64};
    for (size_t stop_at = 1;; stop_at++) {
        struct watch watch;
        struct rejectd_compute_options options = watched(&watch, backends[_i], 1);
        struct rejectd_error error = {0};
        struct rejectd_fit unset, *fit = &unset;
        watch.stop_at = stop_at;
        enum rejectd_status status = rejectd_fit(&made.epochs, &parameters, &options, &fit, &error);
        if (status == REJECTD_OK) {
            ck_assert_uint_lt(watch.calls, stop_at);
            ck_assert_uint_gt(watch.calls, 10);
            rejectd_fit_free(fit);
            break;
        }
        ck_assert_int_eq(status, REJECTD_CANCELLED);
        ck_assert_int_eq(error.status, REJECTD_CANCELLED);
        ck_assert_ptr_null(fit);
        ck_assert_uint_eq(watch.calls, stop_at);
    }
    simulate_free(&made);
}
END_TEST

START_TEST(test_threads_that_work_together_are_cancelled_too)
{
    struct simulated_epochs made = simulated(20, 16, 40);
    const struct rejectd_fit_parameters parameters = {.precision = REJECTD_FLOAT64};
    for (size_t stop_at = 1; stop_at < 30; stop_at++) {
        struct watch watch;
        struct rejectd_compute_options options = watched(&watch, "cpu", 4);
        struct rejectd_error error = {0};
        struct rejectd_fit *fit;
        watch.stop_at = stop_at;
        enum rejectd_status status = rejectd_fit(&made.epochs, &parameters, &options, &fit, &error);
        ck_assert(!watch.elsewhere);
        if (status == REJECTD_OK) /* how often it asks depends on the scheduler */
            ck_assert_uint_lt(watch.calls, stop_at);
        else
            ck_assert_uint_eq(watch.calls, stop_at);
        ck_assert(status == REJECTD_CANCELLED || (status == REJECTD_OK && stop_at > 5));
        ck_assert((fit != NULL) == (status == REJECTD_OK));
        rejectd_fit_free(fit);
    }
    simulate_free(&made);
}
END_TEST

/* More sensors than one block of predictions holds, so that threads and budgets cut differently. */
START_TEST(test_results_depend_on_neither_threads_nor_memory)
{
    static const struct rejectd_compute_options several[] = {
        {.n_threads = 2},
        {.n_threads = 8},
        {.n_threads = 0},
        {.n_threads = 40},
        {.n_threads = 1, .memory_budget = 1},
        {.n_threads = 40, .memory_budget = 1},
        {.n_threads = 40, .memory_budget = 128 * 12 * 30 * sizeof(double)},
        {.n_threads = 2, .memory_budget = SIZE_MAX},
    };
    static const enum rejectd_threshold_method methods[] = {REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION,
                                                            REJECTD_THRESHOLD_RANDOM_SEARCH};
    struct simulated_epochs made = simulated(12, 150, 30);
    const struct rejectd_fit_parameters parameters = {
        .thresh_method = methods[_i / 2],
        .precision = _i % 2 == 0 ? REJECTD_FLOAT64 : REJECTD_FLOAT32,
    };
    struct rejectd_fit *first = fitted(&made.epochs, &parameters, NULL);
    for (size_t i = 0; i < LENGTH(several); i++) {
        struct rejectd_fit *other = fitted(&made.epochs, &parameters, &several[i]);
        same_fit(first, other);
        rejectd_fit_free(other);
    }
    rejectd_fit_free(first);
    simulate_free(&made);
}
END_TEST

struct task {
    struct simulated_epochs made;
    struct rejectd_fit *alone, *together;
};

static void *fit_in_thread(void *context)
{
    struct task *task = context;
    const struct rejectd_compute_options options = {.n_threads = 2};
    const struct rejectd_fit_parameters parameters = {.precision = REJECTD_FLOAT64};
    struct rejectd_error error;
    rejectd_fit(&task->made.epochs, &parameters, &options, &task->together, &error);
    return NULL;
}

START_TEST(test_fits_at_the_same_time_leave_each_other_alone)
{
    struct task tasks[4];
    pthread_t threads[LENGTH(tasks)];
    for (size_t i = 0; i < LENGTH(tasks); i++) {
        tasks[i].made = simulated(12 + i, 10 + 7 * i, 40 + i);
        tasks[i].alone = fitted(&tasks[i].made.epochs, NULL, NULL);
    }
    for (size_t i = 0; i < LENGTH(tasks); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fit_in_thread, &tasks[i]), 0);
    for (size_t i = 0; i < LENGTH(tasks); i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_ptr_nonnull(tasks[i].together);
        same_fit(tasks[i].alone, tasks[i].together);
        rejectd_fit_free(tasks[i].alone);
        rejectd_fit_free(tasks[i].together);
        simulate_free(&tasks[i].made);
    }
}
END_TEST

/* numpy.linspace(0, 1, 11) to the last bit, and autoreject's 1, 4, 32 as far as sensors go. */
START_TEST(test_the_default_grids)
{
    static const double consensus[11] = {
        0.0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.5, 0.6000000000000001, 0.7000000000000001,
        0.8, 0.9, 1.0};
    static const size_t n_channels[] = {8, 33, 40};
    static const int most[] = {7, 32, 32};
    for (size_t i = 0; i < LENGTH(n_channels); i++) {
        struct simulated_epochs made = simulated(10, n_channels[i], 10);
        struct rejectd_fit *fit = fitted(&made.epochs, NULL, NULL);
        const struct rejectd_type_fit *type = &fit->types[0];
        const int n_interpolate[3] = {1, 4, most[i]};
        ck_assert_uint_eq(type->n_folds, 10);
        ck_assert_uint_eq(type->n_consensus, 11);
        ck_assert_mem_eq(type->consensus_grid, consensus, sizeof consensus);
        ck_assert_uint_eq(type->n_n_interpolate, 3);
        ck_assert_mem_eq(type->n_interpolate_grid, n_interpolate, sizeof n_interpolate);
        rejectd_fit_free(fit);
        simulate_free(&made);
    }
}
END_TEST

START_TEST(test_the_backends_agree)
{
    static const struct rejectd_compute_options reference = {.backend = "reference",
                                                             .n_threads = 1};
    struct simulated_epochs made = simulated(30, 16, 50);
    struct rejectd_fit *expected = fitted(&made.epochs, NULL, &reference);
    struct rejectd_fit *found = fitted(&made.epochs, NULL, NULL);
    same_log(&expected->log, &found->log);
    ck_assert_double_eq(expected->types[0].consensus, found->types[0].consensus);
    ck_assert_int_eq(expected->types[0].n_interpolate, found->types[0].n_interpolate);
    ck_assert_uint_gt(count_kept(&found->log), 0);
    ck_assert_uint_lt(count_kept(&found->log), 30);
    rejectd_fit_free(expected);
    rejectd_fit_free(found);
    simulate_free(&made);
}
END_TEST

START_TEST(test_a_seed_decides)
{
    struct simulated_epochs made = simulated(20, 8, 40);
    struct rejectd_fit_parameters parameters = {.random_state = 1, .precision = REJECTD_FLOAT64};
    struct rejectd_fit *first = fitted(&made.epochs, &parameters, NULL);
    struct rejectd_fit *again = fitted(&made.epochs, &parameters, NULL);
    parameters.random_state = 4294967295u;
    struct rejectd_fit *other = fitted(&made.epochs, &parameters, NULL);
    same_fit(first, again);
    ck_assert_mem_ne(first->threshold_losses, other->threshold_losses, 8 * sizeof(double));
    rejectd_fit_free(first);
    rejectd_fit_free(again);
    rejectd_fit_free(other);
    simulate_free(&made);
}
END_TEST

START_TEST(test_no_method_beats_the_exact_one)
{
    struct simulated_epochs made = simulated(40, 8, 40);
    struct rejectd_fit_parameters parameters = {.thresh_method = REJECTD_THRESHOLD_EXACT,
                                                .precision = REJECTD_FLOAT64};
    struct rejectd_fit *exact = fitted(&made.epochs, &parameters, NULL);
    for (int method = 0; method < REJECTD_THRESHOLD_METHOD_COUNT; method++) {
        parameters.thresh_method = (enum rejectd_threshold_method)method;
        struct rejectd_fit *other = fitted(&made.epochs, &parameters, NULL);
        for (size_t c = 0; c < 8; c++) {
            ck_assert_double_le(exact->threshold_losses[c], other->threshold_losses[c]);
            ck_assert_double_gt(other->thresholds[c], 0.0);
        }
        rejectd_fit_free(other);
    }
    rejectd_fit_free(exact);
    simulate_free(&made);
}
END_TEST

/* Thresholds that a fit found, given to the next, lead to the same result without the search. */
START_TEST(test_given_thresholds_are_used)
{
    struct simulated_epochs made = simulated(24, 12, 40);
    struct rejectd_fit *searched = fitted(&made.epochs, NULL, NULL);
    const struct rejectd_fit_parameters parameters = {.thresholds = searched->thresholds,
                                                      .precision = REJECTD_FLOAT64};
    struct watch watch;
    struct rejectd_compute_options options = watched(&watch, "cpu", 1);
    struct rejectd_fit *given = fitted(&made.epochs, &parameters, &options);
    ck_assert_mem_eq(given->thresholds, searched->thresholds, 12 * sizeof(double));
    for (size_t c = 0; c < 12; c++)
        ck_assert(isnan(given->threshold_losses[c]));
    same_log(&given->log, &searched->log);
    ck_assert_double_eq_tol(watch.last, 1.0, 1e-12);
    rejectd_fit_free(searched);
    rejectd_fit_free(given);
    simulate_free(&made);
}
END_TEST

/* Channels that are not picked have no threshold and no label, and do not change the others. */
START_TEST(test_channels_that_are_left_out)
{
    struct simulated_epochs made = simulated(20, 12, 40);
    static const size_t picks[8] = {0, 1, 2, 4, 5, 7, 8, 9}, left_out[4] = {3, 6, 10, 11};
    const struct rejectd_fit_parameters picked = {
        .picks = picks, .n_picks = 8, .precision = REJECTD_FLOAT64};
    struct rejectd_fit *expected = fitted(&made.epochs, &picked, NULL);
    made.channels[3].bad = made.channels[11].bad = true;
    made.channels[6].type = made.channels[10].type = REJECTD_CHANNEL_EOG;
    made.channels[6].has_position = false;
    for (size_t e = 0; e < 20; e++)
        *sample_at(&made, e, 6, e) += 1.0;
    struct rejectd_fit *found = fitted(&made.epochs, NULL, NULL);
    same_fit(expected, found);
    for (size_t i = 0; i < LENGTH(left_out); i++) {
        const size_t c = left_out[i];
        ck_assert(isnan(found->thresholds[c]) && isnan(found->threshold_losses[c]));
        for (size_t e = 0; e < 20; e++)
            ck_assert_int_eq(found->log.labels[e * 12 + c], REJECTD_LABEL_NOT_CONSIDERED);
    }
    rejectd_fit_free(expected);
    rejectd_fit_free(found);
    simulate_free(&made);
}
END_TEST

START_TEST(test_a_flat_channel_is_told)
{
    struct simulated_epochs made = simulated(20, 10, 40);
    for (size_t e = 0; e < 20; e++)
        for (size_t t = 0; t < 40; t++)
            *sample_at(&made, e, 4, t) = 2e-5;
    struct rejectd_fit *fit = fitted(&made.epochs, NULL, NULL);
    const char *message = warning_of(fit, "flat-channel");
    ck_assert_ptr_nonnull(message);
    ck_assert_ptr_nonnull(strstr(message, made.channels[4].name));
    ck_assert_uint_eq(fit->n_warnings, 1);
    rejectd_fit_free(fit);
    simulate_free(&made);
}
END_TEST

/* Nothing ever moves: every channel is told, nobody is bad. */
START_TEST(test_everything_is_flat)
{
    struct simulated_epochs made = simulated(12, 8, 20);
    memset(made.samples, 0, (size_t)12 * 8 * 20 * sizeof(double));
    const struct rejectd_compute_options options = {.backend = backends[_i], .n_threads = 2};
    struct rejectd_fit *fit = fitted(&made.epochs, NULL, &options);
    ck_assert_uint_eq(fit->n_warnings, 8);
    ck_assert_uint_eq(count_kept(&fit->log), 12);
    for (size_t c = 0; c < 8; c++)
        ck_assert_double_eq(fit->thresholds[c], 0.0);
    rejectd_fit_free(fit);
    simulate_free(&made);
}
END_TEST

/* Integers: many exact ties in the samples, the amplitudes and the losses. */
START_TEST(test_ties_are_the_same_for_every_backend)
{
    struct simulated_epochs made = simulated(30, 12, 40);
    for (size_t i = 0; i < (size_t)30 * 12 * 40; i++)
        ((double *)made.samples)[i] = floor(((double *)made.samples)[i] * 1e5);
    const struct rejectd_compute_options options = {.backend = "reference", .n_threads = 1};
    const struct rejectd_fit_parameters parameters = {.thresh_method = REJECTD_THRESHOLD_EXACT,
                                                      .precision = REJECTD_FLOAT64};
    struct rejectd_fit *expected = fitted(&made.epochs, &parameters, &options);
    struct rejectd_fit *found = fitted(&made.epochs, &parameters, NULL);
    same_log(&expected->log, &found->log);
    rejectd_fit_free(expected);
    rejectd_fit_free(found);
    simulate_free(&made);
}
END_TEST

/* Every amplitude given, and how many epochs are left. */
static const struct {
    double threshold; /* V */
    size_t amplified; /* epochs made a thousand times larger */
    size_t kept;
    const char *warning; /* or NULL: none */
} amplitude_cases[] = {
    {1.0, 0, 20, NULL},
    {0.0, 0, 0, "all-epochs-bad"},
    {0.005, 10, 10, NULL},
    {0.005, 11, 9, "most-epochs-bad"},
    {0.005, 20, 0, "all-epochs-bad"},
};

START_TEST(test_bad_epochs_are_told)
{
    struct simulated_epochs made = simulated(20, 8, 40);
    double thresholds[8];
    for (size_t c = 0; c < 8; c++)
        thresholds[c] = amplitude_cases[_i].threshold;
    for (size_t i = 0; i < amplitude_cases[_i].amplified * 8 * 40; i++)
        ((double *)made.samples)[i] *= 1e3;
    const struct rejectd_fit_parameters parameters = {.thresholds = thresholds,
                                                      .precision = REJECTD_FLOAT64};
    struct rejectd_fit *fit = fitted(&made.epochs, &parameters, NULL);
    ck_assert_uint_eq(count_kept(&fit->log), amplitude_cases[_i].kept);
    if (amplitude_cases[_i].warning == NULL)
        ck_assert_uint_eq(fit->n_warnings, 0);
    else
        ck_assert_ptr_nonnull(warning_of(fit, amplitude_cases[_i].warning));
    /* Without an epoch to train on no cell of the grid has a loss. */
    ck_assert((warning_of(fit, "no-finite-loss") != NULL) == (amplitude_cases[_i].kept == 0));
    rejectd_fit_free(fit);
    simulate_free(&made);
}
END_TEST

/* Finite samples whose sums, squares or predictions are not: refused, and above all an answer. */
static const struct {
    double scale; /* V */
    enum rejectd_dtype precision;
    const char *backend;
} overflow_cases[] = {
    {1e308, REJECTD_FLOAT64, "cpu"}, {1e308, REJECTD_FLOAT64, "reference"},
    {1e160, REJECTD_FLOAT64, "cpu"}, {3e38, REJECTD_FLOAT32, "cpu"},
    {1e300, REJECTD_FLOAT32, "cpu"},
};

START_TEST(test_samples_too_large_to_compute_with)
{
    struct simulated_epochs made = simulated(20, 12, 40);
    double *samples = made.samples, thresholds[12] = {0}, largest = 0.0;
    for (size_t i = 0; i < (size_t)20 * 12 * 40; i++)
        largest = fmax(largest, fabs(samples[i]));
    for (size_t i = 0; i < (size_t)20 * 12 * 40; i++)
        samples[i] = samples[i] / largest * overflow_cases[_i].scale;
    struct rejectd_fit_parameters parameters = {.precision = overflow_cases[_i].precision};
    const struct rejectd_compute_options options = {.backend = overflow_cases[_i].backend,
                                                    .n_threads = 2};
    struct rejectd_fit *fit;
    struct rejectd_error error = {0};
    ck_assert_int_eq(rejectd_fit(&made.epochs, &parameters, &options, &fit, &error),
                     REJECTD_INVALID_SAMPLES);
    ck_assert_str_eq(error.field, "samples");
    ck_assert_ptr_null(fit);
    /* With given thresholds there is nothing to refuse: the losses say what they are. */
    parameters.thresholds = thresholds;
    fit = fitted(&made.epochs, &parameters, &options);
    ck_assert_ptr_nonnull(warning_of(fit, "no-finite-loss"));
    rejectd_fit_free(fit);
    simulate_free(&made);
}
END_TEST

START_TEST(test_the_smallest_input)
{
    struct simulated_epochs made = simulated(3, 8, 8);
    static const size_t picks[2] = {2, 5};
    static const int n_interpolate[1] = {0};
    const struct rejectd_fit_parameters parameters = {.n_interpolate = n_interpolate,
                                                      .n_n_interpolate = 1,
                                                      .cv = 3,
                                                      .picks = picks,
                                                      .n_picks = 2,
                                                      .precision = REJECTD_FLOAT64};
    made.epochs.n_times = 1;
    const struct rejectd_compute_options options = {.backend = backends[_i], .n_threads = 2};
    struct rejectd_fit *fit = fitted(&made.epochs, &parameters, &options);
    ck_assert_uint_eq(fit->n_warnings, 2); /* a single sample is flat */
    ck_assert_uint_eq(count_kept(&fit->log), 3);
    rejectd_fit_free(fit);
    simulate_free(&made);
}
END_TEST

START_TEST(test_options_that_do_not_exist)
{
    static const struct rejectd_compute_options options[] = {
        {.backend = "abacus", .n_threads = 1},
        {.backend = "cpu", .instruction_set = "z80", .n_threads = 1}};
    static const char *const fields[] = {"backend", "instruction_set"};
    struct simulated_epochs made = simulated(12, 8, 20);
    const struct rejectd_fit_parameters parameters = {.precision = REJECTD_FLOAT64};
    for (size_t i = 0; i < LENGTH(options); i++) {
        struct rejectd_fit unset, *fit = &unset;
        struct rejectd_error error = {0};
        ck_assert_int_eq(rejectd_fit(&made.epochs, &parameters, &options[i], &fit, &error),
                         REJECTD_INVALID_VALUE);
        ck_assert_str_eq(error.field, fields[i]);
        ck_assert_ptr_null(fit);
    }
    ck_assert_ptr_null(rejectd_compute_description("abacus"));
    ck_assert_ptr_nonnull(rejectd_compute_description("reference"));
    ck_assert_str_eq(rejectd_compute_description(NULL), rejectd_compute_description("cpu"));
    rejectd_fit_free(NULL);
    simulate_free(&made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compute");
    TCase *monitor = tcase_create("monitor");
    tcase_add_loop_test(monitor, test_progress_goes_from_0_to_1_in_small_moves, 0, 2);
    tcase_add_test(monitor, test_what_was_told_is_not_taken_back);
    tcase_add_loop_test(monitor, test_a_fit_can_be_cancelled_at_every_report, 0, 2);
    tcase_add_test(monitor, test_threads_that_work_together_are_cancelled_too);
    suite_add_tcase(suite, monitor);
    TCase *results = tcase_create("results");
    tcase_add_loop_test(results, test_results_depend_on_neither_threads_nor_memory, 0, 4);
    tcase_add_test(results, test_fits_at_the_same_time_leave_each_other_alone);
    tcase_add_test(results, test_the_default_grids);
    tcase_add_test(results, test_the_backends_agree);
    tcase_add_test(results, test_a_seed_decides);
    tcase_add_test(results, test_no_method_beats_the_exact_one);
    tcase_add_test(results, test_given_thresholds_are_used);
    tcase_add_test(results, test_channels_that_are_left_out);
    suite_add_tcase(suite, results);
    TCase *odd = tcase_create("odd input");
    tcase_add_test(odd, test_a_flat_channel_is_told);
    tcase_add_loop_test(odd, test_everything_is_flat, 0, 2);
    tcase_add_test(odd, test_ties_are_the_same_for_every_backend);
    tcase_add_loop_test(odd, test_bad_epochs_are_told, 0, LENGTH(amplitude_cases));
    tcase_add_loop_test(odd, test_samples_too_large_to_compute_with, 0, LENGTH(overflow_cases));
    tcase_add_loop_test(odd, test_the_smallest_input, 0, 2);
    tcase_add_test(odd, test_options_that_do_not_exist);
    suite_add_tcase(suite, odd);
    /* OpenMP's threads do not survive a fork. */
    return run_suite_in_process(suite);
}
