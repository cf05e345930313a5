/* What must hold before a fit or an apply starts. Field names are those of the wire. */
#ifndef WORKER_ALGORITHM_CHECKS_H
#define WORKER_ALGORITHM_CHECKS_H

#include <rejectd/error.h>
#include <rejectd/types.h>

/* Most cells of consensus x n_interpolate x cv that a fit may ask for. */
enum { CHECKS_MAX_CELLS = 100000 };

/*
 * The picks of a fit: parameters->picks, or every data channel not marked bad. picks [n_channels]
 * is filled with ascending channel indices, *n_picks of them.
 */
void checks_resolve_picks(const struct rejectd_epochs *epochs,
                          const struct rejectd_fit_parameters *parameters, size_t *picks,
                          size_t *n_picks);

/* The dataset is not empty, nor larger than anything this library computes with. */
enum rejectd_status checks_shape(const struct rejectd_epochs *epochs, size_t least_epochs,
                                 struct rejectd_error *error);

/* Given picks are ascending and exist. */
enum rejectd_status checks_picks(const struct rejectd_epochs *epochs,
                                 const struct rejectd_fit_parameters *parameters,
                                 struct rejectd_error *error);

/* There may be cv folds of these epochs. */
enum rejectd_status checks_cv(const struct rejectd_epochs *epochs, size_t cv,
                              struct rejectd_error *error);

/* Everything rejectd_fit_check() promises. */
enum rejectd_status checks_fit(const struct rejectd_epochs *epochs,
                               const struct rejectd_fit_parameters *parameters,
                               struct rejectd_error *error);

/* The picks can be interpolated: a type this version knows, and positions that differ. */
enum rejectd_status checks_interpolation(const struct rejectd_epochs *epochs, const size_t *picks,
                                         size_t n_picks, struct rejectd_error *error);

/* Name of a channel type on the wire. Static storage. */
const char *checks_type_name(enum rejectd_channel_type type);

#endif
