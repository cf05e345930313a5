/*
 * The loss of every candidate threshold of a channel, channels in parallel.
 *
 * A channel's rows are loaded strip by strip, epochs from where they lie and predictions, which lie
 * together, group by group; while a group is in the cache, its fold medians are found and every
 * fold's losses summed, so samples and predictions are read from memory once.
 */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "worker/cpu/fold_lists.h"
#include "worker/cpu/needs.h"
#include "worker/cpu/session.h"

/* What is the same for every channel. */
struct plan {
    struct fold_table table;
    size_t *test_offsets; /* [n_folds + 1]; owned */
    uint32_t *test_rows;  /* owned */
    double *weights;      /* [M] 1 / (i + 1)^2; owned */
};

static void plan_free(struct plan *plan)
{
    free(plan->test_offsets);
    free(plan->test_rows);
    free(plan->weights);
}

static enum rejectd_status plan_init(struct plan *plan, const struct backend_splits *splits,
                                     struct rejectd_error *error)
{
    const size_t m = splits->n_rows, n_folds = splits->n_folds;
    *plan = (struct plan){
        .table = {n_folds, m, splits->is_test},
        .test_offsets = malloc((n_folds + 1) * sizeof(size_t)),
        .test_rows = malloc((n_folds * m + 1) * sizeof(uint32_t)),
        .weights = malloc(m * sizeof(double)),
    };
    if (plan->test_offsets == NULL || plan->test_rows == NULL || plan->weights == NULL)
        return REJECTD_FAIL_MEMORY(error, n_folds * m * sizeof(uint32_t));
    fold_rows_list(&plan->table, true, plan->test_offsets, plan->test_rows);
    for (size_t i = 0; i < m; i++)
        plan->weights[i] = 1.0 / ((double)(i + 1) * (double)(i + 1));
    return REJECTD_OK;
}

/* One thread's scratch for channels of M rows. */
struct channel_scratch {
    struct row_source *sources; /* [E] */
    void *groups;               /* one strip */
    int16_t *keys;              /* [2][M][group] */
    void *medians;              /* [n_folds][group] */
    struct train_ranks train;
    double *sums; /* [n_folds * M] at most */
};

static void scratch_free(struct channel_scratch *scratch)
{
    free(scratch->sources);
    free(scratch->groups);
    free(scratch->keys);
    free(scratch->medians);
    train_ranks_free(&scratch->train);
    free(scratch->sums);
}

static bool scratch_init(struct channel_scratch *scratch, const struct backend_session *session,
                         const struct fold_table *table)
{
    const size_t m = table->n_rows, group = session->kernels->group;
    *scratch = (struct channel_scratch){
        .sources = scratch_alloc(session->samples.n_epochs * sizeof(struct row_source)),
        .groups = scratch_alloc(m * session_strip(session, m) * session->work_size),
        .keys = scratch_alloc(2 * m * group * sizeof(int16_t)),
        .medians = scratch_alloc(table->n_folds * group * session->work_size),
        .sums = scratch_alloc(table->n_folds * m * sizeof(double)),
    };
    return train_ranks_init(&scratch->train, table->n_folds, m) && scratch->sources != NULL &&
           scratch->groups != NULL && scratch->keys != NULL && scratch->medians != NULL &&
           scratch->sums != NULL;
}

double cpu_threshold_losses_bytes(const struct backend_session *session, size_t n_folds,
                                  size_t n_rows)
{
    const double m = (double)n_rows, folds = (double)n_folds, work = (double)session->work_size;
    const double e = (double)session->samples.n_epochs, group = (double)session->kernels->group;
    const double scratch =
        e * (double)sizeof(struct row_source) + session_strip_bytes(session, m) +
        m * (2.0 * group * (double)sizeof(int16_t) + folds * (double)sizeof(double)) +
        folds * group * work + train_ranks_bytes(folds, m);
    const double plan = (folds * m + 1.0) * (double)sizeof(uint32_t) +
                        (folds + 1.0) * (double)sizeof(size_t) + m * (double)sizeof(double);
    return plan + (double)session->options.n_threads * scratch;
}

/* Loads a strip of a channel's epochs into the first E rows of its groups. */
static void load_epochs(const struct backend_session *session, size_t pick, size_t n_rows,
                        size_t start, size_t length, struct channel_scratch *scratch)
{
    const struct backend_samples *s = &session->samples;
    const float *offsets = session->offsets;
    const double offset = offsets != NULL ? (double)offsets[pick - session->first] : 0.0;
    for (size_t e = 0; e < s->n_epochs; e++)
        scratch->sources[e] = session_row(session, e, s->picks[pick]);
    session->kernels->load(scratch->groups, n_rows, scratch->sources, s->n_epochs, start, length,
                           offset);
}

/* Copies a group of a channel's predictions behind the epochs. */
static void load_predictions(const struct backend_session *session, size_t pick, size_t number,
                             char *group)
{
    const size_t bytes = session->samples.n_epochs * session->kernels->group * session->work_size;
    const size_t groups_before = (pick - session->first) * session_groups(session) + number;
    if (session->predicted)
        memcpy(group + bytes, (const char *)session->rows.data + groups_before * bytes, bytes);
}

/*
 * Adds a fold's losses at its train rows to the candidates. A rank takes the value of the last
 * train row of its tie; ranks before the first train row that of the first train row's tie.
 */
static void add_fold_losses(const double *ptp, size_t m, const uint8_t *is_test,
                            const uint32_t *order, const double *sums, size_t n_times,
                            double *losses)
{
    size_t kept = 0; /* train rows up to the end of the current tie */
    for (size_t first = 0, end; first < m; first = end) {
        const size_t from = kept > 0 ? first : 0;
        end = first;
        do
            kept += is_test[order[end++]] == 0;
        while (end < m && ptp[end] == ptp[first]);
        if (kept == 0)
            continue;
        const double loss = sqrt(sums[kept - 1] / (double)n_times);
        for (size_t rank = from; rank < end; rank++)
            losses[rank] += loss;
    }
}

static void channel_losses(struct backend_session *session, const struct plan *plan, size_t pick,
                           const uint32_t *order, const double *ptp,
                           struct channel_scratch *scratch, double *losses)
{
    const struct cpu_kernels *kernels = session->kernels;
    const size_t m = plan->table.n_rows, n_folds = plan->table.n_folds;
    const size_t n_times = session->samples.n_times, group = kernels->group;
    const struct fold_rows test = {n_folds, plan->test_offsets, plan->test_rows};
    struct train_ranks *train = &scratch->train;
    train_ranks_list(train, &plan->table, order);
    memset(scratch->sums, 0, train->offsets[n_folds] * sizeof *scratch->sums);
    const size_t strip = session_strip(session, m);
    for (size_t start = 0; start < n_times; start += strip) {
        const size_t length = n_times - start < strip ? n_times - start : strip;
        load_epochs(session, pick, m, start, length, scratch);
        for (size_t g = 0; g * group < length; g++) {
            char *samples = (char *)scratch->groups + g * m * group * session->work_size;
            load_predictions(session, pick, start / group + g, samples);
            kernels->medians(samples, m, &test, scratch->keys, scratch->medians);
            kernels->losses(samples, train, scratch->medians, plan->weights, scratch->sums);
        }
    }
    memset(losses, 0, m * sizeof *losses);
    for (size_t f = 0; f < n_folds; f++)
        add_fold_losses(ptp, m, plan->table.is_test + f * m, order,
                        scratch->sums + train->offsets[f], n_times, losses);
    for (size_t rank = 0; rank < m; rank++)
        losses[rank] /= (double)n_folds;
}

enum rejectd_status cpu_threshold_losses(struct backend_session *session,
                                         const struct backend_splits *splits, const uint32_t *order,
                                         const double *ptp, double *losses,
                                         struct rejectd_error *error)
{
    const size_t m = splits->n_rows;
    struct plan plan;
    enum rejectd_status status = plan_init(&plan, splits, error);
    if (status != REJECTD_OK)
        goto cleanup;
    struct loop loop;
    loop_begin(&loop, session, session->count);
#pragma omp parallel num_threads(session->options.n_threads)
    {
        struct channel_scratch scratch;
        if (!scratch_init(&scratch, session, &plan.table))
            loop_fail(&loop);
#pragma omp for schedule(dynamic, 1)
        for (size_t c = 0; c < session->count; c++) {
            if (loop_stopped(&loop))
                continue;
            channel_losses(session, &plan, session->first + c, order + c * m, ptp + c * m, &scratch,
                           losses + c * m);
            loop_advance(&loop, omp_get_thread_num());
        }
        scratch_free(&scratch);
    }
    status = loop_end(&loop, error);
cleanup:
    plan_free(&plan);
    return status;
}
