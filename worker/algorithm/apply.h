/* A fitted model on other epochs, and the repaired epochs of a reject log. */
#ifndef WORKER_ALGORITHM_APPLY_H
#define WORKER_ALGORITHM_APPLY_H

#include "worker/backend.h"

/* rejectd_apply_check(), rejectd_apply() and rejectd_clean() on a given backend; */
enum rejectd_status apply_check(const struct rejectd_epochs *epochs,
                                const struct rejectd_model *model, struct rejectd_error *error);
enum rejectd_status apply_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                              const struct rejectd_model *model,
                              const struct rejectd_compute_options *options,
                              struct rejectd_reject_log *log, struct rejectd_error *error);
/* rejectd_log_check() and rejectd_clean_check(). */
enum rejectd_status apply_check_log(const struct rejectd_epochs *epochs,
                                    const struct rejectd_model *model,
                                    const struct rejectd_reject_log *log,
                                    struct rejectd_error *error);
enum rejectd_status clean_check(const struct rejectd_epochs *epochs,
                                const struct rejectd_reject_log *log,
                                const struct rejectd_clean_parameters *parameters,
                                struct rejectd_error *error);
enum rejectd_status clean_run(const struct backend *backend, const struct rejectd_epochs *epochs,
                              const struct rejectd_reject_log *log,
                              const struct rejectd_clean_parameters *parameters,
                              const struct rejectd_compute_options *options,
                              const struct rejectd_sink *sink, struct rejectd_error *error);

#endif
