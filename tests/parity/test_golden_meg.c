/*
 * Compares MEG and fits of several channel types with autoreject's own outputs, Legendre series by
 * MNE's old table and exactly (the files *_exact).
 *
 *   test_golden_meg [CASE FOLDER]...
 *
 * Without folders: the cases of tests/parity/data_meg, and those with MEG of $REJECTD_GOLDEN_DIR
 * (default
 * ../shared/golden) when that folder is there. A case may have one way only.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rejectd/compute.h>

#include "golden_backends.h"
#include "golden_case.h"
#include "worker/algorithm/folds.h"
#include "worker/algorithm/interpolation.h"
#include "worker/meg/field_map.h"

static int n_passed, n_failed;

/* One way to evaluate the Legendre series. */
struct way {
    enum rejectd_meg_legendre legendre;
    const char *suffix;
};

static const struct way ways[] = {{REJECTD_MEG_LEGENDRE_TABLE, ""},
                                  {REJECTD_MEG_LEGENDRE_EXACT, "_exact"}};

static void report(const struct golden_case *golden, const char *backend, const struct way *way,
                   const char *quantity, bool ok, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

static void report(const struct golden_case *golden, const char *backend, const struct way *way,
                   const char *quantity, bool ok, const char *format, ...)
{
    printf("%-4s %-12s %-10s %-6s %-26s ", ok ? "ok" : "FAIL", golden->name, backend,
           way->suffix[0] != '\0' ? "exact" : "table", quantity);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    *(ok ? &n_passed : &n_failed) += 1;
}

static void *need(void *pointer)
{
    if (pointer == NULL) {
        fprintf(stderr, "an allocation failed\n");
        exit(2);
    }
    return pointer;
}

static double relative(double value, double expected)
{
    return value == expected ? 0.0 : fabs(value - expected) / fmax(fabs(expected), 1e-300);
}

static struct golden_array array_of(const struct golden_case *golden, const struct way *way,
                                    const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", name, way->suffix);
    return golden_array(golden, full);
}

static bool is_meg(const struct golden_case *golden, size_t channel)
{
    const enum rejectd_channel_type type = golden->channels[channel].type;
    return type == REJECTD_CHANNEL_MAG || type == REJECTD_CHANNEL_GRAD;
}

/* Channel numbers out of a JSON list; *n of them. */
static size_t *read_list(json_t *list, size_t *n)
{
    *n = json_array_size(list);
    size_t *out = need(malloc((*n + 1) * sizeof *out));
    for (size_t i = 0; i < *n; i++)
        out[i] = (size_t)json_integer_value(json_array_get(list, i));
    return out;
}

static struct field_map *open_map(const struct golden_case *golden, const struct way *way,
                                  const size_t *picks, size_t n)
{
    struct field_map *map = NULL;
    struct rejectd_error error = {0};
    if (field_map_open(&golden->epochs, picks, n, way->legendre, 2, &map, &error) != REJECTD_OK)
        report(golden, "-", way, "field map", false, "%s", error.message);
    return map;
}

static void compare_dots(const struct golden_case *golden, const struct way *way)
{
    size_t n;
    size_t *rows =
        read_list(json_object_get(json_object_get(golden->expected, "dots"), "rows"), &n);
    struct golden_array expected = array_of(golden, way, "self_dots");
    struct field_map *map = open_map(golden, way, rows, n);
    double worst = 0.0;
    for (size_t i = 0; map != NULL && expected.values != NULL && i < n * n; i++) {
        const double scale =
            sqrt(expected.values[i / n * (n + 1)] * expected.values[i % n * (n + 1)]);
        worst = fmax(worst, fabs(field_map_products(map)[i] - expected.values[i]) / scale);
    }
    report(golden, "-", way, "lead field products",
           map != NULL && expected.values != NULL && worst < 1e-12, "largest error %.1e", worst);
    field_map_close(map);
    golden_array_free(&expected);
    free(rows);
}

static void compare_mapping(const struct golden_case *golden, const struct way *way,
                            const char *name)
{
    char file[32];
    snprintf(file, sizeof file, "mapping_%s", name);
    struct golden_array expected = array_of(golden, way, file);
    json_t *about = json_object_get(json_object_get(golden->expected, "mapping"), name);
    if (expected.values == NULL || about == NULL)
        goto done;
    size_t n_bads, n_goods;
    size_t *bads = read_list(json_object_get(about, "bads"), &n_bads);
    size_t *goods = read_list(json_object_get(about, "goods"), &n_goods);
    const size_t n = n_bads + n_goods;
    size_t *picks = need(malloc(n * sizeof *picks)), *to = need(malloc(n * sizeof *to)),
           *from = need(malloc(n * sizeof *from));
    for (size_t i = 0; i < n; i++) {
        picks[i] = i < n_goods ? goods[i] : bads[i - n_goods];
        from[i] = i;
        to[i] = n_goods + i;
    }
    struct field_map *map = open_map(golden, way, picks, n);
    double *weights = need(malloc(n_bads * n_goods * sizeof *weights));
    struct rejectd_error error = {0};
    bool ok = map != NULL &&
              field_map_between(map, from, n_goods, to, n_bads, weights, &error) == REJECTD_OK;
    double worst = 0.0, largest = 0.0;
    for (size_t i = 0; ok && i < n_bads * n_goods; i++) {
        worst = fmax(worst, fabs(weights[i] - expected.values[i]));
        largest = fmax(largest, fabs(expected.values[i]));
    }
    report(golden, "-", way, file, ok && worst < 1e-9 * largest,
           "largest error %.1e of the largest weight", worst / largest);
    field_map_close(map);
    free(weights);
    free(picks);
    free(to);
    free(from);
    free(bads);
    free(goods);
done:
    golden_array_free(&expected);
}

/* Every sensor left out by the secular equation, and by an eigenproblem of its own. */
static void compare_leave_one_out(const struct golden_case *golden, const struct way *way,
                                  const size_t *picks, size_t n)
{
    struct field_map *map = open_map(golden, way, picks, n);
    struct rejectd_error error = {0};
    double *weights = need(malloc(n * n * sizeof *weights)), *one = need(malloc(n * sizeof *one));
    size_t *from = need(malloc(n * sizeof *from));
    bool ok = map != NULL && field_map_leave_one_out(map, 2, weights, &error) == REJECTD_OK;
    double worst = 0.0;
    for (size_t b = 0; ok && b < n; b++) {
        for (size_t i = 0; i + 1 < n; i++)
            from[i] = i + (i >= b);
        ok = field_map_between(map, from, n - 1, &b, 1, one, &error) == REJECTD_OK;
        double largest = 0.0, difference = 0.0;
        for (size_t i = 0; i + 1 < n; i++) {
            largest = fmax(largest, fabs(one[i]));
            difference = fmax(difference, fabs(one[i] - weights[b * n + from[i]]));
        }
        worst = fmax(worst, difference / largest);
    }
    report(golden, "-", way, "leave one out", ok && worst < 1e-9,
           "%zu sensors: largest difference of two methods %.1e", n, worst);
    field_map_close(map);
    free(weights);
    free(one);
    free(from);
}

/* The worst difference between a device's rows of one set and the host's, of the largest weight. */
static double map_difference(const struct field_map *map, size_t n, const uint16_t *out,
                             size_t n_out, const double *rows)
{
    size_t *from = need(malloc(n * sizeof *from)), *to = need(malloc(n * sizeof *to)), at = 0;
    double *weights = need(malloc(n_out * n * sizeof *weights)), worst = 0.0, largest = 0.0;
    struct rejectd_error error = {0};
    for (size_t i = 0; i < n; i++)
        if (at < n_out && out[at] == i)
            to[at++] = i;
        else
            from[i - at] = i;
    if (field_map_between(map, from, n - n_out, to, n_out, weights, &error) != REJECTD_OK)
        worst = INFINITY;
    for (size_t b = 0; b < n_out; b++)
        for (size_t i = 0; i < n - n_out; i++) {
            const double weight = weights[b * (n - n_out) + i];
            largest = fmax(largest, fabs(weight));
            worst = fmax(worst, fabs(rows[b * n + from[i]] - weight));
        }
    free(from);
    free(to);
    free(weights);
    return worst / largest;
}

/* Sets of 1 to 16 sensors, by a backend that solves many at a time. */
static void compare_map_sets(const struct golden_case *golden, const struct way *way,
                             const struct golden_backend *on, const size_t *picks, size_t n)
{
    enum { SETS = 24, MOST = 16 };
    const struct backend_samples samples = {.data = golden->epochs.samples,
                                            .dtype = golden->epochs.dtype,
                                            .n_epochs = 1,
                                            .n_channels = golden->epochs.n_channels,
                                            .n_times = golden->epochs.n_times,
                                            .picks = picks,
                                            .n_picks = n};
    const struct backend_options options = {
        .device = on->opened, .n_threads = 1, .precision = REJECTD_FLOAT64};
    size_t offsets[SETS + 1] = {0}, n_solved = 0;
    uint16_t left_out[SETS * MOST];
    uint8_t solved[SETS];
    struct backend_session *session = NULL;
    struct rejectd_error error = {0};
    double worst = 0.0;
    if (on->backend->map_sets == NULL || n < 2)
        return;
    for (size_t s = 0; s < SETS; s++) {
        const size_t most = n - 1 < MOST ? n - 1 : MOST, count = s % most + 1;
        for (size_t b = 0; b < count; b++)
            left_out[offsets[s] + b] = (uint16_t)(b * (n / count) + s % (n / count));
        offsets[s + 1] = offsets[s] + count;
    }
    double *rows = need(malloc(offsets[SETS] * n * sizeof *rows));
    struct field_map *map = open_map(golden, way, picks, n);
    bool ok = map != NULL &&
              on->backend->open(&samples, &options, &session, &error) == REJECTD_OK &&
              field_map_sets(map, on->backend, session, offsets, left_out, SETS, 1, rows, solved,
                             &error) == REJECTD_OK;
    for (size_t s = 0; ok && s < SETS; s++) {
        n_solved += solved[s];
        if (solved[s] != 0)
            worst = fmax(worst, map_difference(map, n, left_out + offsets[s],
                                               offsets[s + 1] - offsets[s], rows + offsets[s] * n));
    }
    report(golden, on->name, way, "maps of many sets", ok && worst < 1e-9 && 2 * n_solved > SETS,
           "%zu sensors: %zu of %d sets, largest difference %.1e%s", n, n_solved, SETS, worst,
           error.message);
    on->backend->close(session);
    field_map_close(map);
    free(rows);
}

/* Peak-to-peak of the leave-one-out predictions of one type. */
static void compare_augmented(const struct golden_case *golden, const struct way *way,
                              const struct golden_backend *on, const size_t *picks,
                              const size_t *positions, size_t n)
{
    const struct backend *backend = on->backend;
    struct golden_array expected = array_of(golden, way, "augmented_ptp");
    const size_t n_epochs = golden->epochs.n_epochs;
    double *ptp = need(malloc(n_epochs * n * sizeof *ptp));
    const struct backend_samples samples = {.data = golden->epochs.samples,
                                            .dtype = golden->epochs.dtype,
                                            .n_epochs = n_epochs,
                                            .n_channels = golden->epochs.n_channels,
                                            .n_times = golden->epochs.n_times,
                                            .picks = picks,
                                            .n_picks = n};
    const struct backend_options options = {
        .device = on->opened, .n_threads = 2, .precision = REJECTD_FLOAT64};
    struct interpolation interpolation;
    struct backend_session *session = NULL;
    const double *weights;
    struct rejectd_error error = {0};
    bool ok =
        expected.values != NULL && interpolation_open(&golden->epochs, picks, n, way->legendre, 2,
                                                      &interpolation, &error) == REJECTD_OK;
    if (ok) {
        ok = backend->open(&samples, &options, &session, &error) == REJECTD_OK &&
             interpolation_leave_one_out(&interpolation, &weights, &error) == REJECTD_OK &&
             backend->predict(session, weights, 0, n, ptp, &error) == REJECTD_OK;
        backend->close(session);
        interpolation_close(&interpolation);
    }
    double worst = 0.0;
    for (size_t i = 0; ok && i < n_epochs * n; i++)
        worst = fmax(
            worst, relative(ptp[i], expected.values[i / n * expected.shape[1] + positions[i % n]]));
    report(golden, on->name, way, "augmented ptp", ok && worst < 1e-9,
           "%zu sensors: largest relative error %.1e", n, worst);
    free(ptp);
    golden_array_free(&expected);
}

/* ---- fits ---- */

static struct rejectd_fit_parameters fit_parameters(const struct golden_case *golden,
                                                    const struct way *way)
{
    struct rejectd_fit_parameters parameters = golden_parameters(golden);
    parameters.picks = golden->all_picks;
    parameters.n_picks = golden->n_all_picks;
    parameters.meg_legendre = way->legendre;
    return parameters;
}

static const char *type_name(enum rejectd_channel_type type)
{
    static const char *const names[] = {
#define TYPE_NAME(symbol, text, analysed) text,
        REJECTD_CHANNEL_TYPE_LIST(TYPE_NAME)
#undef TYPE_NAME
    };
    return names[type];
}

static double expected_choice(const struct golden_case *golden, const struct way *way,
                              const char *name, enum rejectd_channel_type type)
{
    json_t *from =
        json_object_get(golden->expected, way->suffix[0] != '\0' ? "exact_legendre" : "autoreject");
    return json_number_value(json_object_get(json_object_get(from, name), type_name(type)));
}

static void compare_type(const struct golden_case *golden, const struct way *way,
                         const char *backend, const struct rejectd_type_fit *type)
{
    char name[32];
    snprintf(name, sizeof name, "loss_%s", type_name(type->type));
    struct golden_array loss = array_of(golden, way, name);
    double worst = 0.0;
    size_t misplaced = 0;
    for (size_t i = 0; i < loss.n_values && loss.values != NULL; i++) {
        if (isinf(loss.values[i]) || isinf(type->loss[i]))
            misplaced += isinf(loss.values[i]) != isinf(type->loss[i]);
        else
            worst = fmax(worst, relative(type->loss[i], loss.values[i]));
    }
    report(golden, backend, way, name, loss.values != NULL && worst < 1e-9 && misplaced == 0,
           "largest relative error %.1e, %zu infinities misplaced", worst, misplaced);
    const double consensus = expected_choice(golden, way, "consensus_", type->type);
    const int n_interpolate = (int)expected_choice(golden, way, "n_interpolate_", type->type);
    report(golden, backend, way, "choice",
           type->consensus == consensus && type->n_interpolate == n_interpolate, "%s: %.17g, %d",
           type_name(type->type), type->consensus, type->n_interpolate);
    golden_array_free(&loss);
}

static void compare_log(const struct golden_case *golden, const struct way *way,
                        const char *backend, const struct rejectd_reject_log *log)
{
    struct golden_array labels = array_of(golden, way, "labels");
    struct golden_array bad = array_of(golden, way, "bad_epochs");
    size_t different = 0, different_bad = 0;
    for (size_t i = 0; i < labels.n_values && labels.values != NULL; i++)
        different += (double)log->labels[i] != labels.values[i];
    for (size_t e = 0; e < bad.n_values && bad.values != NULL; e++)
        different_bad += (log->bad_epochs[e] != 0) != (bad.values[e] != 0.0);
    report(golden, backend, way, "labels",
           labels.n_values == log->n_epochs * log->n_channels && different == 0, "%zu differ",
           different);
    report(golden, backend, way, "bad epochs", bad.n_values == log->n_epochs && different_bad == 0,
           "%zu differ", different_bad);
    golden_array_free(&labels);
    golden_array_free(&bad);
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
        for (size_t at = i * t; at < (i + 1) * t; at++) {
            const double value =
                is_float32 ? (double)((const float *)samples)[at] : ((const double *)samples)[at];
            const double expected = check->expected.values[epoch * c * t + at];
            low = fmin(low, expected);
            high = fmax(high, expected);
            largest = fmax(largest, fabs(value - expected));
        }
        if (largest > 0.0)
            check->worst = fmax(check->worst, largest / fmax(high - low, 1e-300));
    }
    return REJECTD_OK;
}

static void compare_cleaned(const struct golden_case *golden, const struct way *way,
                            const struct rejectd_compute_options *options,
                            const struct rejectd_reject_log *log)
{
    struct cleaned_check check = {.golden = golden, .expected = array_of(golden, way, "cleaned")};
    const struct rejectd_sink sink = {check_epoch, &check};
    struct rejectd_error error = {0};
    const bool ok = check.expected.values != NULL &&
                    rejectd_clean(&golden->epochs, log,
                                  &(struct rejectd_clean_parameters){.meg_legendre = way->legendre},
                                  options, &sink, &error) == REJECTD_OK;
    report(golden, options->backend, way, "cleaned", ok && check.worst < 1e-6,
           "%zu epochs, largest error %.1e of the channel's range%s", check.n_written, check.worst,
           error.message);
    golden_array_free(&check.expected);
}

/* The fit from autoreject's own thresholds on: everything is determined. */
static void compare_given_thresholds(const struct golden_case *golden, const struct way *way,
                                     const struct golden_backend *on)
{
    const char *backend = on->name;
    struct golden_array expected = array_of(golden, way, "thresholds_bayes");
    double *thresholds = need(malloc(golden->epochs.n_channels * sizeof *thresholds));
    for (size_t i = 0; i < golden->n_all_picks && expected.values != NULL; i++)
        thresholds[golden->all_picks[i]] = expected.values[i];
    struct rejectd_fit_parameters parameters = fit_parameters(golden, way);
    parameters.thresholds = thresholds;
    const struct rejectd_compute_options options = {
        .backend = backend, .device = on->device, .n_threads = 2};
    struct rejectd_fit *fit;
    struct rejectd_error error;
    if (rejectd_fit(&golden->epochs, &parameters, &options, &fit, &error) != REJECTD_OK) {
        report(golden, backend, way, "fit, given thresholds", false, "%s: %s", error.field,
               error.message);
    } else {
        for (size_t i = 0; i < fit->n_types; i++)
            compare_type(golden, way, backend, &fit->types[i]);
        compare_log(golden, way, backend, &fit->log);
        compare_cleaned(golden, way, &options, &fit->log);
        rejectd_fit_free(fit);
    }
    free(thresholds);
    golden_array_free(&expected);
}

/* Loss of a threshold in the expected table of its channel, or NaN when the table has no such row.
 */
static double expected_loss(const struct golden_case *golden, const struct golden_array *candidates,
                            const struct golden_array *losses, size_t position, double threshold)
{
    json_t *rows = json_object_get(json_object_get(golden->expected, "threshold_loss_picks"),
                                   "pick_positions");
    for (size_t row = 0; row < candidates->shape[0]; row++) {
        if (rows != NULL && (size_t)json_integer_value(json_array_get(rows, row)) != position)
            continue;
        const double *values = candidates->values + row * candidates->shape[1];
        size_t best = 0;
        for (size_t i = 1; i < candidates->shape[1] && !isnan(values[i]); i++)
            if (fabs(values[i] - threshold) < fabs(values[best] - threshold))
                best = i;
        return relative(values[best], threshold) < 1e-6
                   ? losses->values[row * candidates->shape[1] + best]
                   : INFINITY;
    }
    return NAN;
}

/*
 * The whole fit, search included. What the Bayesian search visits is rounding noise for MEG, so:
 * 85 % of the MEG and 95 % of the other thresholds equal, and no loss more than 1 % above.
 */
static void compare_search(const struct golden_case *golden, const struct way *way,
                           const struct golden_backend *on)
{
    const char *backend = on->name;
    struct golden_array expected = array_of(golden, way, "thresholds_bayes");
    struct golden_array candidates = array_of(golden, way, "threshold_candidates");
    struct golden_array losses = array_of(golden, way, "threshold_losses");
    const struct rejectd_fit_parameters parameters = fit_parameters(golden, way);
    const struct rejectd_compute_options options = {
        .backend = backend, .device = on->device, .n_threads = 2};
    struct rejectd_fit *fit = NULL;
    struct rejectd_error error = {0};
    size_t equal[2] = {0}, total[2] = {0};
    double worst = 0.0;
    bool ok = expected.values != NULL && candidates.values != NULL && losses.values != NULL &&
              rejectd_fit(&golden->epochs, &parameters, &options, &fit, &error) == REJECTD_OK;
    for (size_t i = 0; ok && i < golden->n_all_picks; i++) {
        const size_t meg = is_meg(golden, golden->all_picks[i]);
        const double found = fit->thresholds[golden->all_picks[i]];
        const bool same = relative(found, expected.values[i]) < 1e-6;
        total[meg]++;
        equal[meg] += same;
        const double loss = expected_loss(golden, &candidates, &losses, i, found);
        if (!same && !isnan(loss))
            worst = fmax(worst,
                         loss / expected_loss(golden, &candidates, &losses, i, expected.values[i]) -
                             1.0);
    }
    ok = ok && worst <= 0.01 && (double)equal[1] >= 0.85 * (double)total[1] &&
         (double)equal[0] >= 0.95 * (double)total[0];
    report(golden, backend, way, "bayesian search", ok,
           "%zu of %zu MEG, %zu of %zu other channels equal; loss above by at most %.2g%s",
           equal[1], total[1], equal[0], total[0], worst, error.message);
    rejectd_fit_free(fit);
    golden_array_free(&expected);
    golden_array_free(&candidates);
    golden_array_free(&losses);
}

/* ---- RANSAC ---- */

static double worst_correlation(const struct golden_array *expected,
                                const struct rejectd_ransac *ransac)
{
    double worst = 0.0;
    if (expected->n_values != ransac->n_epochs * ransac->n_picks)
        return INFINITY;
    for (size_t i = 0; i < expected->n_values; i++)
        worst = fmax(worst, isnan(expected->values[i]) == isnan(ransac->correlations[i])
                                ? fabs(expected->values[i] - ransac->correlations[i])
                                : INFINITY);
    return worst;
}

static bool same_bad_channels(const struct golden_case *golden, json_t *expected,
                              const struct rejectd_ransac *ransac)
{
    size_t n_bad = 0, n_found = 0;
    for (size_t c = 0; c < ransac->n_picks; c++) {
        size_t i;
        json_t *name;
        n_bad += ransac->bad[c];
        json_array_foreach(expected, i, name) n_found +=
            ransac->bad[c] != 0 &&
            strcmp(json_string_value(name), golden->channels[ransac->picks[c]].name) == 0;
    }
    return n_bad == json_array_size(expected) && n_found == n_bad;
}

static void compare_ransac_type(const struct golden_case *golden, const struct way *way,
                                const struct golden_backend *on, const char *type, json_t *about)
{
    const char *backend = on->name;
    json_t *params = json_object_get(about, "params");
    json_t *bad = json_object_get(about, "result");
    if (way->suffix[0] != '\0')
        bad = json_object_get(
            json_object_get(json_object_get(golden->expected, "exact_legendre"), "ransac_bad_chs_"),
            type);
    char file[32];
    snprintf(file, sizeof file, "ransac_corr_%s", type);
    struct golden_array expected = array_of(golden, way, file);
    size_t n_picks, *picks = read_list(json_object_get(about, "picks"), &n_picks);
    const struct rejectd_ransac_parameters parameters = {
        .n_resample = (size_t)json_integer_value(json_object_get(params, "n_resample")),
        .min_channels = json_number_value(json_object_get(params, "min_channels")),
        .min_corr = json_number_value(json_object_get(params, "min_corr")),
        .unbroken_time = json_number_value(json_object_get(params, "unbroken_time")),
        .random_state = (uint32_t)json_integer_value(json_object_get(params, "random_state")),
        .picks = picks,
        .n_picks = n_picks,
        .precision = REJECTD_FLOAT64,
        .meg_legendre = way->legendre,
    };
    const struct rejectd_compute_options options = {
        .backend = backend, .device = on->device, .n_threads = 2};
    struct rejectd_ransac *ransac = NULL;
    struct rejectd_error error = {0};
    const bool ok =
        rejectd_ransac(&golden->epochs, &parameters, &options, &ransac, &error) == REJECTD_OK;
    const double worst = ok ? worst_correlation(&expected, ransac) : INFINITY;
    report(golden, backend, way, file, worst < 1e-8, "largest error %.1e%s", worst, error.message);
    report(golden, backend, way, "ransac, bad channels",
           ok && json_is_array(bad) && same_bad_channels(golden, bad, ransac), "%s", type);
    rejectd_ransac_free(ransac);
    golden_array_free(&expected);
    free(picks);
}

static void compare_ransac(const struct golden_case *golden, const struct way *way,
                           const struct golden_backend *backend)
{
    const char *type;
    json_t *about;
    json_object_foreach(json_object_get(golden->expected, "ransac"), type, about)
    {
        if (strcmp(type, "eeg") != 0) /* that is in test_golden_more.c */
            compare_ransac_type(golden, way, backend, type, about);
    }
}

static void compare_case(const char *folder)
{
    struct golden_case golden;
    golden_open(&golden, folder);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        struct golden_array dots = array_of(&golden, &ways[w], "self_dots");
        const bool present = dots.values != NULL;
        golden_array_free(&dots);
        if (!present)
            continue;
        compare_dots(&golden, &ways[w]);
        compare_mapping(&golden, &ways[w], "mag");
        compare_mapping(&golden, &ways[w], "grad");
        compare_mapping(&golden, &ways[w], "meg_joint");
        for (int type = 0; type < REJECTD_CHANNEL_TYPE_COUNT; type++) {
            size_t n = 0, *picks = need(malloc(golden.n_all_picks * sizeof *picks)),
                   *positions = need(malloc(golden.n_all_picks * sizeof *positions));
            for (size_t i = 0; i < golden.n_all_picks; i++)
                if ((int)golden.channels[golden.all_picks[i]].type == type) {
                    positions[n] = i;
                    picks[n++] = golden.all_picks[i];
                }
            if (n > 0 && is_meg(&golden, picks[0])) {
                compare_leave_one_out(&golden, &ways[w], picks, n);
                for (size_t b = 0; golden_backend_at(b) != NULL; b++) {
                    compare_augmented(&golden, &ways[w], golden_backend_at(b), picks, positions, n);
                    compare_map_sets(&golden, &ways[w], golden_backend_at(b), picks, n);
                }
            }
            free(picks);
            free(positions);
        }
        for (size_t b = 0; golden_backend_at(b) != NULL; b++) {
            const struct golden_backend *backend = golden_backend_at(b);
            const size_t n = golden.n_all_picks;
            if (golden_affordable(backend, &golden, "fit, given thresholds",
                                  golden_medians(&golden, n, golden.cv)))
                compare_given_thresholds(&golden, &ways[w], backend);
            if (golden_affordable(backend, &golden, "whole fit",
                                  golden_medians(&golden, n, FOLDS_SHUFFLE_SPLITS + golden.cv)))
                compare_search(&golden, &ways[w], backend);
            if (golden_affordable(backend, &golden, "ransac", golden_medians_of_ransac(&golden, n)))
                compare_ransac(&golden, &ways[w], backend);
        }
    }
    golden_close(&golden);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"meg_triplets", "meg_axial", "mixed", "sample_meg"};
    const char *set = getenv("REJECTD_GOLDEN_DIR");
    const char *parents[] = {SOURCE_DIR "/tests/parity/data_meg",
                             set != NULL ? set : SOURCE_DIR "/../shared/golden"};
    for (int i = 1; i < argc; i++)
        compare_case(argv[i]);
    for (size_t p = 0; argc == 1 && p < 2; p++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            char path[1024], meta[1100];
            struct stat status;
            snprintf(path, sizeof path, "%s/%s", parents[p], names[i]);
            snprintf(meta, sizeof meta, "%s/meta.json", path);
            if (stat(meta, &status) == 0)
                compare_case(path);
        }
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed == 0 && n_passed > 0 ? 0 : 1;
}
