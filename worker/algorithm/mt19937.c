#include "worker/algorithm/mt19937.h"

enum { SIZE = 624, SHIFT = 397 };

void mt19937_seed(struct mt19937 *generator, uint32_t seed)
{
    generator->state[0] = seed;
    for (uint32_t i = 1; i < SIZE; i++) {
        uint32_t before = generator->state[i - 1];
        generator->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    generator->position = SIZE;
}

static void refill(struct mt19937 *generator)
{
    uint32_t *state = generator->state;
    for (size_t i = 0; i < SIZE; i++) {
        uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % SIZE] & 0x7fffffffu);
        state[i] = state[(i + SHIFT) % SIZE] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    generator->position = 0;
}

uint32_t mt19937_next(struct mt19937 *generator)
{
    if (generator->position == SIZE)
        refill(generator);
    uint32_t y = generator->state[generator->position++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

double mt19937_uniform(struct mt19937 *generator)
{
    uint32_t high = mt19937_next(generator) >> 5, low = mt19937_next(generator) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

/* Uniform in 0..most: draws cut to the bits of `most` until one fits. */
static uint32_t draw_up_to(struct mt19937 *generator, uint32_t most)
{
    uint32_t mask = most;
    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    uint32_t value;
    do
        value = mt19937_next(generator) & mask;
    while (value > most);
    return value;
}

void mt19937_permute(struct mt19937 *generator, uint32_t *values, size_t n)
{
    for (size_t i = n; i-- > 1;) {
        uint32_t j = draw_up_to(generator, (uint32_t)i);
        uint32_t swap = values[i];
        values[i] = values[j];
        values[j] = swap;
    }
}
