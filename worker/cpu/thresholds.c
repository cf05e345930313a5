/*
 * The loss of every candidate threshold of a channel, channels in parallel.
 *
 * A channel's rows are loaded strip by strip in ascending order of peak-to-peak amplitude; while a
 * strip is in the cache, its fold medians are found and every fold's losses summed, so samples and
 * predictions are read from memory once.
 */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "worker/cpu/needs.h"
#include "worker/cpu/session.h"

/* One thread's scratch for channels of M rows. */
struct channel_scratch {
    struct row_source *sources; /* [M] in rank order */
    void *groups;               /* one strip */
    int16_t *keys;              /* [2][M][group] */
    void *medians;              /* [n_folds][group] */
    size_t *offsets;            /* [2][n_folds + 1] */
    uint32_t *rows;             /* [n_folds * M + 1] test ranks, then train ranks */
    double *sums;               /* [n_folds * M] at most */
};

static void scratch_free(struct channel_scratch *scratch)
{
    free(scratch->sources);
    free(scratch->groups);
    free(scratch->keys);
    free(scratch->medians);
    free(scratch->offsets);
    free(scratch->rows);
    free(scratch->sums);
}

static bool scratch_init(struct channel_scratch *scratch, const struct backend_session *session,
                         const struct backend_splits *splits)
{
    const size_t m = splits->n_rows, group = session->kernels->group;
    *scratch = (struct channel_scratch){
        .sources = scratch_alloc(m * sizeof(struct row_source)),
        .groups = scratch_alloc(m * session_strip(session, m) * session->work_size),
        .keys = scratch_alloc(2 * m * group * sizeof(int16_t)),
        .medians = scratch_alloc(splits->n_folds * group * session->work_size),
        .offsets = scratch_alloc(2 * (splits->n_folds + 1) * sizeof(size_t)),
        .rows = scratch_alloc((splits->n_folds * m + 1) * sizeof(uint32_t)),
        .sums = scratch_alloc(splits->n_folds * m * sizeof(double)),
    };
    return scratch->sources != NULL && scratch->groups != NULL && scratch->keys != NULL &&
           scratch->medians != NULL && scratch->offsets != NULL && scratch->rows != NULL &&
           scratch->sums != NULL;
}

double cpu_threshold_losses_bytes(const struct backend_session *session, size_t n_folds,
                                  size_t n_rows)
{
    const double m = (double)n_rows, folds = (double)n_folds, work = (double)session->work_size;
    const double group = (double)session->kernels->group;
    const double row = (double)sizeof(struct row_source) + session_strip_bytes(session, m) / m +
                       2.0 * group * (double)sizeof(int16_t) +
                       folds * (double)(sizeof(uint32_t) + sizeof(double));
    const double fold = group * work + 2.0 * (double)sizeof(size_t);
    return (double)session->options.n_threads * (m * row + folds * fold) +
           m * (double)sizeof(double);
}

/* The ranks whose row is (want_test) or is not a test row, fold by fold; returns how many. Needs
 * room for one more: every rank is written, and overwritten unless it counts. */
static size_t list_ranks(const struct backend_splits *splits, const uint32_t *order, bool want_test,
                         size_t *offsets, uint32_t *rows)
{
    size_t n = 0;
    for (size_t f = 0; f < splits->n_folds; f++) {
        const uint8_t *is_test = splits->is_test + f * splits->n_rows;
        offsets[f] = n;
        for (size_t rank = 0; rank < splits->n_rows; rank++) {
            rows[n] = (uint32_t)rank;
            n += (is_test[order[rank]] != 0) == want_test;
        }
    }
    offsets[splits->n_folds] = n;
    return n;
}

/* Where the row of each rank is: an epoch of the channel, or its prediction. */
static void find_sources(const struct backend_session *session, size_t pick, size_t n_rows,
                         const uint32_t *order, struct row_source *sources)
{
    const struct backend_samples *s = &session->samples;
    const size_t row_bytes = s->n_times * session->work_size;
    const char *predictions = NULL;
    if (session->predicted)
        predictions =
            (const char *)session->rows.data + (pick - session->first) * s->n_epochs * row_bytes;
    for (size_t rank = 0; rank < n_rows; rank++) {
        size_t row = order[rank];
        if (row < s->n_epochs)
            sources[rank] = session_row(session, row, s->picks[pick]);
        else
            sources[rank] =
                (struct row_source){.samples = predictions + (row - s->n_epochs) * row_bytes,
                                    .dtype = session->kernels->work};
    }
}

/*
 * Losses are equivariant to a shift of all rows of a channel. In float32 a large constant offset
 * would cost digits, so it is taken out first: the first sample of the middle row is near enough.
 */
static double channel_offset(const struct backend_session *session, const struct row_source *row)
{
    if (session->kernels->work == REJECTD_FLOAT64)
        return 0.0;
    float offset;
    if (row->dtype == REJECTD_FLOAT64)
        offset = (float)*(const double *)row->samples;
    else
        offset = *(const float *)row->samples;
    return (double)offset;
}

/*
 * Adds fold losses at the train rows to the candidates. A rank takes the value of the last train
 * row of its tie; ranks before the first train row that of the first train row's tie.
 */
static void add_fold_losses(const double *ptp, size_t m, const uint32_t *train, size_t n_train,
                            const double *sums, size_t n_times, double *losses)
{
    size_t kept = 0; /* train rows up to the end of the current tie */
    size_t first_of_tie = 0;
    while (first_of_tie < m) {
        size_t end = first_of_tie + 1;
        while (end < m && ptp[end] == ptp[first_of_tie])
            end++;
        while (kept < n_train && train[kept] < end)
            kept++;
        if (kept > 0) {
            /* Everything before the first train row falls back to it. */
            size_t from = train[0] >= first_of_tie ? 0 : first_of_tie;
            double loss = sqrt(sums[kept - 1] / (double)n_times);
            for (size_t rank = from; rank < end; rank++)
                losses[rank] += loss;
        }
        first_of_tie = end;
    }
}

static void channel_losses(struct backend_session *session, const struct backend_splits *splits,
                           size_t pick, const uint32_t *order, const double *ptp,
                           const double *weights, struct channel_scratch *scratch, double *losses)
{
    const struct cpu_kernels *kernels = session->kernels;
    const size_t m = splits->n_rows, n_times = session->samples.n_times, group = kernels->group;
    size_t *test_offsets = scratch->offsets;
    size_t *train_offsets = scratch->offsets + splits->n_folds + 1;
    const size_t n_test = list_ranks(splits, order, true, test_offsets, scratch->rows);
    uint32_t *train_rows = scratch->rows + n_test;
    const size_t n_train = list_ranks(splits, order, false, train_offsets, train_rows);
    const struct fold_rows test = {splits->n_folds, test_offsets, scratch->rows};
    const struct fold_rows train = {splits->n_folds, train_offsets, train_rows};

    find_sources(session, pick, m, order, scratch->sources);
    const double offset = channel_offset(session, &scratch->sources[m / 2]);
    memset(scratch->sums, 0, n_train * sizeof *scratch->sums);
    const size_t strip = session_strip(session, m);
    for (size_t start = 0; start < n_times; start += strip) {
        const size_t length = n_times - start < strip ? n_times - start : strip;
        kernels->load(scratch->groups, scratch->sources, m, start, length, offset);
        for (size_t g = 0; g * group < length; g++) {
            const char *samples =
                (const char *)scratch->groups + g * m * group * session->work_size;
            kernels->medians(samples, m, &test, scratch->keys, scratch->medians);
            kernels->losses(samples, &train, scratch->medians, weights, scratch->sums);
        }
    }
    memset(losses, 0, m * sizeof *losses);
    for (size_t f = 0; f < splits->n_folds; f++)
        add_fold_losses(ptp, m, train_rows + train_offsets[f],
                        train_offsets[f + 1] - train_offsets[f], scratch->sums + train_offsets[f],
                        n_times, losses);
    for (size_t rank = 0; rank < m; rank++)
        losses[rank] /= (double)splits->n_folds;
}

enum rejectd_status cpu_threshold_losses(struct backend_session *session,
                                         const struct backend_splits *splits, const uint32_t *order,
                                         const double *ptp, double *losses,
                                         struct rejectd_error *error)
{
    const size_t m = splits->n_rows;
    double *weights = scratch_alloc(m * sizeof *weights);
    if (weights == NULL)
        return REJECTD_FAIL_MEMORY(error, m * sizeof *weights);
    for (size_t i = 0; i < m; i++)
        weights[i] = 1.0 / ((double)(i + 1) * (double)(i + 1));
    struct loop loop;
    loop_begin(&loop, session, session->count);
#pragma omp parallel num_threads(session->options.n_threads)
    {
        struct channel_scratch scratch;
        if (!scratch_init(&scratch, session, splits))
            loop_fail(&loop);
#pragma omp for schedule(dynamic, 1)
        for (size_t c = 0; c < session->count; c++) {
            if (loop_stopped(&loop))
                continue;
            channel_losses(session, splits, session->first + c, order + c * m, ptp + c * m, weights,
                           &scratch, losses + c * m);
            loop_advance(&loop, omp_get_thread_num());
        }
        scratch_free(&scratch);
    }
    free(weights);
    return loop_end(&loop, error);
}
