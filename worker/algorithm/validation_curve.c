#include "worker/algorithm/validation_curve.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/algorithm/checks.h"
#include "worker/algorithm/fit.h"
#include "worker/algorithm/folds.h"
#include "worker/algorithm/global_thresholds.h"
#include "worker/algorithm/progress.h"

enum { DEFAULT_PARAMS = 15 };

static enum rejectd_status check_range(const struct rejectd_validation_curve_parameters *parameters,
                                       struct rejectd_error *error)
{
    if (parameters->param_range == NULL)
        return REJECTD_OK;
    if (parameters->n_param_range < 1 || parameters->n_param_range > REJECTD_MAX_GRID)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.param_range",
                            "1 to %d values are accepted, not %zu", REJECTD_MAX_GRID,
                            parameters->n_param_range);
    for (size_t i = 0; i < parameters->n_param_range; i++)
        if (!isfinite(parameters->param_range[i])) {
            char field[48];
            snprintf(field, sizeof field, "parameters.param_range[%zu]", i);
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                                "%g is no threshold; a finite peak-to-peak amplitude is accepted",
                                parameters->param_range[i]);
        }
    return REJECTD_OK;
}

enum rejectd_status
validation_curve_check(const struct rejectd_epochs *epochs,
                       const struct rejectd_validation_curve_parameters *parameters,
                       struct rejectd_error *error)
{
    const size_t cv = parameters->cv != 0 ? parameters->cv : GLOBAL_THRESHOLDS_FOLDS;
    enum rejectd_status status = checks_shape(epochs, 2, error);
    if (status == REJECTD_OK)
        status = checks_cv(epochs, cv, error);
    if (status == REJECTD_OK)
        status = check_range(parameters, error);
    if (status != REJECTD_OK)
        return status;
    size_t n_picks, *picks;
    status = checks_resolve_copy(epochs, NULL, 0, &picks, &n_picks, error);
    free(picks);
    if (status == REJECTD_OK && n_picks == 0)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "channels",
                            "the dataset has no data channel that is not marked bad");
    return status;
}

void validation_curve_free(struct rejectd_validation_curve *curve)
{
    if (curve == NULL)
        return;
    free(curve->param_range);
    free(curve->train_scores);
    free(curve->test_scores);
    free(curve);
}

static enum rejectd_status curve_new(const struct rejectd_validation_curve_parameters *parameters,
                                     struct rejectd_validation_curve **curve,
                                     struct rejectd_error *error)
{
    struct rejectd_validation_curve *made = calloc(1, sizeof *made);
    *curve = made;
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    made->n_params = parameters->param_range != NULL ? parameters->n_param_range : DEFAULT_PARAMS;
    made->n_folds = parameters->cv != 0 ? parameters->cv : GLOBAL_THRESHOLDS_FOLDS;
    const size_t bytes = made->n_params * made->n_folds * sizeof(double);
    made->param_range = malloc(made->n_params * sizeof(double));
    made->train_scores = malloc(bytes);
    made->test_scores = malloc(bytes);
    if (made->param_range == NULL || made->train_scores == NULL || made->test_scores == NULL)
        return REJECTD_FAIL_MEMORY(error, bytes);
    return REJECTD_OK;
}

/* The given values, or numpy.linspace(least, most, 15) over the channels of all epochs. */
static void fill_range(const struct rejectd_validation_curve_parameters *parameters,
                       const double *ptp, size_t n, struct rejectd_validation_curve *curve)
{
    if (parameters->param_range != NULL) {
        memcpy(curve->param_range, parameters->param_range, curve->n_params * sizeof(double));
        return;
    }
    double least = ptp[0], most = ptp[0];
    for (size_t i = 1; i < n; i++) {
        least = fmin(least, ptp[i]);
        most = fmax(most, ptp[i]);
    }
    const double step = (most - least) / (DEFAULT_PARAMS - 1);
    for (size_t i = 0; i < DEFAULT_PARAMS - 1; i++)
        curve->param_range[i] = (double)i * step + least;
    curve->param_range[DEFAULT_PARAMS - 1] = most;
}

/* What of the epochs the losses need. */
struct ranking {
    double *ptp;        /* [E][C] */
    double *amplitudes; /* [E] */
    uint32_t *order;    /* [E] */
    uint32_t *kept;     /* [n_params] */
    uint16_t *fold;     /* [E] */
};

static void ranking_free(struct ranking *ranking)
{
    free(ranking->ptp);
    free(ranking->amplitudes);
    free(ranking->order);
    free(ranking->kept);
    free(ranking->fold);
}

static enum rejectd_status ranking_init(struct ranking *ranking, size_t n_epochs, size_t n_picks,
                                        size_t n_params, struct rejectd_error *error)
{
    *ranking = (struct ranking){
        .ptp = malloc(n_epochs * n_picks * sizeof(double)),
        .amplitudes = malloc(n_epochs * sizeof(double)),
        .order = malloc(n_epochs * sizeof(uint32_t)),
        .kept = malloc(n_params * sizeof(uint32_t)),
        .fold = malloc(n_epochs * sizeof(uint16_t)),
    };
    if (ranking->ptp == NULL || ranking->amplitudes == NULL || ranking->order == NULL ||
        ranking->kept == NULL || ranking->fold == NULL)
        return REJECTD_FAIL_MEMORY(error, n_epochs * n_picks * sizeof(double));
    return REJECTD_OK;
}

/* Scores are losses with the other sign. */
static enum rejectd_status negate(struct rejectd_validation_curve *curve,
                                  struct rejectd_error *error)
{
    for (size_t i = 0; i < curve->n_params * curve->n_folds; i++) {
        if (isnan(curve->test_scores[i]) || isnan(curve->train_scores[i]))
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "samples",
                                "the samples are too large to compute with; samples are in SI "
                                "units");
        curve->test_scores[i] = -curve->test_scores[i];
        curve->train_scores[i] = -curve->train_scores[i];
    }
    return REJECTD_OK;
}

static enum rejectd_status
evaluate(const struct backend *backend, const struct backend_samples *samples,
         const struct rejectd_validation_curve_parameters *parameters,
         const struct backend_options *options, struct progress *progress,
         struct rejectd_validation_curve *curve, struct rejectd_error *error)
{
    const size_t n = samples->n_epochs, n_picks = samples->n_picks;
    struct ranking ranking;
    struct backend_session *session = NULL;
    enum rejectd_status status = ranking_init(&ranking, n, n_picks, curve->n_params, error);
    if (status == REJECTD_OK)
        status = backend->open(samples, options, &session, error);
    progress_step(progress, "validation_curve", 0.0, 0.1);
    if (status == REJECTD_OK)
        status = backend->peak_to_peak(session, ranking.ptp, error);
    if (status == REJECTD_OK)
        status =
            global_rank_epochs(ranking.ptp, n, n_picks, ranking.order, ranking.amplitudes, error);
    if (status != REJECTD_OK)
        goto cleanup;
    fill_range(parameters, ranking.ptp, n * n_picks, curve);
    for (size_t i = 0; i < curve->n_params; i++)
        ranking.kept[i] = global_count_kept(ranking.amplitudes, n, curve->param_range[i]);
    folds_contiguous(n, curve->n_folds, ranking.fold);
    const struct backend_global global = {curve->n_folds, ranking.fold, ranking.order,
                                          curve->n_params, ranking.kept};
    progress_step(progress, "validation_curve", 0.1, 0.9);
    status =
        backend->global_losses(session, &global, curve->test_scores, curve->train_scores, error);
    if (status == REJECTD_OK)
        status = negate(curve, error);
cleanup:
    backend->close(session);
    ranking_free(&ranking);
    return status;
}

enum rejectd_status
validation_curve_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                     const struct rejectd_validation_curve_parameters *parameters,
                     const struct rejectd_compute_options *options,
                     struct rejectd_validation_curve **curve, struct rejectd_error *error)
{
    struct progress progress = {.monitor = &options->monitor};
    const struct backend_options backend_options =
        fit_backend_options(options, parameters->precision, &progress);
    struct rejectd_validation_curve *made = NULL;
    *curve = NULL;
    enum rejectd_status status = validation_curve_check(epochs, parameters, error);
    if (status != REJECTD_OK)
        return status;
    size_t n_picks, *picks;
    status = checks_resolve_copy(epochs, NULL, 0, &picks, &n_picks, error);
    if (status != REJECTD_OK)
        return status;
    const struct backend_samples samples = {
        .data = epochs->samples,
        .dtype = epochs->dtype,
        .n_epochs = epochs->n_epochs,
        .n_channels = epochs->n_channels,
        .n_times = epochs->n_times,
        .picks = picks,
        .n_picks = n_picks,
        .content = epochs->content,
        .content_epochs = epochs->n_epochs,
    };
    status = curve_new(parameters, &made, error);
    if (status == REJECTD_OK)
        status = evaluate(backend, &samples, parameters, &backend_options, &progress, made, error);
    free(picks);
    if (status != REJECTD_OK) {
        validation_curve_free(made);
        return status;
    }
    made->precision = backend->precision(&backend_options);
    *curve = made;
    return REJECTD_OK;
}
