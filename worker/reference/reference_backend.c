#include "worker/reference/reference_backend.h"

#include <stdlib.h>
#include <string.h>

#include "worker/reference/session.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double reference_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

enum rejectd_status reference_advance(const struct backend_session *session, size_t done,
                                      size_t total, struct rejectd_error *error)
{
    if (session->progress.advance != NULL &&
        !session->progress.advance(session->progress.context, (double)done / (double)total))
        return REJECTD_FAIL(error, REJECTD_CANCELLED, "", "the work was cancelled");
    return REJECTD_OK;
}

void reference_forget_repairs(struct backend_session *session)
{
    for (size_t v = 0; v < session->n_values; v++)
        free(session->repaired[v]);
    free(session->repaired);
    free(session->repaired_lists);
    free(session->prefix);
    session->n_values = 0;
    session->repaired = NULL;
    session->repaired_lists = NULL;
    session->prefix = NULL;
}

static const char *reference_describe(void)
{
    return "reference, scalar float64";
}

static void reference_close(struct backend_session *session)
{
    if (session == NULL)
        return;
    reference_forget_repairs(session);
    free(session->samples);
    free(session->predictions);
    free(session);
}

static void copy_picks(const struct backend_samples *samples, double *out)
{
    for (size_t e = 0; e < samples->n_epochs; e++)
        for (size_t c = 0; c < samples->n_picks; c++)
            for (size_t t = 0; t < samples->n_times; t++) {
                size_t from = (e * samples->n_channels + samples->picks[c]) * samples->n_times + t;
                *out++ = samples->dtype == REJECTD_FLOAT64 ? ((const double *)samples->data)[from]
                                                           : ((const float *)samples->data)[from];
            }
}

static enum rejectd_status reference_open(const struct backend_samples *samples,
                                          const struct backend_options *options,
                                          struct backend_session **session,
                                          struct rejectd_error *error)
{
    const size_t n = samples->n_epochs * samples->n_picks * samples->n_times;
    *session = NULL;
    struct backend_session *opened = calloc(1, sizeof *opened);
    double *copy = malloc(n * sizeof *copy);
    if (opened == NULL || copy == NULL) {
        free(opened);
        free(copy);
        return REJECTD_FAIL_MEMORY(error, n * sizeof *copy);
    }
    copy_picks(samples, copy);
    *opened = (struct backend_session){
        .n_epochs = samples->n_epochs,
        .n_picks = samples->n_picks,
        .n_times = samples->n_times,
        .samples = copy,
        .progress = options->progress,
    };
    *session = opened;
    return REJECTD_OK;
}

static double row_ptp(const double *row, size_t n)
{
    double least = row[0], most = row[0];
    for (size_t t = 1; t < n; t++) {
        least = row[t] < least ? row[t] : least;
        most = row[t] > most ? row[t] : most;
    }
    return most - least;
}

static enum rejectd_status reference_peak_to_peak(struct backend_session *session, double *ptp,
                                                  struct rejectd_error *error)
{
    const size_t n = session->n_epochs * session->n_picks;
    for (size_t i = 0; i < n; i++)
        ptp[i] = row_ptp(session->samples + i * session->n_times, session->n_times);
    return reference_advance(session, 1, 1, error);
}

static enum rejectd_status reference_predict(struct backend_session *session, const double *weights,
                                             size_t first, size_t count, double *ptp,
                                             struct rejectd_error *error)
{
    const size_t n_times = session->n_times, n_picks = session->n_picks;
    const size_t n = session->n_epochs * count * n_times;
    free(session->predictions);
    session->predictions = NULL;
    session->first = first;
    session->count = count;
    if (weights == NULL)
        return reference_advance(session, 1, 1, error);
    session->predictions = malloc(n * sizeof *session->predictions);
    if (session->predictions == NULL) {
        session->count = 0;
        return REJECTD_FAIL_MEMORY(error, n * sizeof *session->predictions);
    }
    for (size_t e = 0; e < session->n_epochs; e++) {
        for (size_t c = 0; c < count; c++) {
            double *row = session->predictions + (e * count + c) * n_times;
            for (size_t t = 0; t < n_times; t++) {
                double sum = 0.0;
                for (size_t j = 0; j < n_picks; j++)
                    sum += weights[c * n_picks + j] *
                           reference_row(session->samples, session, e, j)[t];
                row[t] = sum;
            }
            ptp[e * count + c] = row_ptp(row, n_times);
        }
        enum rejectd_status status = reference_advance(session, e + 1, session->n_epochs, error);
        if (status != REJECTD_OK)
            return status;
    }
    return REJECTD_OK;
}

static enum rejectd_status reference_read_predictions(struct backend_session *session, size_t pick,
                                                      double *rows, struct rejectd_error *error)
{
    if (session->predictions == NULL || pick < session->first ||
        pick >= session->first + session->count)
        return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "pick %zu is not predicted", pick);
    for (size_t e = 0; e < session->n_epochs; e++)
        memcpy(rows + e * session->n_times,
               session->predictions +
                   (e * session->count + pick - session->first) * session->n_times,
               session->n_times * sizeof *rows);
    return REJECTD_OK;
}

static enum rejectd_status reference_read_repaired(struct backend_session *session, size_t epoch,
                                                   size_t value, double *rows,
                                                   struct rejectd_error *error)
{
    if (epoch >= session->n_epochs || value >= session->n_values)
        return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "no repair %zu of epoch %zu", value,
                            epoch);
    const size_t n = session->prefix[value * session->n_epochs + epoch];
    for (size_t i = 0; i < n; i++)
        memcpy(rows + i * session->n_times,
               reference_row(session->repaired[value], session, epoch,
                             session->repaired_lists[epoch * session->n_picks + i]),
               session->n_times * sizeof *rows);
    return REJECTD_OK;
}

static enum rejectd_dtype reference_precision(const struct backend_options *options)
{
    (void)options;
    return REJECTD_FLOAT64;
}

const struct backend reference_backend = {
    .version = BACKEND_VERSION,
    .name = "reference",
    .describe = reference_describe,
    .open = reference_open,
    .close = reference_close,
    .peak_to_peak = reference_peak_to_peak,
    .predict = reference_predict,
    .read_predictions = reference_read_predictions,
    .threshold_losses = reference_threshold_losses,
    .interpolate_epochs = reference_interpolate_epochs,
    .weigh_epochs = reference_weigh_epochs,
    .read_repaired = reference_read_repaired,
    .local_cv_losses = reference_local_cv_losses,
    .ransac_correlations = reference_ransac_correlations,
    .global_losses = reference_global_losses,
    .precision = reference_precision,
};
