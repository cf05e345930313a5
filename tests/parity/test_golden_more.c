/*
 * Compares RANSAC, global thresholds and validation curves with autoreject's own outputs.
 *
 *   test_golden_more [CASE FOLDER]...
 *
 * Cases and output as in test_golden.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rejectd/compute.h>

#include "golden_backends.h"
#include "golden_case.h"
#include "golden_report.h"
#include "worker/algorithm/folds.h"
#include "worker/algorithm/global_thresholds.h"
#include "worker/algorithm/spline_mapping.h"

/* Global thresholds over all cases and backends of a run. */
static size_t thresholds_equal, thresholds_total;

static const struct {
    const char *name;
    enum rejectd_channel_type type;
} types[] = {{"eeg", REJECTD_CHANNEL_EEG},
             {"eog", REJECTD_CHANNEL_EOG},
             {"mag", REJECTD_CHANNEL_MAG},
             {"grad", REJECTD_CHANNEL_GRAD}};

enum { N_TYPES = sizeof types / sizeof types[0] };

/* Relative error of a loss; one that is nothing but rounding errors of samples of that amplitude is
 * judged by the amplitude. */
static double loss_error(double value, double expected, double amplitude)
{
    if (value == expected)
        return 0.0;
    return fabs(value - expected) / fmax(fabs(expected), 1e-6 * amplitude);
}

static double number(json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* expected/<name>_<type>.npy, or expected/<name>.npy of a case with one type. */
static struct golden_array typed_array(const struct golden_case *golden, const char *name,
                                       const char *type)
{
    char typed[64];
    snprintf(typed, sizeof typed, "%s_%s", name, type);
    struct golden_array array = golden_array(golden, typed);
    return array.values != NULL ? array : golden_array(golden, name);
}

static void compare_correlations(const struct golden_case *golden, const char *backend,
                                 const char *type, const struct rejectd_ransac *ransac)
{
    struct golden_array expected = typed_array(golden, "ransac_corr", type);
    double worst = 0.0;
    size_t wrong_nan = 0;
    for (size_t i = 0; i < expected.n_values && expected.values != NULL; i++) {
        if (isnan(expected.values[i]) || isnan(ransac->correlations[i]))
            wrong_nan += isnan(expected.values[i]) != isnan(ransac->correlations[i]);
        else
            worst = fmax(worst, fabs(ransac->correlations[i] - expected.values[i]));
    }
    const bool complete = expected.n_values == ransac->n_epochs * ransac->n_picks;
    golden_report(golden, backend, "ransac correlations",
                  complete && worst < 1e-8 && wrong_nan == 0,
                  "%s: largest error %.1e, %zu NaN misplaced", type, worst, wrong_nan);
    golden_array_free(&expected);
}

static void compare_subsets(const struct golden_case *golden, const char *backend, const char *type,
                            const struct rejectd_ransac *ransac)
{
    struct golden_array expected = typed_array(golden, "ransac_subsets", type);
    size_t wrong = 0;
    for (size_t i = 0; i < expected.n_values && expected.values != NULL; i++)
        wrong += (double)ransac->subsets[i] != expected.values[i];
    golden_report(golden, backend, "ransac subsets",
                  wrong == 0 && expected.n_values == ransac->n_resample * ransac->n_samples,
                  "%s: %zu differ", type, wrong);
    golden_array_free(&expected);
}

static void compare_bad(const struct golden_case *golden, const char *backend, const char *type,
                        json_t *names, const struct rejectd_ransac *ransac)
{
    size_t wrong = 0, n_bad = 0;
    for (size_t i = 0; i < ransac->n_picks; i++) {
        const char *name = golden->channels[ransac->picks[i]].name;
        bool expected = false;
        for (size_t j = 0; j < json_array_size(names); j++)
            expected |= strcmp(json_string_value(json_array_get(names, j)), name) == 0;
        wrong += expected != (ransac->bad[i] != 0);
        n_bad += ransac->bad[i] != 0;
    }
    golden_report(golden, backend, "ransac bad channels", wrong == 0, "%s: %zu bad, %zu differ",
                  type, n_bad, wrong);
}

/* The mapping of the first subset, of EEG. */
static void compare_mapping(const struct golden_case *golden, const char *type,
                            const struct rejectd_ransac *ransac)
{
    struct golden_array expected = typed_array(golden, "ransac_mapping0", type);
    if (expected.values == NULL)
        return;
    const size_t c = ransac->n_picks, n = ransac->n_samples;
    double(*positions)[3] = golden_need(malloc(c * sizeof *positions));
    double *weights = golden_need(malloc(c * n * sizeof *weights));
    size_t *places = golden_need(malloc((c + n) * sizeof *places));
    struct mapping_maker maker;
    struct rejectd_error error;
    for (size_t i = 0; i < c; i++) {
        memcpy(positions[i], golden->channels[ransac->picks[i]].position, sizeof positions[i]);
        places[i] = i;
    }
    for (size_t j = 0; j < n; j++)
        places[c + j] = ransac->subsets[j];
    bool ok =
        spline_mapping_maker((const double(*)[3])positions, c, &maker, &error) == REJECTD_OK &&
        maker.make(maker.context, places + c, n, places, c, weights, &error) == REJECTD_OK &&
        expected.n_values == c * n;
    double worst = 0.0, largest = 0.0;
    for (size_t i = 0; ok && i < c * n; i++) {
        worst = fmax(worst, fabs(weights[i] - expected.values[i]));
        largest = fmax(largest, fabs(expected.values[i]));
    }
    golden_report(golden, "-", "ransac mapping", ok && worst < 1e-9 * largest,
                  "%s: largest error %.1e of the largest weight", type, worst / largest);
    maker.free(maker.context);
    free(positions);
    free(weights);
    free(places);
    golden_array_free(&expected);
}

static void compare_ransac_type(const struct golden_case *golden, const struct golden_backend *on,
                                const char *type, json_t *about)
{
    const char *backend = on->name;
    json_t *params = json_object_get(about, "params"), *listed = json_object_get(about, "picks");
    const size_t n_picks = json_array_size(listed);
    size_t *picks = golden_need(malloc((n_picks + 1) * sizeof *picks));
    for (size_t i = 0; i < n_picks; i++)
        picks[i] = (size_t)json_integer_value(json_array_get(listed, i));
    const struct rejectd_ransac_parameters parameters = {
        .n_resample = (size_t)number(params, "n_resample"),
        .min_channels = number(params, "min_channels"),
        .min_corr = number(params, "min_corr"),
        .unbroken_time = number(params, "unbroken_time"),
        .random_state = (uint32_t)number(params, "random_state"),
        .picks = picks,
        .n_picks = n_picks,
        .precision = REJECTD_FLOAT64,
    };
    const struct rejectd_compute_options options = {
        .backend = backend, .device = on->device, .n_threads = 2};
    struct rejectd_ransac *ransac;
    struct rejectd_error error;
    if (rejectd_ransac(&golden->epochs, &parameters, &options, &ransac, &error) != REJECTD_OK) {
        golden_report(golden, backend, "ransac", false, "%s: %s: %s", type, error.field,
                      error.message);
    } else {
        compare_subsets(golden, backend, type, ransac);
        compare_correlations(golden, backend, type, ransac);
        compare_bad(golden, backend, type, json_object_get(about, "result"), ransac);
        if (strcmp(backend, "reference") == 0)
            compare_mapping(golden, type, ransac);
        rejectd_ransac_free(ransac);
    }
    free(picks);
}

static void compare_ransac(const struct golden_case *golden, const struct golden_backend *backend)
{
    const char *type;
    json_t *about;
    json_object_foreach(json_object_get(golden->expected, "ransac"), type, about)
    {
        const size_t n_picks = json_array_size(json_object_get(about, "picks"));
        if (strcmp(type, "eeg") == 0 && /* the others in test_golden_meg.c */
            golden_affordable(backend, golden, "ransac", golden_medians_of_ransac(golden, n_picks)))
            compare_ransac_type(golden, backend, type, about);
    }
}

/* What a backend computes for the global threshold of one type. */
struct curve {
    size_t n_epochs;
    double *amplitudes; /* [E] ascending */
    double *losses;     /* [E] mean over folds */
};

static bool compute_curve(const struct golden_case *golden, const struct golden_backend *on,
                          enum rejectd_channel_type type, size_t n_folds, struct curve *curve)
{
    const struct backend *backend = on->backend;
    const struct rejectd_epochs *epochs = &golden->epochs;
    const size_t n = epochs->n_epochs;
    size_t n_picks = 0, *picks = golden_need(malloc(epochs->n_channels * sizeof *picks));
    for (size_t c = 0; c < epochs->n_channels; c++)
        if (epochs->channels[c].type == type && !epochs->channels[c].bad)
            picks[n_picks++] = c;
    const struct backend_samples samples = {.data = epochs->samples,
                                            .dtype = epochs->dtype,
                                            .n_epochs = n,
                                            .n_channels = epochs->n_channels,
                                            .n_times = epochs->n_times,
                                            .picks = picks,
                                            .n_picks = n_picks};
    const struct backend_options options = {
        .device = on->opened, .n_threads = 2, .precision = REJECTD_FLOAT64};
    struct backend_session *session = NULL;
    struct rejectd_error error;
    double *ptp = golden_need(malloc((n * n_picks + 1) * sizeof *ptp));
    double *losses = golden_need(malloc(n * n_folds * sizeof *losses));
    uint32_t *order = golden_need(malloc(2 * n * sizeof *order)), *kept = order + n;
    uint16_t *fold = golden_need(malloc(n * sizeof *fold));
    *curve = (struct curve){n, golden_need(malloc(n * sizeof(double))),
                            golden_need(malloc(n * sizeof(double)))};
    folds_contiguous(n, n_folds, fold);
    bool ok = backend->open(&samples, &options, &session, &error) == REJECTD_OK &&
              backend->peak_to_peak(session, ptp, &error) == REJECTD_OK &&
              global_rank_epochs(ptp, n, n_picks, order, curve->amplitudes, &error) == REJECTD_OK;
    for (size_t i = 0; ok && i < n; i++)
        kept[i] = global_count_kept(curve->amplitudes, n, curve->amplitudes[i]);
    const struct backend_global global = {n_folds, fold, order, n, kept};
    ok = ok && backend->global_losses(session, &global, losses, NULL, &error) == REJECTD_OK;
    for (size_t i = 0; ok && i < n; i++) {
        curve->losses[i] = 0.0;
        for (size_t f = 0; f < n_folds; f++)
            curve->losses[i] += losses[i * n_folds + f] / (double)n_folds;
    }
    backend->close(session);
    free(picks);
    free(ptp);
    free(losses);
    free(order);
    free(fold);
    return ok;
}

static void curve_free(struct curve *curve)
{
    free(curve->amplitudes);
    free(curve->losses);
}

/* Loss of the candidate nearest to a threshold. */
static double loss_at(const struct curve *curve, double threshold)
{
    size_t best = 0;
    for (size_t i = 1; i < curve->n_epochs; i++)
        if (fabs(curve->amplitudes[i] - threshold) < fabs(curve->amplitudes[best] - threshold))
            best = i;
    return curve->losses[best];
}

static void compare_curve(const struct golden_case *golden, const char *backend, const char *type,
                          const struct curve *curve)
{
    char name[64];
    snprintf(name, sizeof name, "global_candidates_%s", type);
    struct golden_array candidates = golden_array(golden, name);
    snprintf(name, sizeof name, "global_losses_%s", type);
    struct golden_array losses = golden_array(golden, name);
    double worst_candidate = 0.0, worst_loss = 0.0;
    size_t distinct = 0;
    for (size_t i = 0; i < curve->n_epochs; i++) {
        if (i > 0 && curve->amplitudes[i] == curve->amplitudes[i - 1])
            continue;
        if (distinct < candidates.n_values) {
            worst_candidate = fmax(worst_candidate, golden_relative(curve->amplitudes[i],
                                                                    candidates.values[distinct]));
            worst_loss = fmax(worst_loss, loss_error(curve->losses[i], losses.values[distinct],
                                                     curve->amplitudes[i]));
        }
        distinct++;
    }
    golden_report(golden, backend, "global losses",
                  distinct == candidates.n_values && worst_candidate == 0.0 && worst_loss < 1e-9,
                  "%s: %zu candidates, largest relative error %.1e", type, distinct, worst_loss);
    golden_array_free(&candidates);
    golden_array_free(&losses);
}

/*
 * The search is as reproducible as autoreject's own (see test_golden on Bayesian thresholds): where
 * it finds another candidate, the loss is at most 1 % above.
 */
static void compare_thresholds(const struct golden_case *golden, const struct golden_backend *on,
                               const char *quantity, json_t *results, size_t decim,
                               const struct curve *curves)
{
    const char *backend = on->name;
    const struct rejectd_global_thresholds_parameters parameters = {
        .decim = decim,
        .decim_start =
            rejectd_decim_start(number(golden->meta, "tmin"), number(golden->meta, "sfreq"), decim),
        .cv = 5,
        .precision = REJECTD_FLOAT64,
    };
    const struct rejectd_compute_options options = {
        .backend = backend, .device = on->device, .n_threads = 2};
    struct rejectd_global_thresholds *found;
    struct rejectd_error error;
    if (rejectd_global_thresholds(&golden->epochs, &parameters, &options, &found, &error) !=
        REJECTD_OK) {
        golden_report(golden, backend, quantity, false, "%s: %s", error.field, error.message);
        return;
    }
    size_t compared = 0;
    for (size_t i = 0; i < found->n_types; i++)
        for (size_t t = 0; t < N_TYPES; t++) {
            json_t *expected = json_object_get(results, types[t].name);
            if (types[t].type != found->types[i].type || expected == NULL)
                continue;
            const double value = found->types[i].threshold, want = json_number_value(expected);
            const bool equal = golden_relative(value, want) < 1e-9;
            const double above =
                curves == NULL ? 0.0 : found->types[i].loss / loss_at(&curves[t], want) - 1.0;
            compared++;
            thresholds_equal += equal;
            thresholds_total++;
            golden_report(golden, backend, quantity, equal || (curves != NULL && above <= 0.01),
                          "%s: %.6g, expected %.6g", types[t].name, value, want);
        }
    golden_report(golden, backend, quantity,
                  compared == json_object_size(results) && found->n_types == compared, "%zu types",
                  found->n_types);
    rejectd_global_thresholds_free(found);
}

static void compare_global(const struct golden_case *golden, const struct golden_backend *backend)
{
    json_t *all =
        json_object_get(json_object_get(golden->expected, "rejection_threshold"), "result");
    json_t *decimated =
        json_object_get(json_object_get(golden->expected, "rejection_threshold_decim2"), "result");
    struct curve curves[N_TYPES] = {{0}};
    /* The curves, the thresholds, and those of half the samples: five folds each. */
    if (!golden_affordable(backend, golden, "global thresholds",
                           golden_medians(golden, golden->n_all_picks, 5 + 5 + 3)))
        return;
    for (size_t t = 0; t < N_TYPES; t++) {
        if (json_object_get(all, types[t].name) == NULL)
            continue;
        if (compute_curve(golden, backend, types[t].type, 5, &curves[t]))
            compare_curve(golden, backend->name, types[t].name, &curves[t]);
        else
            golden_report(golden, backend->name, "global losses", false, "%s: an error",
                          types[t].name);
    }
    if (all != NULL)
        compare_thresholds(golden, backend, "global threshold", all, 1, curves);
    if (decimated != NULL)
        compare_thresholds(golden, backend, "global threshold / 2", decimated, 2, NULL);
    for (size_t t = 0; t < N_TYPES; t++)
        curve_free(&curves[t]);
}

/* Largest error of losses of samples of that amplitude; 1 when infinities are misplaced. */
static double worst_error(const double *found, const struct golden_array *expected,
                          double amplitude)
{
    double worst = 0.0;
    for (size_t i = 0; i < expected->n_values; i++) {
        if (isinf(found[i]) != isinf(expected->values[i]))
            return 1.0;
        worst = fmax(worst, loss_error(found[i], expected->values[i], amplitude));
    }
    return worst;
}

static void compare_validation(const struct golden_case *golden, const struct golden_backend *on)
{
    const char *backend = on->name;
    struct golden_array range = golden_array(golden, "validation_param_range");
    struct golden_array train = golden_array(golden, "validation_train");
    struct golden_array test = golden_array(golden, "validation_test");
    const struct rejectd_validation_curve_parameters parameters = {.precision = REJECTD_FLOAT64};
    const struct rejectd_compute_options options = {
        .backend = backend, .device = on->device, .n_threads = 2};
    struct rejectd_validation_curve *curve;
    struct rejectd_error error;
    if (range.values == NULL || train.values == NULL || test.values == NULL ||
        !golden_affordable(on, golden, "validation curve",
                           golden_medians(golden, golden->n_all_picks, 2 * test.shape[1])))
        goto done;
    if (rejectd_validation_curve(&golden->epochs, &parameters, &options, &curve, &error) !=
        REJECTD_OK) {
        golden_report(golden, backend, "validation curve", false, "%s: %s", error.field,
                      error.message);
        goto done;
    }
    const bool complete = curve->n_params == range.n_values && curve->n_folds == test.shape[1] &&
                          test.n_values == curve->n_params * curve->n_folds;
    const double most = curve->param_range[curve->n_params - 1];
    const double worst_range = complete ? worst_error(curve->param_range, &range, 0.0) : 1.0;
    const double worst_train = complete ? worst_error(curve->train_scores, &train, most) : 1.0;
    const double worst_test = complete ? worst_error(curve->test_scores, &test, most) : 1.0;
    golden_report(golden, backend, "validation range", worst_range == 0.0, "largest error %.1e",
                  worst_range);
    golden_report(golden, backend, "validation train", worst_train < 1e-9,
                  "largest relative error %.1e", worst_train);
    golden_report(golden, backend, "validation test", worst_test < 1e-9,
                  "largest relative error %.1e", worst_test);
    rejectd_validation_curve_free(curve);
done:
    golden_array_free(&range);
    golden_array_free(&train);
    golden_array_free(&test);
}

static void compare_case(const char *folder)
{
    struct golden_case golden;
    golden_open(&golden, folder);
    for (size_t b = 0; golden_backend_at(b) != NULL; b++) {
        const struct golden_backend *backend = golden_backend_at(b);
        compare_ransac(&golden, backend);
        compare_global(&golden, backend);
        compare_validation(&golden, backend);
    }
    golden_close(&golden);
}

int main(int argc, char **argv)
{
    golden_each_case(argc, argv, true, compare_case);
    const bool enough = (double)thresholds_equal >= 0.85 * (double)thresholds_total;
    printf("%s global thresholds: %zu of %zu equal autoreject's (at least 85 %% wanted)\n",
           enough ? "ok  " : "FAIL", thresholds_equal, thresholds_total);
    printf("%d passed, %d failed\n", golden_passed() + enough, golden_failed() + !enough);
    return golden_failed() == 0 && enough && golden_passed() > 0 ? 0 : 1;
}
