/*
 * Peak-to-peak amplitudes, and leave-one-out prediction as one matrix product per epoch.
 *
 * Predictions are stored channel by channel and, within a channel, group by group, as what follows
 * reads them: the predictions of all epochs at some neighbouring samples lie together.
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

static size_t samples_of_a_pick(const struct backend_session *session)
{
    return session_groups(session) * session->kernels->group * session->samples.n_epochs;
}

/* Predicts the picks of this block in one epoch, and takes their ptp. */
static void predict_epoch(struct backend_session *session, const void *weights, size_t epoch,
                          void *scratch, double *ptp)
{
    const size_t group = session->kernels->group;
    struct product product = {
        .weights = weights,
        .n_out = session->count,
        .out = (char *)session->rows.data + epoch * group * session->work_size,
        .n_out_times = session_groups(session) * group,
        .stride = samples_of_a_pick(session),
        .group_stride = group * session->samples.n_epochs,
        .offsets = session->offsets,
        .ptp = ptp != NULL ? ptp + epoch * session->count : NULL,
    };
    session_multiply(session, epoch, &product, scratch);
}

static double first_sample(const struct backend_session *session, size_t epoch, size_t channel)
{
    const struct row_source row = session_row(session, epoch, channel);
    return row.dtype == REJECTD_FLOAT64 ? *(const double *)row.samples
                                        : (double)*(const float *)row.samples;
}

/* A value that many samples of a channel are near to: the median of the first samples of some
 * epochs. */
static double usual_sample(const struct backend_session *session, size_t channel)
{
    enum { EPOCHS = 15 };
    const size_t n_epochs = session->samples.n_epochs, n = n_epochs < EPOCHS ? n_epochs : EPOCHS;
    double values[EPOCHS] = {0};
    for (size_t i = 0; i < n; i++) {
        const double value = first_sample(session, i * n_epochs / n, channel);
        size_t at = i;
        for (; at > 0 && values[at - 1] > value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return values[n / 2];
}

/*
 * Losses do not change when all rows of a channel are shifted. In float32 a large constant would
 * cost digits, so it is taken off.
 */
static enum rejectd_status find_offsets(struct backend_session *session,
                                        struct rejectd_error *error)
{
    if (session->kernels->work == REJECTD_FLOAT64)
        return REJECTD_OK;
    float *offsets = realloc(session->offsets, session->count * sizeof *offsets);
    if (offsets == NULL)
        return REJECTD_FAIL_MEMORY(error, session->count * sizeof *offsets);
    for (size_t c = 0; c < session->count; c++)
        offsets[c] = (float)usual_sample(session, session->samples.picks[session->first + c]);
    session->offsets = offsets;
    return REJECTD_OK;
}

enum rejectd_status cpu_predict(struct backend_session *session, const double *weights,
                                size_t first, size_t count, double *ptp,
                                struct rejectd_error *error)
{
    const struct backend_samples *s = &session->samples;
    session->first = first;
    session->count = count;
    session->predicted = false;
    repairs_clear(session);
    enum rejectd_status status = find_offsets(session, error);
    if (status != REJECTD_OK || weights == NULL)
        return status;
    size_t samples, bytes;
    if (!checked_multiply3(count, s->n_epochs, session_groups(session), &samples) ||
        !checked_multiply3(samples, session->kernels->group, session->work_size, &bytes))
        return REJECTD_FAIL_MEMORY(error, SIZE_MAX);
    status = arena_reserve(&session->rows, bytes, error);
    if (status != REJECTD_OK)
        return status;
    void *converted = scratch_alloc(count * s->n_picks * session->work_size);
    if (converted == NULL)
        return REJECTD_FAIL_MEMORY(error, count * s->n_picks * session->work_size);
    session_weights(session, weights, count * s->n_picks, converted);

    struct loop loop;
    loop_begin(&loop, session, s->n_epochs);
#pragma omp parallel num_threads(session->options.n_threads)
    {
        void *scratch = scratch_alloc(session_product_bytes(session, count));
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
    session->predicted = status == REJECTD_OK;
    return status;
}

double cpu_predicted_rows_bytes(const struct backend_session *session, size_t count)
{
    return (double)count * (double)session->samples.n_epochs * (double)session_groups(session) *
           (double)session->kernels->group * (double)session->work_size;
}

double cpu_predict_bytes(const struct backend_session *session, size_t count)
{
    const double work = (double)session->work_size, c = (double)session->samples.n_picks;
    return (double)count * (c + 1.0) * work +
           (double)session->options.n_threads * (double)session_product_bytes(session, count);
}

enum rejectd_status cpu_read_predictions(struct backend_session *session, size_t pick, double *rows,
                                         struct rejectd_error *error)
{
    if (!session->predicted || pick < session->first || pick >= session->first + session->count)
        return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "pick %zu is not predicted", pick);
    const struct cpu_kernels *to_double = kernels_select(NULL, REJECTD_FLOAT64);
    const size_t n_epochs = session->samples.n_epochs, n_times = session->samples.n_times;
    const size_t group = session->kernels->group;
    const float *offsets = session->offsets;
    const char *from = session_predictions(session, pick, 0);
    for (size_t t = 0; t < n_times; t += group)
        for (size_t e = 0; e < n_epochs; e++, from += group * session->work_size) {
            double *to = rows + e * n_times + t;
            const size_t n = n_times - t < group ? n_times - t : group;
            to_double->convert(to, from, session->kernels->work, n);
            for (size_t i = 0; i < n && offsets != NULL; i++)
                to[i] += (double)offsets[pick - session->first];
        }
    return REJECTD_OK;
}
