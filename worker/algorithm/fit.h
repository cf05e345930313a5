/*
 * autoreject's fit, written against a backend: Jas et al. 2017, algorithm 1.
 *
 * The entry points behind <rejectd/compute.h>, for callers that bring a backend of their own.
 */
#ifndef WORKER_ALGORITHM_FIT_H
#define WORKER_ALGORITHM_FIT_H

#include "worker/algorithm/progress.h"
#include "worker/backend.h"

/* rejectd_fit() on a given backend (options->backend is ignored). */
enum rejectd_status fit_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                            const struct rejectd_fit_parameters *parameters,
                            const struct rejectd_compute_options *options, struct rejectd_fit **fit,
                            struct rejectd_error *error);

/* rejectd_thresholds_check() and rejectd_thresholds(). */
enum rejectd_status thresholds_only_check(const struct rejectd_epochs *epochs,
                                          const struct rejectd_thresholds_parameters *parameters,
                                          struct rejectd_error *error);
enum rejectd_status thresholds_only_run(const struct backend *backend,
                                        const struct rejectd_epochs *epochs,
                                        const struct rejectd_thresholds_parameters *parameters,
                                        const struct rejectd_compute_options *options,
                                        struct rejectd_thresholds **thresholds,
                                        struct rejectd_error *error);

/* Threads that options ask for: at least one. */
int fit_threads(const struct rejectd_compute_options *options);

/* How a backend is to be opened for options. progress is borrowed, as long as the session. */
struct backend_options fit_backend_options(const struct rejectd_compute_options *options,
                                           enum rejectd_dtype precision, struct progress *progress);
/* The precision that those options really mean on the backend. */
enum rejectd_dtype fit_precision(const struct backend *backend,
                                 const struct rejectd_compute_options *options,
                                 enum rejectd_dtype precision);

/* Frees what fit_run() made; NULL is allowed. */
void fit_free(struct rejectd_fit *fit);

#endif
