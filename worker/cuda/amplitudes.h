/* Peak-to-peak amplitudes on the device. */
#ifndef WORKER_CUDA_AMPLITUDES_H
#define WORKER_CUDA_AMPLITUDES_H

#include "worker/cuda/session.h"

/* ptp[i] = max - min over n_times of row i of rows [n][pitch], in units of the session's samples,
 * times `unit`, queued on a stream; NaN where a sample is. */
template <typename Sample>
enum rejectd_status amplitudes_of_rows(struct backend_device *device, cudaStream_t stream,
                                       const Sample *rows, size_t n, size_t pitch, size_t n_times,
                                       double unit, double *ptp, struct rejectd_error *error);

#endif
