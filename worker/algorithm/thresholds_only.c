/* The thresholds of all channels without a choice of consensus: autoreject.compute_thresholds. */
#include <math.h>
#include <stdlib.h>

#include "worker/algorithm/checks.h"
#include "worker/algorithm/fit.h"
#include "worker/algorithm/type_work.h"

/* StratifiedShuffleSplit needs a test row of each class. */
static size_t least_epochs(const struct rejectd_thresholds_parameters *parameters)
{
    return parameters->without_augmentation ? 2 : 3;
}

enum rejectd_status thresholds_only_check(const struct rejectd_epochs *epochs,
                                          const struct rejectd_thresholds_parameters *parameters,
                                          struct rejectd_error *error)
{
    enum rejectd_status status = checks_shape(epochs, least_epochs(parameters), error);
    size_t n_picks, *picks = NULL;
    if (status == REJECTD_OK)
        status = checks_picks(epochs, parameters->picks, parameters->n_picks, error);
    if (status == REJECTD_OK)
        status = checks_resolve_copy(epochs, parameters->picks, parameters->n_picks, &picks,
                                     &n_picks, error);
    if (status == REJECTD_OK && n_picks == 0)
        status = REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "parameters.picks",
                              "no channel is picked; at least one of type %s that is not marked "
                              "bad is needed",
                              CHECKS_ANALYSED_TYPES);
    if (status == REJECTD_OK)
        status = parameters->without_augmentation ? checks_types(epochs, picks, n_picks, error)
                                                  : checks_sensors(epochs, picks, n_picks, error);
    free(picks);
    return status;
}

static enum rejectd_status search(struct type_work *work, const struct rejectd_epochs *epochs,
                                  const struct rejectd_thresholds_parameters *parameters,
                                  const struct rejectd_compute_options *options,
                                  struct progress *progress, struct rejectd_error *error)
{
    const struct type_outlook outlook = {.searches = options->share.n <= 1,
                                         .seed = parameters->random_state};
    enum rejectd_status status = REJECTD_OK;
    if (!parameters->without_augmentation)
        status = type_work_interpolate(work, epochs, parameters->meg_legendre, error);
    if (status == REJECTD_OK)
        status = type_work_open(work, parameters->precision, &outlook, options, progress, error);
    progress_step(progress, "thresholds", 0.0, 1.0);
    if (status == REJECTD_OK)
        status = type_work_search(work, epochs->channels, parameters->thresh_method,
                                  parameters->random_state, options, progress, error);
    return status;
}

static enum rejectd_status
search_type(const struct backend *backend, const struct rejectd_epochs *epochs, const size_t *picks,
            size_t n_picks, const struct rejectd_thresholds_parameters *parameters,
            const struct rejectd_compute_options *options, struct progress *progress,
            struct rejectd_thresholds *out, struct rejectd_error *error)
{
    struct type_work work = {.backend = backend};
    enum rejectd_status status = type_work_begin(&work, epochs, picks, n_picks, options, error);
    if (status == REJECTD_OK && options->found != NULL)
        status = type_work_take_found(&work, epochs->channels, options->found, error);
    else if (status == REJECTD_OK)
        status = search(&work, epochs, parameters, options, progress, error);
    for (size_t i = 0; i < n_picks && status == REJECTD_OK; i++) {
        out->thresholds[picks[i]] = work.thresholds[i];
        out->losses[picks[i]] = work.losses[i];
    }
    type_work_close(&work);
    return status;
}

static enum rejectd_status thresholds_new(size_t n_channels, struct rejectd_thresholds **thresholds,
                                          struct rejectd_error *error)
{
    struct rejectd_thresholds *made = calloc(1, sizeof *made);
    *thresholds = made;
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    made->n_channels = n_channels;
    made->thresholds = malloc(n_channels * sizeof(double));
    made->losses = malloc(n_channels * sizeof(double));
    if (made->thresholds == NULL || made->losses == NULL)
        return REJECTD_FAIL_MEMORY(error, n_channels * sizeof(double));
    for (size_t c = 0; c < n_channels; c++)
        made->thresholds[c] = made->losses[c] = NAN;
    return REJECTD_OK;
}

enum rejectd_status thresholds_only_run(const struct backend *backend,
                                        const struct rejectd_epochs *epochs,
                                        const struct rejectd_thresholds_parameters *parameters,
                                        const struct rejectd_compute_options *options,
                                        struct rejectd_thresholds **thresholds,
                                        struct rejectd_error *error)
{
    struct progress progress = {.monitor = &options->monitor};
    size_t n_picks = 0, n_done = 0, *picks = NULL, *same = NULL;
    *thresholds = NULL;
    enum rejectd_status status = thresholds_only_check(epochs, parameters, error);
    if (status != REJECTD_OK)
        return status;
    status = checks_resolve_copy(epochs, parameters->picks, parameters->n_picks, &picks, &n_picks,
                                 error);
    if (status == REJECTD_OK)
        status = thresholds_new(epochs->n_channels, thresholds, error);
    if (status == REJECTD_OK)
        (*thresholds)->precision = fit_precision(backend, options, parameters->precision);
    same = malloc((n_picks + 1) * sizeof *same);
    if (status == REJECTD_OK && same == NULL)
        status = REJECTD_FAIL_MEMORY(error, n_picks * sizeof *same);
    for (int type = 0; type < REJECTD_CHANNEL_TYPE_COUNT && status == REJECTD_OK; type++) {
        const size_t n =
            checks_picks_of_type(epochs, picks, n_picks, (enum rejectd_channel_type)type, same);
        if (n == 0)
            continue;
        progress_part(&progress, (double)n_done / (double)n_picks, (double)n / (double)n_picks);
        status = search_type(backend, epochs, same, n, parameters, options, &progress, *thresholds,
                             error);
        n_done += n;
    }
    free(picks);
    free(same);
    if (status != REJECTD_OK) {
        rejectd_thresholds_free(*thresholds);
        *thresholds = NULL;
    }
    return status;
}
