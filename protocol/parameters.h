/*
 * Pieces of job parameters that several types share, "parameters" being open as an object. Each
 * leaves autoreject's default, or rejectd's where autoreject has none, when its field is absent.
 * Internal to protocol/.
 */
#ifndef PROTOCOL_PARAMETERS_H
#define PROTOCOL_PARAMETERS_H

#include "protocol/channel_index.h"
#include "protocol/json_reader.h"

enum { PARAMETERS_RANDOM_STATE = 42 };

enum rejectd_status parameters_read_method(const struct json_object *root,
                                           enum rejectd_threshold_method *method);
enum rejectd_status parameters_read_random_state(const struct json_object *root,
                                                 uint32_t *random_state);
enum rejectd_status parameters_read_precision(const struct json_object *root,
                                              enum rejectd_dtype *precision);
enum rejectd_status parameters_read_legendre(const struct json_object *root,
                                             enum rejectd_meg_legendre *legendre);

/* "cleaned": whether cleaned epochs are made, by default. *without: that they are not. */
enum rejectd_status parameters_read_cleaned(const struct json_object *root, bool *without);

/*
 * "picks": channel names, which may be marked bad, or channel types, which leave bad ones out.
 * picked [n_channels] tells which channels are picked, by default all data channels not bad. *picks
 * is their indices, free() it; NULL by default.
 */
enum rejectd_status parameters_read_picks(const struct json_object *root,
                                          const struct channel_index *index, bool *picked,
                                          size_t **picks, size_t *n_picks);

#endif
