/*
 * Field maps of many sets of sensors: backend.map_sets(), by batches of eigen-decompositions.
 */
#ifndef WORKER_CUDA_MAP_SETS_H
#define WORKER_CUDA_MAP_SETS_H

#include "worker/cuda/device.h"

/* What the first batch of a process costs, paid now, where there is the memory for it. */
enum rejectd_status map_sets_warm_up(struct backend_device *device, struct rejectd_error *error);

#endif
