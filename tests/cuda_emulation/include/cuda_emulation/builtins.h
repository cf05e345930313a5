/*
 * What a thread of a kernel knows and does: its coordinates, barriers, warp operations.
 * Part of cuda_runtime.h.
 *
 * The threads of a block are fibres of one operating system thread. Each runs until it waits or
 * returns; so nothing may spin on what another thread of the block writes.
 *
 * Warp operations wait until all lanes that the mask names have arrived at one of the same kind
 * with the same mask; lanes that have returned, or that a short last warp does not have, count as
 * arrived. Misuse ends the program with a message: a mask without the calling lane, a shuffle from
 * a lane that is not there, lanes in different operations, a block whose threads all wait.
 */
#ifndef CUDA_EMULATION_BUILTINS_H
#define CUDA_EMULATION_BUILTINS_H

#include "cuda_emulation/errors.h"
#include "cuda_emulation/types.h"

#include <string.h>

/* The emulation's own few bytes fit into what is left for modules loaded at run time, and are found
 * without a call then. A kernel's shared memory would not. */
#define CUDA_EMULATION_TLS __thread __attribute__((tls_model("initial-exec")))
extern CUDA_EMULATION_TLS uint3 threadIdx;
extern CUDA_EMULATION_TLS uint3 blockIdx;

namespace cuda_emulation
{
struct Dimensions {
    unsigned x, y, z;
    operator dim3() const
    {
        return dim3(x, y, z);
    }
};
} // namespace cuda_emulation
extern CUDA_EMULATION_TLS cuda_emulation::Dimensions blockDim;
extern CUDA_EMULATION_TLS cuda_emulation::Dimensions gridDim;

constexpr int warpSize = 32;

namespace cuda_emulation
{

extern CUDA_EMULATION_TLS int lane_index; /* of the thread that runs, in its warp */

/* Where in the source a thread waits: for messages, and to tell barriers apart. */
struct Place {
    const char *file;
    int line;
};

enum class BarrierKind { plain, any, all, count };
enum class WarpKind { sync, shuffle, ballot, any, all, match };

int barrier(BarrierKind kind, bool predicate, Place place);
/* `source`: for a shuffle, the lane to read. Returns what the operation gives this lane. */
uint64_t warp_operation(WarpKind kind, unsigned mask, uint64_t value, int source, Place place);
void *dynamic_shared(void);
[[noreturn]] void trap(cudaError_t error);

template <typename T> T shuffle(unsigned mask, T value, int source, Place place)
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves up to 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = warp_operation(WarpKind::shuffle, mask, bits, source, place);
    memcpy(&value, &bits, sizeof value);
    return value;
}

} // namespace cuda_emulation

#define CUDA_EMULATION_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define CUDA_EMULATION_HERE                                                                        \
    cuda_emulation::Place                                                                          \
    {                                                                                              \
        file, line                                                                                 \
    }

inline void __syncthreads(CUDA_EMULATION_PLACE)
{
    cuda_emulation::barrier(cuda_emulation::BarrierKind::plain, true, CUDA_EMULATION_HERE);
}

inline int __syncthreads_or(int predicate, CUDA_EMULATION_PLACE)
{
    return cuda_emulation::barrier(cuda_emulation::BarrierKind::any, predicate != 0,
                                   CUDA_EMULATION_HERE);
}

inline int __syncthreads_and(int predicate, CUDA_EMULATION_PLACE)
{
    return cuda_emulation::barrier(cuda_emulation::BarrierKind::all, predicate != 0,
                                   CUDA_EMULATION_HERE);
}

inline int __syncthreads_count(int predicate, CUDA_EMULATION_PLACE)
{
    return cuda_emulation::barrier(cuda_emulation::BarrierKind::count, predicate != 0,
                                   CUDA_EMULATION_HERE);
}

inline void __syncwarp(unsigned mask = 0xffffffffu, CUDA_EMULATION_PLACE)
{
    cuda_emulation::warp_operation(cuda_emulation::WarpKind::sync, mask, 0, 0, CUDA_EMULATION_HERE);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, CUDA_EMULATION_PLACE)
{
    return unsigned(cuda_emulation::warp_operation(cuda_emulation::WarpKind::ballot, mask,
                                                   predicate != 0, 0, CUDA_EMULATION_HERE));
}

inline int __any_sync(unsigned mask, int predicate, CUDA_EMULATION_PLACE)
{
    return int(cuda_emulation::warp_operation(cuda_emulation::WarpKind::any, mask, predicate != 0,
                                              0, CUDA_EMULATION_HERE));
}

inline int __all_sync(unsigned mask, int predicate, CUDA_EMULATION_PLACE)
{
    return int(cuda_emulation::warp_operation(cuda_emulation::WarpKind::all, mask, predicate != 0,
                                              0, CUDA_EMULATION_HERE));
}

template <typename T> inline unsigned __match_any_sync(unsigned mask, T value, CUDA_EMULATION_PLACE)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return unsigned(cuda_emulation::warp_operation(cuda_emulation::WarpKind::match, mask, bits, 0,
                                                   CUDA_EMULATION_HERE));
}

/*
 * CUDA promises nothing but that the calling lane is in it; so does this: it is alone in it.
 */
inline unsigned __activemask(void)
{
    return 1u << cuda_emulation::lane_index;
}

template <typename T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, CUDA_EMULATION_PLACE)
{
    const int first = cuda_emulation::lane_index & ~(width - 1);
    return cuda_emulation::shuffle(mask, value, first + (source & (width - 1)),
                                   CUDA_EMULATION_HERE);
}

template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                        CUDA_EMULATION_PLACE)
{
    const int lane = cuda_emulation::lane_index;
    const int first = lane & ~(width - 1);
    const int source = lane - int(delta);
    return cuda_emulation::shuffle(mask, value, source < first ? lane : source,
                                   CUDA_EMULATION_HERE);
}

template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                          CUDA_EMULATION_PLACE)
{
    const int lane = cuda_emulation::lane_index;
    const int last = lane | (width - 1);
    const int source = lane + int(delta);
    return cuda_emulation::shuffle(mask, value, source > last ? lane : source, CUDA_EMULATION_HERE);
}

template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = warpSize,
                         CUDA_EMULATION_PLACE)
{
    const int lane = cuda_emulation::lane_index;
    const int last = lane | (width - 1);
    const int source = lane ^ lane_mask;
    return cuda_emulation::shuffle(mask, value, source > last ? lane : source, CUDA_EMULATION_HERE);
}

/* One operating system thread runs a block, and blocks that run at once order their atomics. */
inline void __threadfence_block(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

inline void __threadfence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

inline void __threadfence_system(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Ends the launch: cudaErrorLaunchFailure, sticky. */
[[noreturn]] inline void __trap(void)
{
    cuda_emulation::trap(cudaErrorLaunchFailure);
}

#endif
