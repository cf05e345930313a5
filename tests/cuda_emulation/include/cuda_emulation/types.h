/*
 * CUDA's qualifiers and vector types. Part of cuda_runtime.h.
 *
 * __shared__ variables are one for each operating system thread that runs blocks. AddressSanitizer
 * puts redzones around static variables, but not around thread-local ones: with it they are
 * static, and all blocks run on one thread at a time.
 */
#ifndef CUDA_EMULATION_TYPES_H
#define CUDA_EMULATION_TYPES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#define CUDA_EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_EMULATION_ASAN 1
#endif
#endif

#define __global__
#define __device__
#define __host__
#define __constant__
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __forceinline__ inline __attribute__((always_inline))
/* Empty, because the C++ library spells __attribute__((__noinline__)). */
#define __noinline__

#ifdef CUDA_EMULATION_ASAN
#define __shared__ static
#else
#define __shared__ static thread_local
#endif

#define CUDA_EMULATION_VECTORS(type, base, align2, align4)                                         \
    struct base##1                                                                                 \
    {                                                                                              \
        type x;                                                                                    \
    };                                                                                             \
    struct __attribute__((aligned(align2))) base##2                                                \
    {                                                                                              \
        type x, y;                                                                                 \
    };                                                                                             \
    struct base##3                                                                                 \
    {                                                                                              \
        type x, y, z;                                                                              \
    };                                                                                             \
    struct __attribute__((aligned(align4))) base##4                                                \
    {                                                                                              \
        type x, y, z, w;                                                                           \
    };                                                                                             \
    inline base##1 make_##base##1(type x)                                                          \
    {                                                                                              \
        return base##1 {x};                                                                        \
    }                                                                                              \
    inline base##2 make_##base##2(type x, type y)                                                  \
    {                                                                                              \
        return base##2 {x, y};                                                                     \
    }                                                                                              \
    inline base##3 make_##base##3(type x, type y, type z)                                          \
    {                                                                                              \
        return base##3 {x, y, z};                                                                  \
    }                                                                                              \
    inline base##4 make_##base##4(type x, type y, type z, type w)                                  \
    {                                                                                              \
        return base##4 {x, y, z, w};                                                               \
    }

CUDA_EMULATION_VECTORS(signed char, char, 2, 4)
CUDA_EMULATION_VECTORS(unsigned char, uchar, 2, 4)
CUDA_EMULATION_VECTORS(short, short, 4, 8)
CUDA_EMULATION_VECTORS(unsigned short, ushort, 4, 8)
CUDA_EMULATION_VECTORS(int, int, 8, 16)
CUDA_EMULATION_VECTORS(unsigned, uint, 8, 16)
CUDA_EMULATION_VECTORS(long long, longlong, 16, 16)
CUDA_EMULATION_VECTORS(unsigned long long, ulonglong, 16, 16)
CUDA_EMULATION_VECTORS(float, float, 8, 16)
CUDA_EMULATION_VECTORS(double, double, 16, 16)
#undef CUDA_EMULATION_VECTORS

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z)
    {
    }
};

#endif
