/*
 * Interpolation of EEG by spherical splines from any subset of the sensors to any other: for
 * RANSAC, which predicts the sensors of the subset as well. Repairs, which never do, go by one
 * precision matrix instead (spline.h).
 */
#ifndef WORKER_ALGORITHM_SPLINE_MAPPING_H
#define WORKER_ALGORITHM_SPLINE_MAPPING_H

#include "worker/algorithm/mapping_maker.h"

/*
 * Splines through sensors at positions [n][3] (m, finite, not the origin, all different). *maker is
 * owned by the caller: maker->free(maker->context), also after an error.
 */
enum rejectd_status spline_mapping_maker(const double (*positions)[3], size_t n,
                                         struct mapping_maker *maker, struct rejectd_error *error);

#endif
