/*
 * How far the mean of the first rows of each pick, in a given order, is from the medians of the
 * folds: for every number of rows at once, by running sums.
 */
#ifndef WORKER_CUDA_PREFIX_SQUARES_H
#define WORKER_CUDA_PREFIX_SQUARES_H

#include "worker/cuda/session.h"

enum { PREFIX_FOLDS = 10 }; /* folds of one call */

struct prefix_request {
    const uint32_t *order; /* device: [count][order_stride] rows in order */
    size_t order_stride;   /* 0: all picks have the same */
    size_t n_rows;
    const uint16_t *is_test; /* device: [rows] bit f: a test row of fold f, which is left out */
    const void *medians;     /* device: the first fold's, of the work type */
    size_t medians_stride;   /* from pick to pick, in samples; folds follow at pitch */
    size_t n_folds;          /* of this call */
};

/* Sums of squares of one pick are in this many parts. */
size_t prefix_squares_parts(size_t pitch);

/*
 * squares [count][parts][n_rows][PREFIX_FOLDS] on the device: of the rows up to rank i (those that
 * are no test rows of fold f), the sum over a part of the samples of
 * (the sum over rows of (median of fold f - row))^2; divided by the square of the number of rows
 * it is that of (median - mean)^2.
 */
template <typename Sample>
enum rejectd_status
prefix_squares(struct backend_device *device, const struct row_view<Sample> &view, size_t count,
               const struct prefix_request *request, double *squares, struct rejectd_error *error);

#endif
