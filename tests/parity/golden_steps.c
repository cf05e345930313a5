/*
 * Compares the steps of a fit, one by one, with autoreject's own outputs: amplitudes, predictions,
 * the table of losses, and what each search chooses from it.
 */
#include "golden_steps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden_report.h"
#include "worker/algorithm/folds.h"
#include "worker/algorithm/spline.h"
#include "worker/algorithm/threshold_search.h"

/* Bayesian thresholds over all cases of a run. */
static size_t bayes_equal, bayes_total;

/* What one backend computes from a case, step by step. */
struct steps {
    const struct golden_backend *on;
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

static bool run_steps(const struct golden_case *golden, const struct golden_backend *on,
                      struct steps *steps)
{
    const struct backend *backend = on->backend;
    const struct rejectd_epochs *epochs = &golden->epochs;
    const size_t n = epochs->n_epochs, m = 2 * n, c = golden->n_picks;
    struct rejectd_error error = {0};
    *steps = (struct steps){
        .on = on,
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
    const struct backend_options options = {
        .device = on->opened, .n_threads = 2, .precision = REJECTD_FLOAT64};
    double(*positions)[3] = golden_need(malloc(c * sizeof *positions));
    double *weights = golden_need(malloc(c * c * sizeof *weights));
    for (size_t i = 0; i < c; i++)
        memcpy(positions[i], epochs->channels[golden->picks[i]].position, sizeof positions[i]);
    uint8_t *is_test = NULL;
    bool ok = spline_precision((const double(*)[3])positions, c, 2, steps->precision, &error) ==
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
        golden_report(golden, on->name, "steps", false, "%s", error.message);
    free(positions);
    free(weights);
    free(is_test);
    return ok;
}

static void steps_free(struct steps *steps)
{
    steps->on->backend->close(steps->session);
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
        golden_report(golden, steps->on->name, "ptp", worst == 0.0, "largest error %.1e", worst);
    if (augmented.values != NULL)
        golden_report(golden, steps->on->name, "augmented ptp", worst_augmented < 1e-9,
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
        steps->on->backend->read_predictions(steps->session, i, rows, &error);
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
    golden_report(golden, steps->on->name, "augmented", worst < 1e-9,
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
    const struct backend_options options = {
        .device = steps->on->opened, .n_threads = 1, .precision = REJECTD_FLOAT64};
    const struct backend_repairs repairs = {g, 1, offsets, channels, prefix};
    struct backend_session *session = NULL;
    struct rejectd_error error;
    double worst = 0.0, largest = 0.0;
    bool ok = steps->on->backend->open(&samples, &options, &session, &error) == REJECTD_OK &&
              steps->on->backend->interpolate_epochs(session, steps->precision, &repairs, &error) ==
                  REJECTD_OK;
    for (size_t j = 0; ok && j < g; j++) {
        ok = steps->on->backend->read_repaired(session, j, 0, rows, &error) == REJECTD_OK;
        for (size_t i = 0; ok && i < b; i++) {
            worst = fmax(worst, fabs(rows[i] - mapping.values[i * g + j]));
            largest = fmax(largest, fabs(mapping.values[i * g + j]));
        }
    }
    golden_report(golden, steps->on->name, "mapping", ok && worst < 1e-8 * largest,
                  "largest error %.1e of the largest weight", worst / largest);
    steps->on->backend->close(session);
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
    golden_report(golden, steps->on->name, "candidates", worst_candidate < 1e-9,
                  "largest relative error %.1e", worst_candidate);
    golden_report(golden, steps->on->name, "threshold losses", worst_loss < 1e-9,
                  "largest relative error %.1e", worst_loss);
    golden_report(golden, steps->on->name, "exact search", worst_exact < 1e-9,
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
    golden_report(golden, steps->on->name, "random search", worst < 1e-9,
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
    golden_report(golden, steps->on->name, "bayesian search", worst <= 0.01,
                  "%zu of %zu channels equal; others' loss above by at most %.2g", equal,
                  golden->n_picks, worst);
    gaussian_process_free(&process);
    golden_array_free(&expected);
}

void golden_compare_steps(const struct golden_case *golden, const struct golden_backend *backend)
{
    struct steps steps;
    if (!golden_affordable(backend, golden, "steps",
                           golden_medians(golden, golden->n_picks, FOLDS_SHUFFLE_SPLITS)))
        return;
    if (run_steps(golden, backend, &steps)) {
        compare_ptp(golden, &steps);
        compare_augmented(golden, &steps);
        compare_mapping(golden, &steps);
        compare_tables(golden, &steps);
        compare_random_search(golden, &steps);
        compare_bayesian(golden, &steps);
    }
    steps_free(&steps);
}

void golden_count_bayesian(size_t *equal, size_t *total)
{
    *equal = bayes_equal;
    *total = bayes_total;
}
