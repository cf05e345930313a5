/* Legal results that a person should look at. */
#ifndef WORKER_ALGORITHM_WARNINGS_H
#define WORKER_ALGORITHM_WARNINGS_H

#include <rejectd/error.h>
#include <rejectd/types.h>

/* Appends one warning to the fit. */
enum rejectd_status warnings_add(struct rejectd_fit *fit, struct rejectd_error *error,
                                 const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Looks the finished log over: nothing left, or more than half of the epochs bad. */
enum rejectd_status warnings_about_log(struct rejectd_fit *fit, struct rejectd_error *error);

/* Channels that never move: ptp [E][C] of the picks. */
enum rejectd_status warnings_about_flat(struct rejectd_fit *fit,
                                        const struct rejectd_channel *channels, const size_t *picks,
                                        size_t n_picks, const double *ptp, size_t n_epochs,
                                        struct rejectd_error *error);

#endif
