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

#include "golden_case.h"
#include "golden_report.h"
#include "worker/algorithm/folds.h"
#include "worker/algorithm/spline.h"
#include "worker/algorithm/threshold_search.h"
#include "worker/backend.h"

/* Bayesian thresholds over all cases of a run. */
static size_t bayes_equal, bayes_total;

/* What one backend computes from a case, step by step. */
struct steps {
    const struct backend *backend;
    struct backend_session *session;
    double *ptp;           /* [E][C] */
    double *predicted_ptp; /* [E][C] */
    double *precision;     /* [C][C] */
    double *candidates;    /* [C][M] */
    uint32_t *order;       /* [C][M] */
    double *losses;        /* [C][M] */
};

static const double *sort_values;

static int by_value(const void *a, const void *b)
{
    double x = sort_values[*(const uint32_t *)a], y = sort_values[*(const uint32_t *)b];
    if (x != y)
        return x < y ? -1 : 1;
    return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static void rank_pick(const struct golden_case *golden, struct steps *steps, size_t pick)
{
    const size_t n = golden->epochs.n_epochs, m = 2 * n, c = golden->n_picks;
    double *values = golden_need(malloc(m * sizeof *values));
    for (size_t e = 0; e < n; e++) {
        values[e] = steps->ptp[e * c + pick];
        values[n + e] = steps->predicted_ptp[e * c + pick];
    }
    uint32_t *order = steps->order + pick * m;
    for (size_t i = 0; i < m; i++)
        order[i] = (uint32_t)i;
    sort_values = values;
    qsort(order, m, sizeof *order, by_value);
    for (size_t i = 0; i < m; i++)
        steps->candidates[pick * m + i] = values[order[i]];
    free(values);
}

static bool run_steps(const struct golden_case *golden, const struct backend *backend,
                      struct steps *steps)
{
    const struct rejectd_epochs *epochs = &golden->epochs;
    const size_t n = epochs->n_epochs, m = 2 * n, c = golden->n_picks;
    struct rejectd_error error = {0};
    *steps = (struct steps){
        .backend = backend,
        .ptp = golden_need(malloc(n * c * sizeof(double))),
        .predicted_ptp = golden_need(malloc(n * c * sizeof(double))),
        .precision = golden_need(malloc(c * c * sizeof(double))),
        .candidates = golden_need(malloc(c * m * sizeof(double))),
        .order = golden_need(malloc(c * m * sizeof(uint32_t))),
        .losses = golden_need(malloc(c * m * sizeof(double))),
    };
    const struct backend_samples samples = {.data = epochs->samples,
                                            .dtype = epochs->dtype,
                                            .n_epochs = n,
                                            .n_channels = epochs->n_channels,
                                            .n_times = epochs->n_times,
                                            .picks = golden->picks,
                                            .n_picks = c};
    const struct backend_options options = {.n_threads = 2, .precision = REJECTD_FLOAT64};
    double(*positions)[3] = golden_need(malloc(c * sizeof *positions));
    double *weights = golden_need(malloc(c * c * sizeof *weights));
    for (size_t i = 0; i < c; i++)
        memcpy(positions[i], epochs->channels[golden->picks[i]].position, sizeof positions[i]);
    uint8_t *is_test = NULL;
    bool ok = spline_precision((const double(*)[3])positions, c, steps->precision, &error) ==
                  REJECTD_OK &&
              backend->open(&samples, &options, &steps->session, &error) == REJECTD_OK &&
              backend->peak_to_peak(steps->session, steps->ptp, &error) == REJECTD_OK;
    spline_leave_one_out(steps->precision, c, weights);
    ok = ok &&
         backend->predict(steps->session, weights, 0, c, steps->predicted_ptp, &error) ==
             REJECTD_OK &&
         folds_shuffle_split(n, 2, golden->seed, &is_test, &error) == REJECTD_OK;
    for (size_t i = 0; ok && i < c; i++)
        rank_pick(golden, steps, i);
    const struct backend_splits splits = {FOLDS_SHUFFLE_SPLITS, m, is_test};
    ok = ok && backend->threshold_losses(steps->session, &splits, steps->order, steps->candidates,
                                         steps->losses, &error) == REJECTD_OK;
    if (!ok)
        golden_report(golden, backend->name, "steps", false, "%s", error.message);
    free(positions);
    free(weights);
    free(is_test);
    return ok;
}

static void steps_free(struct steps *steps)
{
    steps->backend->close(steps->session);
    free(steps->ptp);
    free(steps->predicted_ptp);
    free(steps->precision);
    free(steps->candidates);
    free(steps->order);
    free(steps->losses);
}

static void compare_ptp(const struct golden_case *golden, const struct steps *steps)
{
    struct golden_array ptp = golden_array(golden, "ptp");
    struct golden_array augmented = golden_array(golden, "augmented_ptp");
    double worst = 0.0, worst_augmented = 0.0;
    for (size_t e = 0; e < golden->epochs.n_epochs; e++)
        for (size_t i = 0; i < golden->n_picks; i++) {
            size_t at = e * golden->n_picks + i;
            if (ptp.values != NULL)
                worst = fmax(worst,
                             golden_relative(steps->ptp[at],
                                             ptp.values[e * ptp.shape[1] + golden->positions[i]]));
            if (augmented.values != NULL) {
                double expected = augmented.values[e * augmented.shape[1] + golden->positions[i]];
                worst_augmented =
                    fmax(worst_augmented, golden_relative(steps->predicted_ptp[at], expected));
            }
        }
    if (ptp.values != NULL)
        golden_report(golden, steps->backend->name, "ptp", worst == 0.0, "largest error %.1e",
                      worst);
    if (augmented.values != NULL)
        golden_report(golden, steps->backend->name, "augmented ptp", worst_augmented < 1e-9,
                      "largest relative error %.1e", worst_augmented);
    golden_array_free(&ptp);
    golden_array_free(&augmented);
}

static void compare_augmented(const struct golden_case *golden, const struct steps *steps)
{
    struct golden_array augmented = golden_array(golden, "augmented");
    if (augmented.values == NULL)
        return;
    struct rejectd_error error;
    const size_t n_epochs = golden->epochs.n_epochs, n_times = golden->epochs.n_times;
    double *rows = golden_need(malloc(n_epochs * n_times * sizeof *rows));
    double worst = 0.0;
    for (size_t i = 0; i < golden->n_picks; i++) {
        steps->backend->read_predictions(steps->session, i, rows, &error);
        double range = 0.0, largest = 0.0;
        for (size_t e = 0; e < n_epochs; e++) {
            range = fmax(range, steps->ptp[e * golden->n_picks + i]);
            for (size_t t = 0; t < n_times; t++) {
                double expected =
                    augmented.values[(e * augmented.shape[1] + golden->positions[i]) * n_times + t];
                largest = fmax(largest, fabs(rows[e * n_times + t] - expected));
                range = fmax(range, fabs(expected));
            }
        }
        worst = fmax(worst, largest / range);
    }
    golden_report(golden, steps->backend->name, "augmented", worst < 1e-9,
                  "largest error %.1e of the channel's range", worst);
    free(rows);
    golden_array_free(&augmented);
}

static void compare_mapping(const struct golden_case *golden, const struct steps *steps)
{
    struct golden_array mapping = golden_array(golden, "mapping_eeg");
    json_t *about = json_object_get(json_object_get(golden->expected, "mapping"), "eeg");
    json_t *bads = json_object_get(about, "bads"), *goods = json_object_get(about, "goods");
    const size_t b = json_array_size(bads), g = json_array_size(goods);
    /* The repair of unit samples is a column of the mapping: one epoch per good sensor. */
    if (mapping.values == NULL || b == 0 || b + g != golden->n_picks)
        goto done;
    const size_t c = golden->n_picks;
    double *unit = golden_need(calloc(g * c, sizeof *unit)),
           *rows = golden_need(malloc(b * sizeof *rows));
    size_t *picks = golden_need(malloc(c * sizeof *picks));
    size_t *offsets = golden_need(malloc((g + 1) * sizeof *offsets));
    uint16_t *channels = golden_need(malloc(g * b * sizeof *channels));
    uint16_t *prefix = golden_need(malloc(g * sizeof *prefix));
    size_t position[4096] = {0};
    for (size_t i = 0; i < c; i++) {
        picks[i] = i;
        position[golden->picks[i]] = i;
    }
    for (size_t j = 0; j < g; j++) {
        unit[j * c + position[json_integer_value(json_array_get(goods, j))]] = 1.0;
        offsets[j] = j * b;
        prefix[j] = (uint16_t)b;
        for (size_t i = 0; i < b; i++)
            channels[j * b + i] = (uint16_t)position[json_integer_value(json_array_get(bads, i))];
    }
    offsets[g] = g * b;
    const struct backend_samples samples = {.data = unit,
                                            .dtype = REJECTD_FLOAT64,
                                            .n_epochs = g,
                                            .n_channels = c,
                                            .n_times = 1,
                                            .picks = picks,
                                            .n_picks = c};
    const struct backend_options options = {.n_threads = 1, .precision = REJECTD_FLOAT64};
    const struct backend_repairs repairs = {g, 1, offsets, channels, prefix};
    struct backend_session *session = NULL;
    struct rejectd_error error;
    double worst = 0.0, largest = 0.0;
    bool ok = steps->backend->open(&samples, &options, &session, &error) == REJECTD_OK &&
              steps->backend->interpolate_epochs(session, steps->precision, &repairs, &error) ==
                  REJECTD_OK;
    for (size_t j = 0; ok && j < g; j++) {
        ok = steps->backend->read_repaired(session, j, 0, rows, &error) == REJECTD_OK;
        for (size_t i = 0; ok && i < b; i++) {
            worst = fmax(worst, fabs(rows[i] - mapping.values[i * g + j]));
            largest = fmax(largest, fabs(mapping.values[i * g + j]));
        }
    }
    golden_report(golden, steps->backend->name, "mapping", ok && worst < 1e-8 * largest,
                  "largest error %.1e of the largest weight", worst / largest);
    steps->backend->close(session);
    free(unit);
    free(rows);
    free(picks);
    free(offsets);
    free(channels);
    free(prefix);
done:
    golden_array_free(&mapping);
}

/* Position among the EEG picks of the row of a threshold table, or n_picks. */
static size_t table_pick(const struct golden_case *golden, size_t row)
{
    json_t *positions = json_object_get(json_object_get(golden->expected, "threshold_loss_picks"),
                                        "pick_positions");
    json_int_t position = json_integer_value(json_array_get(positions, row));
    for (size_t i = 0; i < golden->n_picks; i++)
        if ((json_int_t)golden->positions[i] == position)
            return i;
    return golden->n_picks;
}

/* Index in a row of expected candidates of the one nearest to value. */
static size_t nearest_candidate(const double *row, size_t n, double value)
{
    size_t best = 0;
    for (size_t i = 1; i < n && !isnan(row[i]); i++)
        if (fabs(row[i] - value) < fabs(row[best] - value))
            best = i;
    return best;
}

static void compare_tables(const struct golden_case *golden, const struct steps *steps)
{
    struct golden_array candidates = golden_array(golden, "threshold_candidates");
    struct golden_array losses = golden_array(golden, "threshold_losses");
    if (candidates.values == NULL || losses.values == NULL)
        goto done;
    const size_t m = 2 * golden->epochs.n_epochs, width = candidates.shape[1];
    double worst_candidate = 0.0, worst_loss = 0.0, worst_exact = 0.0;
    for (size_t row = 0; row < candidates.shape[0]; row++) {
        const size_t pick = table_pick(golden, row);
        if (pick == golden->n_picks)
            continue;
        const double *expected = candidates.values + row * width;
        const double *expected_losses = losses.values + row * width;
        double least = INFINITY;
        for (size_t i = 0; i < width && !isnan(expected[i]); i++)
            least = fmin(least, expected_losses[i]);
        for (size_t i = 0; i < m; i++) {
            double candidate = steps->candidates[pick * m + i];
            size_t at = nearest_candidate(expected, width, candidate);
            worst_candidate = fmax(worst_candidate, golden_relative(candidate, expected[at]));
            worst_loss =
                fmax(worst_loss, golden_relative(steps->losses[pick * m + i], expected_losses[at]));
        }
        struct threshold exact =
            threshold_search_exact(steps->candidates + pick * m, steps->losses + pick * m, m);
        worst_exact = fmax(worst_exact, golden_relative(exact.loss, least));
    }
    golden_report(golden, steps->backend->name, "candidates", worst_candidate < 1e-9,
                  "largest relative error %.1e", worst_candidate);
    golden_report(golden, steps->backend->name, "threshold losses", worst_loss < 1e-9,
                  "largest relative error %.1e", worst_loss);
    golden_report(golden, steps->backend->name, "exact search", worst_exact < 1e-9,
                  "loss above the exact minimum by %.1e", worst_exact);
done:
    golden_array_free(&candidates);
    golden_array_free(&losses);
}

static void compare_random_search(const struct golden_case *golden, const struct steps *steps)
{
    struct golden_array expected = golden_array(golden, "thresholds_random");
    if (expected.values == NULL)
        return;
    const size_t m = 2 * golden->epochs.n_epochs;
    double worst = 0.0;
    for (size_t i = 0; i < golden->n_picks; i++) {
        struct threshold found = threshold_search_random(steps->candidates + i * m,
                                                         steps->losses + i * m, m, golden->seed);
        worst = fmax(worst, golden_relative(found.value, expected.values[golden->positions[i]]));
    }
    golden_report(golden, steps->backend->name, "random search", worst < 1e-9,
                  "largest relative error %.1e", worst);
    golden_array_free(&expected);
}

/* Loss of a threshold in our own table. */
static double table_loss(const struct steps *steps, size_t pick, size_t m, double threshold)
{
    size_t at = nearest_candidate(steps->candidates + pick * m, m, threshold);
    return steps->losses[pick * m + at];
}

/*
 * autoreject's Bayesian search is not reproducible across BLAS libraries (its kernel matrix is
 * nearly singular in volts), so: a candidate; equal in at least 95 % of all channels of a run;
 * where another, its loss at most 1 % above.
 */
static void compare_bayesian(const struct golden_case *golden, const struct steps *steps)
{
    struct golden_array expected = golden_array(golden, "thresholds_bayes");
    if (expected.values == NULL)
        return;
    const size_t m = 2 * golden->epochs.n_epochs;
    struct gaussian_process process;
    if (gaussian_process_init(&process, m) != 0)
        exit(2);
    size_t equal = 0;
    double worst = 0.0;
    for (size_t i = 0; i < golden->n_picks; i++) {
        double reference = expected.values[golden->positions[i]];
        struct threshold found = threshold_search_bayesian(steps->candidates + i * m,
                                                           steps->losses + i * m, m, &process);
        if (golden_relative(found.value, reference) < 1e-9)
            equal++;
        else
            worst = fmax(worst, found.loss / table_loss(steps, i, m, reference) - 1.0);
    }
    bayes_equal += equal;
    bayes_total += golden->n_picks;
    golden_report(golden, steps->backend->name, "bayesian search", worst <= 0.01,
                  "%zu of %zu channels equal; others' loss above by at most %.2g", equal,
                  golden->n_picks, worst);
    gaussian_process_free(&process);
    golden_array_free(&expected);
}

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
static void compare_given_thresholds(const struct golden_case *golden, const char *backend)
{
    struct golden_array expected = golden_array(golden, "thresholds_bayes");
    if (expected.values == NULL)
        return;
    double *thresholds = golden_need(malloc(golden->epochs.n_channels * sizeof *thresholds));
    for (size_t i = 0; i < golden->n_picks; i++)
        thresholds[golden->picks[i]] = expected.values[golden->positions[i]];
    struct rejectd_fit_parameters parameters = golden_parameters(golden);
    parameters.thresholds = thresholds;
    const struct rejectd_compute_options options = {.backend = backend, .n_threads = 2};
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
static void compare_whole_fit(const struct golden_case *golden, const char *backend)
{
    struct golden_array expected = golden_array(golden, "thresholds_bayes");
    const struct rejectd_fit_parameters parameters = golden_parameters(golden);
    const struct rejectd_compute_options options = {.backend = backend, .n_threads = 2};
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
    for (size_t b = 0; backend_at(b) != NULL; b++) {
        struct steps steps;
        if (run_steps(&golden, backend_at(b), &steps)) {
            compare_ptp(&golden, &steps);
            compare_augmented(&golden, &steps);
            compare_mapping(&golden, &steps);
            compare_tables(&golden, &steps);
            compare_random_search(&golden, &steps);
            compare_bayesian(&golden, &steps);
        }
        steps_free(&steps);
        compare_given_thresholds(&golden, backend_at(b)->name);
        compare_whole_fit(&golden, backend_at(b)->name);
    }
    if (golden_passed() + golden_failed() == before)
        golden_report(&golden, "-", "anything", false, "the case has nothing to compare");
    golden_close(&golden);
}

int main(int argc, char **argv)
{
    golden_each_case(argc, argv, false, compare_case);
    const bool enough = bayes_total == 0 || (double)bayes_equal >= 0.95 * (double)bayes_total;
    printf("%s bayesian thresholds: %zu of %zu equal autoreject's (at least 95 %% wanted)\n",
           enough ? "ok  " : "FAIL", bayes_equal, bayes_total);
    printf("%d passed, %d failed\n", golden_passed() + enough, golden_failed() + !enough);
    return golden_failed() == 0 && enough && golden_passed() > 0 ? 0 : 1;
}
