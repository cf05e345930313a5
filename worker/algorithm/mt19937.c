/*
 * Words are made a state at a time, in loops without a branch, and a permutation takes them in two
 * steps: first those that fit are picked out of them, without guessing which will, then they are
 * used.
 */
#include "worker/algorithm/mt19937.h"

enum { SIZE = MT19937_SIZE, SHIFT = 397 };

void mt19937_seed(struct mt19937 *generator, uint32_t seed)
{
    generator->state[0] = seed;
    for (uint32_t i = 1; i < SIZE; i++) {
        uint32_t before = generator->state[i - 1];
        generator->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    generator->position = SIZE;
}

static inline uint32_t twist(uint32_t first, uint32_t second)
{
    const uint32_t y = (first & 0x80000000u) | (second & 0x7fffffffu);
    return (y >> 1) ^ (-(second & 1) & 0x9908b0dfu);
}

static void refill(struct mt19937 *generator)
{
    uint32_t *state = generator->state;
    for (size_t i = 0; i < SIZE - SHIFT; i++)
        state[i] = state[i + SHIFT] ^ twist(state[i], state[i + 1]);
    for (size_t i = SIZE - SHIFT; i < SIZE - 1; i++)
        state[i] = state[i - (SIZE - SHIFT)] ^ twist(state[i], state[i + 1]);
    state[SIZE - 1] = state[SHIFT - 1] ^ twist(state[SIZE - 1], state[0]);
    for (size_t i = 0; i < SIZE; i++) {
        uint32_t y = state[i];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680u;
        y ^= (y << 15) & 0xefc60000u;
        generator->words[i] = y ^ (y >> 18);
    }
    generator->position = 0;
}

uint32_t mt19937_next(struct mt19937 *generator)
{
    if (generator->position == SIZE)
        refill(generator);
    return generator->words[generator->position++];
}

double mt19937_uniform(struct mt19937 *generator)
{
    uint32_t high = mt19937_next(generator) >> 5, low = mt19937_next(generator) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

/*
 * A permutation draws a number in 0..i for every i from n - 1 down to 1: words are cut to the bits
 * of i until one is at most i.
 */
struct draws {
    uint32_t i;    /* the next draw is in 0..i */
    uint32_t last; /* the draw in 0..last is the last one of this run; its bits are those of i */
    uint32_t mask; /* the bits of i */
};

/* A run of draws of the same bits, of those from i down to last. */
static struct draws run_of_draws(uint32_t i, uint32_t last)
{
    uint32_t mask = i;
    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    const uint32_t lowest = mask / 2 + 1;
    return (struct draws){i, lowest > last ? lowest : last, mask};
}

/* Makes the draws that the words at hand are enough for. Every word is written down, and written
 * over unless it fits. Returns how many fit. */
static size_t draw_some(struct mt19937 *generator, struct draws *draws, uint32_t values[SIZE])
{
    const uint32_t *words = generator->words, mask = draws->mask, last = draws->last;
    size_t position = generator->position;
    uint32_t i = draws->i, n = 0;
    for (; position < SIZE && i >= last; position++) {
        const uint32_t value = words[position] & mask, fits = value <= i;
        values[n] = value;
        n += fits;
        i -= fits;
    }
    generator->position = position;
    draws->i = i;
    return n;
}

/* The same for draws that nobody wants to know. */
static void skip_some(struct mt19937 *generator, struct draws *draws)
{
    enum { STEP = 8 };
    const uint32_t mask = draws->mask, last = draws->last;
    size_t position = generator->position;
    uint32_t i = draws->i;
    for (; position + STEP <= SIZE && i >= last + STEP; position += STEP) {
        /* Words above i do not fit. The k-th does if it is at most i - k, however many before it
         * fit. Seldom is one in between, and then each has to wait for those before it. */
        const uint32_t *words = generator->words + position;
        uint32_t perhaps = 0, surely = 0;
        for (uint32_t k = 0; k < STEP; k++) {
            perhaps += (words[k] & mask) <= i;
            surely += (words[k] & mask) <= i - k;
        }
        if (perhaps == surely)
            i -= surely;
        else
            for (int k = 0; k < STEP; k++)
                i -= (words[k] & mask) <= i;
    }
    for (; position < SIZE && i >= last; position++)
        i -= (generator->words[position] & mask) <= i;
    generator->position = position;
    draws->i = i;
}

/* The draws in 0..i for i from n - 1 down to `end`, above 0, each of which swaps two values. */
static void swap_values(struct mt19937 *generator, uint32_t *values, size_t n, size_t end)
{
    uint32_t drawn[SIZE];
    for (uint32_t i = (uint32_t)n - 1; i >= end;) {
        struct draws draws = run_of_draws(i, (uint32_t)end);
        while (draws.i >= draws.last) {
            if (generator->position == SIZE)
                refill(generator);
            const size_t n_drawn = draw_some(generator, &draws, drawn);
            for (size_t k = 0; k < n_drawn; k++, i--) {
                const uint32_t swap = values[i];
                values[i] = values[drawn[k]];
                values[drawn[k]] = swap;
            }
        }
    }
}

void mt19937_permute(struct mt19937 *generator, uint32_t *values, size_t n)
{
    if (n > 1)
        swap_values(generator, values, n, 1);
}

void mt19937_permute_last(struct mt19937 *generator, uint32_t *values, size_t n, size_t n_last)
{
    const size_t end = n_last < n ? n - n_last : 1;
    if (n_last > 0 && n > 1)
        swap_values(generator, values, n, end);
    mt19937_skip_permutation(generator, n_last > 0 ? end : n);
}

void mt19937_skip_permutation(struct mt19937 *generator, size_t n)
{
    for (uint32_t i = n > 0 ? (uint32_t)n - 1 : 0; i > 0;) {
        struct draws draws = run_of_draws(i, 1);
        while (draws.i >= draws.last) {
            if (generator->position == SIZE)
                refill(generator);
            skip_some(generator, &draws);
        }
        i = draws.i;
    }
}
