/*
 * The grid of the local cross-validation, channels in parallel.
 *
 * For each channel its raw rows and all its repaired rows are loaded strip by strip; the medians
 * of the test epochs and the squares of every cell of the grid are taken while the strip is in the
 * cache. Channels are added up at the end, in order.
 */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "worker/cpu/needs.h"
#include "worker/cpu/session.h"

/* What is the same for every channel. */
struct plan {
    const struct backend_local_cv *cv;
    size_t n_values;
    size_t *test_offsets;  /* [n_folds + 1] */
    uint32_t *test_rows;   /* [E] epochs fold by fold */
    uint32_t *n_train;     /* [n_consensus][n_folds] */
    bool *keeps_more;      /* [n_consensus] */
    size_t *change_counts; /* [C] changed rows of each pick, all values together */
    size_t most_changes;
    size_t cells; /* n_consensus * n_values * n_folds */
    double *sums; /* [C][cells] */
};

static void plan_free(struct plan *plan)
{
    free(plan->test_offsets);
    free(plan->test_rows);
    free(plan->n_train);
    free(plan->keeps_more);
    free(plan->change_counts);
    free(plan->sums);
}

/* Whether value v repairs other sensors of the epoch than the value before it. */
static bool repairs_change(const struct backend_repairs *repairs, size_t value, size_t epoch)
{
    const uint16_t *prefix = repairs->prefix + epoch;
    uint16_t before = value > 0 ? prefix[(value - 1) * repairs->n_epochs] : 0;
    return prefix[value * repairs->n_epochs] > before;
}

static void list_folds(struct plan *plan, size_t n_epochs)
{
    const struct backend_local_cv *cv = plan->cv;
    size_t n = 0;
    for (size_t f = 0; f < cv->n_folds; f++) {
        plan->test_offsets[f] = n;
        for (size_t e = 0; e < n_epochs; e++)
            if (cv->fold[e] == f)
                plan->test_rows[n++] = (uint32_t)e;
    }
    plan->test_offsets[cv->n_folds] = n;
}

static void count_train(struct plan *plan, size_t n_epochs)
{
    const struct backend_local_cv *cv = plan->cv;
    const size_t n = cv->n_folds;
    for (size_t e = 0; e < n_epochs; e++) {
        if (cv->first_good[e] >= cv->n_consensus)
            continue;
        plan->keeps_more[cv->first_good[e]] = true;
        for (size_t k = cv->first_good[e]; k < cv->n_consensus; k++)
            for (size_t f = 0; f < n; f++)
                plan->n_train[k * n + f] += f != cv->fold[e];
    }
}

static void count_changes(struct plan *plan, const struct backend_repairs *repairs)
{
    for (size_t v = 0; v < repairs->n_values; v++)
        for (size_t e = 0; e < repairs->n_epochs; e++)
            if (repairs_change(repairs, v, e))
                for (size_t i = 0; i < repairs->prefix[v * repairs->n_epochs + e]; i++)
                    plan->change_counts[repairs->channels[repairs->offsets[e] + i]]++;
}

static enum rejectd_status plan_init(struct plan *plan, const struct backend_session *session,
                                     const struct backend_local_cv *cv, struct rejectd_error *error)
{
    const size_t n_epochs = session->samples.n_epochs, c = session->samples.n_picks;
    const size_t table = cv->n_consensus * cv->n_folds;
    *plan = (struct plan){.cv = cv, .n_values = session->repairs.n_values};
    plan->cells = table * plan->n_values;
    plan->test_offsets = malloc((cv->n_folds + 1) * sizeof(size_t));
    plan->test_rows = malloc(n_epochs * sizeof(uint32_t));
    plan->n_train = calloc(table, sizeof(uint32_t));
    plan->keeps_more = calloc(cv->n_consensus, sizeof(bool));
    plan->change_counts = calloc(c, sizeof(size_t));
    plan->sums = calloc(c * plan->cells, sizeof(double));
    if (plan->test_offsets == NULL || plan->test_rows == NULL || plan->n_train == NULL ||
        plan->keeps_more == NULL || plan->change_counts == NULL || plan->sums == NULL)
        return REJECTD_FAIL_MEMORY(error, c * plan->cells * sizeof(double));
    list_folds(plan, n_epochs);
    count_train(plan, n_epochs);
    count_changes(plan, &session->repairs);
    for (size_t i = 0; i < c; i++)
        if (plan->change_counts[i] > plan->most_changes)
            plan->most_changes = plan->change_counts[i];
    return REJECTD_OK;
}

/* One thread's scratch. */
struct channel_scratch {
    struct row_source *sources; /* [E + changes] */
    void *groups;
    int16_t *keys;
    void *medians;
    void *grid;
    size_t *changed_offsets;  /* [n_values + 1] */
    uint32_t *changed_epochs; /* [changes] */
};

static void scratch_free(struct channel_scratch *scratch)
{
    free(scratch->sources);
    free(scratch->groups);
    free(scratch->keys);
    free(scratch->medians);
    free(scratch->grid);
    free(scratch->changed_offsets);
    free(scratch->changed_epochs);
}

static bool scratch_init(struct channel_scratch *scratch, const struct backend_session *session,
                         const struct plan *plan)
{
    const size_t n_epochs = session->samples.n_epochs, group = session->kernels->group;
    const size_t rows = n_epochs + plan->most_changes;
    *scratch = (struct channel_scratch){
        .sources = scratch_alloc(rows * sizeof(struct row_source)),
        .groups = scratch_alloc(rows * session_strip(session, rows) * session->work_size),
        .keys = scratch_alloc(2 * n_epochs * group * sizeof(int16_t)),
        .medians = scratch_alloc(plan->cv->n_folds * group * session->work_size),
        .grid = scratch_alloc(kernels_grid_scratch(session->kernels, n_epochs,
                                                   plan->cv->n_consensus, plan->cv->n_folds)),
        .changed_offsets = scratch_alloc((plan->n_values + 1) * sizeof(size_t)),
        .changed_epochs = scratch_alloc(plan->most_changes * sizeof(uint32_t)),
    };
    return scratch->sources != NULL && scratch->groups != NULL && scratch->keys != NULL &&
           scratch->medians != NULL && scratch->grid != NULL && scratch->changed_offsets != NULL &&
           scratch->changed_epochs != NULL;
}

double cpu_local_cv_bytes(const struct backend_session *session, size_t n_values,
                          size_t n_consensus, size_t n_folds, double changes)
{
    const size_t n_epochs = session->samples.n_epochs;
    const double e = (double)n_epochs, c = (double)session->samples.n_picks;
    const double group = (double)session->kernels->group, work = (double)session->work_size;
    const double rows = e + changes, folds = (double)n_folds;
    const double grid =
        (double)kernels_grid_scratch(session->kernels, n_epochs, n_consensus, n_folds);
    const double scratch =
        rows * (double)sizeof(struct row_source) + session_strip_bytes(session, rows) +
        2.0 * e * group * (double)sizeof(int16_t) + folds * group * work + grid +
        changes * (double)sizeof(uint32_t) + (double)n_values * (double)sizeof(size_t);
    const double cells = (double)n_consensus * (double)n_values * folds;
    const double plan = c * (cells * (double)sizeof(double) + (double)sizeof(size_t)) +
                        (e + (double)n_consensus * folds) * (double)sizeof(uint32_t);
    return plan + (double)session->options.n_threads * scratch;
}

/* Position of a pick in the first n of an epoch's list, or n. */
static size_t position_in(const uint16_t *list, size_t n, size_t pick)
{
    size_t i = 0;
    while (i < n && list[i] != pick)
        i++;
    return i;
}

/* The rows of one pick: its epochs, then its repaired rows value by value. Returns how many. */
static size_t find_rows(const struct backend_session *session, size_t pick,
                        struct channel_scratch *scratch)
{
    const struct backend_repairs *repairs = &session->repairs;
    const struct backend_samples *s = &session->samples;
    const size_t row_bytes = s->n_times * session->work_size;
    for (size_t e = 0; e < s->n_epochs; e++)
        scratch->sources[e] = session_row(session, e, s->picks[pick]);
    size_t n = 0;
    for (size_t v = 0; v < repairs->n_values; v++) {
        scratch->changed_offsets[v] = n;
        for (size_t e = 0; e < s->n_epochs; e++) {
            if (!repairs_change(repairs, v, e))
                continue;
            size_t prefix = repairs->prefix[v * repairs->n_epochs + e];
            size_t at = position_in(repairs->channels + repairs->offsets[e], prefix, pick);
            if (at == prefix)
                continue;
            size_t row = session->repaired_offsets[e] + repaired_value_row(repairs, v, e) + at;
            scratch->changed_epochs[n] = (uint32_t)e;
            scratch->sources[s->n_epochs + n] =
                (struct row_source){.samples = (const char *)session->rows.data + row * row_bytes,
                                    .dtype = session->kernels->work};
            n++;
        }
    }
    scratch->changed_offsets[repairs->n_values] = n;
    return s->n_epochs + n;
}

static void channel_grid(const struct backend_session *session, const struct plan *plan,
                         size_t pick, struct channel_scratch *scratch, double *sums)
{
    const struct cpu_kernels *kernels = session->kernels;
    const struct backend_local_cv *cv = plan->cv;
    const size_t n_times = session->samples.n_times, group = kernels->group;
    const size_t rows = find_rows(session, pick, scratch);
    const struct fold_rows test = {cv->n_folds, plan->test_offsets, plan->test_rows};
    struct grid_group grid = {
        .n_epochs = session->samples.n_epochs,
        .fold = cv->fold,
        .first_good = cv->first_good,
        .n_folds = cv->n_folds,
        .n_consensus = cv->n_consensus,
        .n_train = plan->n_train,
        .keeps_more = plan->keeps_more,
        .medians = scratch->medians,
        .n_values = plan->n_values,
        .changed_offsets = scratch->changed_offsets,
        .changed_epochs = scratch->changed_epochs,
    };
    const size_t strip = session_strip(session, session->samples.n_epochs + plan->most_changes);
    for (size_t start = 0; start < n_times; start += strip) {
        const size_t length = n_times - start < strip ? n_times - start : strip;
        kernels->load(scratch->groups, rows, scratch->sources, rows, start, length, 0.0);
        for (size_t g = 0; g * group < length; g++) {
            grid.rows = (const char *)scratch->groups + g * rows * group * session->work_size;
            kernels->medians(grid.rows, grid.n_epochs, &test, scratch->keys, scratch->medians);
            kernels->grid(&grid, scratch->grid, sums);
        }
    }
}

/* Adds the channels up in order and turns sums of squares into losses. */
static void finish_losses(const struct backend_session *session, const struct plan *plan,
                          double *losses)
{
    const struct backend_local_cv *cv = plan->cv;
    const double n = (double)session->samples.n_picks * (double)session->samples.n_times;
    for (size_t i = 0; i < plan->cells; i++) {
        const size_t fold = i % cv->n_folds, consensus = i / (cv->n_folds * plan->n_values);
        double sum = 0.0;
        for (size_t c = 0; c < session->samples.n_picks; c++)
            sum += plan->sums[c * plan->cells + i];
        losses[i] = plan->n_train[consensus * cv->n_folds + fold] > 0 ? sqrt(sum / n) : INFINITY;
    }
}

enum rejectd_status cpu_local_cv_losses(struct backend_session *session,
                                        const struct backend_local_cv *cv, double *losses,
                                        struct rejectd_error *error)
{
    struct plan plan;
    enum rejectd_status status = plan_init(&plan, session, cv, error);
    if (status != REJECTD_OK)
        goto cleanup;
    struct loop loop;
    loop_begin(&loop, session, session->samples.n_picks);
#pragma omp parallel num_threads(session->options.n_threads)
    {
        struct channel_scratch scratch;
        if (!scratch_init(&scratch, session, &plan))
            loop_fail(&loop);
#pragma omp for schedule(dynamic, 1)
        for (size_t c = 0; c < session->samples.n_picks; c++) {
            if (loop_stopped(&loop))
                continue;
            channel_grid(session, &plan, c, &scratch, plan.sums + c * plan.cells);
            loop_advance(&loop, omp_get_thread_num());
        }
        scratch_free(&scratch);
    }
    status = loop_end(&loop, error);
    if (status == REJECTD_OK)
        finish_losses(session, &plan, losses);
cleanup:
    plan_free(&plan);
    return status;
}
