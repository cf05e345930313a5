/*
 * Peak-to-peak amplitudes, and leave-one-out prediction as one matrix product per epoch.
 *
 * Predictions are stored channel by channel, so that what follows finds a channel's rows together.
 */
#include <omp.h>
#include <stdlib.h>

#include "base/checked.h"
#include "worker/cpu/needs.h"
#include "worker/cpu/session.h"

enum rejectd_status cpu_peak_to_peak(struct backend_session *session, double *ptp,
                                     struct rejectd_error *error)
{
    const struct backend_samples *s = &session->samples;
    const struct cpu_kernels *kernels = session->kernels;
    struct loop loop;
    loop_begin(&loop, session, s->n_epochs);
#pragma omp parallel num_threads(session->options.n_threads)
    {
        void *row =
            s->dtype == kernels->work ? NULL : scratch_alloc(s->n_times * session->work_size);
        if (row == NULL && s->dtype != kernels->work)
            loop_fail(&loop);
#pragma omp for schedule(dynamic, 4)
        for (size_t e = 0; e < s->n_epochs; e++) {
            if (loop_stopped(&loop))
                continue;
            for (size_t c = 0; c < s->n_picks; c++) {
                struct row_source source = session_row(session, e, s->picks[c]);
                if (row != NULL)
                    kernels->convert(row, source.samples, source.dtype, s->n_times);
                ptp[e * s->n_picks + c] =
                    kernels->peak_to_peak(row != NULL ? row : source.samples, s->n_times);
            }
            loop_advance(&loop, omp_get_thread_num());
        }
        free(row);
    }
    return loop_end(&loop, error);
}

/* Where the predictions of one pick begin. */
static char *prediction_rows(const struct backend_session *session, size_t pick)
{
    size_t samples = session->samples.n_epochs * session->samples.n_times;
    return (char *)session->rows.data + (pick - session->first) * samples * session->work_size;
}

/* Predicts the picks of this block in one epoch, and takes their ptp. */
static void predict_epoch(struct backend_session *session, const void *weights, size_t epoch,
                          void *scratch, double *ptp)
{
    const struct backend_samples *s = &session->samples;
    char *out = prediction_rows(session, session->first) + epoch * s->n_times * session->work_size;
    session_multiply(session, epoch, weights, session->count, out, s->n_epochs * s->n_times,
                     scratch);
    for (size_t c = 0; c < session->count; c++) {
        const char *row =
            prediction_rows(session, session->first + c) + epoch * s->n_times * session->work_size;
        ptp[epoch * session->count + c] = session->kernels->peak_to_peak(row, s->n_times);
    }
}

enum rejectd_status cpu_predict(struct backend_session *session, const double *weights,
                                size_t first, size_t count, double *ptp,
                                struct rejectd_error *error)
{
    const struct backend_samples *s = &session->samples;
    session->count = 0;
    session->predicted = weights != NULL;
    repairs_clear(session);
    if (weights == NULL) {
        session->first = first;
        session->count = count;
        return REJECTD_OK;
    }
    size_t samples, bytes;
    if (!checked_multiply3(count, s->n_epochs, s->n_times, &samples) ||
        !checked_multiply(samples, session->work_size, &bytes))
        return REJECTD_FAIL_MEMORY(error, SIZE_MAX);
    enum rejectd_status status = arena_reserve(&session->rows, bytes, error);
    if (status != REJECTD_OK)
        return status;
    void *converted = scratch_alloc(count * s->n_picks * session->work_size);
    if (converted == NULL)
        return REJECTD_FAIL_MEMORY(error, count * s->n_picks * session->work_size);
    session_weights(session, weights, count * s->n_picks, converted);
    session->first = first;
    session->count = count;

    struct loop loop;
    loop_begin(&loop, session, s->n_epochs);
#pragma omp parallel num_threads(session->options.n_threads)
    {
        void *scratch = scratch_alloc(session_product_bytes(session));
        if (scratch == NULL)
            loop_fail(&loop);
#pragma omp for schedule(dynamic, 4)
        for (size_t e = 0; e < s->n_epochs; e++) {
            if (loop_stopped(&loop))
                continue;
            predict_epoch(session, converted, e, scratch, ptp);
            loop_advance(&loop, omp_get_thread_num());
        }
        free(scratch);
    }
    free(converted);
    status = loop_end(&loop, error);
    if (status != REJECTD_OK)
        session->count = 0;
    return status;
}

double cpu_predicted_rows_bytes(const struct backend_session *session, size_t count)
{
    const struct backend_samples *s = &session->samples;
    return (double)count * (double)s->n_epochs * (double)s->n_times * (double)session->work_size;
}

double cpu_predict_bytes(const struct backend_session *session, size_t count)
{
    const double work = (double)session->work_size, c = (double)session->samples.n_picks;
    return (double)count * c * work +
           (double)session->options.n_threads * (double)session_product_bytes(session);
}

enum rejectd_status cpu_read_predictions(struct backend_session *session, size_t pick, double *rows,
                                         struct rejectd_error *error)
{
    if (!session->predicted || pick < session->first || pick >= session->first + session->count)
        return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "pick %zu is not predicted", pick);
    size_t n = session->samples.n_epochs * session->samples.n_times;
    kernels_select(NULL, REJECTD_FLOAT64)
        ->convert(rows, prediction_rows(session, pick), session->kernels->work, n);
    return REJECTD_OK;
}
