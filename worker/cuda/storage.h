/*
 * What samples are kept as and what kernels reckon in. Both are the same in float64 and float32; in
 * the mixed modes samples, predictions and repaired rows are kept in 16 bits and everything is
 * reckoned in float32. Kernels are templates of the type that samples are kept as (`Sample`): they
 * widen() what they load and narrow() what they store, and reckon in work_of<Sample> ("Work").
 */
#ifndef WORKER_CUDA_STORAGE_H
#define WORKER_CUDA_STORAGE_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>

template <typename Sample> struct storage {
    typedef Sample work;
};
template <> struct storage<__half> {
    typedef float work;
};
template <> struct storage<__nv_bfloat16> {
    typedef float work;
};

template <typename Sample> using work_of = typename storage<Sample>::work;

__host__ __device__ inline double widen(double x)
{
    return x;
}
__host__ __device__ inline float widen(float x)
{
    return x;
}
__host__ __device__ inline float widen(__half x)
{
    return __half2float(x);
}
__host__ __device__ inline float widen(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

__host__ __device__ inline void store_nearest(double x, double *to)
{
    *to = x;
}
__host__ __device__ inline void store_nearest(double x, float *to)
{
    *to = (float)x;
}
__host__ __device__ inline void store_nearest(float x, float *to)
{
    *to = x;
}
__host__ __device__ inline void store_nearest(double x, __half *to)
{
    *to = __double2half(x);
}
__host__ __device__ inline void store_nearest(float x, __half *to)
{
    *to = __float2half_rn(x);
}
__host__ __device__ inline void store_nearest(double x, __nv_bfloat16 *to)
{
    *to = __double2bfloat16(x);
}
__host__ __device__ inline void store_nearest(float x, __nv_bfloat16 *to)
{
    *to = __float2bfloat16_rn(x);
}

/* Rounded once, to the nearest; ties to even. */
template <typename Sample, typename From> __host__ __device__ inline Sample narrow(From x)
{
    Sample to;
    store_nearest(x, &to);
    return to;
}

/* X(type) for each type that samples may be kept as: for instances of templates. */
#define FOR_EACH_STORAGE(X) X(float) X(double) X(__half) X(__nv_bfloat16)

#endif
