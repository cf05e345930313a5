/*
 * The search for a median by counting: how many values lie below a pivot, the largest of those,
 * and the smallest of the others tell whether the pivot parts the lower half from the upper one;
 * if not, they bound the median, and the next pivot is interpolated between the counts.
 *
 * Exact: what is returned is a value of the set, or the mean of two. It ends, because a bound
 * moves past at least one value each time, and quickly, because after some turns the bits of the
 * pivot are halved instead. Ties end it too: when the lower bound meets the upper one, the median
 * is there.
 */
#ifndef WORKER_CUDA_MEDIAN_SEARCH_H
#define WORKER_CUDA_MEDIAN_SEARCH_H

#include <cmath>
#include <cstdint>

#include "worker/cuda/launch.h"

template <typename Work> struct work_bits;
template <> struct work_bits<double> {
    typedef long long integer;
    static __device__ integer of(double x)
    {
        return __double_as_longlong(x);
    }
    static __device__ double from(integer i)
    {
        return __longlong_as_double(i);
    }
};
template <> struct work_bits<float> {
    typedef int integer;
    static __device__ integer of(float x)
    {
        return __float_as_int(x);
    }
    static __device__ float from(integer i)
    {
        return __int_as_float(i);
    }
};

/* Half way between two values in the order of their bits, which is the order of the values when
 * the negative ones are turned round. */
template <typename Work> __device__ Work halve_bits(Work low, Work high)
{
    typedef work_bits<Work> bits;
    typedef typename bits::integer integer;
    const integer most = (integer)(~(integer)0) ^ ((integer)1 << (8 * sizeof(Work) - 1));
    const integer a = bits::of(low), b = bits::of(high);
    const integer ordered_a = a < 0 ? a ^ most : a, ordered_b = b < 0 ? b ^ most : b;
    const integer middle = (ordered_a & ordered_b) + ((ordered_a ^ ordered_b) >> 1);
    return bits::from(middle < 0 ? middle ^ most : middle);
}

template <typename Work> struct median_search {
    Work pivot;
    bool done; /* then the median is in pivot */

    /* A search over n >= 1 values that lie around `start`, most of them within `spread`. */
    __device__ void begin(Work start, Work spread, uint32_t n)
    {
        pivot = start;
        done = false;
        n_ = n;
        half_ = n / 2;
        has_low_ = has_high_ = false;
        low_ = high_ = pivot_low_ = pivot_high_ = start;
        count_low_ = count_high_ = 0;
        turns_ = 0;
        /* The slope of a normal distribution at its middle. */
        slope_ = (double)n / (2.5 * (double)spread);
        if (!(slope_ > 0) || !(slope_ < 1e300))
            slope_ = 0;
        step_ = spread > 0 ? (double)spread * 1e-3 : fabs((double)start) * 1e-6 + 1e-30;
    }

    /* Of all values: how many are below the pivot, the largest of those, the smallest of the
     * others (infinities where there are none). */
    __device__ void turn(uint32_t n_below, Work below, Work above)
    {
        const bool odd = (n_ & 1) != 0;
        turns_++;
        if (n_below == half_) {
            finish(odd ? above : (below + above) / 2);
            return;
        }
        if (odd && n_below == half_ + 1) {
            finish(below);
            return;
        }
        if (n_below < half_) {
            low_ = above;
            count_low_ = n_below;
            pivot_low_ = pivot;
            has_low_ = true;
        } else {
            high_ = below;
            count_high_ = n_below;
            pivot_high_ = pivot;
            has_high_ = true;
        }
        if (has_low_ && has_high_ && !(low_ < high_)) {
            finish(low_);
            return;
        }
        next(n_below);
        /* Samples that have no order (NaN) would go round for ever. */
        if (turns_ > 200)
            finish(pivot);
    }

  private:
    Work low_, high_; /* values: the median is not below low, not above high */
    Work pivot_low_, pivot_high_;
    double slope_, step_;
    uint32_t n_, half_, count_low_, count_high_;
    int turns_;
    bool has_low_, has_high_;

    __device__ void finish(Work median)
    {
        pivot = median;
        done = true;
    }

    __device__ void next(uint32_t n_below)
    {
        if (has_low_ && has_high_)
            pivot = between();
        else
            pivot = outwards(n_below);
        if (has_low_ && !(pivot > low_))
            pivot = (Work)nextafter(low_, (Work)INFINITY);
        if (has_high_ && !(pivot <= high_))
            pivot = high_;
    }

    __device__ Work between() const
    {
        if (count_high_ == half_ + 1)
            return high_;
        if (count_low_ + 1 == half_)
            return low_; /* the caller makes it the next value above */
        if (turns_ > 20 || (turns_ > 9 && turns_ % 2 == 0))
            return halve_bits(low_, high_);
        const double share =
            ((double)half_ + 0.5 - (double)count_low_) / ((double)count_high_ - (double)count_low_);
        return (Work)((double)pivot_low_ + ((double)pivot_high_ - (double)pivot_low_) * share);
    }

    /* Past the median, it is hoped, but not far: from there on it is between two pivots. */
    __device__ Work outwards(uint32_t n_below)
    {
        const double missing = (double)half_ + 0.5 - (double)n_below;
        double move = slope_ > 0 ? fabs(missing) / slope_ * 1.25 : 0.0;
        if (move < step_)
            move = step_;
        step_ = 2 * move;
        const double from = has_low_ ? (double)low_ : (double)high_;
        return (Work)(missing > 0 ? from + move : from - move);
    }
};

#endif
