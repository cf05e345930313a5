/*
 * Repaired epochs, streamed: a few epochs at a time are repaired on the backend and handed to the
 * sink, so that memory does not grow with the dataset.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/algorithm/apply.h"
#include "worker/algorithm/checks.h"
#include "worker/algorithm/fit.h"
#include "worker/algorithm/interpolation.h"

static const size_t batch_bytes = (size_t)64 << 20; /* of repaired rows, at most, per batch */

/* The channels of the log that are interpolated from each other, and their repairs in a batch. */
struct family {
    enum interpolation_kind kind;
    size_t *picks; /* [n_channels] */
    size_t n_picks;
    size_t n_repaired; /* entries of the whole log */
    struct interpolation interpolation;
    double *predictions; /* [n_picks][batch][T], where each is left out */
    size_t *offsets;     /* [batch + 1] */
    uint16_t *channels;  /* [batch * n_picks] */
    uint16_t *prefix;    /* [batch] */
    struct backend_session *session;
};

enum { FAMILIES = 2 };

static const enum interpolation_kind family_kinds[FAMILIES] = {INTERPOLATION_SPLINE,
                                                               INTERPOLATION_FIELD_MAP};

/* Epochs whose electrodes are seen from the origin of their sphere. */
struct centred {
    struct rejectd_epochs epochs;
    struct rejectd_channel *channels; /* owned; NULL where nothing moved */
};

#define FAIL_NOTHING_LEFT(error, epoch)                                                            \
    REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "labels",                                           \
                 "every sensor of epoch %zu is to be interpolated: none is left to interpolate "   \
                 "from",                                                                           \
                 epoch)

/* What cleaning works with from batch to batch. */
struct cleaner {
    const struct backend *backend;
    const struct rejectd_epochs *epochs;
    const struct rejectd_reject_log *log;
    const struct rejectd_clean_parameters *parameters;
    const struct rejectd_compute_options *options;
    const struct rejectd_sink *sink;
    struct progress progress;
    struct family families[FAMILIES];
    size_t epoch_bytes;
    size_t batch; /* epochs */
    double *rows; /* [C][T] */
    char *epoch;  /* one repaired epoch in the dataset's dtype */
};

static void cleaner_free(struct cleaner *cleaner)
{
    for (size_t f = 0; f < FAMILIES; f++) {
        struct family *family = &cleaner->families[f];
        interpolation_close(&family->interpolation);
        free(family->picks);
        free(family->predictions);
        free(family->offsets);
        free(family->channels);
        free(family->prefix);
    }
    free(cleaner->rows);
    free(cleaner->epoch);
}

/* centred_free() it, also after an error. */
static enum rejectd_status centred_init(struct centred *centred,
                                        const struct rejectd_epochs *epochs, const double origin[3],
                                        struct rejectd_error *error)
{
    *centred = (struct centred){.epochs = *epochs};
    for (int axis = 0; axis < 3; axis++)
        if (!isfinite(origin[axis]))
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "origin",
                                "the origin of the electrodes' sphere is not finite");
    if (origin[0] == 0.0 && origin[1] == 0.0 && origin[2] == 0.0)
        return REJECTD_OK;
    centred->channels = malloc(epochs->n_channels * sizeof *centred->channels);
    if (centred->channels == NULL)
        return REJECTD_FAIL_MEMORY(error, epochs->n_channels * sizeof *centred->channels);
    memcpy(centred->channels, epochs->channels, epochs->n_channels * sizeof *centred->channels);
    for (size_t c = 0; c < epochs->n_channels; c++)
        for (int axis = 0; axis < 3; axis++)
            centred->channels[c].position[axis] -= origin[axis];
    centred->epochs.channels = centred->channels;
    return REJECTD_OK;
}

static void centred_free(struct centred *centred)
{
    free(centred->channels);
}

/* Whether an epoch in which n sensors of a family are replaced has any to predict one of them. */
static bool has_sources(const struct cleaner *cleaner, const struct family *family, size_t n)
{
    return n == 0 ||
           (cleaner->parameters->leave_one_out ? family->n_picks > 1 : family->n_picks > n);
}

/* Channels that some epoch of the log considers, and how many entries are to be repaired. */
static void list_picks(const struct cleaner *cleaner, struct family *family)
{
    const struct rejectd_reject_log *log = cleaner->log;
    for (size_t c = 0; c < log->n_channels; c++) {
        bool considered = false;
        if (interpolation_kind_of(cleaner->epochs->channels[c].type) != family->kind)
            continue;
        for (size_t e = 0; e < log->n_epochs; e++) {
            int8_t label = log->labels[e * log->n_channels + c];
            considered |= label != REJECTD_LABEL_NOT_CONSIDERED;
            family->n_repaired += label == REJECTD_LABEL_INTERPOLATED && !log->bad_epochs[e];
        }
        if (considered)
            family->picks[family->n_picks++] = c;
    }
}

/* Where the log repairs nothing of a family, its sensors may be anywhere. */
static enum rejectd_status family_init(struct cleaner *cleaner, enum interpolation_kind kind,
                                       struct family *family, struct rejectd_error *error)
{
    const size_t c = cleaner->epochs->n_channels;
    family->kind = kind;
    family->picks = malloc(c * sizeof(size_t));
    if (family->picks == NULL)
        return REJECTD_FAIL_MEMORY(error, c * sizeof(size_t));
    list_picks(cleaner, family);
    if (family->n_repaired == 0)
        return REJECTD_OK;
    const size_t n = family->n_picks;
    family->offsets = malloc((cleaner->batch + 1) * sizeof(size_t));
    family->channels = malloc(cleaner->batch * n * sizeof(uint16_t));
    family->prefix = malloc(cleaner->batch * sizeof(uint16_t));
    if (family->offsets == NULL || family->channels == NULL || family->prefix == NULL)
        return REJECTD_FAIL_MEMORY(error, cleaner->batch * n * sizeof(uint16_t));
    const size_t predictions = n * cleaner->batch * cleaner->epochs->n_times;
    if (cleaner->parameters->leave_one_out)
        family->predictions = malloc(predictions * sizeof(double));
    if (cleaner->parameters->leave_one_out && family->predictions == NULL)
        return REJECTD_FAIL_MEMORY(error, predictions * sizeof(double));
    enum rejectd_status status = checks_sensors_of_log(cleaner->epochs, family->picks, n, error);
    if (status == REJECTD_OK)
        status =
            interpolation_open(cleaner->epochs, family->picks, n, cleaner->parameters->meg_legendre,
                               fit_threads(cleaner->options), &family->interpolation, error);
    if (status == REJECTD_OK) /* before any epoch is given away */
        status =
            interpolation_prepare(&family->interpolation, fit_threads(cleaner->options), error);
    return status;
}

static enum rejectd_status cleaner_init(struct cleaner *cleaner, struct rejectd_error *error)
{
    const struct rejectd_epochs *epochs = cleaner->epochs;
    const size_t item = epochs->dtype == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
    const size_t c = epochs->n_channels;
    cleaner->epoch_bytes = c * epochs->n_times * item;
    cleaner->batch = batch_bytes / (c * epochs->n_times * sizeof(double)) + 1;
    if (cleaner->batch > epochs->n_epochs)
        cleaner->batch = epochs->n_epochs;
    cleaner->rows = malloc(c * epochs->n_times * sizeof(double));
    cleaner->epoch = malloc(cleaner->epoch_bytes);
    if (cleaner->rows == NULL || cleaner->epoch == NULL)
        return REJECTD_FAIL_MEMORY(error, c * epochs->n_times * sizeof(double));
    enum rejectd_status status = REJECTD_OK;
    for (size_t f = 0; f < FAMILIES && status == REJECTD_OK; f++)
        status = family_init(cleaner, family_kinds[f], &cleaner->families[f], error);
    return status;
}

/* Lists the sensors to repair in epochs first..first+n-1; a bad epoch lists none. */
static enum rejectd_status list_repairs(const struct cleaner *cleaner, struct family *family,
                                        size_t first, size_t n, struct rejectd_error *error)
{
    const struct rejectd_reject_log *log = cleaner->log;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const int8_t *labels = log->labels + (first + i) * log->n_channels;
        family->offsets[i] = at;
        for (size_t p = 0; p < family->n_picks && !log->bad_epochs[first + i]; p++)
            if (labels[family->picks[p]] == REJECTD_LABEL_INTERPOLATED)
                family->channels[at++] = (uint16_t)p;
        family->prefix[i] = (uint16_t)(at - family->offsets[i]);
        if (!has_sources(cleaner, family, family->prefix[i]))
            return FAIL_NOTHING_LEFT(error, first + i);
    }
    family->offsets[n] = at;
    return REJECTD_OK;
}

/* Predicts each of the family's sensors from all others in the n epochs of the session. */
static enum rejectd_status predict_family(struct cleaner *cleaner, struct family *family, size_t n,
                                          struct rejectd_error *error)
{
    const double *weights;
    double *ptp = malloc(n * family->n_picks * sizeof *ptp);
    if (ptp == NULL)
        return REJECTD_FAIL_MEMORY(error, n * family->n_picks * sizeof *ptp);
    enum rejectd_status status =
        interpolation_leave_one_out(&family->interpolation, &weights, error);
    if (status == REJECTD_OK)
        status =
            cleaner->backend->predict(family->session, weights, 0, family->n_picks, ptp, error);
    for (size_t p = 0; p < family->n_picks && status == REJECTD_OK; p++)
        status = cleaner->backend->read_predictions(
            family->session, p, family->predictions + p * cleaner->batch * cleaner->epochs->n_times,
            error);
    free(ptp);
    return status;
}

/* Repairs the family's sensors in epochs first..first+n-1; the session stays open for the rows. */
static enum rejectd_status repair_family(struct cleaner *cleaner, struct family *family,
                                         size_t first, size_t n, struct rejectd_error *error)
{
    const struct rejectd_epochs *epochs = cleaner->epochs;
    enum rejectd_status status = list_repairs(cleaner, family, first, n, error);
    if (status != REJECTD_OK || family->offsets[n] == 0)
        return status;
    const struct backend_samples samples = {
        .data = (const char *)epochs->samples + first * cleaner->epoch_bytes,
        .dtype = epochs->dtype,
        .n_epochs = n,
        .n_channels = epochs->n_channels,
        .n_times = epochs->n_times,
        .picks = family->picks,
        .n_picks = family->n_picks,
        .content = epochs->content,
        .content_epochs = epochs->n_epochs,
        .content_first = first,
    };
    const struct backend_options options =
        fit_backend_options(cleaner->options, REJECTD_PRECISION_DEFAULT, &cleaner->progress);
    const struct backend_repairs repairs = {n, 1, family->offsets, family->channels,
                                            family->prefix};
    status = cleaner->backend->open(&samples, &options, &family->session, error);
    if (status == REJECTD_OK && cleaner->parameters->leave_one_out)
        status = predict_family(cleaner, family, n, error);
    else if (status == REJECTD_OK)
        status = interpolation_repair(&family->interpolation, cleaner->backend, family->session,
                                      &repairs, &cleaner->progress, error);
    return status;
}

/* Puts one repaired row into the epoch, in the dtype of the dataset. */
static void store_row(const struct cleaner *cleaner, size_t channel, const double *row)
{
    const size_t n = cleaner->epochs->n_times;
    if (cleaner->epochs->dtype == REJECTD_FLOAT64) {
        memcpy(cleaner->epoch + channel * n * sizeof(double), row, n * sizeof(double));
        return;
    }
    float *out = (float *)(void *)cleaner->epoch + channel * n;
    for (size_t t = 0; t < n; t++)
        out[t] = (float)row[t];
}

/* Puts the family's repaired rows into the epoch. */
static enum rejectd_status store_family(struct cleaner *cleaner, const struct family *family,
                                        size_t at, struct rejectd_error *error)
{
    const uint16_t *positions = family->channels + family->offsets[at];
    const size_t n_times = cleaner->epochs->n_times;
    enum rejectd_status status = REJECTD_OK;
    if (family->predictions == NULL)
        status = cleaner->backend->read_repaired(family->session, at, 0, cleaner->rows, error);
    for (size_t i = 0; i < family->prefix[at] && status == REJECTD_OK; i++)
        store_row(cleaner, family->picks[positions[i]],
                  family->predictions == NULL
                      ? cleaner->rows + i * n_times
                      : family->predictions + (positions[i] * cleaner->batch + at) * n_times);
    return status;
}

/* Writes one kept epoch; `at` is its place in the batch. */
static enum rejectd_status write_epoch(struct cleaner *cleaner, size_t first, size_t at,
                                       struct rejectd_error *error)
{
    const char *source =
        (const char *)cleaner->epochs->samples + (first + at) * cleaner->epoch_bytes;
    bool copied = false;
    enum rejectd_status status = REJECTD_OK;
    for (size_t f = 0; f < FAMILIES && status == REJECTD_OK; f++) {
        const struct family *family = &cleaner->families[f];
        if (family->session == NULL || family->prefix[at] == 0)
            continue;
        if (!copied)
            memcpy(cleaner->epoch, source, cleaner->epoch_bytes);
        copied = true;
        status = store_family(cleaner, family, at, error);
    }
    if (status != REJECTD_OK)
        return status;
    return cleaner->sink->write(cleaner->sink->context, copied ? cleaner->epoch : source,
                                cleaner->epoch_bytes, error);
}

static enum rejectd_status clean_batch(struct cleaner *cleaner, size_t first, size_t n,
                                       struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    for (size_t f = 0; f < FAMILIES && status == REJECTD_OK; f++)
        if (cleaner->families[f].n_repaired > 0)
            status = repair_family(cleaner, &cleaner->families[f], first, n, error);
    for (size_t i = 0; i < n && status == REJECTD_OK; i++)
        if (!cleaner->log->bad_epochs[first + i])
            status = write_epoch(cleaner, first, i, error);
    for (size_t f = 0; f < FAMILIES; f++) {
        cleaner->backend->close(cleaner->families[f].session);
        cleaner->families[f].session = NULL;
    }
    return status;
}

/* Only channels that are analysed have anything to be interpolated. */
static enum rejectd_status check_log(const struct rejectd_epochs *epochs,
                                     const struct rejectd_reject_log *log,
                                     struct rejectd_error *error)
{
    if (log->n_epochs != epochs->n_epochs || log->n_channels != epochs->n_channels)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "labels",
                            "the reject log is of %zu epochs x %zu channels; the dataset has %zu x "
                            "%zu",
                            log->n_epochs, log->n_channels, epochs->n_epochs, epochs->n_channels);
    for (size_t c = 0; c < log->n_channels; c++) {
        const struct rejectd_channel *channel = &epochs->channels[c];
        for (size_t e = 0; !checks_is_analysed(channel->type) && e < log->n_epochs; e++)
            if (log->labels[e * log->n_channels + c] == REJECTD_LABEL_INTERPOLATED)
                return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "labels",
                                    "channel \"%s\" is of type %s, which is not interpolated; its "
                                    "label in epoch %zu may not be 2",
                                    channel->name, checks_type_name(channel->type), e);
    }
    return REJECTD_OK;
}

/* Whether the repairs of one kind in every epoch have sensors, in known places, to go by. */
static enum rejectd_status check_family(const struct rejectd_epochs *epochs,
                                        const struct rejectd_reject_log *log,
                                        const struct rejectd_clean_parameters *parameters,
                                        enum interpolation_kind kind, struct rejectd_error *error)
{
    const struct cleaner cleaner = {.epochs = epochs, .log = log, .parameters = parameters};
    struct family family = {.kind = kind, .picks = malloc(epochs->n_channels * sizeof(size_t))};
    enum rejectd_status status = REJECTD_OK;
    if (family.picks == NULL)
        return REJECTD_FAIL_MEMORY(error, epochs->n_channels * sizeof(size_t));
    list_picks(&cleaner, &family);
    if (family.n_repaired > 0)
        status = checks_sensors_of_log(epochs, family.picks, family.n_picks, error);
    for (size_t e = 0; e < log->n_epochs && family.n_repaired > 0 && status == REJECTD_OK; e++) {
        size_t n = 0;
        for (size_t p = 0; p < family.n_picks && !log->bad_epochs[e]; p++)
            n += log->labels[e * log->n_channels + family.picks[p]] == REJECTD_LABEL_INTERPOLATED;
        if (!has_sources(&cleaner, &family, n))
            status = FAIL_NOTHING_LEFT(error, e);
    }
    free(family.picks);
    return status;
}

enum rejectd_status clean_check(const struct rejectd_epochs *epochs,
                                const struct rejectd_reject_log *log,
                                const struct rejectd_clean_parameters *parameters,
                                struct rejectd_error *error)
{
    struct centred centred = {0};
    enum rejectd_status status = checks_shape(epochs, 1, error);
    if (status == REJECTD_OK)
        status = check_log(epochs, log, error);
    if (status == REJECTD_OK)
        status = centred_init(&centred, epochs, parameters->origin, error);
    for (size_t f = 0; f < FAMILIES && status == REJECTD_OK; f++)
        status = check_family(&centred.epochs, log, parameters, family_kinds[f], error);
    centred_free(&centred);
    return status;
}

enum rejectd_status clean_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                              const struct rejectd_reject_log *log,
                              const struct rejectd_clean_parameters *parameters,
                              const struct rejectd_compute_options *options,
                              const struct rejectd_sink *sink, struct rejectd_error *error)
{
    struct centred centred = {0};
    enum rejectd_status status = checks_shape(epochs, 1, error);
    if (status == REJECTD_OK)
        status = check_log(epochs, log, error);
    if (status != REJECTD_OK)
        return status;
    struct cleaner cleaner = {
        .backend = backend,
        .epochs = &centred.epochs,
        .log = log,
        .parameters = parameters,
        .options = options,
        .sink = sink,
        .progress = {.monitor = &options->monitor},
    };
    status = centred_init(&centred, epochs, parameters->origin, error);
    if (status == REJECTD_OK)
        status = cleaner_init(&cleaner, error);
    for (size_t first = 0; first < epochs->n_epochs && status == REJECTD_OK;
         first += cleaner.batch) {
        size_t n =
            epochs->n_epochs - first < cleaner.batch ? epochs->n_epochs - first : cleaner.batch;
        progress_step(&cleaner.progress, "clean", (double)first / (double)epochs->n_epochs,
                      (double)n / (double)epochs->n_epochs);
        status = clean_batch(&cleaner, first, n, error);
        if (status == REJECTD_OK && !progress_advance(&cleaner.progress, 1.0))
            status = REJECTD_FAIL(error, REJECTD_CANCELLED, "", "the work was cancelled");
    }
    cleaner_free(&cleaner);
    centred_free(&centred);
    return status;
}
