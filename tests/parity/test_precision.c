/*
 * Measures what the precisions of a GPU cost: whole fits in float32, float16 and bfloat16 against
 * the processor's in float64, on the cases of reference data and on simulated epochs.
 *
 *   test_precision [CASE FOLDER]...
 *
 * Prints a line for each fit, and for each precision the table of docs/numerics.md. Bounds are
 * those of `modes`; where there is no GPU, emulated or not, nothing is measured.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rejectd/compute.h>

#include "client/simulate/simulate.h"
#include "golden_backends.h"
#include "golden_case.h"
#include "golden_report.h"
#include "worker/algorithm/folds.h"

/*
 * With unit round-off u a sample is off by u of itself, a prediction, a weighed mean, by about u of
 * the largest sample X of its type, medians and means of such rows too, and a loss, of differences
 * of the two, by 2 u X. (An offset counts for X, and not for the loss: relative errors are the
 * larger for it, and only reported.) The rest is for sums in float32. A mode may choose another
 * threshold: a search decides between losses that differ by less than that. How many labels and
 * epochs may differ for it no theory tells: less than twice what was measured, and one per cent
 * where little was.
 */
static struct mode {
    const char *name;
    enum rejectd_dtype precision;
    double most_loss;   /* error of the losses of an exact search, as a share of X */
    double most_labels; /* share of labels that differ, over all fits */
    double most_epochs; /* share of epochs that are bad in one and not in the other */
    /* Measured: */
    double loss_of_largest;       /* error of a loss, as a share of X */
    double loss, grid, threshold; /* relative errors */
    size_t thresholds_near, n_thresholds, labels_differ, n_labels, epochs_differ, n_epochs;
    size_t choices_differ, n_choices;
} modes[] = {
    {.name = "float32",
     .precision = REJECTD_FLOAT32,
     .most_loss = 0x1p-20,
     .most_labels = 0.01,
     .most_epochs = 0.01},
    {.name = "float16",
     .precision = REJECTD_FLOAT16,
     .most_loss = 2 * 0x1p-11 + 0x1p-20,
     .most_labels = 0.02,
     .most_epochs = 0.01},
    {.name = "bfloat16",
     .precision = REJECTD_BFLOAT16,
     .most_loss = 2 * 0x1p-8 + 0x1p-20,
     .most_labels = 0.04,
     .most_epochs = 0.01},
};

enum { N_MODES = sizeof modes / sizeof modes[0] };

static const char *const methods[] = {
    [REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION] = "bayesian",
    [REJECTD_THRESHOLD_EXACT] = "exact",
};

static struct rejectd_fit *fit(const struct rejectd_epochs *epochs,
                               const struct rejectd_fit_parameters *parameters,
                               struct rejectd_device *device)
{
    const struct rejectd_compute_options options = {.device = device, .n_threads = 2};
    struct rejectd_error error;
    struct rejectd_fit *made;
    if (rejectd_fit(epochs, parameters, &options, &made, &error) == REJECTD_OK)
        return made;
    fprintf(stderr, "%s: %s\n", error.field, error.message);
    exit(2);
}

/* What one fit differs in. */
struct differences {
    double loss_of_largest, loss, grid, threshold;
    size_t thresholds, n_thresholds, labels, n_labels, epochs, n_epochs, choices, n_choices;
};

static double largest_of_channel(const struct rejectd_epochs *epochs, size_t channel)
{
    double largest = 0.0;
    for (size_t e = 0; e < epochs->n_epochs; e++)
        for (size_t t = 0; t < epochs->n_times; t++) {
            const size_t at = (e * epochs->n_channels + channel) * epochs->n_times + t;
            largest = fmax(largest, epochs->dtype == REJECTD_FLOAT64
                                        ? fabs(((const double *)epochs->samples)[at])
                                        : fabs((double)((const float *)epochs->samples)[at]));
        }
    return largest;
}

/* Of the channels with a threshold that have the type of this one. */
static double largest_sample(const struct rejectd_epochs *epochs, const struct rejectd_fit *fit,
                             size_t channel)
{
    double largest = 0.0;
    for (size_t c = 0; c < epochs->n_channels; c++)
        if (!isnan(fit->thresholds[c]) &&
            epochs->channels[c].type == epochs->channels[channel].type)
            largest = fmax(largest, largest_of_channel(epochs, c));
    return largest;
}

static struct differences compare(const struct rejectd_fit *found, const struct rejectd_fit *right,
                                  const struct rejectd_epochs *epochs)
{
    struct differences d = {.n_epochs = right->log.n_epochs, .n_choices = right->n_types};
    for (size_t c = 0; c < right->n_channels; c++) {
        if (isnan(right->thresholds[c]))
            continue;
        const double a = found->threshold_losses[c], b = right->threshold_losses[c];
        const double off = golden_relative(found->thresholds[c], right->thresholds[c]);
        d.n_thresholds++;
        d.thresholds += off > 0.01;
        d.threshold = fmax(d.threshold, off);
        d.loss = fmax(d.loss, golden_relative(a, b));
        if (a != b)
            d.loss_of_largest =
                fmax(d.loss_of_largest, fabs(a - b) / largest_sample(epochs, right, c));
    }
    for (size_t i = 0; i < right->n_types; i++) {
        const struct rejectd_type_fit *a = &found->types[i], *b = &right->types[i];
        d.choices += a->consensus != b->consensus || a->n_interpolate != b->n_interpolate;
        for (size_t at = 0; at < b->n_consensus * b->n_n_interpolate * b->n_folds; at++)
            if (isfinite(a->loss[at]) && isfinite(b->loss[at]))
                d.grid = fmax(d.grid, golden_relative(a->loss[at], b->loss[at]));
    }
    for (size_t at = 0; at < right->log.n_epochs * right->log.n_channels; at++) {
        d.n_labels += right->log.labels[at] != REJECTD_LABEL_NOT_CONSIDERED;
        d.labels += right->log.labels[at] != found->log.labels[at];
    }
    for (size_t e = 0; e < right->log.n_epochs; e++)
        d.epochs += right->log.bad_epochs[e] != found->log.bad_epochs[e];
    return d;
}

static void add(struct mode *mode, const struct differences *d, bool exact)
{
    if (exact) {
        mode->loss_of_largest = fmax(mode->loss_of_largest, d->loss_of_largest);
        mode->loss = fmax(mode->loss, d->loss);
    }
    mode->grid = fmax(mode->grid, d->grid);
    mode->threshold = fmax(mode->threshold, d->threshold);
    mode->thresholds_near += d->n_thresholds - d->thresholds;
    mode->n_thresholds += d->n_thresholds;
    mode->labels_differ += d->labels;
    mode->n_labels += d->n_labels;
    mode->epochs_differ += d->epochs;
    mode->n_epochs += d->n_epochs;
    mode->choices_differ += d->choices;
    mode->n_choices += d->n_choices;
}

static void measure(const char *name, const struct rejectd_epochs *epochs,
                    struct rejectd_fit_parameters parameters, struct rejectd_device *device,
                    enum rejectd_threshold_method method)
{
    parameters.thresh_method = method;
    parameters.precision = REJECTD_FLOAT64;
    struct rejectd_fit *right = fit(epochs, &parameters, NULL);
    for (size_t i = 0; i < N_MODES; i++) {
        parameters.precision = modes[i].precision;
        struct rejectd_fit *found = fit(epochs, &parameters, device);
        const struct differences d = compare(found, right, epochs);
        printf("%s, %s, %s: losses %.1e, grid %.1e; %zu of %zu thresholds, %zu of %zu labels, %zu "
               "of %zu epochs, %zu of %zu choices differ\n",
               name, methods[method], modes[i].name, d.loss, d.grid, d.thresholds, d.n_thresholds,
               d.labels, d.n_labels, d.epochs, d.n_epochs, d.choices, d.n_choices);
        add(&modes[i], &d, method == REJECTD_THRESHOLD_EXACT);
        rejectd_fit_free(found);
    }
    rejectd_fit_free(right);
}

static void measure_both(const char *name, const struct rejectd_epochs *epochs,
                         const struct rejectd_fit_parameters *parameters,
                         struct rejectd_device *device)
{
    measure(name, epochs, *parameters, device, REJECTD_THRESHOLD_EXACT);
    measure(name, epochs, *parameters, device, REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION);
}

static const struct golden_backend *the_gpu(void)
{
    for (size_t b = 0; golden_backend_at(b) != NULL; b++)
        if (golden_backend_at(b)->device != NULL)
            return golden_backend_at(b);
    return NULL;
}

static void measure_case(const char *folder)
{
    struct golden_case golden;
    golden_open(&golden, folder);
    struct rejectd_fit_parameters parameters = golden_parameters(&golden);
    if (golden.n_all_picks > golden.n_picks) {
        parameters.picks = golden.all_picks;
        parameters.n_picks = golden.n_all_picks;
    }
    if (golden_affordable(
            the_gpu(), &golden, "precisions",
            golden_medians(&golden, parameters.n_picks, 2 * (FOLDS_SHUFFLE_SPLITS + golden.cv))))
        measure_both(golden.name, &golden.epochs, &parameters, the_gpu()->device);
    golden_close(&golden);
}

static void measure_simulated(size_t n_epochs, size_t n_channels, uint64_t seed)
{
    const struct simulate_request request = {.n_epochs = n_epochs,
                                             .n_channels = n_channels,
                                             .n_times = 64,
                                             .sfreq = 250.0,
                                             .tmin = -0.2,
                                             .dtype = REJECTD_FLOAT64,
                                             .seed = seed};
    const struct rejectd_fit_parameters parameters = {.random_state = 42};
    struct simulated_epochs made;
    struct rejectd_error error;
    char name[64];
    if (simulate_epochs(&request, &made, &error) != REJECTD_OK)
        exit(2);
    snprintf(name, sizeof name, "simulated %zu x %zu", n_epochs, n_channels);
    measure_both(name, &made.epochs, &parameters, the_gpu()->device);
    simulate_free(&made);
}

static double share(size_t part, size_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0.0;
}

/* The table of the documentation, and whether the mode keeps to its bounds. */
static bool judge(const struct mode *mode)
{
    const double labels = share(mode->labels_differ, mode->n_labels);
    const double epochs = share(mode->epochs_differ, mode->n_epochs);
    const bool ok = mode->n_thresholds > 0 && mode->loss_of_largest <= mode->most_loss &&
                    labels <= mode->most_labels && epochs <= mode->most_epochs;
    printf("| %s | %.1e | %.1e | %zu of %zu | %.1e | %zu of %zu | %zu of %zu | %zu of %zu |\n",
           mode->name, mode->loss, mode->grid, mode->thresholds_near, mode->n_thresholds,
           mode->threshold, mode->labels_differ, mode->n_labels, mode->epochs_differ,
           mode->n_epochs, mode->choices_differ, mode->n_choices);
    printf("%s %s: losses of an exact search to %.1e of the largest sample (at most %.1e), %.2f %% "
           "of labels (%.2f), "
           "%.2f %% of epochs (%.2f)\n",
           ok ? "ok  " : "FAIL", mode->name, mode->loss_of_largest, mode->most_loss, 100 * labels,
           100 * mode->most_labels, 100 * epochs, 100 * mode->most_epochs);
    return ok;
}

int main(int argc, char **argv)
{
    size_t n_failed = 0;
    if (the_gpu() == NULL)
        return 0;
    golden_each_case(argc, argv, true, measure_case);
    for (uint64_t seed = 1; seed <= 3; seed++)
        measure_simulated(60, 12, seed);
    measure_simulated(150, 8, 4);
    printf("| precision | losses | grid | thresholds within 1 %% | largest error of one | labels "
           "differ | bad "
           "epochs differ | choices differ |\n|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < N_MODES; i++)
        n_failed += !judge(&modes[i]);
    printf("%zu passed, %zu failed\n", N_MODES - n_failed, n_failed);
    return n_failed == 0 ? 0 : 1;
}
