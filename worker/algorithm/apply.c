#include "worker/algorithm/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/algorithm/checks.h"
#include "worker/algorithm/fit.h"
#include "worker/algorithm/progress.h"
#include "worker/algorithm/votes.h"

/* Index of the channel of that name, or n_channels. */
static size_t find_channel(const struct rejectd_epochs *epochs, const char *name)
{
    size_t c = 0;
    while (c < epochs->n_channels && strcmp(epochs->channels[c].name, name) != 0)
        c++;
    return c;
}

struct pick {
    size_t channel;
    double threshold;
};

static int by_channel(const void *a, const void *b)
{
    const struct pick *x = a, *y = b;
    return (x->channel > y->channel) - (x->channel < y->channel);
}

/* The channels of the model in the order of the dataset. picks [model->n_channels]. */
static enum rejectd_status match_channels(const struct rejectd_epochs *epochs,
                                          const struct rejectd_model *model, struct pick *picks,
                                          struct rejectd_error *error)
{
    for (size_t i = 0; i < model->n_channels; i++) {
        const struct rejectd_model_channel *wanted = &model->channels[i];
        size_t c = find_channel(epochs, wanted->name);
        if (c == epochs->n_channels)
            return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "channels",
                                "the dataset has no channel \"%s\", which the model was fitted on",
                                wanted->name);
        if (epochs->channels[c].type != wanted->type) {
            char field[48];
            snprintf(field, sizeof field, "channels[%zu].type", c);
            return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, field,
                                "channel \"%s\" is of type %s; the model was fitted on type %s",
                                wanted->name, checks_type_name(epochs->channels[c].type),
                                checks_type_name(wanted->type));
        }
        picks[i] = (struct pick){c, wanted->threshold};
    }
    qsort(picks, model->n_channels, sizeof *picks, by_channel);
    return REJECTD_OK;
}

static const struct rejectd_model_type *find_type(const struct rejectd_model *model,
                                                  enum rejectd_channel_type type)
{
    for (size_t i = 0; i < model->n_types; i++)
        if (model->types[i].type == type)
            return &model->types[i];
    return NULL;
}

static enum rejectd_status check_model(const struct rejectd_model *model,
                                       struct rejectd_error *error)
{
    if (model->n_channels < 2)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "model",
                            "the model has %zu channels; at least 2 are needed", model->n_channels);
    for (size_t i = 0; i < model->n_channels; i++)
        if (find_type(model, model->channels[i].type) == NULL)
            return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "model",
                                "the model has channels of type %s and no consensus for them",
                                checks_type_name(model->channels[i].type));
    return REJECTD_OK;
}

enum rejectd_status apply_check(const struct rejectd_epochs *epochs,
                                const struct rejectd_model *model, struct rejectd_error *error)
{
    enum rejectd_status status = checks_shape(epochs, 1, error);
    if (status != REJECTD_OK)
        return status;
    status = check_model(model, error);
    if (status != REJECTD_OK)
        return status;
    struct pick *picks = malloc(model->n_channels * sizeof *picks);
    size_t *channels = malloc(model->n_channels * sizeof *channels);
    if (picks == NULL || channels == NULL)
        status = REJECTD_FAIL_MEMORY(error, model->n_channels * sizeof *picks);
    if (status == REJECTD_OK)
        status = match_channels(epochs, model, picks, error);
    for (size_t i = 0; i < model->n_channels && status == REJECTD_OK; i++)
        channels[i] = picks[i].channel;
    if (status == REJECTD_OK)
        status = checks_sensors(epochs, channels, model->n_channels, error);
    free(picks);
    free(channels);
    return status;
}

/* An empty log: nothing considered, nothing bad. */
static enum rejectd_status log_init(struct rejectd_reject_log *log, size_t n_epochs,
                                    size_t n_channels, struct rejectd_error *error)
{
    *log = (struct rejectd_reject_log){
        .n_epochs = n_epochs,
        .n_channels = n_channels,
        .labels = malloc(n_epochs * n_channels),
        .bad_epochs = calloc(n_epochs, 1),
    };
    if (log->labels == NULL || log->bad_epochs == NULL)
        return REJECTD_FAIL_MEMORY(error, n_epochs * n_channels);
    memset(log->labels, REJECTD_LABEL_NOT_CONSIDERED, n_epochs * n_channels);
    return REJECTD_OK;
}

static enum rejectd_status
measure_ptp(const struct backend *backend, const struct rejectd_epochs *epochs, const size_t *picks,
            size_t n_picks, const struct rejectd_compute_options *options,
            struct progress *progress, double *ptp, struct rejectd_error *error)
{
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
    const struct backend_options backend_options =
        fit_backend_options(options, REJECTD_PRECISION_DEFAULT, progress);
    struct backend_session *session;
    enum rejectd_status status = backend->open(&samples, &backend_options, &session, error);
    if (status == REJECTD_OK)
        status = backend->peak_to_peak(session, ptp, error);
    backend->close(session);
    return status;
}

/* The votes of one type's channels, matched [n] of the model, into the log. */
static enum rejectd_status vote(const struct backend *backend, const struct rejectd_epochs *epochs,
                                const struct rejectd_model_type *type, const struct pick *matched,
                                size_t n, const struct rejectd_compute_options *options,
                                struct progress *progress, struct rejectd_reject_log *log,
                                struct rejectd_error *error)
{
    struct votes votes = {0};
    size_t n_picks = 0, *picks = malloc(n * sizeof *picks);
    double *thresholds = malloc(n * sizeof *thresholds);
    double *ptp = malloc(epochs->n_epochs * n * sizeof *ptp);
    enum rejectd_status status = REJECTD_OK;
    if (picks == NULL || thresholds == NULL || ptp == NULL) {
        status = REJECTD_FAIL_MEMORY(error, epochs->n_epochs * n * sizeof *ptp);
        goto cleanup;
    }
    for (size_t i = 0; i < n; i++)
        if (epochs->channels[matched[i].channel].type == type->type) {
            picks[n_picks] = matched[i].channel;
            thresholds[n_picks++] = matched[i].threshold;
        }
    if (n_picks == 0)
        goto cleanup;
    status = measure_ptp(backend, epochs, picks, n_picks, options, progress, ptp, error);
    if (status == REJECTD_OK)
        status = votes_init(&votes, ptp, thresholds, epochs->n_epochs, n_picks,
                            fit_threads(options), error);
    if (status == REJECTD_OK)
        votes_fill_log(&votes, picks, type->consensus, type->n_interpolate, fit_threads(options),
                       log);
cleanup:
    votes_free(&votes);
    free(picks);
    free(thresholds);
    free(ptp);
    return status;
}

enum rejectd_status apply_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                              const struct rejectd_model *model,
                              const struct rejectd_compute_options *options,
                              struct rejectd_reject_log *log, struct rejectd_error *error)
{
    *log = (struct rejectd_reject_log){0};
    enum rejectd_status status = apply_check(epochs, model, error);
    if (status != REJECTD_OK)
        return status;
    const size_t n = model->n_channels;
    struct pick *matched = malloc(n * sizeof *matched);
    if (matched == NULL)
        return REJECTD_FAIL_MEMORY(error, n * sizeof *matched);
    status = match_channels(epochs, model, matched, error);
    if (status == REJECTD_OK)
        status = log_init(log, epochs->n_epochs, epochs->n_channels, error);
    struct progress progress = {.monitor = &options->monitor};
    for (size_t i = 0; i < model->n_types && status == REJECTD_OK; i++) {
        const double share = 1.0 / (double)model->n_types;
        progress_step(&progress, "apply", (double)i * share, share);
        status =
            vote(backend, epochs, &model->types[i], matched, n, options, &progress, log, error);
    }
    free(matched);
    if (status != REJECTD_OK)
        rejectd_reject_log_clear(log);
    return status;
}

/* Labels are -1 exactly where the model has no channel. */
static enum rejectd_status check_considered(const struct rejectd_epochs *epochs,
                                            const struct rejectd_reject_log *log,
                                            const bool *in_model, struct rejectd_error *error)
{
    for (size_t e = 0; e < log->n_epochs; e++)
        for (size_t c = 0; c < log->n_channels; c++) {
            const int8_t label = log->labels[e * log->n_channels + c];
            if ((label != REJECTD_LABEL_NOT_CONSIDERED) == in_model[c])
                continue;
            return REJECTD_FAIL(
                error, REJECTD_INVALID_VALUE, "labels",
                "the label of channel \"%s\" in epoch %zu is %d; the model has %s "
                "channel, which %s",
                epochs->channels[c].name, e, label, in_model[c] ? "this" : "no such",
                in_model[c] ? "is 0, 1 or 2 in every epoch" : "is -1 in every epoch");
        }
    return REJECTD_OK;
}

enum rejectd_status apply_check_log(const struct rejectd_epochs *epochs,
                                    const struct rejectd_model *model,
                                    const struct rejectd_reject_log *log,
                                    struct rejectd_error *error)
{
    enum rejectd_status status = apply_check(epochs, model, error);
    if (status == REJECTD_OK)
        status = clean_check(epochs, log, &(struct rejectd_clean_parameters){0}, error);
    if (status != REJECTD_OK)
        return status;
    struct pick *picks = malloc(model->n_channels * sizeof *picks);
    bool *in_model = calloc(epochs->n_channels, sizeof *in_model);
    if (picks == NULL || in_model == NULL)
        status = REJECTD_FAIL_MEMORY(error, model->n_channels * sizeof *picks);
    if (status == REJECTD_OK)
        status = match_channels(epochs, model, picks, error);
    for (size_t i = 0; i < model->n_channels && status == REJECTD_OK; i++)
        in_model[picks[i].channel] = true;
    if (status == REJECTD_OK)
        status = check_considered(epochs, log, in_model, error);
    free(picks);
    free(in_model);
    return status;
}
