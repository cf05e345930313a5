/*
 * Vectors of the width that the compilation targets, and the work type.
 *
 * KERNEL_FLOAT32 is 1 or 0, KERNEL_SET the suffix of the instruction set. A group is one vector of
 * 16-bit integers wide, which is WORK_VECTORS vectors of the work type.
 */
#ifndef WORKER_CPU_KERNELS_VECTOR_H
#define WORKER_CPU_KERNELS_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512BW__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512BW__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

#define GROUP (VECTOR_BYTES / 2)

/* Half a group's columns as float32, for reckoning with counts of keys. */
typedef float lanes_vector __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t lanes_mask __attribute__((vector_size(VECTOR_BYTES)));
typedef int16_t keys_vector __attribute__((vector_size(VECTOR_BYTES)));

#if KERNEL_FLOAT32
typedef float work;
typedef float work_vector __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t work_mask __attribute__((vector_size(VECTOR_BYTES)));
#define WORK_INFINITY __builtin_inff()
#define WORK_DTYPE REJECTD_FLOAT32
#else
typedef double work;
typedef double work_vector __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t work_mask __attribute__((vector_size(VECTOR_BYTES)));
#define WORK_INFINITY __builtin_inf()
#define WORK_DTYPE REJECTD_FLOAT64
#endif

enum {
    WORK_LANES = VECTOR_BYTES / sizeof(work),
    WORK_VECTORS = GROUP / WORK_LANES,
};

#define KERNEL_PASTE2(name, set, type) name##_##set##_##type
#define KERNEL_PASTE(name, set, type) KERNEL_PASTE2(name, set, type)
#if KERNEL_FLOAT32
#define KERNEL(name) KERNEL_PASTE(name, KERNEL_SET, f32)
#else
#define KERNEL(name) KERNEL_PASTE(name, KERNEL_SET, f64)
#endif

static inline work_vector vector_splat(work value)
{
    return value - (work_vector){0};
}

static inline work_vector vector_select(work_mask mask, work_vector yes, work_vector no)
{
    return (work_vector)(((work_mask)yes & mask) | ((work_mask)no & ~mask));
}

static inline lanes_vector lanes_select(lanes_mask mask, lanes_vector yes, lanes_vector no)
{
    return (lanes_vector)(((lanes_mask)yes & mask) | ((lanes_mask)no & ~mask));
}

static inline lanes_vector lanes_truncate(lanes_vector v)
{
    return __builtin_convertvector(__builtin_convertvector(v, lanes_mask), lanes_vector);
}

static inline bool lanes_any(lanes_mask mask)
{
    int64_t words[VECTOR_BYTES / sizeof(int64_t)], any = 0;
    memcpy(words, &mask, sizeof words);
    for (size_t i = 0; i < VECTOR_BYTES / sizeof(int64_t); i++)
        any |= words[i];
    return any != 0;
}

/* Larger and smaller of two finite or infinite values in each lane. */
static inline work_vector vector_max(work_vector a, work_vector b)
{
#if defined(__AVX512BW__) && KERNEL_FLOAT32
    return (work_vector)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX512BW__)
    return (work_vector)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__) && KERNEL_FLOAT32
    return (work_vector)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__AVX2__)
    return (work_vector)_mm256_max_pd((__m256d)a, (__m256d)b);
#else
    return vector_select(a > b, a, b);
#endif
}

static inline work_vector vector_min(work_vector a, work_vector b)
{
#if defined(__AVX512BW__) && KERNEL_FLOAT32
    return (work_vector)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX512BW__)
    return (work_vector)_mm512_min_pd((__m512d)a, (__m512d)b);
#elif defined(__AVX2__) && KERNEL_FLOAT32
    return (work_vector)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__AVX2__)
    return (work_vector)_mm256_min_pd((__m256d)a, (__m256d)b);
#else
    return vector_select(a < b, a, b);
#endif
}

static inline double vector_sum(work_vector v)
{
    work lanes[WORK_LANES];
    memcpy(lanes, &v, sizeof lanes);
    /* Halving keeps the order the same whatever the compiler does. */
    for (size_t half = WORK_LANES / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return (double)lanes[0];
}

#endif
