#include "worker/algorithm/global_thresholds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "worker/algorithm/checks.h"
#include "worker/algorithm/fit.h"
#include "worker/algorithm/folds.h"
#include "worker/algorithm/progress.h"
#include "worker/algorithm/threshold_search.h"

/* autoreject's list, in its order. */
static const enum rejectd_channel_type known_types[] = {
    REJECTD_CHANNEL_MAG, REJECTD_CHANNEL_GRAD, REJECTD_CHANNEL_EEG,  REJECTD_CHANNEL_EOG,
    REJECTD_CHANNEL_HBO, REJECTD_CHANNEL_HBR,  REJECTD_CHANNEL_ECOG, REJECTD_CHANNEL_SEEG};

enum { N_KNOWN_TYPES = sizeof known_types / sizeof known_types[0] };

static bool is_known(enum rejectd_channel_type type)
{
    for (size_t i = 0; i < N_KNOWN_TYPES; i++)
        if (known_types[i] == type)
            return true;
    return false;
}

static enum rejectd_status
check_types(const struct rejectd_global_thresholds_parameters *parameters,
            struct rejectd_error *error)
{
    if (parameters->ch_types == NULL)
        return REJECTD_OK;
    if (parameters->n_ch_types < 1 || parameters->n_ch_types > N_KNOWN_TYPES)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.ch_types",
                            "1 to %d types are accepted, not %zu", (int)N_KNOWN_TYPES,
                            parameters->n_ch_types);
    for (size_t i = 0; i < parameters->n_ch_types; i++) {
        char field[48];
        snprintf(field, sizeof field, "parameters.ch_types[%zu]", i);
        if (!is_known(parameters->ch_types[i]))
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                                "there is no global threshold for type %s; mag, grad, eeg, eog, "
                                "hbo, hbr, ecog and seeg are accepted",
                                checks_type_name(parameters->ch_types[i]));
        for (size_t j = 0; j < i; j++)
            if (parameters->ch_types[j] == parameters->ch_types[i])
                return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field, "type %s is given twice",
                                    checks_type_name(parameters->ch_types[i]));
    }
    return REJECTD_OK;
}

static enum rejectd_status
check_decimation(const struct rejectd_epochs *epochs,
                 const struct rejectd_global_thresholds_parameters *parameters,
                 struct rejectd_error *error)
{
    const size_t decim = parameters->decim > 0 ? parameters->decim : 1;
    if (decim > REJECTD_MAX_TIMES)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.decim",
                            "decim is %zu; 1 to %d are accepted", decim, REJECTD_MAX_TIMES);
    if (parameters->decim_start >= decim || parameters->decim_start >= epochs->n_times)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.decim",
                            "the first of every %zu samples is to be below %zu and one of the %zu "
                            "samples of an epoch, not sample %zu; take a smaller decim",
                            decim, decim, epochs->n_times, parameters->decim_start);
    return REJECTD_OK;
}

enum rejectd_status
global_thresholds_check(const struct rejectd_epochs *epochs,
                        const struct rejectd_global_thresholds_parameters *parameters,
                        struct rejectd_error *error)
{
    const size_t cv = parameters->cv != 0 ? parameters->cv : GLOBAL_THRESHOLDS_FOLDS;
    enum rejectd_status status = checks_shape(epochs, 2, error);
    if (status == REJECTD_OK)
        status = checks_cv(epochs, cv, error);
    if (status == REJECTD_OK)
        status = check_types(parameters, error);
    if (status == REJECTD_OK)
        status = check_decimation(epochs, parameters, error);
    return status;
}

void global_thresholds_free(struct rejectd_global_thresholds *thresholds)
{
    if (thresholds == NULL)
        return;
    free(thresholds->types);
    free(thresholds);
}

struct epoch {
    double amplitude;
    uint32_t number;
};

static int by_amplitude(const void *a, const void *b)
{
    const struct epoch *x = a, *y = b;
    if (x->amplitude != y->amplitude)
        return x->amplitude < y->amplitude ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

enum rejectd_status global_rank_epochs(const double *ptp, size_t n_epochs, size_t n_picks,
                                       uint32_t *order, double *amplitudes,
                                       struct rejectd_error *error)
{
    struct epoch *epochs = malloc(n_epochs * sizeof *epochs);
    if (epochs == NULL)
        return REJECTD_FAIL_MEMORY(error, n_epochs * sizeof *epochs);
    for (size_t e = 0; e < n_epochs; e++) {
        epochs[e] = (struct epoch){0.0, (uint32_t)e};
        for (size_t c = 0; c < n_picks; c++)
            epochs[e].amplitude = fmax(epochs[e].amplitude, ptp[e * n_picks + c]);
    }
    qsort(epochs, n_epochs, sizeof *epochs, by_amplitude);
    for (size_t e = 0; e < n_epochs; e++) {
        order[e] = epochs[e].number;
        amplitudes[e] = epochs[e].amplitude;
    }
    free(epochs);
    return REJECTD_OK;
}

uint32_t global_count_kept(const double *amplitudes, size_t n_epochs, double threshold)
{
    size_t low = 0, high = n_epochs;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (amplitudes[middle] <= threshold)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low;
}

/* The channels of one type while its threshold is sought. */
struct type_work {
    struct backend_samples samples;
    size_t *picks;   /* [n_channels] */
    void *decimated; /* [E][C][kept samples], or NULL: every sample is used */
    double *ptp;     /* [E][C] */
    uint32_t *order; /* [E] */
    uint32_t *kept;  /* [E] */
    uint16_t *fold;  /* [E] */
    double *amplitudes, *losses;
    double *fold_losses; /* [E][n_folds] */
};

static void work_free(struct type_work *work)
{
    free(work->picks);
    free(work->decimated);
    free(work->ptp);
    free(work->order);
    free(work->kept);
    free(work->fold);
    free(work->amplitudes);
    free(work->losses);
    free(work->fold_losses);
}

/* A copy of the picks with every decim-th sample. */
static enum rejectd_status decimate(struct type_work *work, size_t decim, size_t start,
                                    struct rejectd_error *error)
{
    struct backend_samples *s = &work->samples;
    const size_t item = s->dtype == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
    const size_t n_kept = (s->n_times - start + decim - 1) / decim;
    size_t n, bytes = SIZE_MAX;
    if (!checked_multiply3(s->n_epochs, s->n_picks, n_kept, &n) ||
        !checked_multiply(n, item, &bytes) || (work->decimated = malloc(bytes)) == NULL)
        return REJECTD_FAIL_MEMORY(error, bytes);
    char *out = work->decimated;
    for (size_t e = 0; e < s->n_epochs; e++)
        for (size_t c = 0; c < s->n_picks; c++) {
            const char *row =
                (const char *)s->data + (e * s->n_channels + work->picks[c]) * s->n_times * item;
            for (size_t t = start; t < s->n_times; t += decim, out += item)
                memcpy(out, row + t * item, item);
        }
    for (size_t c = 0; c < s->n_picks; c++)
        work->picks[c] = c;
    s->data = work->decimated;
    s->content = NULL;
    s->n_channels = s->n_picks;
    s->n_times = n_kept;
    return REJECTD_OK;
}

/* Picks the channels of a type that are not bad; samples.n_picks may be 0, and then no more is
 * allocated. */
static enum rejectd_status work_init(struct type_work *work, const struct rejectd_epochs *epochs,
                                     enum rejectd_channel_type type, size_t n_folds,
                                     struct rejectd_error *error)
{
    const size_t n = epochs->n_epochs;
    work->picks = malloc(epochs->n_channels * sizeof *work->picks);
    if (work->picks == NULL)
        return REJECTD_FAIL_MEMORY(error, epochs->n_channels * sizeof *work->picks);
    size_t n_picks = 0;
    for (size_t c = 0; c < epochs->n_channels; c++)
        if (epochs->channels[c].type == type && !epochs->channels[c].bad)
            work->picks[n_picks++] = c;
    work->samples = (struct backend_samples){
        .data = epochs->samples,
        .dtype = epochs->dtype,
        .n_epochs = n,
        .n_channels = epochs->n_channels,
        .n_times = epochs->n_times,
        .picks = work->picks,
        .n_picks = n_picks,
        .content = epochs->content,
        .content_epochs = n,
    };
    if (n_picks == 0)
        return REJECTD_OK;
    work->ptp = malloc(n * n_picks * sizeof(double));
    work->order = malloc(n * sizeof(uint32_t));
    work->kept = malloc(n * sizeof(uint32_t));
    work->fold = malloc(n * sizeof(uint16_t));
    work->amplitudes = malloc(n * sizeof(double));
    work->losses = malloc(n * sizeof(double));
    work->fold_losses = malloc(n * n_folds * sizeof(double));
    if (work->ptp == NULL || work->order == NULL || work->kept == NULL || work->fold == NULL ||
        work->amplitudes == NULL || work->losses == NULL || work->fold_losses == NULL)
        return REJECTD_FAIL_MEMORY(error, n * (n_picks + n_folds) * sizeof(double));
    return REJECTD_OK;
}

/* losses[i]: of the amplitude of rank i, mean over folds. */
static enum rejectd_status evaluate(const struct backend *backend,
                                    const struct backend_options *options, size_t n_folds,
                                    struct type_work *work, struct rejectd_error *error)
{
    const size_t n = work->samples.n_epochs;
    struct backend_session *session;
    enum rejectd_status status = backend->open(&work->samples, options, &session, error);
    if (status == REJECTD_OK)
        status = backend->peak_to_peak(session, work->ptp, error);
    if (status == REJECTD_OK)
        status = global_rank_epochs(work->ptp, n, work->samples.n_picks, work->order,
                                    work->amplitudes, error);
    if (status != REJECTD_OK)
        goto cleanup;
    folds_contiguous(n, n_folds, work->fold);
    for (size_t i = 0; i < n; i++)
        work->kept[i] = global_count_kept(work->amplitudes, n, work->amplitudes[i]);
    const struct backend_global global = {n_folds, work->fold, work->order, n, work->kept};
    status = backend->global_losses(session, &global, work->fold_losses, NULL, error);
    for (size_t i = 0; i < n && status == REJECTD_OK; i++) {
        double sum = 0.0;
        for (size_t f = 0; f < n_folds; f++)
            sum += work->fold_losses[i * n_folds + f];
        work->losses[i] = sum / (double)n_folds;
    }
cleanup:
    backend->close(session);
    return status;
}

static enum rejectd_status search(struct type_work *work, enum rejectd_channel_type type,
                                  struct rejectd_global_threshold *threshold,
                                  struct rejectd_error *error)
{
    const size_t n = work->samples.n_epochs;
    struct gaussian_process process;
    if (gaussian_process_init(&process, n) != 0)
        return REJECTD_FAIL_MEMORY(error, GAUSSIAN_PROCESS_MAX_POINTS * n * sizeof(double));
    const struct threshold found =
        threshold_search_global(work->amplitudes, work->losses, n, &process);
    gaussian_process_free(&process);
    *threshold = (struct rejectd_global_threshold){type, found.value, found.loss};
    /* The largest amplitude keeps every epoch: of finite samples its loss is finite, unless sums
     * or squares of them overflow. */
    if (!isfinite(found.loss) || !isfinite(found.value))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "samples",
                            "the samples of the %s channels are too large to compute with; samples "
                            "are in SI units",
                            checks_type_name(type));
    return REJECTD_OK;
}

/* Appends the threshold of one type, unless it has no channel. */
static enum rejectd_status run_type(const struct backend *backend,
                                    const struct rejectd_epochs *epochs,
                                    enum rejectd_channel_type type,
                                    const struct rejectd_global_thresholds_parameters *parameters,
                                    const struct backend_options *options,
                                    struct rejectd_global_thresholds *thresholds,
                                    struct rejectd_error *error)
{
    const size_t n_folds = parameters->cv != 0 ? parameters->cv : GLOBAL_THRESHOLDS_FOLDS;
    struct type_work work = {0};
    enum rejectd_status status = work_init(&work, epochs, type, n_folds, error);
    if (status == REJECTD_OK && work.samples.n_picks > 0) {
        if (parameters->decim > 1)
            status = decimate(&work, parameters->decim, parameters->decim_start, error);
        if (status == REJECTD_OK)
            status = evaluate(backend, options, n_folds, &work, error);
        if (status == REJECTD_OK)
            status = search(&work, type, &thresholds->types[thresholds->n_types++], error);
    }
    work_free(&work);
    return status;
}

enum rejectd_status
global_thresholds_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                      const struct rejectd_global_thresholds_parameters *parameters,
                      const struct rejectd_compute_options *options,
                      struct rejectd_global_thresholds **thresholds, struct rejectd_error *error)
{
    struct progress progress = {.monitor = &options->monitor};
    const struct backend_options backend_options =
        fit_backend_options(options, parameters->precision, &progress);
    const bool given = parameters->ch_types != NULL;
    const enum rejectd_channel_type *types = given ? parameters->ch_types : known_types;
    const size_t n_types = given ? parameters->n_ch_types : N_KNOWN_TYPES;
    *thresholds = NULL;
    enum rejectd_status status = global_thresholds_check(epochs, parameters, error);
    if (status != REJECTD_OK)
        return status;
    struct rejectd_global_thresholds *made = calloc(1, sizeof *made);
    if (made == NULL || (made->types = calloc(n_types, sizeof *made->types)) == NULL) {
        global_thresholds_free(made);
        return REJECTD_FAIL_MEMORY(error, n_types * sizeof *made->types);
    }
    for (size_t i = 0; i < n_types && status == REJECTD_OK; i++) {
        progress_step(&progress, "global_thresholds", (double)i / (double)n_types,
                      1.0 / (double)n_types);
        status = run_type(backend, epochs, types[i], parameters, &backend_options, made, error);
    }
    if (status != REJECTD_OK) {
        global_thresholds_free(made);
        return status;
    }
    made->precision = backend->precision(&backend_options);
    *thresholds = made;
    return REJECTD_OK;
}
