/*
 * Losses of global thresholds, channels in parallel.
 *
 * As for the thresholds of single channels (thresholds.c): a channel's epochs are loaded strip by
 * strip in ascending order of amplitude, and one walk over the train epochs of a fold gives the sum
 * of squares at every number of kept epochs. Here the sums of all channels belong together; they
 * are kept apart for a block of channels and then added in the order of the channels.
 */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "worker/cpu/channel_rows.h"
#include "worker/cpu/fold_lists.h"
#include "worker/cpu/needs.h"
#include "worker/cpu/session.h"

enum {
    BLOCK_CHANNELS = 64,
    BLOCK_BYTES = 64u << 20, /* of the sums of one block; longer lists get smaller blocks */
};

/* Rows of every fold, and what is the same for every channel. */
struct plan {
    const struct backend_global *global;
    uint8_t *is_test; /* [n_folds][E]; owned */
    struct fold_rows test, train;
    struct train_ranks ranks;
    size_t n_train;
    double *weights; /* [E] 1 / (i + 1)^2; owned */
    size_t n_sums;   /* of a channel: n_train, twice when train losses are wanted */
    bool wants_train;
};

/* One thread's scratch. */
struct scratch {
    struct channel_rows rows;
    void *medians; /* [n_folds][group] */
};

static void plan_free(struct plan *plan)
{
    free(plan->is_test);
    fold_rows_free(&plan->test);
    fold_rows_free(&plan->train);
    train_ranks_free(&plan->ranks);
    free(plan->weights);
}

static enum rejectd_status plan_init(struct plan *plan, const struct backend_global *global,
                                     size_t n_epochs, bool wants_train, struct rejectd_error *error)
{
    const size_t n_folds = global->n_folds;
    *plan = (struct plan){
        .global = global,
        .is_test = malloc(n_folds * n_epochs),
        .weights = malloc(n_epochs * sizeof(double)),
        .wants_train = wants_train,
    };
    if (!train_ranks_init(&plan->ranks, n_folds, n_epochs) || plan->is_test == NULL ||
        plan->weights == NULL)
        return REJECTD_FAIL_MEMORY(error, n_folds * n_epochs * sizeof(uint32_t));
    for (size_t f = 0; f < n_folds; f++)
        for (size_t e = 0; e < n_epochs; e++)
            plan->is_test[f * n_epochs + e] = global->fold[e] == f;
    const struct fold_table table = {n_folds, n_epochs, plan->is_test};
    if (!fold_rows_init(&plan->test, &table, true) || !fold_rows_init(&plan->train, &table, false))
        return REJECTD_FAIL_MEMORY(error, n_folds * n_epochs * sizeof(uint32_t));
    plan->n_train = plan->train.offsets[n_folds];
    train_ranks_list(&plan->ranks, &table, global->order);
    plan->n_sums = wants_train ? 2 * plan->n_train : plan->n_train;
    for (size_t i = 0; i < n_epochs; i++)
        plan->weights[i] = 1.0 / ((double)(i + 1) * (double)(i + 1));
    return REJECTD_OK;
}

static bool scratch_init(struct scratch *scratch, const struct backend_session *session,
                         const struct plan *plan)
{
    scratch->medians =
        scratch_alloc(plan->test.n_folds * session->kernels->group * session->work_size);
    return channel_rows_init(&scratch->rows, session, session->samples.n_epochs) &&
           scratch->medians != NULL;
}

double cpu_global_bytes(const struct backend_session *session, size_t n_folds, bool wants_train)
{
    const size_t n_epochs = session->samples.n_epochs;
    const double e = (double)n_epochs, folds = (double)n_folds;
    const double group = (double)session->kernels->group, work = (double)session->work_size;
    /* Every epoch is tested in one fold and trains the others. */
    const double n_train = e * (folds - 1.0), n_sums = wants_train ? 2.0 * n_train : n_train;
    const double sum_bytes = n_sums * (double)sizeof(double);
    double block = sum_bytes > 0.0 ? (double)BLOCK_BYTES / sum_bytes : 1.0;
    block = block < 1.0 ? 1.0 : block > BLOCK_CHANNELS ? BLOCK_CHANNELS : block;
    const double plan = folds * e * (double)sizeof(uint8_t) + fold_rows_bytes(folds, e) +
                        fold_rows_bytes(folds, n_train) + train_ranks_bytes(folds, e) +
                        e * (double)sizeof(double);
    const double scratch = channel_rows_bytes(session, e) + folds * group * work;
    return plan + (block + 1.0) * sum_bytes + (double)session->options.n_threads * scratch;
}

static void scratch_free(struct scratch *scratch)
{
    channel_rows_free(&scratch->rows);
    free(scratch->medians);
}

/* In float32 a large constant would cost digits; losses do not change with it. */
static double channel_offset(const struct backend_session *session, const struct row_source *row)
{
    if (session->kernels->work == REJECTD_FLOAT64)
        return 0.0;
    if (row->dtype == REJECTD_FLOAT64)
        return (double)(float)*(const double *)row->samples;
    return (double)*(const float *)row->samples;
}

/* sums [n_sums] of one channel. */
static void channel_sums(const struct backend_session *session, const struct plan *plan,
                         size_t pick, struct scratch *scratch, double *sums)
{
    const struct cpu_kernels *kernels = session->kernels;
    const struct backend_samples *s = &session->samples;
    struct channel_rows *rows = &scratch->rows;
    const struct row_source middle =
        session_row(session, plan->global->order[s->n_epochs / 2], s->picks[pick]);
    const double offset = channel_offset(session, &middle);
    memset(sums, 0, plan->n_sums * sizeof *sums);
    for (size_t at = 0, loaded = 0; at < s->n_times; at += kernels->group) {
        if (at >= loaded)
            loaded += channel_rows_load(rows, pick, offset, at);
        const void *group = channel_rows_group(rows, pick, at);
        kernels->medians(group, s->n_epochs, &plan->test, rows->keys, scratch->medians);
        kernels->losses(group, &plan->ranks, scratch->medians, plan->weights, sums);
        if (!plan->wants_train)
            continue;
        kernels->medians(group, s->n_epochs, &plan->train, rows->keys, scratch->medians);
        kernels->losses(group, &plan->ranks, scratch->medians, plan->weights, sums + plan->n_train);
    }
}

/* Losses of every candidate from the sums over all channels. */
static void read_losses(const struct plan *plan, const double *sums, double n_values,
                        double *losses)
{
    const size_t n_folds = plan->ranks.n_folds;
    for (size_t f = 0; f < n_folds; f++)
        for (size_t i = 0; i < plan->global->n_candidates; i++) {
            const size_t kept = train_ranks_below(&plan->ranks, f, plan->global->kept[i]);
            losses[i * n_folds + f] =
                kept > 0 ? sqrt(sums[plan->ranks.offsets[f] + kept - 1] / n_values) : INFINITY;
        }
}

/* Sums of all channels, in their order: total [n_sums] from blocks [block][n_sums]. */
static enum rejectd_status sum_channels(const struct backend_session *session,
                                        const struct plan *plan, size_t block, double *sums,
                                        double *total, struct rejectd_error *error)
{
    const size_t n_picks = session->samples.n_picks;
    struct loop loop;
    loop_begin(&loop, session, n_picks);
#pragma omp parallel num_threads(session->options.n_threads)
    {
        struct scratch scratch;
        if (!scratch_init(&scratch, session, plan))
            loop_fail(&loop);
        for (size_t first = 0; first < n_picks; first += block) {
            const size_t count = n_picks - first < block ? n_picks - first : block;
#pragma omp for schedule(dynamic, 1)
            for (size_t c = 0; c < count; c++) {
                if (loop_stopped(&loop))
                    continue;
                channel_sums(session, plan, first + c, &scratch, sums + c * plan->n_sums);
                loop_advance(&loop, omp_get_thread_num());
            }
#pragma omp for
            for (size_t i = 0; i < plan->n_sums; i++)
                for (size_t c = 0; c < count; c++)
                    total[i] += sums[c * plan->n_sums + i];
        }
        scratch_free(&scratch);
    }
    return loop_end(&loop, error);
}

enum rejectd_status cpu_global_losses(struct backend_session *session,
                                      const struct backend_global *global, double *test_losses,
                                      double *train_losses, struct rejectd_error *error)
{
    const struct backend_samples *s = &session->samples;
    const double n_values = (double)s->n_picks * (double)s->n_times;
    struct plan plan;
    double *sums = NULL, *total = NULL;
    enum rejectd_status status = plan_init(&plan, global, s->n_epochs, train_losses != NULL, error);
    if (status != REJECTD_OK)
        goto cleanup;
    size_t block = BLOCK_BYTES / (plan.n_sums * sizeof *sums), bytes;
    block = block < 1 ? 1 : block > BLOCK_CHANNELS ? BLOCK_CHANNELS : block;
    if (checked_multiply3(block, plan.n_sums, sizeof *sums, &bytes)) {
        sums = scratch_alloc(bytes);
        total = calloc(plan.n_sums, sizeof *total);
    }
    if (sums == NULL || total == NULL) {
        status = REJECTD_FAIL_MEMORY(error, plan.n_sums * sizeof *total);
        goto cleanup;
    }
    status = sum_channels(session, &plan, block, sums, total, error);
    if (status != REJECTD_OK)
        goto cleanup;
    read_losses(&plan, total, n_values, test_losses);
    if (train_losses != NULL)
        read_losses(&plan, total + plan.n_train, n_values, train_losses);
cleanup:
    plan_free(&plan);
    free(sums);
    free(total);
    return status;
}
