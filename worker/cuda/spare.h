/*
 * Tables of a resident that are kept as long as nobody needs their memory: the predictions of all
 * picks, and the loss of every candidate. They are dropped before any resident is, also while a
 * session uses the resident: what is in use of them has been taken out.
 */
#ifndef WORKER_CUDA_SPARE_H
#define WORKER_CUDA_SPARE_H

#include "worker/cuda/ranks.h"

/* The predictions of a session that needs them no more become its resident's, if they are of all
 * picks and all epochs; else they are freed. */
void spare_keep_predictions(struct backend_session *session);
/* The other way, if the resident has those of the session's weights. */
bool spare_take_predictions(struct backend_session *session);

/* The amplitudes of all picks' rows in ascending order, and the losses [C][n_rows] of the search
 * with these splits. */
void spare_keep_losses(struct backend_session *session, const struct backend_splits *splits,
                       struct ranks *ranks, device_array<double> *losses);
/* False when the resident has none of the session's weights and these splits. */
bool spare_take_losses(struct backend_session *session, const struct backend_splits *splits,
                       struct ranks *ranks, device_array<double> *losses);

#endif
