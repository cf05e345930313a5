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
#include "worker/algorithm/progress.h"
#include "worker/algorithm/spline.h"

static const size_t batch_bytes = (size_t)64 << 20; /* of repaired rows, at most, per batch */

/* What cleaning works with from batch to batch. */
struct cleaner {
    const struct backend *backend;
    const struct rejectd_epochs *epochs;
    const struct rejectd_reject_log *log;
    const struct rejectd_compute_options *options;
    const struct rejectd_sink *sink;
    size_t epoch_bytes;
    size_t *picks; /* channels that the log considers */
    size_t n_picks;
    double *precision;  /* [C][C] */
    size_t batch;       /* epochs */
    size_t *offsets;    /* [batch + 1] */
    uint16_t *channels; /* [batch * C] */
    uint16_t *prefix;   /* [batch] */
    double *rows;       /* [C][T] */
    char *epoch;        /* one repaired epoch in the dataset's dtype */
};

static void cleaner_free(struct cleaner *cleaner)
{
    free(cleaner->picks);
    free(cleaner->precision);
    free(cleaner->offsets);
    free(cleaner->channels);
    free(cleaner->prefix);
    free(cleaner->rows);
    free(cleaner->epoch);
}

/* Channels that some epoch of the log considers; *repairs tells whether any is to be repaired. */
static void list_picks(struct cleaner *cleaner, bool *repairs)
{
    const struct rejectd_reject_log *log = cleaner->log;
    *repairs = false;
    cleaner->n_picks = 0;
    for (size_t c = 0; c < log->n_channels; c++) {
        bool considered = false;
        for (size_t e = 0; e < log->n_epochs; e++) {
            int8_t label = log->labels[e * log->n_channels + c];
            considered |= label != REJECTD_LABEL_NOT_CONSIDERED;
            *repairs |= label == REJECTD_LABEL_INTERPOLATED && !log->bad_epochs[e];
        }
        if (considered)
            cleaner->picks[cleaner->n_picks++] = c;
    }
}

static enum rejectd_status make_precision(struct cleaner *cleaner, struct rejectd_error *error)
{
    const size_t n = cleaner->n_picks;
    enum rejectd_status status = checks_interpolation(cleaner->epochs, cleaner->picks, n, error);
    if (status != REJECTD_OK)
        return status;
    double(*positions)[3] = malloc(n * sizeof *positions);
    if (positions == NULL)
        return REJECTD_FAIL_MEMORY(error, n * sizeof *positions);
    for (size_t i = 0; i < n; i++)
        memcpy(positions[i], cleaner->epochs->channels[cleaner->picks[i]].position,
               sizeof positions[i]);
    status = spline_precision((const double(*)[3])positions, n, cleaner->precision, error);
    free(positions);
    return status;
}

static enum rejectd_status cleaner_init(struct cleaner *cleaner, bool *repairs,
                                        struct rejectd_error *error)
{
    const struct rejectd_epochs *epochs = cleaner->epochs;
    const size_t item = epochs->dtype == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
    const size_t c = epochs->n_channels;
    cleaner->epoch_bytes = c * epochs->n_times * item;
    cleaner->batch = batch_bytes / (c * epochs->n_times * sizeof(double)) + 1;
    if (cleaner->batch > epochs->n_epochs)
        cleaner->batch = epochs->n_epochs;
    cleaner->picks = malloc(c * sizeof(size_t));
    cleaner->precision = malloc(c * c * sizeof(double));
    cleaner->offsets = malloc((cleaner->batch + 1) * sizeof(size_t));
    cleaner->channels = malloc(cleaner->batch * c * sizeof(uint16_t));
    cleaner->prefix = malloc(cleaner->batch * sizeof(uint16_t));
    cleaner->rows = malloc(c * epochs->n_times * sizeof(double));
    cleaner->epoch = malloc(cleaner->epoch_bytes);
    if (cleaner->picks == NULL || cleaner->precision == NULL || cleaner->offsets == NULL ||
        cleaner->channels == NULL || cleaner->prefix == NULL || cleaner->rows == NULL ||
        cleaner->epoch == NULL)
        return REJECTD_FAIL_MEMORY(error, c * epochs->n_times * sizeof(double));
    list_picks(cleaner, repairs);
    return *repairs ? make_precision(cleaner, error) : REJECTD_OK;
}

/* Lists the sensors to repair in epochs first..first+n-1; a bad epoch lists none. */
static enum rejectd_status list_repairs(struct cleaner *cleaner, size_t first, size_t n,
                                        struct rejectd_error *error)
{
    const struct rejectd_reject_log *log = cleaner->log;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const int8_t *labels = log->labels + (first + i) * log->n_channels;
        cleaner->offsets[i] = at;
        for (size_t p = 0; p < cleaner->n_picks && !log->bad_epochs[first + i]; p++)
            if (labels[cleaner->picks[p]] == REJECTD_LABEL_INTERPOLATED)
                cleaner->channels[at++] = (uint16_t)p;
        cleaner->prefix[i] = (uint16_t)(at - cleaner->offsets[i]);
        if (cleaner->prefix[i] == cleaner->n_picks && cleaner->n_picks > 0)
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "labels",
                                "every sensor of epoch %zu is to be interpolated: none is left to "
                                "interpolate from",
                                first + i);
    }
    cleaner->offsets[n] = at;
    return REJECTD_OK;
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

/* Writes one kept epoch; `at` is its place in the batch. */
static enum rejectd_status write_epoch(struct cleaner *cleaner, struct backend_session *session,
                                       size_t first, size_t at, struct rejectd_error *error)
{
    const char *source =
        (const char *)cleaner->epochs->samples + (first + at) * cleaner->epoch_bytes;
    const size_t n = cleaner->prefix[at];
    if (n == 0)
        return cleaner->sink->write(cleaner->sink->context, source, cleaner->epoch_bytes, error);
    enum rejectd_status status =
        cleaner->backend->read_repaired(session, at, 0, cleaner->rows, error);
    if (status != REJECTD_OK)
        return status;
    memcpy(cleaner->epoch, source, cleaner->epoch_bytes);
    for (size_t i = 0; i < n; i++)
        store_row(cleaner, cleaner->picks[cleaner->channels[cleaner->offsets[at] + i]],
                  cleaner->rows + i * cleaner->epochs->n_times);
    return cleaner->sink->write(cleaner->sink->context, cleaner->epoch, cleaner->epoch_bytes,
                                error);
}

/* Opens a session on the batch and repairs it. */
static enum rejectd_status repair_batch(struct cleaner *cleaner, size_t first, size_t n,
                                        struct progress *progress, struct backend_session **session,
                                        struct rejectd_error *error)
{
    const struct rejectd_epochs *epochs = cleaner->epochs;
    const struct backend_samples samples = {(const char *)epochs->samples +
                                                first * cleaner->epoch_bytes,
                                            epochs->dtype,
                                            n,
                                            epochs->n_channels,
                                            epochs->n_times,
                                            cleaner->picks,
                                            cleaner->n_picks};
    const struct backend_options options = {
        .n_threads = fit_threads(cleaner->options),
        .precision = REJECTD_PRECISION_DEFAULT,
        .instruction_set = cleaner->options->instruction_set,
        .progress = progress_for_backend(progress),
    };
    const struct backend_repairs repairs = {n, 1, cleaner->offsets, cleaner->channels,
                                            cleaner->prefix};
    enum rejectd_status status = cleaner->backend->open(&samples, &options, session, error);
    if (status == REJECTD_OK)
        status =
            cleaner->backend->interpolate_epochs(*session, cleaner->precision, &repairs, error);
    return status;
}

static enum rejectd_status clean_batch(struct cleaner *cleaner, size_t first, size_t n,
                                       bool repairs, struct progress *progress,
                                       struct rejectd_error *error)
{
    struct backend_session *session = NULL;
    enum rejectd_status status = list_repairs(cleaner, first, n, error);
    if (status == REJECTD_OK && repairs && cleaner->offsets[n] > 0)
        status = repair_batch(cleaner, first, n, progress, &session, error);
    for (size_t i = 0; i < n && status == REJECTD_OK; i++)
        if (!cleaner->log->bad_epochs[first + i])
            status = write_epoch(cleaner, session, first, i, error);
    cleaner->backend->close(session);
    return status;
}

enum rejectd_status clean_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                              const struct rejectd_reject_log *log,
                              const struct rejectd_compute_options *options,
                              const struct rejectd_sink *sink, struct rejectd_error *error)
{
    enum rejectd_status status = checks_shape(epochs, 1, error);
    if (status != REJECTD_OK)
        return status;
    if (log->n_epochs != epochs->n_epochs || log->n_channels != epochs->n_channels)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "labels",
                            "the reject log is of %zu epochs x %zu channels; the dataset has %zu x "
                            "%zu",
                            log->n_epochs, log->n_channels, epochs->n_epochs, epochs->n_channels);
    struct cleaner cleaner = {
        .backend = backend, .epochs = epochs, .log = log, .options = options, .sink = sink};
    struct progress progress = {.monitor = &options->monitor};
    bool repairs = false;
    status = cleaner_init(&cleaner, &repairs, error);
    for (size_t first = 0; first < epochs->n_epochs && status == REJECTD_OK;
         first += cleaner.batch) {
        size_t n =
            epochs->n_epochs - first < cleaner.batch ? epochs->n_epochs - first : cleaner.batch;
        progress_step(&progress, "clean", (double)first / (double)epochs->n_epochs,
                      (double)n / (double)epochs->n_epochs);
        status = clean_batch(&cleaner, first, n, repairs, &progress, error);
        if (status == REJECTD_OK && !progress_advance(&progress, 1.0))
            status = REJECTD_FAIL(error, REJECTD_CANCELLED, "", "the work was cancelled");
    }
    cleaner_free(&cleaner);
    return status;
}
