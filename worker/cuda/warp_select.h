/*
 * Order statistics of a list in shared memory, found by one warp, by counting: how many values lie
 * below a pivot. Exact: what is returned are values of the list.
 */
#ifndef WORKER_CUDA_WARP_SELECT_H
#define WORKER_CUDA_WARP_SELECT_H

#include <cmath>

#include "worker/cuda/median_search.h"

template <typename Work> struct order_statistics {
    Work at;   /* the value of a rank */
    Work next; /* and of the rank after it: infinity behind the last */
};

template <typename Work> __device__ Work warp_least(Work value)
{
    for (int step = 16; step > 0; step /= 2) {
        const Work other = __shfl_xor_sync(0xffffffffu, value, step);
        value = other < value ? other : value;
    }
    return value;
}

template <typename Work> __device__ Work warp_most(Work value)
{
    for (int step = 16; step > 0; step /= 2) {
        const Work other = __shfl_xor_sync(0xffffffffu, value, step);
        value = other > value ? other : value;
    }
    return value;
}

/* Every lane's value, ascending over the lanes. */
template <typename Work> __device__ Work warp_sorted(Work value)
{
    const unsigned lane = threadIdx.x % 32;
    for (unsigned size = 2; size <= 32; size *= 2)
        for (unsigned step = size / 2; step > 0; step /= 2) {
            const Work other = __shfl_xor_sync(0xffffffffu, value, (int)step);
            const bool lower = (lane & step) == 0, ascending = (lane & size) == 0;
            const bool wants_less = lower == ascending;
            value = wants_less == (other < value) ? other : value;
        }
    return value;
}

/* Where a list has its middle and how steep it is there, from 32 of its values. */
template <typename Work> struct list_guess {
    Work pivot;
    double per_rank; /* how much values differ from rank to rank */
};

template <typename Work>
__device__ struct list_guess<Work> guess_rank(Work sorted, uint32_t n, uint32_t rank)
{
    const int place = (int)((uint64_t)rank * 32 / n);
    const int low = place > 4 ? place - 4 : 0, high = place < 27 ? place + 4 : 31;
    const Work from = __shfl_sync(0xffffffffu, sorted, low);
    const Work to = __shfl_sync(0xffffffffu, sorted, high);
    struct list_guess<Work> guess;
    guess.pivot = __shfl_sync(0xffffffffu, sorted, place);
    guess.per_rank = ((double)to - (double)from) * 32.0 / ((double)(high - low) * (double)n);
    return guess;
}

/*
 * The values of ranks `rank` (and, if `both`, `rank` + 1) among n >= 1 of a list, rank < n. The
 * same in every lane; `sorted`: warp_sorted() of 32 values spread over the list.
 */
template <typename Work>
__device__ struct order_statistics<Work> warp_select(const Work *list, uint32_t n, uint32_t rank,
                                                     bool both, Work sorted)
{
    enum { PATIENCE = 8, IMPATIENCE = 16, MOST_TURNS = 200 };
    const uint32_t lane = threadIdx.x % 32;
    const struct list_guess<Work> guess = guess_rank(sorted, n, rank);
    const Work infinite = (Work)INFINITY;
    /* The pivot that is looked for has `target` values below it. */
    const int target = (int)rank + 1;
    Work pivot = guess.pivot, low = -infinite, high = infinite, pivot_low = 0, pivot_high = 0;
    int count_low = -1, count_high = -1;
    double step = guess.per_rank > 0 ? guess.per_rank : fabs((double)pivot) * 1e-7 + 1e-30;
    struct order_statistics<Work> found = {pivot, pivot};
    for (int turn = 0; turn < MOST_TURNS; turn++) {
        int n_below = 0;
        for (uint32_t i = lane; i < n; i += 32)
            n_below += list[i] < pivot;
        for (int s = 16; s > 0; s /= 2)
            n_below += __shfl_xor_sync(0xffffffffu, n_below, s);
        const int missing = target - n_below;
        const bool near = (missing >= -1 && missing <= 1) || turn >= PATIENCE;
        Work below = -infinite, above = infinite;
        if (near) {
            for (uint32_t i = lane; i < n; i += 32) {
                const Work x = list[i];
                if (x < pivot)
                    below = x > below ? x : below;
                else
                    above = x < above ? x : above;
            }
            below = warp_most(below);
            above = warp_least(above);
        }
        if (missing == 0 || (missing == 1 && !both)) {
            found.at = missing == 0 ? below : above;
            found.next = above;
            return found;
        }
        if (missing > 0) {
            low = near ? above : pivot;
            count_low = n_below;
            pivot_low = pivot;
        } else {
            high = near ? below : pivot;
            count_high = n_below;
            pivot_high = pivot;
        }
        if (count_low >= 0 && count_high >= 0 && !(low < high)) {
            /* Equal values on both sides of the rank. */
            found.at = found.next = low;
            return found;
        }
        if (near && missing == 1) {
            pivot = (Work)nextafter(low, infinite);
        } else if (near && missing == -1) {
            pivot = high;
        } else if (count_low >= 0 && count_high >= 0) {
            const double share = ((double)missing + (double)n_below - 0.5 - (double)count_low) /
                                 ((double)count_high - (double)count_low);
            pivot = turn >= IMPATIENCE || (turn >= PATIENCE && turn % 2 == 0)
                        ? halve_bits(low, high)
                        : (Work)((double)pivot_low +
                                 ((double)pivot_high - (double)pivot_low) * share);
        } else {
            /* Somewhat too far, so that the next pivot lies between two. */
            double move = guess.per_rank * (fabs((double)missing) * 1.25 + 1.0);
            move = move > step ? move : step;
            step = 2 * move;
            pivot = (Work)(missing > 0 ? (double)pivot + move : (double)pivot - move);
        }
        if (count_low >= 0 && !(pivot > low))
            pivot = (Work)nextafter(low, infinite);
        if (count_high >= 0 && !(pivot <= high))
            pivot = high;
    }
    return found; /* of samples without an order: NaN */
}

#endif
