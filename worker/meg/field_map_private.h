/* What the files of field mapping share. */
#ifndef WORKER_MEG_FIELD_MAP_PRIVATE_H
#define WORKER_MEG_FIELD_MAP_PRIVATE_H

#include <stddef.h>

struct field_map {
    size_t n;
    double *products;      /* [n][n] */
    double *inverse_noise; /* [n] */
    size_t n_vectors;
    double *vectors; /* [n_vectors][n] of the projectors */
};

#endif
