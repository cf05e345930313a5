/*
 * The losses of the candidates that a search asks for, channels in parallel.
 *
 * A channel's rows go through the cache once, as for the losses of all candidates (thresholds.c):
 * fold medians are found, and the rows summed up to some stops, which are the candidates that the
 * search is known to ask for. Some of the sums are kept, and all medians. The sums of another
 * candidate are those that are kept before it and the rows between the two, which are few.
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
    const struct backend_session *session;
    const struct backend_candidate_search *search;
    struct fold_table table;
    struct fold_rows test;
    size_t n_lists; /* 1 + n_folds: all rows, and the test rows of each fold */
    size_t most_stops;
    size_t keep_every; /* sums are kept at every so many stops */
};

static void plan_free(struct plan *plan)
{
    fold_rows_free(&plan->test);
}

/* Sums that are kept take as long as rows that are added; ten searches add half of the rows between
 * two of them. */
static size_t stops_between_sums(size_t n_rows, size_t n_likely)
{
    const double stops = sqrt(2.0 * (double)n_rows) * (double)n_likely / (double)n_rows;
    return stops > 1.5 ? (size_t)(stops + 0.5) : 1;
}

static enum rejectd_status plan_init(struct plan *plan, const struct backend_session *session,
                                     const struct backend_splits *splits,
                                     const struct backend_candidate_search *search,
                                     struct rejectd_error *error)
{
    const size_t m = splits->n_rows, n_folds = splits->n_folds;
    *plan = (struct plan){
        .session = session,
        .search = search,
        .table = {n_folds, m, splits->is_test},
        .n_lists = 1 + n_folds,
        .most_stops = search->n_likely + n_folds,
        .keep_every = stops_between_sums(m, search->n_likely),
    };
    if (!fold_rows_init(&plan->test, &plan->table, true))
        return REJECTD_FAIL_MEMORY(error, n_folds * m * sizeof(uint32_t));
    return REJECTD_OK;
}

/* One channel, and a thread's room for it. A stop is a number of ranks: those below it. */
struct channel {
    const struct plan *plan;
    size_t pick;
    const uint32_t *order; /* [M] */
    const double *ptp;     /* [M] ascending */
    struct channel_rows rows;
    uint32_t *test_ranks; /* [test.offsets[n_folds]] ascending in each fold */
    size_t *fallbacks;    /* [n_folds] the least stop that keeps a train row, with its ties */
    size_t n_stops;
    size_t *stops;         /* [most_stops] ascending */
    double *kept;          /* [most_stops][n_folds] train rows up to the stop */
    double *squares;       /* [most_stops][n_folds] of the kept rows' sum less as many medians */
    uint32_t *listed;      /* [n_lists][M] rows of the lists */
    size_t *offsets;       /* [n_lists] */
    uint32_t *ends;        /* [most_stops][n_lists] */
    void *medians;         /* [groups][n_folds][group] work type */
    double *sums;          /* [groups][most_stops / keep_every][n_lists][group] */
    double *other_kept;    /* [n_folds] of a candidate that is no stop */
    double *other_squares; /* [n_folds] likewise */
};

static void channel_free(struct channel *channel)
{
    channel_rows_free(&channel->rows);
    free(channel->test_ranks);
    free(channel->fallbacks);
    free(channel->stops);
    free(channel->kept);
    free(channel->squares);
    free(channel->listed);
    free(channel->offsets);
    free(channel->ends);
    free(channel->medians);
    free(channel->sums);
    free(channel->other_kept);
    free(channel->other_squares);
}

static bool channel_init(struct channel *channel, const struct plan *plan)
{
    const struct backend_session *session = plan->session;
    const size_t m = plan->table.n_rows, n_folds = plan->table.n_folds, n_lists = plan->n_lists;
    const size_t stops = plan->most_stops, kept_sums = stops / plan->keep_every;
    const size_t columns = session_groups(session) * session->kernels->group;
    *channel = (struct channel){
        .plan = plan,
        .test_ranks = scratch_alloc(plan->test.offsets[n_folds] * sizeof(uint32_t)),
        .fallbacks = scratch_alloc(n_folds * sizeof(size_t)),
        .stops = scratch_alloc(stops * sizeof(size_t)),
        .kept = scratch_alloc(stops * n_folds * sizeof(double)),
        .squares = scratch_alloc(stops * n_folds * sizeof(double)),
        .listed = scratch_alloc(n_lists * m * sizeof(uint32_t)),
        .offsets = scratch_alloc(n_lists * sizeof(size_t)),
        .ends = scratch_alloc(stops * n_lists * sizeof(uint32_t)),
        .medians = scratch_alloc(n_folds * columns * session->work_size),
        .sums = scratch_alloc(kept_sums * n_lists * columns * sizeof(double)),
        .other_kept = scratch_alloc(n_folds * sizeof(double)),
        .other_squares = scratch_alloc(n_folds * sizeof(double)),
    };
    const bool has_rows = channel_rows_init(&channel->rows, session, m);
    if (!has_rows || channel->test_ranks == NULL || channel->fallbacks == NULL ||
        channel->stops == NULL || channel->kept == NULL || channel->squares == NULL ||
        channel->listed == NULL || channel->offsets == NULL || channel->ends == NULL ||
        channel->medians == NULL || channel->sums == NULL || channel->other_kept == NULL ||
        channel->other_squares == NULL)
        return false;
    for (size_t list = 0; list < n_lists; list++)
        channel->offsets[list] = list * m;
    return true;
}

double cpu_search_candidates_bytes(const struct backend_session *session, size_t n_folds,
                                   size_t n_rows, size_t n_likely)
{
    const double m = (double)n_rows, folds = (double)n_folds, lists = 1.0 + folds;
    const double stops = (double)n_likely + folds;
    const double kept_sums = stops / (double)stops_between_sums(n_rows, n_likely);
    const double columns = (double)(session_groups(session) * session->kernels->group);
    const double plan = fold_rows_bytes(folds, folds * m);
    const double channel =
        channel_rows_bytes(session, m) + (folds + lists) * m * (double)sizeof(uint32_t) +
        stops * (lists * (double)sizeof(uint32_t) + (2.0 * folds + 1.0) * (double)sizeof(double)) +
        columns *
            (folds * (double)session->work_size + kept_sums * lists * (double)sizeof(double)) +
        (4.0 * folds + 1.0) * (double)sizeof(double);
    return plan + (double)session->options.n_threads * channel;
}

/* Ranks up to the end of the tie that a rank is in. */
static size_t end_of_tie(const struct channel *channel, size_t rank)
{
    size_t end = rank + 1;
    while (end < channel->plan->table.n_rows && channel->ptp[end] == channel->ptp[rank])
        end++;
    return end;
}

/* Test rows of a fold among the ranks below `stop`. */
static size_t tested_below(const struct channel *channel, size_t fold, size_t stop)
{
    const size_t *offsets = channel->plan->test.offsets;
    size_t low = offsets[fold], high = offsets[fold + 1];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (channel->test_ranks[middle] < stop)
            low = middle + 1;
        else
            high = middle;
    }
    return low - offsets[fold];
}

static size_t kept_below(const struct channel *channel, size_t fold, size_t stop)
{
    return stop - tested_below(channel, fold, stop);
}

static void list_test_ranks(struct channel *channel)
{
    const struct fold_table *table = &channel->plan->table;
    const size_t m = table->n_rows;
    for (size_t f = 0; f < table->n_folds; f++) {
        uint32_t *ranks = channel->test_ranks + channel->plan->test.offsets[f];
        size_t n = 0, first_train = m;
        for (size_t rank = 0; rank < m; rank++) {
            if (table->is_test[f * m + channel->order[rank]])
                ranks[n++] = (uint32_t)rank;
            else if (first_train == m)
                first_train = rank;
        }
        channel->fallbacks[f] = end_of_tie(channel, first_train);
    }
}

/* Puts a stop in its place, unless it is there. */
static void add_stop(struct channel *channel, size_t stop)
{
    size_t at = channel->n_stops;
    while (at > 0 && channel->stops[at - 1] > stop)
        at--;
    if (at > 0 && channel->stops[at - 1] == stop)
        return;
    memmove(channel->stops + at + 1, channel->stops + at,
            (channel->n_stops - at) * sizeof *channel->stops);
    channel->stops[at] = stop;
    channel->n_stops++;
}

static void find_stops(struct channel *channel)
{
    const struct backend_candidate_search *search = channel->plan->search;
    const size_t n_folds = channel->plan->table.n_folds;
    channel->n_stops = 0;
    for (size_t i = 0; i < search->n_likely; i++)
        add_stop(channel, end_of_tie(channel, search->likely[i]));
    for (size_t f = 0; f < n_folds; f++)
        add_stop(channel, channel->fallbacks[f]);
    for (size_t stop = 0; stop < channel->n_stops; stop++)
        for (size_t f = 0; f < n_folds; f++)
            channel->kept[stop * n_folds + f] =
                (double)kept_below(channel, f, channel->stops[stop]);
}

/* The rows of all lists in the order of their ranks, and how many there are up to each stop. */
static void list_rows(struct channel *channel)
{
    const struct plan *plan = channel->plan;
    memcpy(channel->listed, channel->order, plan->table.n_rows * sizeof *channel->listed);
    for (size_t f = 0; f < plan->table.n_folds; f++) {
        const uint32_t *ranks = channel->test_ranks + plan->test.offsets[f];
        const size_t n = plan->test.offsets[f + 1] - plan->test.offsets[f];
        for (size_t i = 0; i < n; i++)
            channel->listed[channel->offsets[1 + f] + i] = channel->order[ranks[i]];
    }
    for (size_t stop = 0; stop < channel->n_stops; stop++) {
        uint32_t *ends = channel->ends + stop * plan->n_lists;
        ends[0] = (uint32_t)channel->stops[stop];
        for (size_t f = 0; f < plan->table.n_folds; f++)
            ends[1 + f] = (uint32_t)tested_below(channel, f, channel->stops[stop]);
    }
}

/* The medians of the group that begins at a sample. */
static void *medians_at(const struct channel *channel, size_t at)
{
    return (char *)channel->medians +
           at * channel->plan->table.n_folds * channel->plan->session->work_size;
}

/* The sums that are kept of the group that begins at a sample. */
static double *sums_at(const struct channel *channel, size_t at)
{
    const struct plan *plan = channel->plan;
    return channel->sums + at * (plan->most_stops / plan->keep_every) * plan->n_lists;
}

/* Takes a channel's rows through the cache. */
static void open_channel(struct channel *channel)
{
    const struct plan *plan = channel->plan;
    const struct cpu_kernels *kernels = plan->session->kernels;
    const size_t n_folds = plan->table.n_folds, n_times = plan->session->samples.n_times;
    list_test_ranks(channel);
    find_stops(channel);
    list_rows(channel);
    const struct row_walk walk = {n_folds,         channel->n_stops, channel->offsets,
                                  channel->listed, channel->ends,    channel->kept,
                                  plan->keep_every};
    memset(channel->squares, 0, channel->n_stops * n_folds * sizeof *channel->squares);
    for (size_t at = 0, loaded = 0; at < n_times; at += kernels->group) {
        if (at >= loaded)
            loaded += channel_rows_load(&channel->rows, channel->pick,
                                        channel_rows_offset(plan->session, channel->pick), at);
        const void *group = channel_rows_group(&channel->rows, channel->pick, at);
        void *medians = medians_at(channel, at);
        kernels->medians(group, plan->table.n_rows, &plan->test, channel->rows.keys, medians);
        kernels->walk(group, &walk, NULL, medians, channel->squares, sums_at(channel, at));
    }
}

/* Lists the rows of ranks first..last-1 by their places in a group that has first the epochs among
 * them, whose sources are written down, then the predictions. Returns how many are epochs. */
static size_t list_between(struct channel *channel, size_t first, size_t last)
{
    const struct fold_table *table = &channel->plan->table;
    const struct backend_session *session = channel->plan->session;
    const size_t n_epochs = session->samples.n_epochs, m = table->n_rows;
    const size_t channel_number = session->samples.picks[channel->pick];
    size_t place = 0, n_sources = 0;
    memset(channel->ends, 0, channel->plan->n_lists * sizeof *channel->ends);
    for (int predicted = 0; predicted < 2; predicted++) {
        for (size_t rank = first; rank < last; rank++) {
            const size_t row = channel->order[rank];
            if ((row >= n_epochs) != predicted)
                continue;
            if (!predicted)
                channel->rows.sources[n_sources++] = session_row(session, row, channel_number);
            channel->listed[channel->ends[0]++] = (uint32_t)place;
            for (size_t f = 0; f < table->n_folds; f++)
                if (table->is_test[f * m + row])
                    channel->listed[(1 + f) * m + channel->ends[1 + f]++] = (uint32_t)place;
            place++;
        }
    }
    return n_sources;
}

/* Copies the predictions among ranks first..last-1, of the group that begins at sample `at`. */
static void copy_predictions(const struct channel *channel, size_t first, size_t last, size_t at,
                             char *to)
{
    const struct backend_session *session = channel->plan->session;
    const size_t n_epochs = session->samples.n_epochs;
    const size_t row_bytes = session->kernels->group * session->work_size;
    if (!session->predicted)
        return;
    const char *predictions = session_predictions(session, channel->pick, at);
    for (size_t rank = first; rank < last; rank++)
        if (channel->order[rank] >= n_epochs) {
            memcpy(to, predictions + (channel->order[rank] - n_epochs) * row_bytes, row_bytes);
            to += row_bytes;
        }
}

/* The squares of a candidate that is no stop, from the last sums that are kept before it. */
static void add_other(struct channel *channel, size_t stops_before, size_t end)
{
    const struct plan *plan = channel->plan;
    const struct backend_session *session = plan->session;
    const struct cpu_kernels *kernels = session->kernels;
    const size_t n_folds = plan->table.n_folds, n_times = session->samples.n_times;
    const size_t group = kernels->group, row_bytes = group * session->work_size;
    const size_t sums_before = stops_before / plan->keep_every;
    const size_t first = sums_before > 0 ? channel->stops[sums_before * plan->keep_every - 1] : 0;
    const size_t n = end - first, n_sources = list_between(channel, first, end);
    /* One stop, where nothing is written. */
    const struct row_walk walk = {
        n_folds, 1, channel->offsets, channel->listed, channel->ends, channel->other_kept, 2};
    const size_t room = channel->rows.n_rows * channel->rows.strip / n / group * group;
    memset(channel->other_squares, 0, n_folds * sizeof *channel->other_squares);
    for (size_t start = 0; start < n_times; start += room) {
        const size_t length = n_times - start < room ? n_times - start : room;
        kernels->load(channel->rows.groups, n, channel->rows.sources, n_sources, start, length,
                      channel_rows_offset(session, channel->pick));
        for (size_t at = start; at < start + length; at += group) {
            char *rows = (char *)channel->rows.groups + (at - start) / group * n * row_bytes;
            const double *before = NULL;
            if (sums_before > 0)
                before = sums_at(channel, at) + (sums_before - 1) * plan->n_lists * group;
            copy_predictions(channel, first, end, at, rows + n_sources * row_bytes);
            kernels->walk(rows, &walk, before, medians_at(channel, at), channel->other_squares,
                          NULL);
        }
    }
}

/* The root of a fold's mean square, from the squares of the sum over `kept` rows. */
static double fold_loss(double squares, double kept, size_t n_times)
{
    return sqrt(squares / (kept * kept) / (double)n_times);
}

/* backend_losses.at */
static double candidate_loss(void *context, size_t rank)
{
    struct channel *channel = context;
    const size_t n_folds = channel->plan->table.n_folds;
    const size_t n_times = channel->plan->session->samples.n_times;
    const size_t end = end_of_tie(channel, rank);
    size_t stops_before = 0; /* stops up to the end of the tie */
    while (stops_before < channel->n_stops && channel->stops[stops_before] <= end)
        stops_before++;
    const bool is_stop = stops_before > 0 && channel->stops[stops_before - 1] == end;
    if (!is_stop) {
        for (size_t f = 0; f < n_folds; f++)
            channel->other_kept[f] = (double)kept_below(channel, f, end);
        add_other(channel, stops_before, end);
    }
    double total = 0.0;
    for (size_t f = 0; f < n_folds; f++) {
        size_t stop = stops_before - 1;
        if (kept_below(channel, f, end) == 0)
            for (stop = 0; channel->stops[stop] != channel->fallbacks[f];)
                stop++;
        else if (!is_stop) {
            total += fold_loss(channel->other_squares[f], channel->other_kept[f], n_times);
            continue;
        }
        total += fold_loss(channel->squares[stop * n_folds + f], channel->kept[stop * n_folds + f],
                           n_times);
    }
    return total / (double)n_folds;
}

enum rejectd_status cpu_search_candidates(struct backend_session *session,
                                          const struct backend_splits *splits,
                                          const uint32_t *order, const double *ptp,
                                          const struct backend_candidate_search *search,
                                          struct rejectd_error *error)
{
    const size_t m = splits->n_rows;
    struct plan plan;
    enum rejectd_status status = plan_init(&plan, session, splits, search, error);
    if (status != REJECTD_OK)
        goto cleanup;
    struct loop loop;
    loop_begin(&loop, session, session->count);
#pragma omp parallel num_threads(session->options.n_threads)
    {
        struct channel channel;
        if (!channel_init(&channel, &plan))
            loop_fail(&loop);
#pragma omp for schedule(dynamic, 1)
        for (size_t c = 0; c < session->count; c++) {
            if (loop_stopped(&loop))
                continue;
            channel.pick = session->first + c;
            channel.order = order + c * m;
            channel.ptp = ptp + c * m;
            open_channel(&channel);
            search->search(search->context, c, omp_get_thread_num(),
                           &(struct backend_losses){candidate_loss, &channel});
            loop_advance(&loop, omp_get_thread_num());
        }
        channel_free(&channel);
    }
    status = loop_end(&loop, error);
cleanup:
    plan_free(&plan);
    return status;
}
