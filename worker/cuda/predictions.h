/* Leave-one-out predictions on the device: one product of weights and samples an epoch. */
#ifndef WORKER_CUDA_PREDICTIONS_H
#define WORKER_CUDA_PREDICTIONS_H

#include "worker/cuda/session.h"

/*
 * Weights for products with samples as they are kept. In 16 bits a weight is the sum of two, what
 * is left of the first in the second: 22 bits of it in float16, 16 in bfloat16. One alone would be
 * off by as much as the samples, but in the same direction throughout a dataset.
 *   out [parts][n], the largest part first
 */
template <typename Sample> struct weight_parts {
    static const size_t n = sizeof(Sample) == 2 ? 2 : 1;
};
template <typename Sample> std::vector<Sample> weights_in_parts(const double *weights, size_t n);

/* Predicts picks first..first+count-1 of all epochs, which lie within those of the last predict(),
 * into out [E][count][pitch]. */
template <typename Sample>
enum rejectd_status predictions_make(struct backend_session *session, size_t first, size_t count,
                                     Sample *out, struct rejectd_error *error);

/* Predicts n_times samples, from `time` on, of all picks of all epochs of a whole session, into out
 * [E][C][pitch]. `time` is a multiple of PANEL_TIMES, and n_times too but for the last; weights
 * [parts][C][C] on the device. */
template <typename Sample>
enum rejectd_status predictions_columns(struct backend_session *session, size_t time,
                                        size_t n_times, const Sample *weights, Sample *out,
                                        struct rejectd_error *error);

/* Multiplies zeros of every type that samples may be kept as, in the shape of a large dataset. */
enum rejectd_status predictions_warm_up(struct backend_device *device, struct rejectd_error *error);

/* Makes those of the last predict() that were left for later. */
enum rejectd_status predictions_materialise(struct backend_session *session,
                                            struct rejectd_error *error);

#endif
