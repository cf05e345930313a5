/* The search for thresholds, as others have to know it. */
#ifndef WORKER_CUDA_THRESHOLDS_H
#define WORKER_CUDA_THRESHOLDS_H

#include "worker/cuda/session.h"

/* Whether there is room to search the thresholds of all picks at once, with predictions of all of
 * them; they may then be made before it is known what the search wants of them. */
bool thresholds_fit_at_once(struct backend_session *session);

/* Whether thresholds were searched before with the predictions of the last predict(). */
bool thresholds_known(const struct backend_session *session);

#endif
