/*
 * How sensors are predicted from others: what RANSAC asks of the interpolation of a channel type.
 */
#ifndef WORKER_ALGORITHM_MAPPING_MAKER_H
#define WORKER_ALGORITHM_MAPPING_MAKER_H

#include <rejectd/error.h>
#include <stddef.h>

/* An interpolation that is set up for the picks of one dataset. */
struct mapping_maker {
    /*
     * weights [n_to][n_from]: row i predicts sensor to[i] from the sensors from[0..n_from-1], in
     * their order. Both are positions among the picks, without repeats in `from`; a sensor may be
     * in both, and then has a weight for itself.
     */
    enum rejectd_status (*make)(void *context, const size_t *from, size_t n_from, const size_t *to,
                                size_t n_to, double *weights, struct rejectd_error *error);
    void (*free)(void *context); /* NULL is allowed as the context */
    void *context;               /* owned: free() */
};

#endif
