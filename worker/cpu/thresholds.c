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

#include "worker/cpu/channel_rows.h"
#include "worker/cpu/fold_lists.h"
#include "worker/cpu/needs.h"
#include "worker/cpu/session.h"

/* What is the same for every channel. */
struct plan {
    struct fold_table table;
    struct fold_rows test;
    double *weights; /* [M] 1 / (i + 1)^2; owned */
};

static void plan_free(struct plan *plan)
{
    fold_rows_free(&plan->test);
    free(plan->weights);
}

static enum rejectd_status plan_init(struct plan *plan, const struct backend_splits *splits,
                                     struct rejectd_error *error)
{
    const size_t m = splits->n_rows, n_folds = splits->n_folds;
    *plan = (struct plan){
        .table = {n_folds, m, splits->is_test},
        .weights = malloc(m * sizeof(double)),
    };
    if (!fold_rows_init(&plan->test, &plan->table, true) || plan->weights == NULL)
        return REJECTD_FAIL_MEMORY(error, n_folds * m * sizeof(uint32_t));
    for (size_t i = 0; i < m; i++)
        plan->weights[i] = 1.0 / ((double)(i + 1) * (double)(i + 1));
    return REJECTD_OK;
}

/* One thread's scratch for channels of M rows. */
struct channel_scratch {
    struct channel_rows rows;
    void *medians; /* [n_folds][group] */
    struct train_ranks train;
    double *sums; /* [n_folds * M] at most */
};

static void scratch_free(struct channel_scratch *scratch)
{
    channel_rows_free(&scratch->rows);
    free(scratch->medians);
    train_ranks_free(&scratch->train);
    free(scratch->sums);
}

static bool scratch_init(struct channel_scratch *scratch, const struct backend_session *session,
                         const struct fold_table *table)
{
    const size_t m = table->n_rows, n_folds = table->n_folds;
    *scratch = (struct channel_scratch){
        .medians = scratch_alloc(n_folds * session->kernels->group * session->work_size),
        .sums = scratch_alloc(n_folds * m * sizeof(double)),
    };
    const bool has_rows = channel_rows_init(&scratch->rows, session, m);
    const bool has_ranks = train_ranks_init(&scratch->train, n_folds, m);
    return has_rows && has_ranks && scratch->medians != NULL && scratch->sums != NULL;
}

double cpu_threshold_losses_bytes(const struct backend_session *session, size_t n_folds,
                                  size_t n_rows)
{
    const double m = (double)n_rows, folds = (double)n_folds;
    const double medians = folds * (double)session->kernels->group * (double)session->work_size;
    const double scratch = channel_rows_bytes(session, m) + medians + train_ranks_bytes(folds, m) +
                           folds * m * (double)sizeof(double);
    const double plan = fold_rows_bytes(folds, folds * m) + m * (double)sizeof(double);
    return plan + (double)session->options.n_threads * scratch;
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
    const size_t n_times = session->samples.n_times;
    struct channel_rows *rows = &scratch->rows;
    struct train_ranks *train = &scratch->train;
    train_ranks_list(train, &plan->table, order);
    memset(scratch->sums, 0, train->offsets[n_folds] * sizeof *scratch->sums);
    for (size_t at = 0, loaded = 0; at < n_times; at += kernels->group) {
        if (at >= loaded)
            loaded += channel_rows_load(rows, pick, channel_rows_offset(session, pick), at);
        const void *group = channel_rows_group(rows, pick, at);
        kernels->medians(group, m, &plan->test, rows->keys, scratch->medians);
        kernels->losses(group, train, scratch->medians, plan->weights, scratch->sums);
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
