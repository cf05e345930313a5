#include "worker/algorithm/thresholds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/algorithm/folds.h"
#include "worker/algorithm/ranking.h"
#include "worker/algorithm/threshold_search.h"

/* Tables of one block of picks, M rows each: 2 E, or E where nothing is predicted. */
struct block {
    size_t capacity;       /* picks */
    double *predicted_ptp; /* [E][count] */
    uint32_t *order;       /* [count][M] */
    double *candidates;    /* [count][M] */
    double *losses;        /* [count][M] */
};

static void block_free(struct block *block)
{
    free(block->predicted_ptp);
    free(block->order);
    free(block->candidates);
    free(block->losses);
}

static enum rejectd_status block_init(struct block *block, size_t capacity, size_t n_epochs,
                                      size_t m, struct rejectd_error *error)
{
    const size_t rows = capacity * m;
    *block = (struct block){
        .capacity = capacity,
        .predicted_ptp = malloc(capacity * n_epochs * sizeof(double)),
        .order = malloc(rows * sizeof(uint32_t)),
        .candidates = malloc(rows * sizeof(double)),
        .losses = malloc(rows * sizeof(double)),
    };
    if (block->predicted_ptp == NULL || block->order == NULL || block->candidates == NULL ||
        block->losses == NULL)
        return REJECTD_FAIL_MEMORY(error, rows * sizeof(double));
    return REJECTD_OK;
}

/* Picks per block: enough to keep the threads busy, and within the budget for predictions. */
size_t thresholds_block(const struct backend_samples *samples, int n_threads, size_t memory_budget)
{
    const size_t panel = backend_panel(samples);
    size_t size = panel;
    while (size < 4 * (size_t)n_threads)
        size += panel;
    if (memory_budget > 0) {
        const size_t pick_bytes = samples->n_epochs * samples->n_times * sizeof(double);
        while (size > panel && size * pick_bytes > memory_budget)
            size -= panel;
    }
    return size < samples->n_picks ? size : samples->n_picks;
}

bool thresholds_asks(enum rejectd_threshold_method method, size_t n_rows)
{
    /* Of fewer rows, tables of all losses take no longer than the stops of a search. */
    enum { ASKING_ROWS = 400 };
    return method == REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION && n_rows >= ASKING_ROWS;
}

double thresholds_tables_bytes(size_t count, size_t n_epochs, size_t n_rows)
{
    const double m = (double)n_rows;
    return (double)count * ((double)n_epochs * (double)sizeof(double) +
                            m * (double)(sizeof(uint32_t) + 2 * sizeof(double))) +
           m * ((double)FOLDS_SHUFFLE_SPLITS + (double)sizeof(uint32_t));
}

double thresholds_thread_bytes(enum rejectd_threshold_method method, size_t n_rows)
{
    const double m = (double)n_rows, ranking = 2.0 * m * (double)sizeof(struct ranked_row);
    /* Every thread opens a process, whatever the method; its pages are touched by one alone. */
    const double process = method == REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION
                               ? (GAUSSIAN_PROCESS_MAX_POINTS + 3.0) * m * (double)sizeof(double)
                               : 0.0;
    return process > ranking ? process : ranking;
}

/* Ranks the m rows of one pick. rows is scratch [2 M]. */
static void rank_rows(const double *ptp, size_t stride, const double *predicted, size_t count,
                      size_t n_epochs, size_t m, struct ranked_row *rows, uint32_t *order,
                      double *candidates)
{
    for (size_t e = 0; e < n_epochs; e++)
        rows[e] = (struct ranked_row){ptp[e * stride], (uint32_t)e};
    for (size_t e = 0; e < m - n_epochs; e++) {
        /* Of samples too large for the arithmetic; NaN has no rank. */
        double ptp_there = isnan(predicted[e * count]) ? INFINITY : predicted[e * count];
        rows[n_epochs + e] = (struct ranked_row){ptp_there, (uint32_t)(n_epochs + e)};
    }
    ranking_sort(rows, rows + m, m);
    for (size_t i = 0; i < m; i++) {
        order[i] = rows[i].number;
        candidates[i] = rows[i].ptp;
    }
}

static enum rejectd_status rank_block(const struct backend_samples *samples, const double *ptp,
                                      size_t first, size_t count, size_t m, int n_threads,
                                      struct block *block, struct rejectd_error *error)
{
    const size_t n = samples->n_epochs;
    bool failed = false;
#pragma omp parallel num_threads(n_threads)
    {
        struct ranked_row *rows = malloc(2 * m * sizeof *rows);
        if (rows == NULL) {
#pragma omp atomic write
            failed = true;
        }
#pragma omp for schedule(dynamic, 1)
        for (size_t c = 0; c < count; c++)
            if (rows != NULL)
                rank_rows(ptp + first + c, samples->n_picks, block->predicted_ptp + c, count, n, m,
                          rows, block->order + c * m, block->candidates + c * m);
        free(rows);
    }
    return failed ? REJECTD_FAIL_MEMORY(error, 2 * m * sizeof(struct ranked_row)) : REJECTD_OK;
}

static struct threshold search_pick(const struct thresholds_request *request,
                                    const double *candidates, const double *losses, size_t m,
                                    struct gaussian_process *process)
{
    switch (request->method) {
    case REJECTD_THRESHOLD_RANDOM_SEARCH:
        return threshold_search_random(candidates, losses, m, request->seed);
    case REJECTD_THRESHOLD_EXACT:
        return threshold_search_exact(candidates, losses, m);
    default:
        return threshold_search_bayesian(candidates, losses, m, process);
    }
}

/* Picks begin..end-1 of the block. */
static enum rejectd_status search_block(const struct thresholds_request *request,
                                        const struct block *block, size_t begin, size_t end,
                                        size_t m, double *thresholds, double *losses,
                                        struct rejectd_error *error)
{
    bool failed = false;
#pragma omp parallel num_threads(request->n_threads)
    {
        struct gaussian_process process;
        bool usable = gaussian_process_init(&process, m) == 0;
        if (!usable) {
#pragma omp atomic write
            failed = true;
        }
#pragma omp for schedule(dynamic, 1)
        for (size_t c = begin; c < end; c++) {
            if (!usable)
                continue;
            struct threshold found =
                search_pick(request, block->candidates + c * m, block->losses + c * m, m, &process);
            thresholds[c] = found.value;
            losses[c] = found.loss;
        }
        gaussian_process_free(&process);
    }
    return failed ? REJECTD_FAIL_MEMORY(error, GAUSSIAN_PROCESS_MAX_POINTS * m * sizeof(double))
                  : REJECTD_OK;
}

/* A search of a block whose losses are found as they are asked for. */
struct asking_search {
    const struct block *block;
    size_t begin, end; /* the picks that are wanted */
    size_t m;
    struct gaussian_process *processes; /* [n_threads] */
    double *thresholds, *losses;
};

static void search_asking(void *context, size_t pick, int thread,
                          const struct backend_losses *losses)
{
    const struct asking_search *search = context;
    if (pick < search->begin || pick >= search->end)
        return;
    const struct threshold found =
        threshold_search_asking(search->block->candidates + pick * search->m, losses, search->m,
                                &search->processes[thread]);
    search->thresholds[pick] = found.value;
    search->losses[pick] = found.loss;
}

/* Picks begin..end-1 of the block, by Bayesian optimisation. */
static enum rejectd_status
search_candidates(const struct backend *backend, struct backend_session *session,
                  const struct thresholds_request *request, const struct backend_splits *splits,
                  const struct block *block, size_t begin, size_t end, double *thresholds,
                  double *losses, struct rejectd_error *error)
{
    const size_t m = splits->n_rows, n_threads = (size_t)request->n_threads;
    size_t starts[THRESHOLD_SEARCH_STARTS];
    const size_t n_starts = threshold_search_starts(m, starts);
    struct gaussian_process *processes = calloc(n_threads, sizeof *processes);
    enum rejectd_status status = REJECTD_OK;
    if (processes == NULL)
        return REJECTD_FAIL_MEMORY(error, n_threads * sizeof *processes);
    for (size_t i = 0; i < n_threads && status == REJECTD_OK; i++)
        if (gaussian_process_init(&processes[i], m) != 0)
            status = REJECTD_FAIL_MEMORY(error, GAUSSIAN_PROCESS_MAX_POINTS * m * sizeof(double));
    struct asking_search search = {block, begin, end, m, processes, thresholds, losses};
    if (status == REJECTD_OK)
        status = backend->search_candidates(
            session, splits, block->order, block->candidates,
            &(struct backend_candidate_search){search_asking, &search, starts, n_starts}, error);
    for (size_t i = 0; i < n_threads; i++)
        gaussian_process_free(&processes[i]);
    free(processes);
    return status;
}

/* The losses of all candidates, and the search among them. */
static enum rejectd_status
search_tables(const struct backend *backend, struct backend_session *session,
              const struct thresholds_request *request, const struct backend_splits *splits,
              const struct block *block, size_t begin, size_t end, double *thresholds,
              double *losses, struct rejectd_error *error)
{
    const enum rejectd_status status = backend->threshold_losses(
        session, splits, block->order, block->candidates, block->losses, error);
    return status != REJECTD_OK ? status
                                : search_block(request, block, begin, end, splits->n_rows,
                                               thresholds, losses, error);
}

/* The folds of a request: those that it has, or drawn now. free() *drawn. */
static enum rejectd_status split_rows(const struct thresholds_request *request, size_t n_epochs,
                                      size_t n_classes, struct backend_splits *splits,
                                      uint8_t **drawn, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    *drawn = NULL;
    if (request->is_test == NULL)
        status = folds_shuffle_split(n_epochs, n_classes, request->seed, drawn, error);
    *splits = (struct backend_splits){FOLDS_SHUFFLE_SPLITS, n_classes * n_epochs,
                                      request->is_test != NULL ? request->is_test : *drawn};
    return status;
}

/* All that are wanted at once, on the device. */
static enum rejectd_status
search_on_device(const struct backend *backend, struct backend_session *session, size_t n_picks,
                 size_t n_epochs, const double *weights, const struct thresholds_request *request,
                 double *thresholds, double *losses, struct rejectd_error *error)
{
    const size_t first = request->first, count = request->count;
    const size_t n_classes = weights != NULL ? 2 : 1;
    double draws[THRESHOLD_SEARCH_DRAWS];
    struct backend_splits splits;
    uint8_t *drawn = NULL;
    threshold_search_draw(request->seed, draws);
    const struct backend_search search = {request->method, request->seed, draws,
                                          THRESHOLD_SEARCH_DRAWS};
    /* The device predicts while the folds are drawn. */
    enum rejectd_status status = backend->predict(
        session, weights != NULL ? weights + first * n_picks : NULL, first, count, NULL, error);
    if (status == REJECTD_OK &&
        backend->recall_thresholds(session, &search, thresholds + first, losses + first))
        return REJECTD_OK;
    if (status == REJECTD_OK)
        status = split_rows(request, n_epochs, n_classes, &splits, &drawn, error);
    if (status == REJECTD_OK)
        status = backend->search_thresholds(session, &splits, &search, thresholds + first,
                                            losses + first, error);
    free(drawn);
    return status;
}

enum rejectd_status
thresholds_search(const struct backend *backend, struct backend_session *session,
                  const struct backend_samples *samples, const double *ptp, const double *weights,
                  const struct thresholds_request *request, struct progress *progress,
                  double *thresholds, double *losses, struct rejectd_error *error)
{
    const size_t n_classes = weights != NULL ? 2 : 1;
    const size_t n_picks = samples->n_picks, m = n_classes * samples->n_epochs;
    const size_t size = thresholds_block(samples, request->n_threads, request->memory_budget);
    const size_t from = request->first, end = from + request->count;
    const double start = progress->start, share = progress->share;
    const bool asks = backend->search_candidates != NULL && thresholds_asks(request->method, m);
    struct block block = {0};
    struct backend_splits splits;
    uint8_t *drawn;
    if (backend->search_thresholds != NULL) {
        progress_step(progress, "thresholds", start, share);
        return search_on_device(backend, session, n_picks, samples->n_epochs, weights, request,
                                thresholds, losses, error);
    }
    enum rejectd_status status =
        split_rows(request, samples->n_epochs, n_classes, &splits, &drawn, error);
    if (status == REJECTD_OK)
        status = block_init(&block, size, samples->n_epochs, m, error);
    if (status != REJECTD_OK)
        goto cleanup;
    /* Blocks begin where they always do, whatever is wanted of them. */
    for (size_t first = from / size * size; first < end && status == REJECTD_OK; first += size) {
        const size_t count = n_picks - first < size ? n_picks - first : size;
        const size_t begin = from > first ? from - first : 0;
        const size_t stop = end - first < count ? end - first : count;
        const double before = start + share * (double)(first + begin - from) / (double)(end - from);
        const double block_share = share * (double)(stop - begin) / (double)(end - from);
        progress_step(progress, "thresholds", before, 0.4 * block_share);
        status = backend->predict(session, weights != NULL ? weights + first * n_picks : NULL,
                                  first, count, block.predicted_ptp, error);
        if (status == REJECTD_OK)
            status = rank_block(samples, ptp, first, count, m, request->n_threads, &block, error);
        progress_step(progress, "thresholds", before + 0.4 * block_share, 0.55 * block_share);
        if (status == REJECTD_OK)
            status = (asks ? search_candidates
                           : search_tables)(backend, session, request, &splits, &block, begin, stop,
                                            thresholds + first, losses + first, error);
    }
cleanup:
    free(drawn);
    block_free(&block);
    return status;
}
