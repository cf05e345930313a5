/* The two losses, straight from their definitions. */
#include <math.h>
#include <stdlib.h>

#include "worker/reference/session.h"

/* Sample t of row r of a pick: an epoch, or its prediction. */
static double row_sample(const struct backend_session *session, size_t pick, size_t row, size_t t)
{
    const size_t n = session->n_epochs;
    if (row < n)
        return session->samples[(row * session->n_picks + pick) * session->n_times + t];
    size_t prediction = (row - n) * session->count + pick - session->first;
    return session->predictions[prediction * session->n_times + t];
}

/* The candidate that a fold really uses: at least its smallest train row. */
static double usable_threshold(const uint8_t *is_test, const uint32_t *order, const double *ptp,
                               size_t n_rows, double candidate)
{
    for (size_t rank = 0; rank < n_rows; rank++)
        if (!is_test[order[rank]])
            return ptp[rank] > candidate ? ptp[rank] : candidate;
    return candidate;
}

/* Loss of one fold of one pick at every rank. sums [T], values [n_rows], medians [T]: scratch. */
static void fold_losses(const struct backend_session *session, const uint8_t *is_test,
                        const uint32_t *order, const double *ptp, size_t n_rows, size_t pick,
                        double *values, double *medians, double *losses)
{
    for (size_t t = 0; t < session->n_times; t++) {
        size_t n = 0;
        for (size_t row = 0; row < n_rows; row++)
            if (is_test[row])
                values[n++] = row_sample(session, pick, row, t);
        medians[t] = reference_median(values, n);
    }
    for (size_t rank = 0; rank < n_rows; rank++) {
        const double threshold = usable_threshold(is_test, order, ptp, n_rows, ptp[rank]);
        double square = 0.0;
        for (size_t t = 0; t < session->n_times; t++) {
            double sum = 0.0;
            size_t kept = 0;
            for (size_t i = 0; i < n_rows && ptp[i] <= threshold; i++)
                if (!is_test[order[i]]) {
                    sum += row_sample(session, pick, order[i], t);
                    kept++;
                }
            double difference = medians[t] - sum / (double)kept;
            square += difference * difference;
        }
        losses[rank] += sqrt(square / (double)session->n_times);
    }
}

enum rejectd_status reference_threshold_losses(struct backend_session *session,
                                               const struct backend_splits *splits,
                                               const uint32_t *order, const double *ptp,
                                               double *losses, struct rejectd_error *error)
{
    const size_t m = splits->n_rows;
    enum rejectd_status status = REJECTD_OK;
    double *values = malloc(m * sizeof *values);
    double *medians = malloc(session->n_times * sizeof *medians);
    if (values == NULL || medians == NULL)
        status = REJECTD_FAIL_MEMORY(error, m * sizeof *values);
    for (size_t c = 0; c < session->count && status == REJECTD_OK; c++) {
        for (size_t rank = 0; rank < m; rank++)
            losses[c * m + rank] = 0.0;
        for (size_t f = 0; f < splits->n_folds; f++)
            fold_losses(session, splits->is_test + f * m, order + c * m, ptp + c * m, m,
                        session->first + c, values, medians, losses + c * m);
        for (size_t rank = 0; rank < m; rank++)
            losses[c * m + rank] /= (double)splits->n_folds;
        status = reference_advance(session, c + 1, session->count, error);
    }
    free(values);
    free(medians);
    return status;
}

/* Sum over picks and time of (median of the fold - mean of the kept epochs elsewhere)^2. */
static double cell_square(const struct backend_session *session, const struct backend_local_cv *cv,
                          const double *repaired, const double *medians, size_t consensus,
                          size_t fold, size_t *n_kept)
{
    const size_t samples = session->n_picks * session->n_times;
    double square = 0.0;
    for (size_t i = 0; i < samples; i++) {
        double sum = 0.0;
        size_t kept = 0;
        for (size_t e = 0; e < session->n_epochs; e++)
            if (cv->fold[e] != fold && cv->first_good[e] <= consensus) {
                sum += repaired[e * samples + i];
                kept++;
            }
        *n_kept = kept;
        if (kept == 0)
            return 0.0;
        double difference = medians[i] - sum / (double)kept;
        square += difference * difference;
    }
    return square;
}

static void fold_medians(const struct backend_session *session, const struct backend_local_cv *cv,
                         size_t fold, double *values, double *medians)
{
    const size_t samples = session->n_picks * session->n_times;
    for (size_t i = 0; i < samples; i++) {
        size_t n = 0;
        for (size_t e = 0; e < session->n_epochs; e++)
            if (cv->fold[e] == fold)
                values[n++] = session->samples[e * samples + i];
        medians[i] = reference_median(values, n);
    }
}

enum rejectd_status reference_local_cv_losses(struct backend_session *session,
                                              const struct backend_local_cv *cv, double *losses,
                                              struct rejectd_error *error)
{
    const size_t samples = session->n_picks * session->n_times;
    enum rejectd_status status = REJECTD_OK;
    double *values = malloc(session->n_epochs * sizeof *values);
    double *medians = malloc(samples * sizeof *medians);
    if (values == NULL || medians == NULL)
        status = REJECTD_FAIL_MEMORY(error, samples * sizeof *medians);
    for (size_t f = 0; f < cv->n_folds && status == REJECTD_OK; f++) {
        fold_medians(session, cv, f, values, medians);
        for (size_t k = 0; k < cv->n_consensus; k++)
            for (size_t v = 0; v < session->n_values; v++) {
                size_t kept = 0;
                double square =
                    cell_square(session, cv, session->repaired[v], medians, k, f, &kept);
                losses[(k * session->n_values + v) * cv->n_folds + f] =
                    kept > 0 ? sqrt(square / (double)samples) : INFINITY;
            }
        status = reference_advance(session, f + 1, cv->n_folds, error);
    }
    free(values);
    free(medians);
    return status;
}
