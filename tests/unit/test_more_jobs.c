/*
 * RANSAC, global thresholds and validation curves: what they refuse, odd samples, and that results
 * do not depend on backend or threads. Equality with autoreject: tests/parity/test_golden_more.c.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rejectd/compute.h>

#include "fit_fixture.h"
#include "run_suite.h"
#include "worker/algorithm/spline_mapping.h"
#include "worker/algorithm/threshold_search.h"

static struct simulated_epochs made;
static struct rejectd_channel channels[64];
static struct rejectd_epochs epochs; /* a view of made, with channels that a test may change */
static const struct rejectd_compute_options two_threads = {.n_threads = 2};

static void set_up(void)
{
    made = simulated(12, 10, 50);
    epochs = made.epochs;
    memcpy(channels, made.epochs.channels, epochs.n_channels * sizeof *channels);
    epochs.channels = channels;
}

static void tear_down(void)
{
    simulate_free(&made);
}

static void expect(enum rejectd_status found, enum rejectd_status expected,
                   const struct rejectd_error *error, const char *field, const char *words)
{
    ck_assert_msg(found == expected, "%s: %s", error->field, error->message);
    ck_assert_str_eq(error->field, field);
    ck_assert_msg(strstr(error->message, words) != NULL, "\"%s\" lacks \"%s\"", error->message,
                  words);
}

static void ransac_refuses(const struct rejectd_ransac_parameters *parameters,
                           enum rejectd_status status, const char *field, const char *words)
{
    struct rejectd_error error = {0};
    struct rejectd_ransac *ransac = (void *)&error;
    expect(rejectd_ransac_check(&epochs, parameters, &error), status, &error, field, words);
    expect(rejectd_ransac(&epochs, parameters, &two_threads, &ransac, &error), status, &error,
           field, words);
    ck_assert_ptr_null(ransac);
}

static struct rejectd_ransac *ransac_of(const struct rejectd_ransac_parameters *parameters,
                                        const struct rejectd_compute_options *options)
{
    struct rejectd_ransac *ransac;
    struct rejectd_error error;
    const enum rejectd_status status =
        rejectd_ransac(&epochs, parameters, options, &ransac, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", error.field, error.message);
    return ransac;
}

START_TEST(test_ransac_refuses_numbers)
{
    static const double bad_shares[] = {0.0, -0.1, 1.01, NAN, INFINITY};
    struct rejectd_ransac_parameters p = REJECTD_RANSAC_DEFAULTS;
    p.n_resample = 0;
    ransac_refuses(&p, REJECTD_INVALID_VALUE, "parameters.n_resample", "1 to 1000");
    p.n_resample = REJECTD_MAX_RESAMPLE + 1;
    ransac_refuses(&p, REJECTD_INVALID_VALUE, "parameters.n_resample", "1 to 1000");
    for (size_t i = 0; i < sizeof bad_shares / sizeof bad_shares[0]; i++) {
        p = (struct rejectd_ransac_parameters)REJECTD_RANSAC_DEFAULTS;
        p.min_channels = bad_shares[i];
        ransac_refuses(&p, REJECTD_INVALID_VALUE, "parameters.min_channels", "(0, 1]");
    }
    p = (struct rejectd_ransac_parameters)REJECTD_RANSAC_DEFAULTS;
    p.min_corr = 1.5;
    ransac_refuses(&p, REJECTD_INVALID_VALUE, "parameters.min_corr", "[-1, 1]");
    p = (struct rejectd_ransac_parameters)REJECTD_RANSAC_DEFAULTS;
    p.unbroken_time = NAN;
    ransac_refuses(&p, REJECTD_INVALID_VALUE, "parameters.unbroken_time", "[0, 1]");
}
END_TEST

START_TEST(test_ransac_rounds_half_to_even)
{
    struct rejectd_ransac_parameters p = REJECTD_RANSAC_DEFAULTS;
    p.min_channels = 0.05; /* half a channel of ten: none */
    ransac_refuses(&p, REJECTD_INVALID_VALUE, "parameters.min_channels", "more than 0.05");
    p.min_channels = 0.25; /* two and a half: two */
    struct rejectd_ransac *ransac = ransac_of(&p, &two_threads);
    ck_assert_uint_eq(ransac->n_samples, 2);
    rejectd_ransac_free(ransac);
    p.min_channels = 0.35; /* three and a half: four */
    ransac = ransac_of(&p, &two_threads);
    ck_assert_uint_eq(ransac->n_samples, 4);
    rejectd_ransac_free(ransac);
}
END_TEST

START_TEST(test_ransac_refuses_channels)
{
    static const size_t descending[] = {3, 2}, one[] = {4}, beyond[] = {0, 10};
    struct rejectd_ransac_parameters p = REJECTD_RANSAC_DEFAULTS;
    p.picks = descending;
    p.n_picks = 2;
    ransac_refuses(&p, REJECTD_INVALID_VALUE, "parameters.picks[1]", "ascending");
    p.picks = beyond;
    ransac_refuses(&p, REJECTD_INVALID_VALUE, "parameters.picks[1]", "does not exist");
    p.picks = one;
    p.n_picks = 1;
    ransac_refuses(&p, REJECTD_UNSUITABLE_DATASET, "parameters.picks", "at least 2");
    p.picks = NULL;
    channels[4].type = REJECTD_CHANNEL_MAG;
    ransac_refuses(&p, REJECTD_UNSUITABLE_DATASET, "parameters.picks", "one type");
    channels[4].type = REJECTD_CHANNEL_EEG;
    channels[5].has_position = false;
    ransac_refuses(&p, REJECTD_UNSUITABLE_DATASET, "channels[5].position", "position");
}
END_TEST

/* Picked channels that are marked bad are predicted, and never predict. */
START_TEST(test_ransac_draws_good_channels_only)
{
    static const size_t all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct rejectd_ransac_parameters p = REJECTD_RANSAC_DEFAULTS;
    channels[2].bad = channels[7].bad = true;
    struct rejectd_ransac *ransac = ransac_of(&p, &two_threads);
    ck_assert_uint_eq(ransac->n_picks, 8);
    rejectd_ransac_free(ransac);
    p.picks = all;
    p.n_picks = 10;
    ransac = ransac_of(&p, &two_threads);
    ck_assert_uint_eq(ransac->n_picks, 10);
    for (size_t i = 0; i < ransac->n_resample * ransac->n_samples; i++)
        ck_assert(ransac->subsets[i] != 2 && ransac->subsets[i] != 7);
    rejectd_ransac_free(ransac);
    p.min_channels = 0.9;
    ransac_refuses(&p, REJECTD_UNSUITABLE_DATASET, "parameters.min_channels", "only 8");
}
END_TEST

START_TEST(test_a_flat_channel_is_not_bad)
{
    struct rejectd_ransac_parameters p = REJECTD_RANSAC_DEFAULTS;
    p.min_corr = 1.0;
    p.unbroken_time = 0.0;
    for (size_t e = 0; e < epochs.n_epochs; e++)
        memset(sample_at(&made, e, 3, 0), 0, epochs.n_times * sizeof(double));
    struct rejectd_ransac *ransac = ransac_of(&p, &two_threads);
    for (size_t e = 0; e < epochs.n_epochs; e++)
        for (size_t c = 0; c < ransac->n_picks; c++)
            ck_assert_int_eq(isnan(ransac->correlations[e * ransac->n_picks + c]) != 0, c == 3);
    for (size_t c = 0; c < ransac->n_picks; c++)
        ck_assert_uint_eq(ransac->bad[c], c != 3);
    rejectd_ransac_free(ransac);
}
END_TEST

/* Bad needs more than the share, not the share itself. */
START_TEST(test_unbroken_time_is_exceeded_strictly)
{
    struct rejectd_ransac_parameters p = REJECTD_RANSAC_DEFAULTS;
    p.min_corr = 1.0; /* poor in every epoch */
    p.unbroken_time = 1.0;
    struct rejectd_ransac *ransac = ransac_of(&p, &two_threads);
    for (size_t c = 0; c < ransac->n_picks; c++)
        ck_assert_uint_eq(ransac->bad[c], 0);
    rejectd_ransac_free(ransac);
}
END_TEST

START_TEST(test_backends_and_threads_agree)
{
    const struct rejectd_ransac_parameters p = REJECTD_RANSAC_DEFAULTS;
    const struct rejectd_compute_options reference = {.backend = "reference"};
    const struct rejectd_compute_options one = {.n_threads = 1}, many = {.n_threads = 7};
    struct rejectd_ransac *a = ransac_of(&p, &reference), *b = ransac_of(&p, &one),
                          *c = ransac_of(&p, &many);
    const size_t n = a->n_epochs * a->n_picks;
    ck_assert_mem_eq(b->correlations, c->correlations, n * sizeof(double));
    ck_assert_mem_eq(a->subsets, b->subsets, a->n_resample * a->n_samples * sizeof(uint32_t));
    for (size_t i = 0; i < n; i++)
        ck_assert_double_eq_tol(a->correlations[i], b->correlations[i], 1e-12);
    rejectd_ransac_free(a);
    rejectd_ransac_free(b);
    rejectd_ransac_free(c);
}
END_TEST

/* One sensor predicts every other as itself; of all sensors each has most weight for itself. */
START_TEST(test_spline_mapping_of_one_and_of_all)
{
    double positions[10][3], weights[100];
    size_t all[10];
    struct mapping_maker maker;
    struct rejectd_error error;
    for (size_t i = 0; i < 10; i++) {
        memcpy(positions[i], channels[i].position, sizeof positions[i]);
        all[i] = i;
    }
    ck_assert_int_eq(spline_mapping_maker((const double(*)[3])positions, 10, &maker, &error),
                     REJECTD_OK);
    ck_assert_int_eq(maker.make(maker.context, &all[4], 1, all, 10, weights, &error), REJECTD_OK);
    for (size_t i = 0; i < 10; i++)
        ck_assert_double_eq_tol(weights[i], 1.0, 1e-14);
    ck_assert_int_eq(maker.make(maker.context, all, 10, all, 10, weights, &error), REJECTD_OK);
    for (size_t i = 0; i < 10; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < 10; j++) {
            sum += weights[i * 10 + j];
            ck_assert(j == i || fabs(weights[i * 10 + j]) < 0.5 * weights[i * 10 + i]);
        }
        ck_assert_double_eq_tol(sum, 1.0, 1e-12);
    }
    maker.free(maker.context);
}
END_TEST

static void global_refuses(const struct rejectd_global_thresholds_parameters *parameters,
                           enum rejectd_status status, const char *field, const char *words)
{
    struct rejectd_error error = {0};
    struct rejectd_global_thresholds *thresholds = (void *)&error;
    expect(rejectd_global_thresholds_check(&epochs, parameters, &error), status, &error, field,
           words);
    expect(rejectd_global_thresholds(&epochs, parameters, &two_threads, &thresholds, &error),
           status, &error, field, words);
    ck_assert_ptr_null(thresholds);
}

static struct rejectd_global_thresholds *
global_of(const struct rejectd_global_thresholds_parameters *parameters)
{
    struct rejectd_global_thresholds *thresholds;
    struct rejectd_error error;
    const enum rejectd_status status =
        rejectd_global_thresholds(&epochs, parameters, &two_threads, &thresholds, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", error.field, error.message);
    return thresholds;
}

START_TEST(test_global_thresholds_refuse)
{
    static const enum rejectd_channel_type stim[] = {REJECTD_CHANNEL_EEG, REJECTD_CHANNEL_STIM};
    static const enum rejectd_channel_type twice[] = {REJECTD_CHANNEL_EEG, REJECTD_CHANNEL_EEG};
    struct rejectd_global_thresholds_parameters p = {.cv = 1, .precision = REJECTD_FLOAT64};
    global_refuses(&p, REJECTD_INVALID_VALUE, "parameters.cv", "2 to");
    p.cv = 13;
    global_refuses(&p, REJECTD_INVALID_VALUE, "parameters.cv", "12 epochs");
    p.cv = 0;
    p.ch_types = stim;
    p.n_ch_types = 2;
    global_refuses(&p, REJECTD_INVALID_VALUE, "parameters.ch_types[1]", "stim");
    p.ch_types = twice;
    global_refuses(&p, REJECTD_INVALID_VALUE, "parameters.ch_types[1]", "twice");
    p.n_ch_types = 0;
    global_refuses(&p, REJECTD_INVALID_VALUE, "parameters.ch_types", "not 0");
    p.ch_types = NULL;
    p.decim = REJECTD_MAX_TIMES + 1;
    global_refuses(&p, REJECTD_INVALID_VALUE, "parameters.decim", "1 to");
    p.decim = 100;
    p.decim_start = 50; /* of samples 0 to 49 */
    global_refuses(&p, REJECTD_INVALID_VALUE, "parameters.decim", "the 50 samples");
    epochs.n_epochs = 1;
    p = (struct rejectd_global_thresholds_parameters){0};
    global_refuses(&p, REJECTD_UNSUITABLE_DATASET, "n_epochs", "2 to");
}
END_TEST

START_TEST(test_absent_types_are_left_out)
{
    static const enum rejectd_channel_type mag[] = {REJECTD_CHANNEL_MAG};
    static const enum rejectd_channel_type both[] = {REJECTD_CHANNEL_EOG, REJECTD_CHANNEL_EEG};
    struct rejectd_global_thresholds_parameters p = {
        .ch_types = mag, .n_ch_types = 1, .precision = REJECTD_FLOAT64};
    struct rejectd_global_thresholds *thresholds = global_of(&p);
    ck_assert_uint_eq(thresholds->n_types, 0);
    rejectd_global_thresholds_free(thresholds);
    channels[9].type = REJECTD_CHANNEL_EOG;
    channels[9].has_position = false; /* nothing is interpolated */
    p.ch_types = both;
    p.n_ch_types = 2;
    thresholds = global_of(&p);
    ck_assert_uint_eq(thresholds->n_types, 2);
    ck_assert_int_eq(thresholds->types[0].type, REJECTD_CHANNEL_EOG);
    ck_assert_int_eq(thresholds->types[1].type, REJECTD_CHANNEL_EEG);
    rejectd_global_thresholds_free(thresholds);
    channels[9].bad = true;
    thresholds = global_of(&p);
    ck_assert_uint_eq(thresholds->n_types, 1);
    rejectd_global_thresholds_free(thresholds);
}
END_TEST

/* Equal epochs are one candidate, and every epoch is kept. */
START_TEST(test_equal_epochs)
{
    const size_t bytes = epochs.n_channels * epochs.n_times * sizeof(double);
    for (size_t e = 1; e < epochs.n_epochs; e++)
        memcpy(sample_at(&made, e, 0, 0), sample_at(&made, 0, 0, 0), bytes);
    const struct rejectd_global_thresholds_parameters p = {.precision = REJECTD_FLOAT64};
    struct rejectd_global_thresholds *thresholds = global_of(&p);
    ck_assert_uint_eq(thresholds->n_types, 1);
    ck_assert_double_eq(thresholds->types[0].loss, 0.0);
    rejectd_global_thresholds_free(thresholds);
}
END_TEST

START_TEST(test_samples_that_overflow_are_refused)
{
    struct rejectd_error error;
    struct rejectd_global_thresholds *thresholds;
    const struct rejectd_global_thresholds_parameters p = {.precision = REJECTD_FLOAT64};
    for (size_t e = 0; e < epochs.n_epochs; e++)
        for (size_t t = 0; t < epochs.n_times; t++)
            *sample_at(&made, e, 0, t) = (e + t) % 2 == 0 ? 1.7e308 : -1.7e308;
    expect(rejectd_global_thresholds(&epochs, &p, &two_threads, &thresholds, &error),
           REJECTD_INVALID_SAMPLES, &error, "samples", "too large");
}
END_TEST

/* Infinite losses are passed over, also when nothing else is left. */
START_TEST(test_search_among_infinite_losses)
{
    static const double candidates[] = {1e-5, 2e-5, 3e-5, 4e-5, 5e-5, 6e-5, 7e-5};
    double losses[7];
    struct gaussian_process process;
    ck_assert_int_eq(gaussian_process_init(&process, 7), 0);
    for (size_t i = 0; i < 7; i++)
        losses[i] = INFINITY;
    ck_assert(isinf(threshold_search_global(candidates, losses, 7, &process).loss));
    losses[6] = 1e-5; /* the last is a start candidate */
    const struct threshold found = threshold_search_global(candidates, losses, 7, &process);
    ck_assert_double_eq(found.value, 7e-5);
    ck_assert_double_eq(found.loss, 1e-5);
    gaussian_process_free(&process);
}
END_TEST

START_TEST(test_decimation_keeps_time_zero)
{
    ck_assert_uint_eq(rejectd_decim_start(0.0, 100.0, 4), 0);
    ck_assert_uint_eq(rejectd_decim_start(-0.2, 200.0, 3), 1); /* sample 40 */
    ck_assert_uint_eq(rejectd_decim_start(-0.05, 300.3074951171875, 2), 1);
    ck_assert_uint_eq(rejectd_decim_start(0.03, 100.0, 4), 1); /* sample -3 */
    ck_assert_uint_eq(rejectd_decim_start(-1.0, 100.0, 1), 0);
}
END_TEST

START_TEST(test_validation_curve_refuses)
{
    static const double with_nan[] = {1e-4, NAN};
    struct rejectd_error error = {0};
    struct rejectd_validation_curve_parameters p = {.param_range = with_nan, .n_param_range = 2};
    struct rejectd_validation_curve *curve = (void *)&error;
    expect(rejectd_validation_curve_check(&epochs, &p, &error), REJECTD_INVALID_VALUE, &error,
           "parameters.param_range[1]", "finite");
    p.n_param_range = 0;
    expect(rejectd_validation_curve(&epochs, &p, &two_threads, &curve, &error),
           REJECTD_INVALID_VALUE, &error, "parameters.param_range", "not 0");
    ck_assert_ptr_null(curve);
    p = (struct rejectd_validation_curve_parameters){.cv = 40};
    expect(rejectd_validation_curve_check(&epochs, &p, &error), REJECTD_INVALID_VALUE, &error,
           "parameters.cv", "12 epochs");
    for (size_t c = 0; c < epochs.n_channels; c++)
        channels[c].bad = true;
    p.cv = 0;
    expect(rejectd_validation_curve_check(&epochs, &p, &error), REJECTD_UNSUITABLE_DATASET, &error,
           "channels", "no data channel");
}
END_TEST

/* Thresholds in any order; below every amplitude nothing is kept, above all of them everything. */
START_TEST(test_validation_curve_of_given_thresholds)
{
    static const double range[] = {1.0, -1.0, 2.0};
    const struct rejectd_validation_curve_parameters p = {
        .param_range = range, .n_param_range = 3, .cv = 4, .precision = REJECTD_FLOAT64};
    struct rejectd_validation_curve *curve;
    struct rejectd_error error;
    ck_assert_int_eq(rejectd_validation_curve(&epochs, &p, &two_threads, &curve, &error),
                     REJECTD_OK);
    ck_assert_uint_eq(curve->n_params, 3);
    ck_assert_uint_eq(curve->n_folds, 4);
    for (size_t f = 0; f < 4; f++) {
        ck_assert(isfinite(curve->test_scores[f]) && curve->test_scores[f] < 0.0);
        ck_assert(isfinite(curve->train_scores[f]) && curve->train_scores[f] < 0.0);
        ck_assert_double_eq(curve->test_scores[4 + f], -INFINITY);
        ck_assert_double_eq(curve->train_scores[4 + f], -INFINITY);
        ck_assert_double_eq(curve->test_scores[8 + f], curve->test_scores[f]);
    }
    rejectd_validation_curve_free(curve);
}
END_TEST

/* Stops at the report of that number; fractions never fall. */
struct watch {
    int reports, stop_at;
    double fraction;
};

static bool watched(void *context, const char *stage, double fraction)
{
    struct watch *watch = context;
    ck_assert_ptr_nonnull(stage);
    ck_assert(fraction >= watch->fraction && fraction <= 1.0 + 1e-9);
    watch->fraction = fraction;
    return ++watch->reports != watch->stop_at;
}

START_TEST(test_jobs_tell_progress_and_stop)
{
    struct watch watch = {0};
    const struct rejectd_compute_options options = {
        .n_threads = 2, .monitor = {.report = watched, .context = &watch}};
    const struct rejectd_ransac_parameters r = REJECTD_RANSAC_DEFAULTS;
    const struct rejectd_global_thresholds_parameters g = {.precision = REJECTD_FLOAT64};
    const struct rejectd_validation_curve_parameters v = {.precision = REJECTD_FLOAT64};
    struct rejectd_ransac *ransac;
    struct rejectd_global_thresholds *thresholds;
    struct rejectd_validation_curve *curve;
    struct rejectd_error error;
    for (int stop_at = 0; stop_at < 70; stop_at += stop_at < 3 ? 1 : 33) {
        const enum rejectd_status expected = stop_at == 0 ? REJECTD_OK : REJECTD_CANCELLED;
        watch = (struct watch){.stop_at = stop_at};
        enum rejectd_status status = rejectd_ransac(&epochs, &r, &options, &ransac, &error);
        if (stop_at < 50) /* later ones may come after the last report */
            ck_assert_int_eq(status, expected);
        if (stop_at == 0)
            ck_assert_double_eq_tol(watch.fraction, 1.0, 1e-9);
        rejectd_ransac_free(ransac);
        if (stop_at > 2)
            continue;
        watch = (struct watch){.stop_at = stop_at};
        ck_assert_int_eq(rejectd_global_thresholds(&epochs, &g, &options, &thresholds, &error),
                         expected);
        rejectd_global_thresholds_free(thresholds);
        watch = (struct watch){.stop_at = stop_at};
        ck_assert_int_eq(rejectd_validation_curve(&epochs, &v, &options, &curve, &error), expected);
        rejectd_validation_curve_free(curve);
    }
}
END_TEST

START_TEST(test_unknown_backends_are_refused)
{
    const struct rejectd_compute_options options = {.backend = "abacus"};
    const struct rejectd_ransac_parameters p = REJECTD_RANSAC_DEFAULTS;
    struct rejectd_ransac *ransac;
    struct rejectd_error error;
    expect(rejectd_ransac(&epochs, &p, &options, &ransac, &error), REJECTD_INVALID_VALUE, &error,
           "backend", "abacus");
    ck_assert_ptr_null(ransac);
    rejectd_ransac_free(NULL);
    rejectd_global_thresholds_free(NULL);
    rejectd_validation_curve_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ransac, global thresholds, validation curves");
    TCase *jobs = tcase_create("jobs");
    tcase_add_checked_fixture(jobs, set_up, tear_down);
    tcase_set_timeout(jobs, 120);
    tcase_add_test(jobs, test_ransac_refuses_numbers);
    tcase_add_test(jobs, test_ransac_rounds_half_to_even);
    tcase_add_test(jobs, test_ransac_refuses_channels);
    tcase_add_test(jobs, test_ransac_draws_good_channels_only);
    tcase_add_test(jobs, test_a_flat_channel_is_not_bad);
    tcase_add_test(jobs, test_unbroken_time_is_exceeded_strictly);
    tcase_add_test(jobs, test_backends_and_threads_agree);
    tcase_add_test(jobs, test_spline_mapping_of_one_and_of_all);
    tcase_add_test(jobs, test_global_thresholds_refuse);
    tcase_add_test(jobs, test_absent_types_are_left_out);
    tcase_add_test(jobs, test_equal_epochs);
    tcase_add_test(jobs, test_samples_that_overflow_are_refused);
    tcase_add_test(jobs, test_search_among_infinite_losses);
    tcase_add_test(jobs, test_decimation_keeps_time_zero);
    tcase_add_test(jobs, test_validation_curve_refuses);
    tcase_add_test(jobs, test_validation_curve_of_given_thresholds);
    tcase_add_test(jobs, test_jobs_tell_progress_and_stop);
    tcase_add_test(jobs, test_unknown_backends_are_refused);
    suite_add_tcase(suite, jobs);
    /* OpenMP's threads do not survive a fork. */
    return run_suite_in_process(suite);
}
