/* Rows of a group on both sides of a pivot: the exact step of every search for middle values. */
#ifndef WORKER_CPU_KERNELS_SPLIT_H
#define WORKER_CPU_KERNELS_SPLIT_H

#include "worker/cpu/kernels/kernel_table.h"

/* What one pass over the samples tells about each column. */
struct split {
    work_vector below; /* the largest value < pivot; -infinity if none */
    work_vector above; /* the smallest value >= pivot; infinity if none */
    work_mask count;   /* values < pivot */
};

static inline void split_row(struct split *split, work_vector x, work_vector pivot)
{
#if defined(__AVX512BW__) && KERNEL_FLOAT32
    __mmask16 less = _mm512_cmp_ps_mask((__m512)x, (__m512)pivot, _CMP_LT_OQ);
    split->below = (work_vector)_mm512_mask_max_ps((__m512)split->below, less, (__m512)split->below,
                                                   (__m512)x);
    split->above = (work_vector)_mm512_mask_min_ps((__m512)split->above, (__mmask16)~less,
                                                   (__m512)split->above, (__m512)x);
    split->count = (work_mask)_mm512_mask_add_epi32((__m512i)split->count, less,
                                                    (__m512i)split->count, _mm512_set1_epi32(1));
#elif defined(__AVX512BW__)
    __mmask8 less = _mm512_cmp_pd_mask((__m512d)x, (__m512d)pivot, _CMP_LT_OQ);
    split->below = (work_vector)_mm512_mask_max_pd((__m512d)split->below, less,
                                                   (__m512d)split->below, (__m512d)x);
    split->above = (work_vector)_mm512_mask_min_pd((__m512d)split->above, (__mmask8)~less,
                                                   (__m512d)split->above, (__m512d)x);
    split->count = (work_mask)_mm512_mask_add_epi64((__m512i)split->count, less,
                                                    (__m512i)split->count, _mm512_set1_epi64(1));
#else
    work_mask less = x < pivot;
    split->count -= less;
    split->below = vector_max(split->below, vector_select(less, x, split->below));
    split->above = vector_min(split->above, vector_select(less, split->above, x));
#endif
}

/*
 * Exact middle values of every column over n rows, from pivots that are probably right already:
 * the values of ranks n / 2 - 1 (lower, of use for even n) and n / 2 (upper).
 */
void KERNEL(search_exactly)(const work *group, const uint32_t *rows, size_t n, work *pivot,
                            work *lower_middle, work *upper_middle);

#endif
