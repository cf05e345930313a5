/* The search for a threshold among the candidates of each pick (algorithm/threshold_search.h), on
 * the device. */
#ifndef WORKER_CUDA_SEARCH_H
#define WORKER_CUDA_SEARCH_H

#include "worker/cuda/ranks.h"

/* Bytes of scratch that a pick with n_rows candidates needs. */
size_t search_pick_bytes(const struct backend_search *search, size_t n_rows);

/* What was chosen for each pick: thresholds and losses [count] on the host. */
enum rejectd_status search_picks(struct backend_session *session, const struct ranks *ranks,
                                 size_t count, const double *losses,
                                 const struct backend_search *search, double *thresholds,
                                 double *chosen_losses, struct rejectd_error *error);

#endif
