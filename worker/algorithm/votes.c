#include "worker/algorithm/votes.h"

#include <stdlib.h>
#include <string.h>

enum { WORD = 64, FEW = 64 };

struct ranked {
    double ptp;
    uint16_t pick;
};

/* Insertion sort, largest first; equal values keep their order. */
static void sort_few(struct ranked *ranked, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const struct ranked moved = ranked[i];
        size_t at = i;
        for (; at > 0 && ranked[at - 1].ptp < moved.ptp; at--)
            ranked[at] = ranked[at - 1];
        ranked[at] = moved;
    }
}

/* Two sorted runs, the first of which begins at 0 and ends at `middle`, into one. Which of them the
 * next comes from is anybody's guess, so there is none. */
static void merge(const struct ranked *from, size_t middle, size_t n, struct ranked *to)
{
    size_t a = 0, b = middle;
    while (a < middle && b < n) {
        const bool second = from[b].ptp > from[a].ptp;
        *to++ = from[second ? b : a];
        b += second;
        a += !second;
    }
    memcpy(to, from + a, (middle - a) * sizeof *to);
    memcpy(to + (middle - a), from + b, (n - b) * sizeof *to);
}

/* The same order for any n, by merging; into either of the two [n], which it returns. */
static const struct ranked *sort_largest_first(struct ranked *ranked, struct ranked *other,
                                               size_t n)
{
    for (size_t i = 0; i < n; i += FEW)
        sort_few(ranked + i, n - i < FEW ? n - i : FEW);
    for (size_t run = FEW; run < n; run *= 2) {
        for (size_t i = 0; i < n; i += 2 * run) {
            const size_t left = n - i;
            merge(ranked + i, run < left ? run : left, 2 * run < left ? 2 * run : left, other + i);
        }
        struct ranked *swap = ranked;
        ranked = other;
        other = swap;
    }
    return ranked;
}

void votes_free(struct votes *votes)
{
    free(votes->offsets);
    free(votes->channels);
    *votes = (struct votes){0};
}

/* Bit i: whether ptp[i] > thresholds[i]. */
static uint64_t bad_bits(const double *ptp, const double *thresholds, size_t n)
{
    uint8_t bad[WORD] = {0};
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++)
        bad[i] = ptp[i] > thresholds[i];
    for (size_t byte = 0; byte < WORD / 8; byte++) {
        uint64_t word = 0;
        for (size_t i = 0; i < 8; i++)
            word |= (uint64_t)bad[8 * byte + i] << 8 * i;
        /* The product's highest byte has one bit of each factor's byte. */
        bits |= word * 0x0102040810204080u >> 56 << 8 * byte;
    }
    return bits;
}

/* One epoch's bad sensors, worst first, into channels; ranked is scratch [2 * n_picks]. */
static void list_epoch(const double *ptp, const uint64_t *bits, size_t n_picks,
                       struct ranked *ranked, uint16_t *channels)
{
    size_t n = 0;
    /* From the last to the first, so that of equal values the higher pick stays first. */
    for (size_t word = (n_picks + WORD - 1) / WORD; word-- > 0;)
        for (uint64_t left = bits[word]; left != 0;) {
            const int bit = WORD - 1 - __builtin_clzll(left);
            const size_t pick = word * WORD + (size_t)bit;
            left ^= (uint64_t)1 << bit;
            ranked[n++] = (struct ranked){ptp[pick], (uint16_t)pick};
        }
    const struct ranked *sorted = sort_largest_first(ranked, ranked + n_picks, n);
    for (size_t i = 0; i < n; i++)
        channels[i] = sorted[i].pick;
}

/* bits [E][words of C]: the bad sensors of each epoch. */
static void count_bad(struct votes *votes, const double *ptp, const double *thresholds,
                      uint64_t *bits, int n_threads)
{
    const size_t c = votes->n_picks, n_words = (c + WORD - 1) / WORD;
    votes->offsets[0] = 0;
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (size_t e = 0; e < votes->n_epochs; e++) {
        size_t n = 0;
        for (size_t word = 0; word < n_words; word++) {
            const size_t first = word * WORD, left = c - first;
            const uint64_t bad =
                bad_bits(ptp + e * c + first, thresholds + first, left < WORD ? left : WORD);
            bits[e * n_words + word] = bad;
            n += (size_t)__builtin_popcountll(bad);
        }
        votes->offsets[e + 1] = n;
    }
    for (size_t e = 0; e < votes->n_epochs; e++)
        votes->offsets[e + 1] += votes->offsets[e];
}

/* The lists of all epochs, of what count_bad() found. False: there is no memory. */
static bool list_bad(struct votes *votes, const double *ptp, const uint64_t *bits, int n_threads)
{
    const size_t c = votes->n_picks, n_words = (c + WORD - 1) / WORD;
    bool failed = false;
#pragma omp parallel num_threads(n_threads)
    {
        struct ranked *ranked = malloc(2 * c * sizeof *ranked);
        if (ranked == NULL) {
#pragma omp atomic write
            failed = true;
        }
#pragma omp for schedule(static)
        for (size_t e = 0; e < votes->n_epochs; e++)
            if (ranked != NULL)
                list_epoch(ptp + e * c, bits + e * n_words, c, ranked,
                           votes->channels + votes->offsets[e]);
        free(ranked);
    }
    return !failed;
}

enum rejectd_status votes_init(struct votes *votes, const double *ptp, const double *thresholds,
                               size_t n_epochs, size_t n_picks, int n_threads,
                               struct rejectd_error *error)
{
    const size_t n_words = n_epochs * ((n_picks + WORD - 1) / WORD);
    uint64_t *bits = malloc(n_words * sizeof *bits);
    bool made = false;
    *votes = (struct votes){.n_epochs = n_epochs, .n_picks = n_picks};
    votes->offsets = malloc((n_epochs + 1) * sizeof *votes->offsets);
    if (bits != NULL && votes->offsets != NULL) {
        count_bad(votes, ptp, thresholds, bits, n_threads);
        votes->channels = malloc((votes->offsets[n_epochs] + 1) * sizeof *votes->channels);
        made = votes->channels != NULL && list_bad(votes, ptp, bits, n_threads);
    }
    free(bits);
    if (!made) {
        votes_free(votes);
        return REJECTD_FAIL_MEMORY(error, n_words * sizeof *bits);
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
    size_t most = 0; /* with this value and all before it */
    for (size_t v = 0; v < n_values; v++) {
        uint16_t *repaired = prefix + v * votes->n_epochs;
        most += (size_t)n_interpolate[v];
        for (size_t e = 0; e < votes->n_epochs; e++) {
            const size_t n_bad = skip[e] ? 0 : votes_count(votes, e);
            repaired[e] = (uint16_t)(n_bad < most ? n_bad : most);
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
