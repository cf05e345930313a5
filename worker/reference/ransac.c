/* Correlations of RANSAC, straight from their definition. */
#include <math.h>
#include <stdlib.h>

#include "worker/reference/session.h"

/* Every resample's prediction of one sample of pick c. */
static void predict_sample(struct backend_session *session, const struct backend_mappings *mappings,
                           size_t epoch, size_t pick, size_t t, double *predictions)
{
    const size_t n = mappings->n_samples;
    for (size_t r = 0; r < mappings->n_resample; r++) {
        const double *weights = mappings->weights + (r * session->n_picks + pick) * n;
        double sum = 0.0;
        for (size_t j = 0; j < n; j++)
            sum += weights[j] *
                   reference_row(session->samples, session, epoch, mappings->subsets[r * n + j])[t];
        predictions[r] = sum;
    }
}

static double correlation(struct backend_session *session, const struct backend_mappings *mappings,
                          size_t epoch, size_t pick, double *predictions)
{
    const double *row = reference_row(session->samples, session, epoch, pick);
    double xy = 0.0, xx = 0.0, yy = 0.0;
    for (size_t t = 0; t < session->n_times; t++) {
        predict_sample(session, mappings, epoch, pick, t, predictions);
        const double y = reference_median(predictions, mappings->n_resample);
        xy += row[t] * y;
        xx += row[t] * row[t];
        yy += y * y;
    }
    return xy / (sqrt(xx) * sqrt(yy));
}

enum rejectd_status reference_ransac_correlations(struct backend_session *session,
                                                  const struct backend_mappings *mappings,
                                                  double *corr, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    double *predictions = malloc(mappings->n_resample * sizeof *predictions);
    if (predictions == NULL)
        return REJECTD_FAIL_MEMORY(error, mappings->n_resample * sizeof *predictions);
    for (size_t e = 0; e < session->n_epochs && status == REJECTD_OK; e++) {
        for (size_t c = 0; c < session->n_picks; c++)
            corr[e * session->n_picks + c] = correlation(session, mappings, e, c, predictions);
        status = reference_advance(session, e + 1, session->n_epochs, error);
    }
    free(predictions);
    return status;
}
