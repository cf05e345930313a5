/* The unit in which float16 keeps samples. */
#ifndef WORKER_CUDA_UNITS_H
#define WORKER_CUDA_UNITS_H

#include "worker/backend.h"

/*
 * A power of two: the largest sample of the picks is 128 to 256 of it. float16 ends at 65504, which
 * leaves room for predictions and repaired rows of 256 times the largest sample, and keeps its 11
 * bits down to 2^-14, 2^-21 of the largest sample; below, samples are rounded to 2^-32 of it.
 * Reads all samples, with up to n_threads threads.
 */
double unit_for_float16(const struct backend_samples *samples, int n_threads);

#endif
