#include "worker/algorithm/ransac.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "worker/algorithm/checks.h"
#include "worker/algorithm/fit.h"
#include "worker/algorithm/interpolation.h"
#include "worker/algorithm/mapping_maker.h"
#include "worker/algorithm/mt19937.h"
#include "worker/algorithm/progress.h"
#include "worker/algorithm/spline_mapping.h"
#include "worker/blas_threads.h"
#include "worker/meg/field_map.h"

static const double mappings_share = 0.05; /* of the whole call, for progress */

/* Picks of a subset, rounded as numpy.round() does: half to even. */
static size_t subset_size(double min_channels, size_t n_picks)
{
    return (size_t)nearbyint(min_channels * (double)n_picks);
}

static enum rejectd_status check_numbers(const struct rejectd_ransac_parameters *parameters,
                                         struct rejectd_error *error)
{
    if (parameters->n_resample < 1 || parameters->n_resample > REJECTD_MAX_RESAMPLE)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.n_resample",
                            "n_resample is %zu; 1 to %d subsets are accepted",
                            parameters->n_resample, REJECTD_MAX_RESAMPLE);
    if (!(parameters->min_channels > 0.0 && parameters->min_channels <= 1.0))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.min_channels",
                            "%g is outside (0, 1]: min_channels is a share of the channels",
                            parameters->min_channels);
    if (!(parameters->min_corr >= -1.0 && parameters->min_corr <= 1.0))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.min_corr",
                            "%g is outside [-1, 1]: min_corr is a correlation",
                            parameters->min_corr);
    if (!(parameters->unbroken_time >= 0.0 && parameters->unbroken_time <= 1.0))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.unbroken_time",
                            "%g is outside [0, 1]: unbroken_time is a share of the epochs",
                            parameters->unbroken_time);
    return REJECTD_OK;
}

static enum rejectd_status check_one_type(const struct rejectd_epochs *epochs, const size_t *picks,
                                          size_t n_picks, struct rejectd_error *error)
{
    const struct rejectd_channel *first = &epochs->channels[picks[0]];
    for (size_t i = 1; i < n_picks; i++) {
        const struct rejectd_channel *channel = &epochs->channels[picks[i]];
        if (channel->type != first->type)
            return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "parameters.picks",
                                "channel \"%s\" is of type %s and channel \"%s\" of type %s; "
                                "RANSAC takes one type at a time: pass \"picks\": [\"%s\"]",
                                first->name, checks_type_name(first->type), channel->name,
                                checks_type_name(channel->type), checks_type_name(first->type));
    }
    return REJECTD_OK;
}

/* RANSAC interpolates, which is not possible for every type that is analysed. */
static enum rejectd_status check_interpolated(const struct rejectd_epochs *epochs,
                                              const size_t *picks, size_t n_picks,
                                              struct rejectd_error *error)
{
    const struct rejectd_channel *first = &epochs->channels[picks[0]];
    enum rejectd_status status = checks_sensors(epochs, picks, n_picks, error);
    if (status == REJECTD_OK && interpolation_kind_of(first->type) == INTERPOLATION_NONE)
        status = REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "parameters.picks",
                              "channel \"%s\" is of type %s, which is not interpolated; RANSAC is "
                              "possible for eeg, mag and grad",
                              first->name, checks_type_name(first->type));
    return status;
}

static enum rejectd_status check_subsets(const struct rejectd_epochs *epochs, const size_t *picks,
                                         size_t n_picks, double min_channels,
                                         struct rejectd_error *error)
{
    const size_t n_samples = subset_size(min_channels, n_picks);
    size_t n_good = 0;
    for (size_t i = 0; i < n_picks; i++)
        n_good += !epochs->channels[picks[i]].bad;
    if (n_samples == 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.min_channels",
                            "%g of %zu channels rounds to no channel to predict from; more than "
                            "%g is accepted here",
                            min_channels, n_picks, 0.5 / (double)n_picks);
    if (n_samples > n_good)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "parameters.min_channels",
                            "%g of %zu channels is %zu, but only %zu of the picks are not marked "
                            "bad",
                            min_channels, n_picks, n_samples, n_good);
    return REJECTD_OK;
}

enum rejectd_status ransac_check(const struct rejectd_epochs *epochs,
                                 const struct rejectd_ransac_parameters *parameters,
                                 struct rejectd_error *error)
{
    enum rejectd_status status = checks_shape(epochs, 1, error);
    if (status == REJECTD_OK)
        status = checks_picks(epochs, parameters->picks, parameters->n_picks, error);
    if (status == REJECTD_OK)
        status = check_numbers(parameters, error);
    if (status != REJECTD_OK)
        return status;
    size_t n_picks, *picks;
    status = checks_resolve_copy(epochs, parameters->picks, parameters->n_picks, &picks, &n_picks,
                                 error);
    if (status != REJECTD_OK)
        return status;
    if (n_picks < 2)
        status =
            REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "parameters.picks",
                         "%zu channels are picked; RANSAC needs at least 2 of one type", n_picks);
    if (status == REJECTD_OK)
        status = check_one_type(epochs, picks, n_picks, error);
    if (status == REJECTD_OK)
        status = check_interpolated(epochs, picks, n_picks, error);
    if (status == REJECTD_OK)
        status = check_subsets(epochs, picks, n_picks, parameters->min_channels, error);
    free(picks);
    return status;
}

void ransac_free(struct rejectd_ransac *ransac)
{
    if (ransac == NULL)
        return;
    free(ransac->picks);
    free(ransac->correlations);
    free(ransac->bad);
    free(ransac->subsets);
    free(ransac);
}

/* A result with its picks, and room for the rest. */
static enum rejectd_status ransac_new(const struct rejectd_epochs *epochs,
                                      const struct rejectd_ransac_parameters *parameters,
                                      struct rejectd_ransac **ransac, struct rejectd_error *error)
{
    struct rejectd_ransac *made = calloc(1, sizeof *made);
    *ransac = made;
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    enum rejectd_status status = checks_resolve_copy(epochs, parameters->picks, parameters->n_picks,
                                                     &made->picks, &made->n_picks, error);
    if (status != REJECTD_OK)
        return status;
    made->n_epochs = epochs->n_epochs;
    made->n_resample = parameters->n_resample;
    made->n_samples = subset_size(parameters->min_channels, made->n_picks);
    made->correlations = malloc(made->n_epochs * made->n_picks * sizeof(double));
    made->bad = calloc(made->n_picks, 1);
    made->subsets = malloc(made->n_resample * made->n_samples * sizeof(uint32_t));
    if (made->correlations == NULL || made->bad == NULL || made->subsets == NULL)
        return REJECTD_FAIL_MEMORY(error, made->n_epochs * made->n_picks * sizeof(double));
    return REJECTD_OK;
}

/* numpy.random.RandomState(seed).choice(good picks, n_samples, replace=False), once a resample. */
static enum rejectd_status draw_subsets(const struct rejectd_epochs *epochs, uint32_t seed,
                                        struct rejectd_ransac *ransac, struct rejectd_error *error)
{
    uint32_t *good = malloc(2 * ransac->n_picks * sizeof *good);
    if (good == NULL)
        return REJECTD_FAIL_MEMORY(error, 2 * ransac->n_picks * sizeof *good);
    uint32_t *permutation = good + ransac->n_picks;
    size_t n_good = 0;
    for (size_t i = 0; i < ransac->n_picks; i++)
        if (!epochs->channels[ransac->picks[i]].bad)
            good[n_good++] = (uint32_t)i;
    struct mt19937 generator;
    mt19937_seed(&generator, seed);
    for (size_t r = 0; r < ransac->n_resample; r++) {
        memcpy(permutation, good, n_good * sizeof *good);
        mt19937_permute(&generator, permutation, n_good);
        memcpy(ransac->subsets + r * ransac->n_samples, permutation,
               ransac->n_samples * sizeof *permutation);
    }
    free(good);
    return REJECTD_OK;
}

static enum rejectd_status make_field_mapping(void *context, const size_t *from, size_t n_from,
                                              const size_t *to, size_t n_to, double *weights,
                                              struct rejectd_error *error)
{
    const int blas_threads_before = blas_threads_pin();
    enum rejectd_status status = field_map_between(context, from, n_from, to, n_to, weights, error);
    blas_threads_restore(blas_threads_before);
    return status;
}

static void free_field_map(void *context)
{
    field_map_close(context);
}

static enum rejectd_status open_splines(const struct rejectd_epochs *epochs,
                                        const struct rejectd_ransac *ransac,
                                        struct mapping_maker *maker, struct rejectd_error *error)
{
    double(*positions)[3] = malloc(ransac->n_picks * sizeof *positions);
    if (positions == NULL)
        return REJECTD_FAIL_MEMORY(error, ransac->n_picks * sizeof *positions);
    for (size_t i = 0; i < ransac->n_picks; i++)
        memcpy(positions[i], epochs->channels[ransac->picks[i]].position, sizeof positions[i]);
    enum rejectd_status status =
        spline_mapping_maker((const double(*)[3])positions, ransac->n_picks, maker, error);
    free(positions);
    return status;
}

/* The interpolation of the picks' type. */
static enum rejectd_status choose_maker(const struct rejectd_epochs *epochs,
                                        const struct rejectd_ransac *ransac,
                                        enum rejectd_meg_legendre legendre, int n_threads,
                                        struct mapping_maker *maker, struct rejectd_error *error)
{
    if (epochs->channels[ransac->picks[0]].type == REJECTD_CHANNEL_EEG)
        return open_splines(epochs, ransac, maker, error);
    struct field_map *map;
    enum rejectd_status status =
        field_map_open(epochs, ransac->picks, ransac->n_picks, legendre, n_threads, &map, error);
    if (status == REJECTD_OK)
        *maker = (struct mapping_maker){make_field_mapping, free_field_map, map};
    return status;
}

/* weights [n_resample][C][n_samples], owned by the caller. */
static enum rejectd_status make_weights(const struct mapping_maker *maker,
                                        const struct rejectd_ransac *ransac,
                                        struct progress *progress, double **weights,
                                        struct rejectd_error *error)
{
    const size_t c = ransac->n_picks, n = ransac->n_samples;
    size_t n_weights, bytes = SIZE_MAX, *places = malloc((c + n) * sizeof *places);
    if (places == NULL || !checked_multiply3(ransac->n_resample, c, n, &n_weights) ||
        !checked_multiply(n_weights, sizeof **weights, &bytes) ||
        (*weights = malloc(bytes)) == NULL) {
        free(places);
        return REJECTD_FAIL_MEMORY(error, bytes);
    }
    size_t *all = places, *subset = places + c;
    for (size_t i = 0; i < c; i++)
        all[i] = i;
    enum rejectd_status status = REJECTD_OK;
    for (size_t r = 0; r < ransac->n_resample && status == REJECTD_OK; r++) {
        for (size_t j = 0; j < n; j++)
            subset[j] = ransac->subsets[r * n + j];
        status = maker->make(maker->context, subset, n, all, c, *weights + r * c * n, error);
        if (status == REJECTD_OK &&
            !progress_advance(progress, (double)(r + 1) / (double)ransac->n_resample))
            status = REJECTD_FAIL(error, REJECTD_CANCELLED, "", "the work was cancelled");
    }
    free(places);
    return status;
}

static enum rejectd_status correlate(const struct backend *backend,
                                     const struct rejectd_epochs *epochs, const double *weights,
                                     const struct backend_options *options,
                                     struct rejectd_ransac *ransac, struct rejectd_error *error)
{
    const struct backend_samples samples = {
        .data = epochs->samples,
        .dtype = epochs->dtype,
        .n_epochs = epochs->n_epochs,
        .n_channels = epochs->n_channels,
        .n_times = epochs->n_times,
        .picks = ransac->picks,
        .n_picks = ransac->n_picks,
        .content = epochs->content,
        .content_epochs = epochs->n_epochs,
    };
    const struct backend_mappings mappings = {ransac->n_resample, ransac->n_samples,
                                              ransac->subsets, weights};
    struct backend_session *session;
    enum rejectd_status status = backend->open(&samples, options, &session, error);
    if (status == REJECTD_OK)
        status = backend->ransac_correlations(session, &mappings, ransac->correlations, error);
    backend->close(session);
    return status;
}

/* NaN, of a flat channel, is not poor: autoreject's comparison is false for it. */
static void judge(const struct rejectd_ransac_parameters *parameters, struct rejectd_ransac *ransac)
{
    const double most = parameters->unbroken_time * (double)ransac->n_epochs;
    for (size_t c = 0; c < ransac->n_picks; c++) {
        size_t n_poor = 0;
        for (size_t e = 0; e < ransac->n_epochs; e++)
            n_poor += ransac->correlations[e * ransac->n_picks + c] < parameters->min_corr;
        ransac->bad[c] = (double)n_poor > most;
    }
}

enum rejectd_status ransac_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                               const struct rejectd_ransac_parameters *parameters,
                               const struct rejectd_compute_options *options,
                               struct rejectd_ransac **ransac, struct rejectd_error *error)
{
    struct progress progress = {.monitor = &options->monitor};
    const struct backend_options backend_options =
        fit_backend_options(options, parameters->precision, &progress);
    struct mapping_maker maker = {0};
    struct rejectd_ransac *made = NULL;
    double *weights = NULL;
    *ransac = NULL;
    enum rejectd_status status = ransac_check(epochs, parameters, error);
    if (status == REJECTD_OK)
        status = ransac_new(epochs, parameters, &made, error);
    if (status == REJECTD_OK)
        status = draw_subsets(epochs, parameters->random_state, made, error);
    if (status == REJECTD_OK)
        status = choose_maker(epochs, made, parameters->meg_legendre, backend_options.n_threads,
                              &maker, error);
    progress_step(&progress, "mappings", 0.0, mappings_share);
    if (status == REJECTD_OK)
        status = make_weights(&maker, made, &progress, &weights, error);
    progress_step(&progress, "ransac", mappings_share, 1.0 - mappings_share);
    if (status == REJECTD_OK)
        status = correlate(backend, epochs, weights, &backend_options, made, error);
    if (maker.free != NULL)
        maker.free(maker.context);
    free(weights);
    if (status != REJECTD_OK) {
        ransac_free(made);
        return status;
    }
    made->precision = backend->precision(&backend_options);
    judge(parameters, made);
    *ransac = made;
    return REJECTD_OK;
}
