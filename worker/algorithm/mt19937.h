/*
 * The Mersenne Twister as NumPy's legacy RandomState uses it, so that a seed means here what it
 * means in autoreject.
 *
 *   Matsumoto M, Nishimura T (1998). Mersenne twister. ACM Trans Model Comput Simul 8:3-30.
 */
#ifndef WORKER_ALGORITHM_MT19937_H
#define WORKER_ALGORITHM_MT19937_H

#include <stddef.h>
#include <stdint.h>

struct mt19937 {
    uint32_t state[624];
    size_t position;
};

/* numpy.random.RandomState(seed). */
void mt19937_seed(struct mt19937 *generator, uint32_t seed);

/* 32 random bits. */
uint32_t mt19937_next(struct mt19937 *generator);

/* RandomState.random_sample(): uniform in [0, 1) with 53 bits. */
double mt19937_uniform(struct mt19937 *generator);

/* RandomState.permutation() of n values, in place. */
void mt19937_permute(struct mt19937 *generator, uint32_t *values, size_t n);

#endif
