/*
 * What tests ask of the emulation, beyond CUDA. For use under #ifdef REJECTD_CUDA_EMULATION.
 *
 * Environment, read at the first use of a device and at control_reset():
 *
 *   REJECTD_EMULATED_DEVICES       how many devices there are: 0.., default 1
 *
 *   REJECTD_EMULATED_MEMORY        bytes of memory of each, default 2 GiB
 *
 *   REJECTD_EMULATED_CAPABILITY    compute capability, ten times: default 80; a block may have as
 *                                  much shared memory as there
 *
 *   REJECTD_EMULATED_THREADS       operating system threads that share the blocks of a launch,
 *                                  default 1; always 1 with AddressSanitizer
 *
 *   REJECTD_EMULATED_LAUNCH_LIMIT  launches (of the process) that succeed; the next one is lost,
 *                                  and its device with it: cudaErrorLaunchFailure, sticky.
 *                                  Default: no limit
 *
 *   REJECTD_EMULATED_FULL_AT       the allocation (0: the first) that fails, as if memory were
 *                                  full
 *
 *   REJECTD_EMULATION_ORDER        forward (default), reverse, or shuffled:SEED: in what order
 *                                  blocks run, and threads of a block between two barriers.
 *                                  Kernels that need no particular order, as all should, give the
 *                                  same bits with each
 *
 *   REJECTD_EMULATION_ONLY_LOADED  1: a launch of a kernel whose attributes nobody asked for, which
 *                                  a GPU would load now, fails: cudaErrorInvalidDeviceFunction
 */
#ifndef CUDA_EMULATION_CONTROL_H
#define CUDA_EMULATION_CONTROL_H

#include "cuda_emulation/errors.h"

#include <stdint.h>

namespace cuda_emulation
{

enum class Order { forward, reverse, shuffled };

/* From the next launch on, in place of REJECTD_EMULATION_ORDER. The seed is for `shuffled`. */
void control_order(Order order, uint64_t seed = 0);

/*
 * The n-th launch from now (0: the next) fails with this error, as after an error inside a kernel:
 * every later call of the process that has to do with a device returns it.
 */
void control_fail_launch(uint64_t n, cudaError_t error);

/* The n-th allocation of device or pinned host memory from now (0: the next) fails, once. */
void control_fail_allocation(uint64_t n);

/* Allocations of device and pinned host memory that have not been freed. */
uint64_t control_live_allocations(void);

/* Forgets errors, sticky ones too, and what was asked for above; reads the environment again. */
void control_reset(void);

} // namespace cuda_emulation

#endif
