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

enum { MT19937_SIZE = 624 };

struct mt19937 {
    uint32_t state[MT19937_SIZE];
    uint32_t words[MT19937_SIZE]; /* what the state gives */
    size_t position;              /* of the next of them; MT19937_SIZE: none is left */
};

/* numpy.random.RandomState(seed). */
void mt19937_seed(struct mt19937 *generator, uint32_t seed);

/* 32 random bits. */
uint32_t mt19937_next(struct mt19937 *generator);

/* RandomState.random_sample(): uniform in [0, 1) with 53 bits. */
double mt19937_uniform(struct mt19937 *generator);

/* RandomState.permutation() of n values, in place. */
void mt19937_permute(struct mt19937 *generator, uint32_t *values, size_t n);

/* The same where only the last n_last values matter: the others are left in some order. The
 * generator is left as by mt19937_permute(). */
void mt19937_permute_last(struct mt19937 *generator, uint32_t *values, size_t n, size_t n_last);

/* Leaves the generator as a permutation of n values would. */
void mt19937_skip_permutation(struct mt19937 *generator, size_t n);

#endif
