/* What must hold before a fit or an apply starts. Field names are those of the wire. */
#ifndef WORKER_ALGORITHM_CHECKS_H
#define WORKER_ALGORITHM_CHECKS_H

#include <rejectd/error.h>
#include <rejectd/types.h>

/* Most cells of consensus x n_interpolate x cv that a fit may ask for. */
enum { CHECKS_MAX_CELLS = 100000 };

/* Those of picks [n_picks] that are of a type, into of_type [n_picks]; returns how many. */
size_t checks_picks_of_type(const struct rejectd_epochs *epochs, const size_t *picks,
                            size_t n_picks, enum rejectd_channel_type type, size_t *of_type);

/* The dataset is not empty, nor larger than anything this library computes with. */
enum rejectd_status checks_shape(const struct rejectd_epochs *epochs, size_t least_epochs,
                                 struct rejectd_error *error);

/* Given picks are channels of the dataset, ascending and without repeats. */
enum rejectd_status checks_picks(const struct rejectd_epochs *epochs, const size_t *picks,
                                 size_t n_picks, struct rejectd_error *error);

/* Given picks, or every data channel not marked bad, as a copy: free() it. */
enum rejectd_status checks_resolve_copy(const struct rejectd_epochs *epochs, const size_t *given,
                                        size_t n_given, size_t **picks, size_t *n_picks,
                                        struct rejectd_error *error);

/* Every pick is of a type that is analysed. */
enum rejectd_status checks_types(const struct rejectd_epochs *epochs, const size_t *picks,
                                 size_t n_picks, struct rejectd_error *error);

/* There may be cv folds of these epochs. */
enum rejectd_status checks_cv(const struct rejectd_epochs *epochs, size_t cv,
                              struct rejectd_error *error);

/* Everything rejectd_fit_check() promises. */
enum rejectd_status checks_fit(const struct rejectd_epochs *epochs,
                               const struct rejectd_fit_parameters *parameters,
                               struct rejectd_error *error);

/* The channel types that are analysed, for messages. */
#define CHECKS_ANALYSED_TYPES "eeg, mag, grad, ecog, seeg, hbo or hbr"

/*
 * The picks can be analysed: their types are analysed ones, and the sensors of every type that is
 * interpolated are at least two, where eeg channels have positions that differ, and mag and grad
 * channels a loc, a known coil type, and a place outside of the sphere of the sources.
 */
enum rejectd_status checks_sensors(const struct rejectd_epochs *epochs, const size_t *picks,
                                   size_t n_picks, struct rejectd_error *error);

/* The same of the channels of a reject log, which may have a single sensor of a type. */
enum rejectd_status checks_sensors_of_log(const struct rejectd_epochs *epochs, const size_t *picks,
                                          size_t n_picks, struct rejectd_error *error);

/* The same of one channel alone, whatever its type: it can be interpolated, and interpolated from.
 */
enum rejectd_status checks_sensor(const struct rejectd_epochs *epochs, size_t channel,
                                  struct rejectd_error *error);

/* Whether channels of the type are picked unless picks say otherwise. */
bool checks_is_analysed(enum rejectd_channel_type type);

/* Name of a channel type on the wire. Static storage. */
const char *checks_type_name(enum rejectd_channel_type type);

#endif
