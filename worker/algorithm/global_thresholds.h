/*
 * One peak-to-peak threshold for all channels of a type: Jas et al. 2017, section 2.1.
 *
 * The amplitude of an epoch is the largest peak-to-peak value of its channels, and a candidate
 * threshold is the amplitude of some epoch.
 */
#ifndef WORKER_ALGORITHM_GLOBAL_THRESHOLDS_H
#define WORKER_ALGORITHM_GLOBAL_THRESHOLDS_H

#include "worker/backend.h"

enum { GLOBAL_THRESHOLDS_FOLDS = 5 }; /* unless asked otherwise */

/* rejectd_global_thresholds_check(). */
enum rejectd_status
global_thresholds_check(const struct rejectd_epochs *epochs,
                        const struct rejectd_global_thresholds_parameters *parameters,
                        struct rejectd_error *error);

/* rejectd_global_thresholds() on a given backend (options->backend is ignored). */
enum rejectd_status
global_thresholds_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                      const struct rejectd_global_thresholds_parameters *parameters,
                      const struct rejectd_compute_options *options,
                      struct rejectd_global_thresholds **thresholds, struct rejectd_error *error);

/* Frees what global_thresholds_run() made; NULL is allowed. */
void global_thresholds_free(struct rejectd_global_thresholds *thresholds);

/* Amplitudes of epochs from ptp [E][C]: order [E] ascending (equal ones by number), and amplitudes
 * [E] in that order. */
enum rejectd_status global_rank_epochs(const double *ptp, size_t n_epochs, size_t n_picks,
                                       uint32_t *order, double *amplitudes,
                                       struct rejectd_error *error);

/* How many of the ascending amplitudes are at most `threshold`. */
uint32_t global_count_kept(const double *amplitudes, size_t n_epochs, double threshold);

#endif
