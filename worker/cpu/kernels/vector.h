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

/* For sums that are made in float64 whatever the work type. */
typedef double double_vector __attribute__((vector_size(VECTOR_BYTES)));
typedef work work_part __attribute__((vector_size(VECTOR_BYTES / sizeof(double) * sizeof(work))));

enum {
    DOUBLE_LANES = VECTOR_BYTES / sizeof(double),
    DOUBLE_VECTORS = GROUP / DOUBLE_LANES,
    WORK_LANES = VECTOR_BYTES / sizeof(work),
    WORK_VECTORS = GROUP / WORK_LANES,
    /* Rows of sums in progress, a group each, that the registers hold beside what is added. */
    TILE = (VECTOR_BYTES == 64 ? 24 : 8) / WORK_VECTORS,
    /* Samples of each row that multiply() takes at a time. */
    PRODUCT_WIDTH = (VECTOR_BYTES == 64 ? 4 : 2) * WORK_LANES,
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

/* Vectors anywhere in memory. Arrays of vectors that are filled by memcpy() are not kept in
 * registers. */
typedef work work_vector_unaligned
    __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(work)), may_alias));

static inline work_vector vector_load(const work *from)
{
    return *(const work_vector_unaligned *)from;
}

static inline void vector_store(work *to, work_vector v)
{
    *(work_vector_unaligned *)to = v;
}

/* Work samples as float64. */
static inline double_vector vector_widen(const work *from)
{
    work_part part;
    memcpy(&part, from, sizeof part);
    return __builtin_convertvector(part, double_vector);
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

/*
 * VECTOR_MERGE_<b>(x, y): x and y hold sums in progress, b lanes for each; the result holds those
 * of x, then those of y, b / 2 lanes for each: first halves plus second halves.
 */
#if VECTOR_BYTES == 64 && KERNEL_FLOAT32
#define VECTOR_MERGE_16(x, y)                                                                      \
    (__builtin_shufflevector(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +       \
     __builtin_shufflevector(x, y, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
#define VECTOR_MERGE_8(x, y)                                                                       \
    (__builtin_shufflevector(x, y, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +     \
     __builtin_shufflevector(x, y, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
#define VECTOR_MERGE_4(x, y)                                                                       \
    (__builtin_shufflevector(x, y, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +     \
     __builtin_shufflevector(x, y, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31))
#define VECTOR_MERGE_2(x, y)                                                                       \
    (__builtin_shufflevector(x, y, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +    \
     __builtin_shufflevector(x, y, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31))
#elif VECTOR_BYTES == 64 || (VECTOR_BYTES == 32 && KERNEL_FLOAT32)
#define VECTOR_MERGE_8(x, y)                                                                       \
    (__builtin_shufflevector(x, y, 0, 1, 2, 3, 8, 9, 10, 11) +                                     \
     __builtin_shufflevector(x, y, 4, 5, 6, 7, 12, 13, 14, 15))
#define VECTOR_MERGE_4(x, y)                                                                       \
    (__builtin_shufflevector(x, y, 0, 1, 4, 5, 8, 9, 12, 13) +                                     \
     __builtin_shufflevector(x, y, 2, 3, 6, 7, 10, 11, 14, 15))
#define VECTOR_MERGE_2(x, y)                                                                       \
    (__builtin_shufflevector(x, y, 0, 2, 4, 6, 8, 10, 12, 14) +                                    \
     __builtin_shufflevector(x, y, 1, 3, 5, 7, 9, 11, 13, 15))
#elif VECTOR_BYTES == 32 || KERNEL_FLOAT32
#define VECTOR_MERGE_4(x, y)                                                                       \
    (__builtin_shufflevector(x, y, 0, 1, 4, 5) + __builtin_shufflevector(x, y, 2, 3, 6, 7))
#define VECTOR_MERGE_2(x, y)                                                                       \
    (__builtin_shufflevector(x, y, 0, 2, 4, 6) + __builtin_shufflevector(x, y, 1, 3, 5, 7))
#else
#define VECTOR_MERGE_2(x, y)                                                                       \
    (__builtin_shufflevector(x, y, 0, 2) + __builtin_shufflevector(x, y, 1, 3))
#endif

/* Lane l of the result is vector_sum(rows[l]), to the last bit. */
static inline work_vector vector_sums(const work_vector rows[WORK_LANES])
{
    work_vector merged[WORK_LANES / 2 + 1];
    const work_vector *from = rows;
#ifdef VECTOR_MERGE_16
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++)
        merged[i] = VECTOR_MERGE_16(from[2 * i], from[2 * i + 1]);
    from = merged;
#endif
#ifdef VECTOR_MERGE_8
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        merged[i] = VECTOR_MERGE_8(from[2 * i], from[2 * i + 1]);
    from = merged;
#endif
#ifdef VECTOR_MERGE_4
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; i++)
        merged[i] = VECTOR_MERGE_4(from[2 * i], from[2 * i + 1]);
    from = merged;
#endif
    (void)merged;
    return VECTOR_MERGE_2(from[0], from[1]);
}

#endif
