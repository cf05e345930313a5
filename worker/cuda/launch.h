/*
 * How a kernel is launched, and how it declares shared memory that the launch sizes. Kernels are
 * written to these two macros and otherwise to CUDA C++, so that the same source also compiles for
 * the CPU (tests/cuda_emulation), where every kernel is tested without a GPU.
 *
 *   CUDA_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...)
 *     kernel          a __global__ function; an instance of a template in parentheses:
 *                     CUDA_LAUNCH((peak_to_peak<float>), dim3(8, 4), 256, 0, stream, x, y)
 *     grid, block     dim3 or a number
 *     shared_bytes    of dynamic shared memory, for each block
 *     Errors of the launch come from cudaGetLastError(). No argument may hold a comma outside of
 *     parentheses.
 *
 *   CUDA_DYNAMIC_SHARED(type, name);
 *     at the top of a kernel, or of a __device__ function: `type *name`, that memory, 16-byte
 *     aligned. All declarations name the same bytes.
 *
 * What kernels must keep to:
 *   - All threads of a block that have not returned wait at the same __syncthreads().
 *   - The mask of a warp operation has all lanes that call it, and no other that has not returned;
 *     a shuffle reads a lane of the mask.
 *   - No thread spins on what another writes; no more of the GPU at once than one block is needed.
 *   - No inline PTX, tensor core intrinsics, cooperative groups, <<<>>>, or __CUDA_ARCH__ for
 *     anything but speed.
 *   - Sums whose order or rounding matters use __dadd_rn, __fma_rn and their like: nvcc contracts
 *     a * b + c, the CPU build never does. exp, erfc and their like differ in the last bits.
 */
#ifndef WORKER_CUDA_LAUNCH_H
#define WORKER_CUDA_LAUNCH_H

#include <cuda_runtime.h>

#include "worker/cuda/kernels.h"

#ifdef REJECTD_CUDA_EMULATION

#define CUDA_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                \
    known_kernel<kernel>::mention(), ::cuda_emulation::launcher(#kernel, kernel, grid, block,      \
                                                                shared_bytes, stream)(__VA_ARGS__)

#define CUDA_DYNAMIC_SHARED(type, name)                                                            \
    type *name = static_cast<type *>(::cuda_emulation::dynamic_shared())

#else

#define CUDA_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                \
    known_kernel<kernel>::mention(), kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)

#define CUDA_DYNAMIC_SHARED(type, name)                                                            \
    extern __shared__ __align__(16) unsigned char cuda_dynamic_shared_bytes[];                     \
    type *name = reinterpret_cast<type *>(cuda_dynamic_shared_bytes)

#endif

#endif
