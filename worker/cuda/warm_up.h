/* What the first job of a process would pay for is paid when its device is opened. */
#ifndef WORKER_CUDA_WARM_UP_H
#define WORKER_CUDA_WARM_UP_H

#include "worker/cuda/device.h"

/*
 * Loads the module's kernels and those that cuBLAS and cuSOLVER choose for usual shapes, takes
 * memory for the pool, starts the host's threads. DEVICE_MEMORY for a budget of which nothing could
 * come; one that is too small for a part of the warm-up only leaves that out.
 */
enum rejectd_status device_warm_up(struct backend_device *device, struct rejectd_error *error);

#endif
