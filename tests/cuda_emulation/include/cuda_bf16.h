/* Stands for CUDA's header of this name in an emulated build: tests/cuda_emulation. */
#ifndef CUDA_EMULATION_CUDA_BF16_H
#define CUDA_EMULATION_CUDA_BF16_H

#include "cuda_emulation/small_floats.h"
#include "cuda_runtime.h"

CUDA_EMULATION_SMALL_FLOAT(__nv_bfloat16, bfloat16_bits, bfloat16_value)
typedef __nv_bfloat16 nv_bfloat16;

struct __attribute__((aligned(4))) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
typedef __nv_bfloat162 nv_bfloat162;

inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    return __nv_bfloat16(x);
}

inline __nv_bfloat16 __float2bfloat16(float x)
{
    return __nv_bfloat16(x);
}

inline __nv_bfloat16 __double2bfloat16(double x)
{
    return __nv_bfloat16(x);
}

inline float __bfloat162float(__nv_bfloat16 x)
{
    return float(x);
}

inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x)
{
    return x.bits;
}

inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    __nv_bfloat16 x;
    x.bits = bits;
    return x;
}

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    return __nv_bfloat162{__nv_bfloat16(x), __nv_bfloat16(y)};
}

inline __nv_bfloat162 __float22bfloat162_rn(float2 v)
{
    return __floats2bfloat162_rn(v.x, v.y);
}

inline float2 __bfloat1622float2(__nv_bfloat162 v)
{
    return make_float2(float(v.x), float(v.y));
}

#endif
