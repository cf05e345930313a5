/* A small random generator: xoshiro256** (Blackman and Vigna 2018), seeded by splitmix64. */
#ifndef CLIENT_SIMULATE_RANDOM_H
#define CLIENT_SIMULATE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state[4];
};

void random_seed(struct random *random, uint64_t seed);
double random_uniform(struct random *random); /* [0, 1) */
/* Nearly normal, mean 0, variance 1: the sum of four uniform values, cheap enough per sample. */
double random_normal(struct random *random);
size_t random_below(struct random *random, size_t n); /* 0..n-1, n >= 1 */

#endif
