#include "worker/algorithm/votes.h"

#include <stdlib.h>

struct ranked {
    double ptp;
    uint16_t pick;
};

static int worst_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->ptp != y->ptp)
        return x->ptp > y->ptp ? -1 : 1;
    return x->pick > y->pick ? -1 : 1;
}

/* Most epochs have a few bad sensors, for which a call of a function each time costs the most. */
static void sort_worst_first(struct ranked *ranked, size_t n)
{
    enum { FEW = 48 };
    if (n > FEW) {
        qsort(ranked, n, sizeof *ranked, worst_first);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        const struct ranked moved = ranked[i];
        size_t at = i;
        for (; at > 0 && (ranked[at - 1].ptp < moved.ptp ||
                          (ranked[at - 1].ptp == moved.ptp && ranked[at - 1].pick < moved.pick));
             at--)
            ranked[at] = ranked[at - 1];
        ranked[at] = moved;
    }
}

void votes_free(struct votes *votes)
{
    free(votes->offsets);
    free(votes->channels);
    *votes = (struct votes){0};
}

/* One epoch's bad sensors, worst first, into channels; ranked is scratch [n_picks]. */
static void list_epoch(const double *ptp, const double *thresholds, size_t n_picks,
                       struct ranked *ranked, uint16_t *channels)
{
    size_t n = 0;
    for (size_t c = 0; c < n_picks; c++) {
        /* Written in any case, and overwritten unless it counts: nothing to guess wrong. */
        ranked[n] = (struct ranked){ptp[c], (uint16_t)c};
        n += ptp[c] > thresholds[c];
    }
    sort_worst_first(ranked, n);
    for (size_t i = 0; i < n; i++)
        channels[i] = ranked[i].pick;
}

static void count_bad(struct votes *votes, const double *ptp, const double *thresholds,
                      int n_threads)
{
    const size_t c = votes->n_picks;
    votes->offsets[0] = 0;
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (size_t e = 0; e < votes->n_epochs; e++) {
        size_t n = 0;
        for (size_t i = 0; i < c; i++)
            n += ptp[e * c + i] > thresholds[i];
        votes->offsets[e + 1] = n;
    }
    for (size_t e = 0; e < votes->n_epochs; e++)
        votes->offsets[e + 1] += votes->offsets[e];
}

enum rejectd_status votes_init(struct votes *votes, const double *ptp, const double *thresholds,
                               size_t n_epochs, size_t n_picks, int n_threads,
                               struct rejectd_error *error)
{
    bool failed = false;
    *votes = (struct votes){.n_epochs = n_epochs, .n_picks = n_picks};
    votes->offsets = malloc((n_epochs + 1) * sizeof *votes->offsets);
    if (votes->offsets == NULL)
        return REJECTD_FAIL_MEMORY(error, n_epochs * sizeof *votes->offsets);
    count_bad(votes, ptp, thresholds, n_threads);
    const size_t n_bad = votes->offsets[n_epochs];
    votes->channels = malloc((n_bad + 1) * sizeof *votes->channels);
    if (votes->channels == NULL) {
        votes_free(votes);
        return REJECTD_FAIL_MEMORY(error, n_bad * sizeof *votes->channels);
    }
#pragma omp parallel num_threads(n_threads)
    {
        struct ranked *ranked = malloc(n_picks * sizeof *ranked);
        if (ranked == NULL) {
#pragma omp atomic write
            failed = true;
        }
#pragma omp for schedule(static)
        for (size_t e = 0; e < n_epochs; e++)
            if (ranked != NULL)
                list_epoch(ptp + e * n_picks, thresholds, n_picks, ranked,
                           votes->channels + votes->offsets[e]);
        free(ranked);
    }
    if (failed) {
        votes_free(votes);
        return REJECTD_FAIL_MEMORY(error, n_picks * sizeof(struct ranked));
    }
    return REJECTD_OK;
}

bool votes_epoch_is_bad(size_t n_bad, double consensus, size_t n_picks)
{
    return (double)n_bad >= consensus * (double)n_picks;
}

void votes_cumulative_repairs(const struct votes *votes, const int *n_interpolate, size_t n_values,
                              const bool *skip, uint16_t *prefix)
{
    for (size_t e = 0; e < votes->n_epochs; e++) {
        const size_t n_bad = skip[e] ? 0 : votes_count(votes, e);
        size_t repaired = 0;
        for (size_t v = 0; v < n_values; v++) {
            size_t more = n_bad - repaired;
            repaired += more < (size_t)n_interpolate[v] ? more : (size_t)n_interpolate[v];
            prefix[v * votes->n_epochs + e] = (uint16_t)repaired;
        }
    }
}

void votes_fill_log(const struct votes *votes, const size_t *picks, double consensus,
                    int n_interpolate, int n_threads, struct rejectd_reject_log *log)
{
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (size_t e = 0; e < votes->n_epochs; e++) {
        int8_t *labels = log->labels + e * log->n_channels;
        const size_t n_bad = votes_count(votes, e);
        for (size_t c = 0; c < votes->n_picks; c++)
            labels[picks[c]] = REJECTD_LABEL_GOOD;
        for (size_t i = 0; i < n_bad; i++)
            labels[picks[votes->channels[votes->offsets[e] + i]]] =
                i < (size_t)n_interpolate ? REJECTD_LABEL_INTERPOLATED : REJECTD_LABEL_BAD;
        if (votes_epoch_is_bad(n_bad, consensus, votes->n_picks))
            log->bad_epochs[e] = 1;
    }
}
