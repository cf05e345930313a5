/*
 * RANSAC: channels that the others do not predict.
 *
 *   Bigdely-Shamlo N, Mullen T, Kothe C, Su KM, Robbins KA (2015). The PREP pipeline: standardized
 *   preprocessing for large-scale EEG analysis. Front Neuroinform 9:16.
 *
 * As autoreject has it: subsets from NumPy's legacy generator, epochs as windows, correlations
 * without taking means off.
 */
#ifndef WORKER_ALGORITHM_RANSAC_H
#define WORKER_ALGORITHM_RANSAC_H

#include "worker/backend.h"

/* rejectd_ransac_check(). */
enum rejectd_status ransac_check(const struct rejectd_epochs *epochs,
                                 const struct rejectd_ransac_parameters *parameters,
                                 struct rejectd_error *error);

/* rejectd_ransac() on a given backend (options->backend is ignored). */
enum rejectd_status ransac_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                               const struct rejectd_ransac_parameters *parameters,
                               const struct rejectd_compute_options *options,
                               struct rejectd_ransac **ransac, struct rejectd_error *error);

/* Frees what ransac_run() made; NULL is allowed. */
void ransac_free(struct rejectd_ransac *ransac);

#endif
