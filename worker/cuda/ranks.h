/* The rows of each pick in ascending order of their amplitudes. */
#ifndef WORKER_CUDA_RANKS_H
#define WORKER_CUDA_RANKS_H

#include "worker/cuda/session.h"

/* Ranks of `count` picks with n_rows rows each. */
struct ranks {
    size_t n_rows;
    size_t capacity;              /* n_rows rounded up to a power of two: the stride of a pick */
    device_array<double> ptp;     /* [count][capacity] ascending; infinity beyond the rows */
    device_array<uint32_t> order; /* [count][capacity] row numbers */
};

/* Bytes of a pick's ranks. */
size_t ranks_pick_bytes(size_t n_rows);

/*
 * Ranks rows by (amplitude, row number); an amplitude of NaN counts as infinity.
 *   ptp       [E][n_picks] on the device: of all epochs; picks first.. are taken
 *   predicted [E][count] on the device, or null: there are no predictions
 */
enum rejectd_status ranks_make(struct backend_session *session, const double *ptp,
                               const double *predicted, size_t first, size_t count,
                               struct ranks *ranks, struct rejectd_error *error);

/* Takes ranks that the host made: order and ptp [count][n_rows]. */
enum rejectd_status ranks_take(struct backend_session *session, const uint32_t *order,
                               const double *ptp, size_t count, size_t n_rows, struct ranks *ranks,
                               struct rejectd_error *error);

#endif
