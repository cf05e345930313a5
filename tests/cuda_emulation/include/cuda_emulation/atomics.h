/*
 * Atomic functions. Part of cuda_runtime.h. They are real atomics, because blocks may run on
 * several operating system threads. Each returns the value before.
 */
#ifndef CUDA_EMULATION_ATOMICS_H
#define CUDA_EMULATION_ATOMICS_H

#include <stdint.h>
#include <string.h>

namespace cuda_emulation
{

/* Replaces *address by update(*address), whatever the type, 4 or 8 bytes. */
template <typename Bits, typename T, typename Update> T atomic_update(T *address, Update update)
{
    static_assert(sizeof(Bits) == sizeof(T), "");
    Bits *bits = reinterpret_cast<Bits *>(address);
    Bits before = __atomic_load_n(bits, __ATOMIC_SEQ_CST);
    for (;;) {
        T value;
        memcpy(&value, &before, sizeof value);
        const T after = update(value);
        Bits wanted;
        memcpy(&wanted, &after, sizeof wanted);
        if (__atomic_compare_exchange_n(bits, &before, wanted, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return value;
    }
}

} // namespace cuda_emulation

inline float atomicAdd(float *address, float value)
{
    return cuda_emulation::atomic_update<uint32_t>(address, [=](float x) { return x + value; });
}

inline double atomicAdd(double *address, double value)
{
    return cuda_emulation::atomic_update<uint64_t>(address, [=](double x) { return x + value; });
}

#define CUDA_EMULATION_ATOMICS(type, bits)                                                         \
    inline type atomicExch(type *address, type value)                                              \
    {                                                                                              \
        return __atomic_exchange_n(address, value, __ATOMIC_SEQ_CST);                              \
    }                                                                                              \
    inline type atomicCAS(type *address, type expected, type value)                                \
    {                                                                                              \
        __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_SEQ_CST,            \
                                    __ATOMIC_SEQ_CST);                                             \
        return expected;                                                                           \
    }                                                                                              \
    inline type atomicMin(type *address, type value)                                               \
    {                                                                                              \
        return cuda_emulation::atomic_update<bits>(address,                                        \
                                                   [=](type x) { return value < x ? value : x; }); \
    }                                                                                              \
    inline type atomicMax(type *address, type value)                                               \
    {                                                                                              \
        return cuda_emulation::atomic_update<bits>(address,                                        \
                                                   [=](type x) { return value > x ? value : x; }); \
    }                                                                                              \
    inline type atomicOr(type *address, type value)                                                \
    {                                                                                              \
        return __atomic_fetch_or(address, value, __ATOMIC_SEQ_CST);                                \
    }                                                                                              \
    inline type atomicAnd(type *address, type value)                                               \
    {                                                                                              \
        return __atomic_fetch_and(address, value, __ATOMIC_SEQ_CST);                               \
    }                                                                                              \
    inline type atomicXor(type *address, type value)                                               \
    {                                                                                              \
        return __atomic_fetch_xor(address, value, __ATOMIC_SEQ_CST);                               \
    }

CUDA_EMULATION_ATOMICS(int, uint32_t)
CUDA_EMULATION_ATOMICS(unsigned, uint32_t)
CUDA_EMULATION_ATOMICS(unsigned long long, uint64_t)
#undef CUDA_EMULATION_ATOMICS

inline int atomicAdd(int *address, int value)
{
    return int(__atomic_fetch_add(reinterpret_cast<unsigned *>(address), unsigned(value),
                                  __ATOMIC_SEQ_CST));
}

inline unsigned atomicAdd(unsigned *address, unsigned value)
{
    return __atomic_fetch_add(address, value, __ATOMIC_SEQ_CST);
}

inline unsigned long long atomicAdd(unsigned long long *address, unsigned long long value)
{
    return __atomic_fetch_add(address, value, __ATOMIC_SEQ_CST);
}

inline int atomicSub(int *address, int value)
{
    return int(__atomic_fetch_sub(reinterpret_cast<unsigned *>(address), unsigned(value),
                                  __ATOMIC_SEQ_CST));
}

inline unsigned atomicSub(unsigned *address, unsigned value)
{
    return __atomic_fetch_sub(address, value, __ATOMIC_SEQ_CST);
}

/* Counts from 0 to limit, and begins again. */
inline unsigned atomicInc(unsigned *address, unsigned limit)
{
    return cuda_emulation::atomic_update<uint32_t>(
        address, [=](unsigned x) { return x >= limit ? 0u : x + 1; });
}

#endif
