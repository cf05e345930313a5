/*
 * What the operations of the cpu backend allocate, in bytes beside the samples. Each function
 * stands in the file of its operation, below what it counts. Doubles, so that no shape overflows
 * them.
 */
#ifndef WORKER_CPU_NEEDS_H
#define WORKER_CPU_NEEDS_H

#include "worker/cpu/session.h"

/* A session as far as its shape goes, which is all that the functions here look at. No data is
 * behind it, and nothing is to be closed. `picks` is borrowed. */
struct backend_session cpu_needs_session(const struct backend_samples *samples,
                                         enum rejectd_dtype precision, int n_threads);

/* The arena of predictions of `count` picks, and what predict() takes while it runs. */
double cpu_predicted_rows_bytes(const struct backend_session *session, size_t count);
double cpu_predict_bytes(const struct backend_session *session, size_t count);
/* threshold_losses() of channels with n_rows rows. */
double cpu_threshold_losses_bytes(const struct backend_session *session, size_t n_folds,
                                  size_t n_rows);
/* search_candidates() of channels with n_rows rows. */
double cpu_search_candidates_bytes(const struct backend_session *session, size_t n_folds,
                                   size_t n_rows, size_t n_likely);
/* The arena of repaired rows, `rows` of them at most in an epoch, and what the repair takes while
 * it runs, where no set has more than `set` sensors. */
double cpu_repaired_rows_bytes(const struct backend_session *session, double rows);
double cpu_repair_bytes(const struct backend_session *session, size_t n_values, double set,
                        double rows);
/* local_cv_losses() where every pick has at most `changes` repaired rows. */
double cpu_local_cv_bytes(const struct backend_session *session, size_t n_values,
                          size_t n_consensus, size_t n_folds, double changes);
double cpu_ransac_bytes(const struct backend_session *session, size_t n_resample, size_t n_samples);
double cpu_global_bytes(const struct backend_session *session, size_t n_folds, bool wants_train);

#endif
