/*
 * Order statistics of up to 32 * K values, K in the registers of each lane of a warp, found by
 * counting: how many values lie below a pivot. All lanes come to the same.
 */
#ifndef WORKER_CUDA_WARP_SELECT_H
#define WORKER_CUDA_WARP_SELECT_H

#include <cmath>

#include "worker/cuda/median_search.h"

template <typename Work> __device__ Work warp_least(Work value)
{
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        const Work other = __shfl_xor_sync(0xffffffffu, value, step);
        value = other < value ? other : value;
    }
    return value;
}

template <typename Work> __device__ Work warp_most(Work value)
{
#pragma unroll
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
#pragma unroll
    for (unsigned size = 2; size <= 32; size *= 2)
#pragma unroll
        for (unsigned step = size / 2; step > 0; step /= 2) {
            const Work other = __shfl_xor_sync(0xffffffffu, value, (int)step);
            const bool lower = (lane & step) == 0, ascending = (lane & size) == 0;
            const bool wants_less = lower == ascending;
            value = wants_less == (other < value) ? other : value;
        }
    return value;
}

/* n values: value i is x[i / 32] of lane i % 32; infinity beyond the last. */
template <int K, typename Work> struct warp_values {
    Work x[K];
    Work sorted; /* the first 32 of them (or all, and then infinities), ascending over the lanes */
    uint32_t n;

    __device__ void load(const Work *list, uint32_t count)
    {
        n = count;
#pragma unroll
        for (int k = 0; k < K; k++) {
            const uint32_t i = threadIdx.x % 32 + 32 * (uint32_t)k;
            x[k] = i < count ? list[i] : (Work)INFINITY;
        }
        sorted = warp_sorted(x[0]);
    }

    __device__ int count_below(Work pivot) const
    {
        int below = 0;
        if constexpr (K <= 4) {
#pragma unroll
            for (int k = 0; k < K; k++)
                below += __popc(__ballot_sync(0xffffffffu, x[k] < pivot));
        } else {
#pragma unroll
            for (int k = 0; k < K; k++)
                below += x[k] < pivot;
#pragma unroll
            for (int step = 16; step > 0; step /= 2)
                below += __shfl_xor_sync(0xffffffffu, below, step);
        }
        return below;
    }

    /* The largest value below the pivot, and the smallest of the others. */
    __device__ Work most_below(Work pivot) const
    {
        Work most = (Work)-INFINITY;
#pragma unroll
        for (int k = 0; k < K; k++)
            most = x[k] < pivot && x[k] > most ? x[k] : most;
        return warp_most(most);
    }
    __device__ Work least_above(Work pivot) const
    {
        Work least = (Work)INFINITY;
#pragma unroll
        for (int k = 0; k < K; k++)
            least = !(x[k] < pivot) && x[k] < least ? x[k] : least;
        return warp_least(least);
    }
};

/* A walk of pivots towards one with `target` values below it. */
template <typename Work> struct pivot_walk {
    Work pivot, low, high;     /* the values looked for are not below low, not above high */
    int count_low, count_high; /* below the pivots that low and high came from; -1: none yet */
    Work pivot_low, pivot_high;
    double per_rank, step;

    /* Begins where the sorted values of n tell. */
    __device__ void begin(Work sorted, uint32_t n, int target)
    {
        const int known = n < 32 ? (int)n : 32;
        int place = (int)((int64_t)target * known / (int)n);
        place = place < 0 ? 0 : place >= known ? known - 1 : place;
        const int from = place > 4 ? place - 4 : 0;
        const int to = place + 4 < known ? place + 4 : known - 1;
        const Work below = __shfl_sync(0xffffffffu, sorted, from);
        const Work above = __shfl_sync(0xffffffffu, sorted, to);
        pivot = __shfl_sync(0xffffffffu, sorted, place);
        per_rank = to > from
                       ? ((double)above - (double)below) * known / ((double)(to - from) * (double)n)
                       : 0.0;
        step = per_rank > 0 ? per_rank : fabs((double)pivot) * 1e-7 + 1e-30;
        low = (Work)-INFINITY;
        high = (Work)INFINITY;
        count_low = count_high = -1;
        pivot_low = pivot_high = pivot;
    }

    __device__ bool bracketed() const
    {
        return count_low >= 0 && count_high >= 0;
    }

    __device__ void raise(Work to, int n_below)
    {
        low = to;
        count_low = n_below;
        pivot_low = pivot;
    }
    __device__ void lower(Work to, int n_below)
    {
        high = to;
        count_high = n_below;
        pivot_high = pivot;
    }

    /* The next pivot, after n_below were below this one: past low, not past high. */
    __device__ void move(int target, int n_below, int turn)
    {
        enum { PATIENCE = 8, IMPATIENCE = 16 };
        const int missing = target - n_below;
        if (bracketed() && (turn >= IMPATIENCE || (turn >= PATIENCE && turn % 2 == 0))) {
            pivot = halve_bits(low, high);
        } else if (bracketed()) {
            const double share =
                ((double)target - 0.5 - count_low) / (double)(count_high - count_low);
            pivot = (Work)((double)pivot_low + ((double)pivot_high - (double)pivot_low) * share);
        } else {
            /* Somewhat too far, so that the next pivot lies between two. */
            double way = per_rank * (fabs((double)missing) * 1.25 + 1.0);
            way = way > step ? way : step;
            step = 2 * way;
            pivot = (Work)(missing > 0 ? (double)pivot + way : (double)pivot - way);
        }
        stay_inside();
    }

    __device__ void stay_inside()
    {
        if (count_low >= 0 && !(pivot > low))
            pivot = (Work)nextafter(low, (Work)INFINITY);
        if (count_high >= 0 && !(pivot <= high))
            pivot = high;
    }
};

template <typename Work> struct order_statistics {
    Work at;   /* the value of a rank */
    Work next; /* and of the rank after it: infinity behind the last */
};

/* The values of rank `rank` < n and, if `both`, rank + 1, exactly. */
template <int K, typename Work>
__device__ struct order_statistics<Work> warp_select(const struct warp_values<K, Work> &values,
                                                     uint32_t rank, bool both) {
    enum { PATIENCE = 8, MOST_TURNS = 200 };
    struct order_statistics<Work> found;
    if (values.n <= 32) {
        found.at = __shfl_sync(0xffffffffu, values.sorted, (int)rank);
        found.next = rank + 1 < values.n ? __shfl_sync(0xffffffffu, values.sorted, (int)rank + 1)
                                         : (Work)INFINITY;
        return found;
    }
    /* The pivot that is looked for has the value of the rank below it, and the next one not. */
    const int target = (int)rank + 1;
    struct pivot_walk<Work> walk;
    walk.begin(values.sorted, values.n, target);
    found.at = found.next = walk.pivot;
    for (int turn = 0; turn < MOST_TURNS; turn++) {
        const int n_below = values.count_below(walk.pivot), missing = target - n_below;
        if (missing == 0) {
            found.at = values.most_below(walk.pivot);
            found.next = both ? values.least_above(walk.pivot) : found.at;
            return found;
        }
        if (missing == 1 && !both) {
            found.at = values.least_above(walk.pivot);
            return found;
        }
        /* Next to it, or when it takes long, bounds become values of the list. */
        const bool exact = missing == 1 || missing == -1 || turn >= PATIENCE;
        if (missing > 0)
            walk.raise(exact ? values.least_above(walk.pivot) : walk.pivot, n_below);
        else
            walk.lower(exact ? values.most_below(walk.pivot) : walk.pivot, n_below);
        if (walk.bracketed() && !(walk.low < walk.high)) {
            /* Equal values on both sides of the rank. */
            found.at = found.next = walk.low;
            return found;
        }
        if (exact && missing == 1) {
            walk.pivot = walk.low;
            walk.stay_inside();
        } else if (exact && missing == -1) {
            walk.pivot = walk.high;
        } else {
            walk.move(target, n_below, turn);
        }
    }
    return found; /* of samples without an order: NaN */
}

template <typename Work>
struct bound {
    Work value;
    int below; /* values below it */
};

/*
 * A value with about `target` of the values below it: `give` fewer at most if `lower`, `give` more
 * at most if not. Where many values are equal it is one of them, with fewer, or more, below it.
 */
template <int K, typename Work>
__device__ struct bound<Work> warp_bound(const struct warp_values<K, Work> &values, int target,
                                         int give, bool lower) {
    enum { MOST_TURNS = 7 };
    const int aim = lower ? target - give / 2 : target + give / 2;
    const int least = lower ? target - give : target, most = lower ? target : target + give;
    struct pivot_walk<Work> walk;
    walk.begin(values.sorted, values.n, aim);
    for (int turn = 0; turn < MOST_TURNS; turn++) {
        const int n_below = values.count_below(walk.pivot);
        if (n_below >= least && n_below <= most)
            return {walk.pivot, n_below};
        if (n_below < aim)
            walk.raise(walk.pivot, n_below);
        else
            walk.lower(walk.pivot, n_below);
        walk.move(aim, n_below, turn);
    }
    if (lower && walk.count_low >= 0)
        return {values.least_above(walk.pivot_low), walk.count_low};
    if (!lower && walk.count_high >= 0)
        return {values.most_below(walk.pivot_high), walk.count_high};
    return {(Work)(lower ? -INFINITY : INFINITY), lower ? 0 : (int)values.n};
}

#endif
