/* x_B - inverse(P_BB) P_B. x, solved by Gaussian elimination with pivoting, time by time; or rows
 * of given weights. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/reference/session.h"

/* Solves a [n][n] x = b in place; false when a is singular. */
static bool solve(double *a, double *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t pivot = i;
        for (size_t r = i + 1; r < n; r++)
            if (fabs(a[r * n + i]) > fabs(a[pivot * n + i]))
                pivot = r;
        if (a[pivot * n + i] == 0.0)
            return false;
        for (size_t j = 0; j < n && pivot != i; j++) {
            double swap = a[i * n + j];
            a[i * n + j] = a[pivot * n + j];
            a[pivot * n + j] = swap;
        }
        double swap = b[i];
        b[i] = b[pivot];
        b[pivot] = swap;
        for (size_t r = i + 1; r < n; r++) {
            double factor = a[r * n + i] / a[i * n + i];
            for (size_t j = i; j < n; j++)
                a[r * n + j] -= factor * a[i * n + j];
            b[r] -= factor * b[i];
        }
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t j = i + 1; j < n; j++)
            b[i] -= a[i * n + j] * b[j];
        b[i] /= a[i * n + i];
    }
    return true;
}

/* Repairs the sensors set[0..n-1] of one epoch: out [C][T] from in [C][T]. scratch: n * n + n. */
static bool repair_set(const struct backend_session *session, const double *precision,
                       const uint16_t *set, size_t n, const double *in, double *out,
                       double *scratch)
{
    const size_t n_picks = session->n_picks, n_times = session->n_times;
    double *matrix = scratch, *right = scratch + n * n;
    for (size_t t = 0; t < n_times; t++) {
        for (size_t i = 0; i < n; i++) {
            right[i] = 0.0;
            for (size_t j = 0; j < n_picks; j++)
                right[i] += precision[set[i] * n_picks + j] * in[j * n_times + t];
            for (size_t j = 0; j < n; j++)
                matrix[i * n + j] = precision[set[i] * n_picks + set[j]];
        }
        if (!solve(matrix, right, n))
            return false;
        for (size_t i = 0; i < n; i++)
            out[set[i] * n_times + t] = in[set[i] * n_times + t] - right[i];
    }
    return true;
}

static enum rejectd_status keep_lists(struct backend_session *session,
                                      const struct backend_repairs *repairs,
                                      struct rejectd_error *error)
{
    const size_t n = session->n_epochs, c = session->n_picks, values = repairs->n_values;
    const size_t bytes = n * c * session->n_times * sizeof(double);
    reference_forget_repairs(session);
    session->repaired_lists = malloc(n * c * sizeof(uint16_t) + 1);
    session->prefix = malloc(values * n * sizeof(uint16_t) + 1);
    session->repaired = calloc(values + 1, sizeof *session->repaired);
    if (session->repaired_lists == NULL || session->prefix == NULL || session->repaired == NULL)
        return REJECTD_FAIL_MEMORY(error, n * c * sizeof(uint16_t));
    memcpy(session->prefix, repairs->prefix, values * n * sizeof(uint16_t));
    for (size_t e = 0; e < n; e++)
        memcpy(session->repaired_lists + e * c, repairs->channels + repairs->offsets[e],
               (repairs->offsets[e + 1] - repairs->offsets[e]) * sizeof(uint16_t));
    for (size_t v = 0; v < values; v++) {
        session->repaired[v] = malloc(bytes);
        if (session->repaired[v] == NULL)
            return REJECTD_FAIL_MEMORY(error, bytes);
        session->n_values = v + 1;
        memcpy(session->repaired[v], session->samples, bytes);
    }
    return REJECTD_OK;
}

enum rejectd_status reference_interpolate_epochs(struct backend_session *session,
                                                 const double *precision,
                                                 const struct backend_repairs *repairs,
                                                 struct rejectd_error *error)
{
    const size_t c = session->n_picks;
    double *scratch = malloc((c * c + c) * sizeof *scratch);
    enum rejectd_status status = scratch != NULL
                                     ? keep_lists(session, repairs, error)
                                     : REJECTD_FAIL_MEMORY(error, c * c * sizeof *scratch);
    for (size_t e = 0; e < session->n_epochs && status == REJECTD_OK; e++) {
        for (size_t v = 0; v < session->n_values && status == REJECTD_OK; v++)
            if (!repair_set(session, precision, session->repaired_lists + e * c,
                            session->prefix[v * session->n_epochs + e],
                            reference_row(session->samples, session, e, 0),
                            reference_row(session->repaired[v], session, e, 0), scratch))
                status = REJECTD_FAIL(error, REJECTD_INTERNAL, "",
                                      "the sensors to repair in epoch %zu cannot be told from the "
                                      "others",
                                      e);
        if (status == REJECTD_OK)
            status = reference_advance(session, e + 1, session->n_epochs, error);
    }
    free(scratch);
    return status;
}

enum rejectd_status reference_weigh_epochs(struct backend_session *session,
                                           const struct backend_weights *weights,
                                           const struct backend_repairs *repairs,
                                           struct rejectd_error *error)
{
    const size_t c = session->n_picks, n_listed = repairs->offsets[repairs->n_epochs];
    enum rejectd_status status = keep_lists(session, repairs, error);
    for (size_t e = 0; e < session->n_epochs && status == REJECTD_OK; e++) {
        const double *in = reference_row(session->samples, session, e, 0);
        for (size_t v = 0; v < session->n_values; v++)
            for (size_t i = 0; i < session->prefix[v * session->n_epochs + e]; i++) {
                const size_t at = repairs->offsets[e] + i;
                const double *row = weights->rows + weights->row[v * n_listed + at] * c;
                double *out =
                    reference_row(session->repaired[v], session, e, repairs->channels[at]);
                for (size_t t = 0; t < session->n_times; t++) {
                    out[t] = 0.0;
                    for (size_t j = 0; j < c; j++)
                        out[t] += row[j] * in[j * session->n_times + t];
                }
            }
        status = reference_advance(session, e + 1, session->n_epochs, error);
    }
    return status;
}
