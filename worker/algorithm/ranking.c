/*
 * Sorted digit by digit, the lowest first: doubles that are not negative are in the order of their
 * bits. Amplitudes of one channel differ by little, so that of the digits of the exponent most are
 * the same for all rows, and are passed over.
 */
#include "worker/algorithm/ranking.h"

#include <stdbool.h>
#include <string.h>

enum { DIGIT_BITS = 11, DIGITS = 6, VALUES = 1 << DIGIT_BITS, FEW_ROWS = 96 };

static uint64_t bits_of(const struct ranked_row *row)
{
    uint64_t bits;
    memcpy(&bits, &row->ptp, sizeof bits);
    return bits;
}

static size_t digit_of(const struct ranked_row *row, int digit)
{
    return (size_t)(bits_of(row) >> (digit * DIGIT_BITS)) % VALUES;
}

static void sort_few(struct ranked_row *rows, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const struct ranked_row row = rows[i];
        size_t at = i;
        for (; at > 0 && rows[at - 1].ptp > row.ptp; at--)
            rows[at] = rows[at - 1];
        rows[at] = row;
    }
}

/* Moves rows to `to` in the order of one digit; false when all have the same. */
static bool sort_by(const struct ranked_row *rows, struct ranked_row *to, size_t n, int digit)
{
    uint32_t first[VALUES] = {0};
    for (size_t i = 0; i < n; i++)
        first[digit_of(&rows[i], digit)]++;
    if (first[digit_of(&rows[0], digit)] == n)
        return false;
    uint32_t before = 0;
    for (size_t value = 0; value < VALUES; value++) {
        const uint32_t count = first[value];
        first[value] = before;
        before += count;
    }
    for (size_t i = 0; i < n; i++)
        to[first[digit_of(&rows[i], digit)]++] = rows[i];
    return true;
}

void ranking_sort(struct ranked_row *rows, struct ranked_row *scratch, size_t n)
{
    if (n <= FEW_ROWS) {
        sort_few(rows, n);
        return;
    }
    struct ranked_row *from = rows, *to = scratch;
    for (int digit = 0; digit < DIGITS; digit++) {
        if (!sort_by(from, to, n, digit))
            continue;
        struct ranked_row *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != rows)
        memcpy(rows, from, n * sizeof *rows);
}
