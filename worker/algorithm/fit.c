#include "worker/algorithm/fit.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "worker/algorithm/checks.h"
#include "worker/algorithm/local_cv.h"
#include "worker/algorithm/type_work.h"
#include "worker/algorithm/votes.h"
#include "worker/algorithm/warnings.h"
#include "worker/devices.h"

/* Shares of the whole fit, for progress. */
static const double thresholds_share = 0.75, local_cv_share = 0.25;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int fit_threads(const struct rejectd_compute_options *options)
{
    return options->n_threads > 0 ? options->n_threads : omp_get_num_procs();
}

struct backend_options fit_backend_options(const struct rejectd_compute_options *options,
                                           enum rejectd_dtype precision, struct progress *progress)
{
    return (struct backend_options){
        .device = device_opened(options->device),
        .n_threads = fit_threads(options),
        .precision = precision,
        .instruction_set = options->instruction_set,
        .progress = progress_for_backend(progress),
    };
}

enum rejectd_dtype fit_precision(const struct backend *backend,
                                 const struct rejectd_compute_options *options,
                                 enum rejectd_dtype precision)
{
    const struct backend_options asked = {.device = device_opened(options->device),
                                          .precision = precision};
    return backend->precision(&asked);
}

void fit_free(struct rejectd_fit *fit)
{
    if (fit == NULL)
        return;
    for (size_t i = 0; i < fit->n_types; i++) {
        free(fit->types[i].consensus_grid);
        free(fit->types[i].n_interpolate_grid);
        free(fit->types[i].loss);
    }
    free(fit->types);
    free(fit->thresholds);
    free(fit->threshold_losses);
    rejectd_reject_log_clear(&fit->log);
    free(fit->warnings);
    free(fit);
}

static enum rejectd_status fit_new(const struct rejectd_epochs *epochs, struct rejectd_fit **fit,
                                   struct rejectd_error *error)
{
    const size_t entries = epochs->n_epochs * epochs->n_channels;
    struct rejectd_fit *made = calloc(1, sizeof *made);
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    *fit = made;
    made->n_channels = epochs->n_channels;
    made->thresholds = malloc(epochs->n_channels * sizeof(double));
    made->threshold_losses = malloc(epochs->n_channels * sizeof(double));
    made->types = calloc(REJECTD_CHANNEL_TYPE_COUNT, sizeof *made->types);
    made->log = (struct rejectd_reject_log){
        .n_epochs = epochs->n_epochs,
        .n_channels = epochs->n_channels,
        .labels = malloc(entries),
        .bad_epochs = calloc(epochs->n_epochs, 1),
    };
    if (made->thresholds == NULL || made->threshold_losses == NULL || made->types == NULL ||
        made->log.labels == NULL || made->log.bad_epochs == NULL)
        return REJECTD_FAIL_MEMORY(error, entries);
    for (size_t c = 0; c < epochs->n_channels; c++)
        made->thresholds[c] = made->threshold_losses[c] = NAN;
    memset(made->log.labels, REJECTD_LABEL_NOT_CONSIDERED, entries);
    return REJECTD_OK;
}

/* The grids after defaults: numpy.linspace(0, 1, 11), and 1, 4, min(n_picks - 1, 32). */
static enum rejectd_status fill_grids(const struct rejectd_fit_parameters *parameters,
                                      size_t n_picks, struct rejectd_type_fit *type,
                                      struct rejectd_error *error)
{
    type->n_consensus = parameters->consensus != NULL ? parameters->n_consensus : 11;
    type->n_n_interpolate = parameters->n_interpolate != NULL ? parameters->n_n_interpolate : 3;
    type->n_folds = parameters->cv != 0 ? parameters->cv : 10;
    const size_t cells = type->n_consensus * type->n_n_interpolate * type->n_folds;
    type->consensus_grid = malloc(type->n_consensus * sizeof(double));
    type->n_interpolate_grid = malloc(type->n_n_interpolate * sizeof(int));
    type->loss = malloc(cells * sizeof(double));
    if (type->consensus_grid == NULL || type->n_interpolate_grid == NULL || type->loss == NULL)
        return REJECTD_FAIL_MEMORY(error, cells * sizeof(double));
    for (size_t k = 0; k < type->n_consensus; k++)
        type->consensus_grid[k] =
            parameters->consensus != NULL ? parameters->consensus[k] : (double)k * 0.1;
    const int defaults[3] = {1, 4, n_picks - 1 < 32 ? (int)n_picks - 1 : 32};
    for (size_t v = 0; v < type->n_n_interpolate; v++)
        type->n_interpolate_grid[v] =
            parameters->n_interpolate != NULL ? parameters->n_interpolate[v] : defaults[v];
    return REJECTD_OK;
}

/* Given thresholds, found ones, or the search for them; into the fit as well. */
static enum rejectd_status find_thresholds(struct type_work *work,
                                           const struct rejectd_channel *channels,
                                           const struct rejectd_fit_parameters *parameters,
                                           const struct rejectd_compute_options *options,
                                           struct progress *progress, struct rejectd_fit *fit,
                                           struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    progress_step(progress, "thresholds", 0.0, thresholds_share);
    if (parameters->thresholds != NULL)
        type_work_give_thresholds(work, parameters->thresholds);
    else if (options->found != NULL)
        status = type_work_take_found(work, channels, options->found, error);
    else
        status = type_work_search(work, channels, parameters->thresh_method,
                                  parameters->random_state, options, progress, error);
    for (size_t i = 0; i < work->samples.n_picks && status == REJECTD_OK; i++) {
        fit->thresholds[work->samples.picks[i]] = work->thresholds[i];
        fit->threshold_losses[work->samples.picks[i]] = work->losses[i];
    }
    return status;
}

static enum rejectd_status
fit_type(const struct backend *backend, const struct rejectd_epochs *epochs, const size_t *picks,
         size_t n_picks, size_t n_all_picks, const struct rejectd_fit_parameters *parameters,
         const struct rejectd_compute_options *options, struct progress *progress,
         struct rejectd_fit *fit, struct rejectd_error *error)
{
    struct type_work work = {.backend = backend};
    struct rejectd_type_fit *type = &fit->types[fit->n_types++];
    struct votes votes = {0};
    const double start = now();
    type->type = epochs->channels[picks[0]].type;
    enum rejectd_status status = fill_grids(parameters, n_all_picks, type, error);
    const struct type_outlook outlook = {
        .searches =
            parameters->thresholds == NULL && options->found == NULL && options->share.n <= 1,
        .seed = parameters->random_state,
        .n_folds = type->n_folds,
    };
    if (status == REJECTD_OK)
        status = type_work_begin(&work, epochs, picks, n_picks, options, error);
    if (status == REJECTD_OK)
        status = type_work_interpolate(&work, epochs, parameters->meg_legendre, error);
    if (status == REJECTD_OK)
        status = type_work_open(&work, parameters->precision, &outlook, options, progress, error);
    if (status == REJECTD_OK)
        status = warnings_about_flat(fit, epochs->channels, picks, n_picks, work.ptp,
                                     epochs->n_epochs, error);
    if (status == REJECTD_OK)
        status =
            find_thresholds(&work, epochs->channels, parameters, options, progress, fit, error);
    if (status == REJECTD_OK)
        status = votes_init(&votes, work.ptp, work.thresholds, epochs->n_epochs, n_picks,
                            work.n_threads, error);
    if (status != REJECTD_OK)
        goto cleanup;
    fit->seconds_thresholds += now() - start;

    const double cv_start = now();
    const struct local_cv_grid grid = {type->consensus_grid, type->n_consensus,
                                       type->n_interpolate_grid, type->n_n_interpolate,
                                       type->n_folds};
    struct local_cv_choice choice;
    status = local_cv_run(backend, work.session, &votes, &work.interpolation, &grid, progress,
                          1.0 - local_cv_share, local_cv_share, type->loss, &choice, error);
    if (status != REJECTD_OK)
        goto cleanup;
    type->consensus = type->consensus_grid[choice.consensus];
    type->n_interpolate = type->n_interpolate_grid[choice.n_interpolate];
    if (!choice.finite)
        status = warnings_add(fit, error, "no-finite-loss",
                              "every cell of the grid has an infinite loss; the first was taken");
    votes_fill_log(&votes, picks, type->consensus, type->n_interpolate, work.n_threads, &fit->log);
    fit->seconds_local_cv += now() - cv_start;
cleanup:
    votes_free(&votes);
    type_work_close(&work);
    return status;
}

/* Fits the picks of each type, in the order of their first channels, and joins the results. */
static enum rejectd_status fit_types(const struct backend *backend,
                                     const struct rejectd_epochs *epochs, const size_t *picks,
                                     size_t n_picks,
                                     const struct rejectd_fit_parameters *parameters,
                                     const struct rejectd_compute_options *options,
                                     struct rejectd_fit *fit, struct rejectd_error *error)
{
    struct progress progress = {.monitor = &options->monitor};
    bool done[REJECTD_CHANNEL_TYPE_COUNT] = {false};
    enum rejectd_status status = REJECTD_OK;
    size_t n_done = 0, *same = malloc(n_picks * sizeof *same);
    if (same == NULL)
        return REJECTD_FAIL_MEMORY(error, n_picks * sizeof *same);
    fit->meg_legendre = parameters->meg_legendre;
    fit->precision = fit_precision(backend, options, parameters->precision);
    for (size_t i = 0; i < n_picks && status == REJECTD_OK; i++) {
        const enum rejectd_channel_type type = epochs->channels[picks[i]].type;
        if (done[type])
            continue;
        done[type] = true;
        const size_t n = checks_picks_of_type(epochs, picks, n_picks, type, same);
        progress_part(&progress, (double)n_done / (double)n_picks, (double)n / (double)n_picks);
        status =
            fit_type(backend, epochs, same, n, n_picks, parameters, options, &progress, fit, error);
        n_done += n;
    }
    free(same);
    return status;
}

enum rejectd_status fit_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                            const struct rejectd_fit_parameters *parameters,
                            const struct rejectd_compute_options *options, struct rejectd_fit **fit,
                            struct rejectd_error *error)
{
    struct rejectd_fit *made = NULL;
    size_t n_picks = 0, *picks = NULL;
    *fit = NULL;
    enum rejectd_status status = checks_fit(epochs, parameters, error);
    if (status != REJECTD_OK)
        return status;
    status = checks_resolve_copy(epochs, parameters->picks, parameters->n_picks, &picks, &n_picks,
                                 error);
    if (status == REJECTD_OK)
        status = fit_new(epochs, &made, error);
    if (status == REJECTD_OK)
        status = fit_types(backend, epochs, picks, n_picks, parameters, options, made, error);
    if (status == REJECTD_OK)
        status = warnings_about_log(made, error);
    free(picks);
    if (status != REJECTD_OK) {
        fit_free(made);
        return status;
    }
    *fit = made;
    return REJECTD_OK;
}
