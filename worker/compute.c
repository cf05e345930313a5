/* The public library: chooses a backend and calls the algorithms. */
#include <rejectd/compute.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/algorithm/apply.h"
#include "worker/algorithm/checks.h"
#include "worker/algorithm/fit.h"
#include "worker/algorithm/global_thresholds.h"
#include "worker/algorithm/ransac.h"
#include "worker/algorithm/validation_curve.h"
#include "worker/backend.h"
#include "worker/devices.h"

static enum rejectd_status choose_backend(const struct rejectd_compute_options *options,
                                          const struct backend **backend,
                                          struct rejectd_error *error)
{
    struct backend_device *opened;
    if (options->device != NULL) {
        const enum rejectd_status status = device_backend(options->device, backend, &opened, error);
        if (status != REJECTD_OK || *backend != NULL)
            return status;
    }
    *backend = options->backend == NULL ? backend_at(0) : backend_find(options->backend);
    if (*backend == NULL)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "backend",
                            "there is no backend \"%s\"; \"cpu\" and \"reference\" are accepted",
                            options->backend);
    return REJECTD_OK;
}

enum rejectd_status rejectd_fit_check(const struct rejectd_epochs *epochs,
                                      const struct rejectd_fit_parameters *parameters,
                                      struct rejectd_error *error)
{
    return checks_fit(epochs, parameters, error);
}

enum rejectd_status rejectd_fit(const struct rejectd_epochs *epochs,
                                const struct rejectd_fit_parameters *parameters,
                                const struct rejectd_compute_options *options,
                                struct rejectd_fit **fit, struct rejectd_error *error)
{
    const struct backend *backend;
    *fit = NULL;
    enum rejectd_status status = choose_backend(options, &backend, error);
    if (status != REJECTD_OK)
        return status;
    return fit_run(backend, epochs, parameters, options, fit, error);
}

void rejectd_fit_free(struct rejectd_fit *fit)
{
    fit_free(fit);
}

enum rejectd_status rejectd_thresholds_check(const struct rejectd_epochs *epochs,
                                             const struct rejectd_thresholds_parameters *parameters,
                                             struct rejectd_error *error)
{
    return thresholds_only_check(epochs, parameters, error);
}

enum rejectd_status rejectd_thresholds(const struct rejectd_epochs *epochs,
                                       const struct rejectd_thresholds_parameters *parameters,
                                       const struct rejectd_compute_options *options,
                                       struct rejectd_thresholds **thresholds,
                                       struct rejectd_error *error)
{
    const struct backend *backend;
    *thresholds = NULL;
    enum rejectd_status status = choose_backend(options, &backend, error);
    if (status != REJECTD_OK)
        return status;
    return thresholds_only_run(backend, epochs, parameters, options, thresholds, error);
}

void rejectd_thresholds_free(struct rejectd_thresholds *thresholds)
{
    if (thresholds == NULL)
        return;
    free(thresholds->thresholds);
    free(thresholds->losses);
    free(thresholds);
}

enum rejectd_status rejectd_model_from_fit(const struct rejectd_fit *fit,
                                           const struct rejectd_epochs *epochs,
                                           struct rejectd_model **model,
                                           struct rejectd_error *error)
{
    *model = NULL;
    struct rejectd_model *made = calloc(1, sizeof *made);
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    made->channels = calloc(fit->n_channels, sizeof *made->channels);
    made->types = calloc(fit->n_types, sizeof *made->types);
    if (made->channels == NULL || made->types == NULL) {
        rejectd_model_free(made);
        return REJECTD_FAIL_MEMORY(error, fit->n_channels * sizeof *made->channels);
    }
    for (size_t c = 0; c < fit->n_channels; c++) {
        if (isnan(fit->thresholds[c]))
            continue;
        struct rejectd_model_channel *channel = &made->channels[made->n_channels++];
        memcpy(channel->name, epochs->channels[c].name, sizeof channel->name);
        channel->type = epochs->channels[c].type;
        channel->threshold = fit->thresholds[c];
    }
    for (; made->n_types < fit->n_types; made->n_types++)
        made->types[made->n_types] = (struct rejectd_model_type){
            .type = fit->types[made->n_types].type,
            .consensus = fit->types[made->n_types].consensus,
            .n_interpolate = fit->types[made->n_types].n_interpolate,
        };
    made->meg_legendre = fit->meg_legendre;
    *model = made;
    return REJECTD_OK;
}

void rejectd_model_free(struct rejectd_model *model)
{
    if (model == NULL)
        return;
    free(model->channels);
    free(model->types);
    free(model);
}

enum rejectd_status rejectd_apply_check(const struct rejectd_epochs *epochs,
                                        const struct rejectd_model *model,
                                        struct rejectd_error *error)
{
    return apply_check(epochs, model, error);
}

enum rejectd_status rejectd_apply(const struct rejectd_epochs *epochs,
                                  const struct rejectd_model *model,
                                  const struct rejectd_compute_options *options,
                                  struct rejectd_reject_log *log, struct rejectd_error *error)
{
    const struct backend *backend;
    *log = (struct rejectd_reject_log){0};
    enum rejectd_status status = choose_backend(options, &backend, error);
    if (status != REJECTD_OK)
        return status;
    return apply_run(backend, epochs, model, options, log, error);
}

void rejectd_reject_log_clear(struct rejectd_reject_log *log)
{
    free(log->labels);
    free(log->bad_epochs);
    *log = (struct rejectd_reject_log){0};
}

enum rejectd_status rejectd_log_check(const struct rejectd_epochs *epochs,
                                      const struct rejectd_model *model,
                                      const struct rejectd_reject_log *log,
                                      struct rejectd_error *error)
{
    return apply_check_log(epochs, model, log, error);
}

enum rejectd_status rejectd_clean_check(const struct rejectd_epochs *epochs,
                                        const struct rejectd_reject_log *log,
                                        const struct rejectd_clean_parameters *parameters,
                                        struct rejectd_error *error)
{
    return clean_check(epochs, log, parameters, error);
}

enum rejectd_status rejectd_clean(const struct rejectd_epochs *epochs,
                                  const struct rejectd_reject_log *log,
                                  const struct rejectd_clean_parameters *parameters,
                                  const struct rejectd_compute_options *options,
                                  const struct rejectd_sink *sink, struct rejectd_error *error)
{
    const struct backend *backend;
    enum rejectd_status status = choose_backend(options, &backend, error);
    if (status != REJECTD_OK)
        return status;
    return clean_run(backend, epochs, log, parameters, options, sink, error);
}

enum rejectd_status rejectd_ransac_check(const struct rejectd_epochs *epochs,
                                         const struct rejectd_ransac_parameters *parameters,
                                         struct rejectd_error *error)
{
    return ransac_check(epochs, parameters, error);
}

enum rejectd_status rejectd_ransac(const struct rejectd_epochs *epochs,
                                   const struct rejectd_ransac_parameters *parameters,
                                   const struct rejectd_compute_options *options,
                                   struct rejectd_ransac **ransac, struct rejectd_error *error)
{
    const struct backend *backend;
    *ransac = NULL;
    enum rejectd_status status = choose_backend(options, &backend, error);
    if (status != REJECTD_OK)
        return status;
    return ransac_run(backend, epochs, parameters, options, ransac, error);
}

void rejectd_ransac_free(struct rejectd_ransac *ransac)
{
    ransac_free(ransac);
}

enum rejectd_status
rejectd_global_thresholds_check(const struct rejectd_epochs *epochs,
                                const struct rejectd_global_thresholds_parameters *parameters,
                                struct rejectd_error *error)
{
    return global_thresholds_check(epochs, parameters, error);
}

enum rejectd_status
rejectd_global_thresholds(const struct rejectd_epochs *epochs,
                          const struct rejectd_global_thresholds_parameters *parameters,
                          const struct rejectd_compute_options *options,
                          struct rejectd_global_thresholds **thresholds,
                          struct rejectd_error *error)
{
    const struct backend *backend;
    *thresholds = NULL;
    enum rejectd_status status = choose_backend(options, &backend, error);
    if (status != REJECTD_OK)
        return status;
    return global_thresholds_run(backend, epochs, parameters, options, thresholds, error);
}

void rejectd_global_thresholds_free(struct rejectd_global_thresholds *thresholds)
{
    global_thresholds_free(thresholds);
}

size_t rejectd_decim_start(double tmin, double sfreq, size_t decim)
{
    /* The remainder that is not negative; rounded half to even, as Python does. */
    const double rest = fmod(nearbyint(-tmin * sfreq), (double)decim);
    return (size_t)(rest < 0.0 ? rest + (double)decim : rest);
}

enum rejectd_status
rejectd_validation_curve_check(const struct rejectd_epochs *epochs,
                               const struct rejectd_validation_curve_parameters *parameters,
                               struct rejectd_error *error)
{
    return validation_curve_check(epochs, parameters, error);
}

enum rejectd_status
rejectd_validation_curve(const struct rejectd_epochs *epochs,
                         const struct rejectd_validation_curve_parameters *parameters,
                         const struct rejectd_compute_options *options,
                         struct rejectd_validation_curve **curve, struct rejectd_error *error)
{
    const struct backend *backend;
    *curve = NULL;
    enum rejectd_status status = choose_backend(options, &backend, error);
    if (status != REJECTD_OK)
        return status;
    return validation_curve_run(backend, epochs, parameters, options, curve, error);
}

void rejectd_validation_curve_free(struct rejectd_validation_curve *curve)
{
    validation_curve_free(curve);
}

const char *rejectd_compute_description(const char *backend)
{
    const struct backend *found = backend == NULL ? backend_at(0) : backend_find(backend);
    return found == NULL ? NULL : found->describe();
}
