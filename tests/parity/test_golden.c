/*
 * Compares the numerics with autoreject's own outputs.
 *
 *   test_golden [CASE FOLDER]...
 *
 * Without folders: every case of tests/parity/data, and the EEG cases of $REJECTD_GOLDEN_DIR
 * (default ../shared/golden beside the source tree) when that folder is there. Prints a line for
 * each quantity and backend; a case without anything to compare is a failure.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rejectd/compute.h>

#include "golden_backends.h"
#include "golden_case.h"
#include "golden_report.h"
#include "golden_steps.h"
#include "worker/algorithm/folds.h"

static double expected_choice(const struct golden_case *golden, const char *name)
{
    json_t *autoreject = json_object_get(golden->expected, "autoreject");
    return json_number_value(json_object_get(json_object_get(autoreject, name), "eeg"));
}

static size_t count_label_differences(const struct golden_case *golden,
                                      const struct rejectd_reject_log *log)
{
    struct golden_array labels = golden_array(golden, "labels");
    size_t different = 0;
    for (size_t e = 0; labels.values != NULL && e < log->n_epochs; e++)
        for (size_t i = 0; i < golden->n_picks; i++) {
            size_t at = e * log->n_channels + golden->picks[i];
            different += (double)log->labels[at] != labels.values[at];
        }
    golden_array_free(&labels);
    return different;
}

static void compare_log(const struct golden_case *golden, const char *backend,
                        const struct rejectd_fit *fit)
{
    size_t different = count_label_differences(golden, &fit->log);
    golden_report(golden, backend, "labels", different == 0, "%zu differ", different);
    struct golden_array bad = golden_array(golden, "bad_epochs_eeg");
    if (bad.values == NULL)
        bad = golden_array(golden, "bad_epochs");
    different = 0;
    for (size_t e = 0; bad.values != NULL && e < fit->log.n_epochs; e++)
        different += (fit->log.bad_epochs[e] != 0) != (bad.values[e] != 0.0);
    if (bad.values != NULL)
        golden_report(golden, backend, "bad epochs", different == 0, "%zu differ", different);
    golden_array_free(&bad);
}

static void compare_grid(const struct golden_case *golden, const char *backend,
                         const struct rejectd_fit *fit)
{
    const struct rejectd_type_fit *type = &fit->types[0];
    struct golden_array loss = golden_array(golden, "loss_eeg");
    double worst = 0.0;
    size_t wrong_infinities = 0;
    for (size_t i = 0; i < loss.n_values && loss.values != NULL; i++) {
        if (isinf(loss.values[i]) || isinf(type->loss[i]))
            wrong_infinities += isinf(loss.values[i]) != isinf(type->loss[i]);
        else
            worst = fmax(worst, golden_relative(type->loss[i], loss.values[i]));
    }
    if (loss.values != NULL)
        golden_report(golden, backend, "loss grid", worst < 1e-9 && wrong_infinities == 0,
                      "largest relative error %.1e, %zu infinities misplaced", worst,
                      wrong_infinities);
    golden_report(golden, backend, "consensus",
                  type->consensus == expected_choice(golden, "consensus_"), "%.17g",
                  type->consensus);
    golden_report(golden, backend, "n_interpolate",
                  type->n_interpolate == (int)expected_choice(golden, "n_interpolate_"), "%d",
                  type->n_interpolate);
    golden_array_free(&loss);
}

/* A sink that compares each cleaned epoch with the expected one as it comes. */
struct cleaned_check {
    const struct golden_case *golden;
    struct golden_array expected;
    size_t n_written;
    double worst; /* error / range of the channel */
};

static enum rejectd_status check_epoch(void *context, const void *samples, size_t bytes,
                                       struct rejectd_error *error)
{
    struct cleaned_check *check = context;
    const size_t c = check->golden->epochs.n_channels, t = check->golden->epochs.n_times;
    const bool is_float32 = check->golden->epochs.dtype == REJECTD_FLOAT32;
    if (bytes != c * t * (is_float32 ? sizeof(float) : sizeof(double)))
        return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "a cleaned epoch of %zu bytes", bytes);
    const size_t epoch = check->n_written++;
    for (size_t i = 0; i < c && epoch < check->expected.shape[0]; i++) {
        double low = INFINITY, high = -INFINITY, largest = 0.0;
        for (size_t j = 0; j < t; j++) {
            size_t at = i * t + j;
            double value =
                is_float32 ? (double)((const float *)samples)[at] : ((const double *)samples)[at];
            double expected = check->expected.values[epoch * c * t + at];
            low = fmin(low, expected);
            high = fmax(high, expected);
            largest = fmax(largest, fabs(value - expected));
        }
        if (largest > 0.0)
            check->worst = fmax(check->worst, largest / fmax(high - low, 1e-300));
    }
    return REJECTD_OK;
}

static void compare_cleaned(const struct golden_case *golden,
                            const struct rejectd_compute_options *options,
                            const struct rejectd_fit *fit)
{
    struct cleaned_check check = {.golden = golden, .expected = golden_array(golden, "cleaned")};
    if (!golden->only_eeg || check.expected.values == NULL)
        goto done;
    struct rejectd_error error;
    const struct rejectd_sink sink = {check_epoch, &check};
    size_t kept = 0;
    for (size_t e = 0; e < fit->log.n_epochs; e++)
        kept += !fit->log.bad_epochs[e];
    /* A float32 dataset gets float32 repairs: half a unit of its last place. */
    const double tolerance = golden->epochs.dtype == REJECTD_FLOAT32 ? 1e-6 : 1e-8;
    if (rejectd_clean(&golden->epochs, &fit->log, &(struct rejectd_clean_parameters){0}, options,
                      &sink, &error) != REJECTD_OK)
        golden_report(golden, options->backend, "cleaned", false, "%s", error.message);
    else
        golden_report(
            golden, options->backend, "cleaned", check.worst < tolerance && check.n_written == kept,
            "%zu epochs, largest error %.1e of the channel's range", check.n_written, check.worst);
done:
    golden_array_free(&check.expected);
}

/* The fit from autoreject's own thresholds on: everything is determined. */
static void compare_given_thresholds(const struct golden_case *golden,
                                     const struct golden_backend *on)
{
    const char *backend = on->name;
    struct golden_array expected = golden_array(golden, "thresholds_bayes");
    if (expected.values == NULL)
        return;
    double *thresholds = golden_need(malloc(golden->epochs.n_channels * sizeof *thresholds));
    for (size_t i = 0; i < golden->n_picks; i++)
        thresholds[golden->picks[i]] = expected.values[golden->positions[i]];
    struct rejectd_fit_parameters parameters = golden_parameters(golden);
    parameters.thresholds = thresholds;
    const struct rejectd_compute_options options = {
        .backend = backend, .device = on->device, .n_threads = 2};
    struct rejectd_fit *fit;
    struct rejectd_error error;
    if (rejectd_fit(&golden->epochs, &parameters, &options, &fit, &error) != REJECTD_OK) {
        golden_report(golden, backend, "fit, given thresholds", false, "%s: %s", error.field,
                      error.message);
    } else {
        compare_grid(golden, backend, fit);
        compare_log(golden, backend, fit);
        compare_cleaned(golden, &options, fit);
        rejectd_fit_free(fit);
    }
    free(thresholds);
    golden_array_free(&expected);
}

/* The whole fit, search included: tells how far it is from autoreject's; equal when every threshold
 * is. */
static void compare_whole_fit(const struct golden_case *golden, const struct golden_backend *on)
{
    const char *backend = on->name;
    struct golden_array expected = golden_array(golden, "thresholds_bayes");
    const struct rejectd_fit_parameters parameters = golden_parameters(golden);
    const struct rejectd_compute_options options = {
        .backend = backend, .device = on->device, .n_threads = 2};
    struct rejectd_fit *fit;
    struct rejectd_error error;
    if (rejectd_fit(&golden->epochs, &parameters, &options, &fit, &error) != REJECTD_OK) {
        golden_report(golden, backend, "whole fit", false, "%s: %s", error.field, error.message);
        golden_array_free(&expected);
        return;
    }
    size_t different = 0;
    for (size_t i = 0; i < golden->n_picks && expected.values != NULL; i++)
        different += golden_relative(fit->thresholds[golden->picks[i]],
                                     expected.values[golden->positions[i]]) > 1e-9;
    const bool same_choice =
        fit->types[0].consensus == expected_choice(golden, "consensus_") &&
        fit->types[0].n_interpolate == (int)expected_choice(golden, "n_interpolate_");
    const size_t labels = count_label_differences(golden, &fit->log);
    golden_report(golden, backend, "whole fit", same_choice && (different > 0 || labels == 0),
                  "%zu of %zu thresholds, %zu labels differ; consensus and n_interpolate %s",
                  different, golden->n_picks, labels, same_choice ? "equal" : "differ");
    rejectd_fit_free(fit);
    golden_array_free(&expected);
}

static void compare_splits(const struct golden_case *golden)
{
    struct golden_array test = golden_array(golden, "cv_test");
    if (test.values == NULL)
        return;
    struct rejectd_error error;
    uint8_t *is_test = NULL;
    const size_t m = 2 * golden->epochs.n_epochs;
    size_t wrong = 0, n_test = 0;
    if (folds_shuffle_split(golden->epochs.n_epochs, 2, golden->seed, &is_test, &error) !=
        REJECTD_OK)
        exit(2);
    for (size_t f = 0; f < test.shape[0]; f++)
        for (size_t i = 0; i < test.shape[1]; i++)
            wrong += is_test[f * m + (size_t)test.values[f * test.shape[1] + i]] != 1;
    for (size_t i = 0; i < FOLDS_SHUFFLE_SPLITS * m; i++)
        n_test += is_test[i];
    golden_report(golden, "-", "splits", wrong == 0 && n_test == test.n_values,
                  "%zu test rows wrong", wrong);
    free(is_test);
    golden_array_free(&test);
}

static void compare_case(const char *folder)
{
    struct golden_case golden;
    golden_open(&golden, folder);
    const int before = golden_passed() + golden_failed();
    compare_splits(&golden);
    for (size_t b = 0; golden_backend_at(b) != NULL; b++) {
        const struct golden_backend *backend = golden_backend_at(b);
        golden_compare_steps(&golden, backend);
        if (golden_affordable(backend, &golden, "fit, given thresholds",
                              golden_medians(&golden, golden.n_picks, golden.cv)))
            compare_given_thresholds(&golden, backend);
        if (golden_affordable(
                backend, &golden, "whole fit",
                golden_medians(&golden, golden.n_picks, FOLDS_SHUFFLE_SPLITS + golden.cv)))
            compare_whole_fit(&golden, backend);
    }
    if (golden_passed() + golden_failed() == before)
        golden_report(&golden, "-", "anything", false, "the case has nothing to compare");
    golden_close(&golden);
}

int main(int argc, char **argv)
{
    golden_each_case(argc, argv, false, compare_case);
    size_t bayes_equal, bayes_total;
    golden_count_bayesian(&bayes_equal, &bayes_total);
    const bool enough = bayes_total == 0 || (double)bayes_equal >= 0.95 * (double)bayes_total;
    printf("%s bayesian thresholds: %zu of %zu equal autoreject's (at least 95 %% wanted)\n",
           enough ? "ok  " : "FAIL", bayes_equal, bayes_total);
    printf("%d passed, %d failed\n", golden_passed() + enough, golden_failed() + !enough);
    return golden_failed() == 0 && enough && golden_passed() > 0 ? 0 : 1;
}
