/* numpy.mean of a short contiguous row of float64: the same additions in the same order, so that
 * what is equal there is equal here. */
#ifndef WORKER_ALGORITHM_NUMPY_MEAN_H
#define WORKER_ALGORITHM_NUMPY_MEAN_H

#include <stddef.h>

double numpy_mean(const double *values, size_t n);

#endif
