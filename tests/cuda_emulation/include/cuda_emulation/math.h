/*
 * Arithmetic of device code that the C++ library does not have, or has in namespace std.
 * Part of cuda_runtime.h. Compiled with -ffp-contract=off, so that nothing is contracted:
 * a fused multiply-add is one only where the code says fma. exp, erfc and their like are the C
 * library's: they differ from CUDA's in the last bits.
 */
#ifndef CUDA_EMULATION_MATH_H
#define CUDA_EMULATION_MATH_H

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <math.h>
#include <memory>
#include <stdint.h>
#include <string>
#include <type_traits>

namespace cuda_emulation
{

template <typename To, typename From> To bits_as(From from)
{
    static_assert(sizeof(To) == sizeof(From), "");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

template <typename A, typename B>
using Common = std::enable_if_t<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value,
                                std::common_type_t<A, B>>;

} // namespace cuda_emulation

/* Of floating-point numbers, as in CUDA: the one that is no NaN. */
template <typename A, typename B> constexpr cuda_emulation::Common<A, B> min(A a, B b)
{
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point<T>::value)
        return std::fmin(T(a), T(b));
    else
        return T(b) < T(a) ? T(b) : T(a);
}

template <typename A, typename B> constexpr cuda_emulation::Common<A, B> max(A a, B b)
{
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point<T>::value)
        return std::fmax(T(a), T(b));
    else
        return T(a) < T(b) ? T(b) : T(a);
}

#define CUDA_EMULATION_ARITHMETIC(prefix, type)                                                    \
    inline type __##prefix##add_rn(type a, type b)                                                 \
    {                                                                                              \
        return a + b;                                                                              \
    }                                                                                              \
    inline type __##prefix##sub_rn(type a, type b)                                                 \
    {                                                                                              \
        return a - b;                                                                              \
    }                                                                                              \
    inline type __##prefix##mul_rn(type a, type b)                                                 \
    {                                                                                              \
        return a * b;                                                                              \
    }                                                                                              \
    inline type __##prefix##div_rn(type a, type b)                                                 \
    {                                                                                              \
        return a / b;                                                                              \
    }                                                                                              \
    inline type __##prefix##sqrt_rn(type a)                                                        \
    {                                                                                              \
        return std::sqrt(a);                                                                       \
    }                                                                                              \
    inline type __##prefix##rcp_rn(type a)                                                         \
    {                                                                                              \
        return 1 / a;                                                                              \
    }
CUDA_EMULATION_ARITHMETIC(d, double)
CUDA_EMULATION_ARITHMETIC(f, float)
#undef CUDA_EMULATION_ARITHMETIC

inline double __fma_rn(double a, double b, double c)
{
    return std::fma(a, b, c);
}

inline float __fmaf_rn(float a, float b, float c)
{
    return std::fma(a, b, c);
}

inline float __int2float_rn(int x)
{
    return float(x);
}

inline double __int2double_rn(int x)
{
    return double(x);
}

inline double __uint2double_rn(unsigned x)
{
    return double(x);
}

inline double __ll2double_rn(long long x)
{
    return double(x);
}

inline double __ull2double_rn(unsigned long long x)
{
    return double(x);
}

inline float __double2float_rn(double x)
{
    return float(x);
}

inline int __double2int_rn(double x)
{
    return int(std::nearbyint(x));
}

inline int __float2int_rn(float x)
{
    return int(std::nearbyint(x));
}

inline long long __double_as_longlong(double x)
{
    return cuda_emulation::bits_as<long long>(x);
}

inline double __longlong_as_double(long long x)
{
    return cuda_emulation::bits_as<double>(x);
}

inline int __float_as_int(float x)
{
    return cuda_emulation::bits_as<int>(x);
}

inline float __int_as_float(int x)
{
    return cuda_emulation::bits_as<float>(x);
}

inline unsigned __float_as_uint(float x)
{
    return cuda_emulation::bits_as<unsigned>(x);
}

inline float __uint_as_float(unsigned x)
{
    return cuda_emulation::bits_as<float>(x);
}

inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}

inline int __ffs(int x)
{
    return __builtin_ffs(x);
}

inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}

inline int __clz(int x)
{
    return x == 0 ? 32 : __builtin_clz(unsigned(x));
}

inline int __clzll(long long x)
{
    return x == 0 ? 64 : __builtin_clzll((unsigned long long)x);
}

inline unsigned __brev(unsigned x)
{
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++)
        reversed |= ((x >> i) & 1u) << (31 - i);
    return reversed;
}

inline unsigned __umulhi(unsigned a, unsigned b)
{
    return unsigned((uint64_t(a) * b) >> 32);
}

inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

inline double rsqrt(double x)
{
    return 1 / std::sqrt(x);
}

inline float rsqrtf(float x)
{
    return 1 / std::sqrt(x);
}

inline float rsqrt(float x)
{
    return rsqrtf(x);
}

inline double normcdf(double x)
{
    return std::erfc(-x * 0.70710678118654752440) / 2;
}

inline float __fdividef(float a, float b)
{
    return a / b;
}

inline float __expf(float x)
{
    return std::exp(x);
}

inline float __logf(float x)
{
    return std::log(x);
}

/* Loads through the read-only cache. */
template <typename T> inline T __ldg(const T *address)
{
    return *address;
}

template <typename T> inline T __ldcs(const T *address)
{
    return *address;
}

template <typename T> inline void __stcs(T *address, T value)
{
    *address = value;
}

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

#endif
