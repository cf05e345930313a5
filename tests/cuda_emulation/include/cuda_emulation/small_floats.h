/*
 * Floating-point numbers of 16 bits: a float is rounded to the nearest, ties to even, as CUDA's
 * conversions do; arithmetic is the float's, rounded once. Part of cuda_fp16.h and cuda_bf16.h.
 */
#ifndef CUDA_EMULATION_SMALL_FLOATS_H
#define CUDA_EMULATION_SMALL_FLOATS_H

#include <stdint.h>
#include <string.h>

namespace cuda_emulation
{

inline uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* bits >> shift, to the nearest. 0 < shift < 32. */
inline uint32_t shift_round(uint32_t bits, unsigned shift)
{
    const uint32_t half = 1u << (shift - 1);
    const uint32_t rest = bits & ((1u << shift) - 1);
    const uint32_t down = bits >> shift;
    return down + (rest > half || (rest == half && (down & 1u)));
}

inline uint16_t half_bits(float x)
{
    const uint32_t bits = float_bits(x);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return 0x7fff;
    if (magnitude >= 0x47800000u) /* 2^16 */
        return uint16_t(sign | 0x7c00u);
    if (magnitude >= 0x38800000u) /* 2^-14: normal; rounding may carry into infinity */
        return uint16_t(sign | shift_round(magnitude - 0x38000000u, 13));
    const uint32_t exponent = magnitude >> 23;
    if (exponent < 101)
        return uint16_t(sign);
    /* In units of 2^-24. */
    return uint16_t(sign | shift_round((magnitude & 0x7fffffu) | 0x800000u, 126 - exponent));
}

inline float half_value(uint16_t half)
{
    const uint32_t sign = uint32_t(half & 0x8000u) << 16;
    const uint32_t exponent = half >> 10 & 31u;
    const uint32_t fraction = half & 0x3ffu;
    if (exponent == 31)
        return float_of(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) {
        const float value = float(fraction) * 0x1p-24f;
        return sign ? -value : value;
    }
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

inline uint16_t bfloat16_bits(float x)
{
    const uint32_t bits = float_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return 0x7fff;
    return uint16_t(shift_round(bits, 16));
}

inline float bfloat16_value(uint16_t bits)
{
    return float_of(uint32_t(bits) << 16);
}

/* Rounded to odd: so that the rounding that follows is as if it were the only one. */
inline float float_to_odd(double x)
{
    float near = float(x);
    const double back = double(near);
    if (back == x || back != back || float_bits(near) & 1u)
        return near;
    const uint32_t bits = float_bits(near);
    const bool away = (back < 0 ? -back : back) > (x < 0 ? -x : x);
    return float_of(away ? bits - 1 : bits + 1);
}

} // namespace cuda_emulation

#define CUDA_EMULATION_SMALL_FLOAT(type, to_bits, to_value)                                        \
    struct type {                                                                                  \
        uint16_t bits;                                                                             \
        type() = default;                                                                          \
        type(float x) : bits(cuda_emulation::to_bits(x))                                           \
        {                                                                                          \
        }                                                                                          \
        type(double x) : type(cuda_emulation::float_to_odd(x))                                     \
        {                                                                                          \
        }                                                                                          \
        type(int x) : type(float(x))                                                               \
        {                                                                                          \
        }                                                                                          \
        operator float() const                                                                     \
        {                                                                                          \
            return cuda_emulation::to_value(bits);                                                 \
        }                                                                                          \
    };                                                                                             \
    inline type operator+(type a, type b)                                                          \
    {                                                                                              \
        return type(float(a) + float(b));                                                          \
    }                                                                                              \
    inline type operator-(type a, type b)                                                          \
    {                                                                                              \
        return type(float(a) - float(b));                                                          \
    }                                                                                              \
    inline type operator*(type a, type b)                                                          \
    {                                                                                              \
        return type(float(a) * float(b));                                                          \
    }                                                                                              \
    inline type operator/(type a, type b)                                                          \
    {                                                                                              \
        return type(float(a) / float(b));                                                          \
    }

#endif
