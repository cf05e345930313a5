/* Channel names in a .npz. Internal to protocol/. */
#ifndef PROTOCOL_NPZ_NAMES_H
#define PROTOCOL_NPZ_NAMES_H

#include <rejectd/types.h>

#include "protocol/npz_array.h"

/* The most that an array of names may take: text is as wide as its longest. */
enum { NPZ_MAX_NAMES_BYTES = REJECTD_MAX_CHANNELS * 4 * 256 + NPY_MAX_HEADER };

/* The texts of a checked array as channel names [count]: valid and unique, else an error at
 * "<member>[i]". */
enum rejectd_status npz_names(const struct npz_array *array, char (*names)[REJECTD_NAME_SIZE],
                              struct rejectd_error *error);

#endif
