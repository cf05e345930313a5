/*
 * The scores of given global thresholds in cross-validation: autoreject.validation_curve, with
 * scikit-learn's KFold.
 */
#ifndef WORKER_ALGORITHM_VALIDATION_CURVE_H
#define WORKER_ALGORITHM_VALIDATION_CURVE_H

#include "worker/backend.h"

/* rejectd_validation_curve_check(). */
enum rejectd_status
validation_curve_check(const struct rejectd_epochs *epochs,
                       const struct rejectd_validation_curve_parameters *parameters,
                       struct rejectd_error *error);

/* rejectd_validation_curve() on a given backend (options->backend is ignored). */
enum rejectd_status
validation_curve_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                     const struct rejectd_validation_curve_parameters *parameters,
                     const struct rejectd_compute_options *options,
                     struct rejectd_validation_curve **curve, struct rejectd_error *error);

/* Frees what validation_curve_run() made; NULL is allowed. */
void validation_curve_free(struct rejectd_validation_curve *curve);

#endif
