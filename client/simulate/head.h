/* Where electrodes and sources are, and how strongly each electrode sees each source. */
#ifndef CLIENT_SIMULATE_HEAD_H
#define CLIENT_SIMULATE_HEAD_H

#include <rejectd/types.h>

#include "client/simulate/random.h"

/* Names and places n electrodes: those of the 10-10 system first, as far as they go, then further
 * ones spread between them ("E75", ...). */
void head_place_electrodes(struct rejectd_channel *channels, size_t n);

/* field [n_channels] of a source at a random place and orientation inside the head, largest 1. */
void head_random_field(struct random *random, const struct rejectd_channel *channels, size_t n,
                       double *field);

/* field [n_channels] that falls off with distance from a place on the head (direction x, y, z). */
void head_patch_field(const struct rejectd_channel *channels, size_t n, const double direction[3],
                      double width, double *field);

#endif
