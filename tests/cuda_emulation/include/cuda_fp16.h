/* Stands for CUDA's header of this name in an emulated build: tests/cuda_emulation. */
#ifndef CUDA_EMULATION_CUDA_FP16_H
#define CUDA_EMULATION_CUDA_FP16_H

#include "cuda_emulation/small_floats.h"
#include "cuda_runtime.h"

CUDA_EMULATION_SMALL_FLOAT(__half, half_bits, half_value)
typedef __half half;

struct __attribute__((aligned(4))) __half2 {
    __half x, y;
};
typedef __half2 half2;

inline __half __float2half_rn(float x)
{
    return __half(x);
}

inline __half __float2half(float x)
{
    return __half(x);
}

inline __half __double2half(double x)
{
    return __half(x);
}

inline float __half2float(__half x)
{
    return float(x);
}

inline unsigned short __half_as_ushort(__half x)
{
    return x.bits;
}

inline __half __ushort_as_half(unsigned short bits)
{
    __half x;
    x.bits = bits;
    return x;
}

inline __half2 __floats2half2_rn(float x, float y)
{
    return __half2{__half(x), __half(y)};
}

inline __half2 __float22half2_rn(float2 v)
{
    return __floats2half2_rn(v.x, v.y);
}

inline float2 __half22float2(__half2 v)
{
    return make_float2(float(v.x), float(v.y));
}

inline float __low2float(__half2 v)
{
    return float(v.x);
}

inline float __high2float(__half2 v)
{
    return float(v.y);
}

#endif
