/* Leave-one-out predictions on the device: one product of weights and samples an epoch. */
#ifndef WORKER_CUDA_PREDICTIONS_H
#define WORKER_CUDA_PREDICTIONS_H

#include "worker/cuda/session.h"

/* Predicts picks first..first+count-1 of all epochs, which lie within those of the last predict(),
 * into out [E][count][pitch]. */
template <typename Work>
enum rejectd_status predictions_make(struct backend_session *session, size_t first, size_t count,
                                     Work *out, struct rejectd_error *error);

/* Predicts all picks of a chunk of n <= PANEL_EPOCHS epochs; weights [C][C] on the device. */
template <typename Work>
enum rejectd_status predictions_chunk(struct backend_session *session, const Work *x, size_t n,
                                      const Work *weights, Work *out, struct rejectd_error *error);

/* Makes those of the last predict() that were left for later. */
enum rejectd_status predictions_materialise(struct backend_session *session,
                                            struct rejectd_error *error);

#endif
