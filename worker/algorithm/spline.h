/*
 * Interpolation of EEG by spherical splines, through one precision matrix.
 *
 *   Perrin F, Pernier J, Bertrand O, Echallier JF (1989). Spherical splines for scalp potential
 *   and current density mapping. Electroencephalogr Clin Neurophysiol 72:184-187.
 *
 * The spline through the sensors R, evaluated at the sensors B, solves a bordered system in
 * G_RR. With P the upper-left block of the inverse of the bordered matrix of all sensors, the
 * partitioned inverse gives the same weights for every B: -inverse(P_BB) P_BR. So one matrix
 * serves every set of bad sensors of every epoch.
 *
 * Directions are taken from the origin of the positions, which is that of the head frame as
 * autoreject takes them: no sphere is
 * fitted to the electrodes.
 */
#ifndef WORKER_ALGORITHM_SPLINE_H
#define WORKER_ALGORITHM_SPLINE_H

#include <rejectd/error.h>
#include <stddef.h>

/* What is added to the diagonal of the kernel matrix of the sensors that are interpolated from. */
extern const double spline_regularisation;

/* Perrin et al. 1989, eq. 3, between every two of the sensors: matrix [n][n], symmetric, from
 * positions [n][3] (m, finite, not the origin): order 4, 50 Legendre terms. */
void spline_kernel_matrix(const double (*positions)[3], size_t n, int n_threads, double *matrix);

/*
 * precision [n][n], symmetric, from positions [n][3] (m, finite, not the origin): order 4, 50
 * Legendre terms, 1e-5 on the diagonal. n >= 2.
 */
enum rejectd_status spline_precision(const double (*positions)[3], size_t n, int n_threads,
                                     double *precision, struct rejectd_error *error);

/* Leave-one-out weights [n][n]: row b predicts sensor b from all the others; its own weight is 0.
 */
void spline_leave_one_out(const double *precision, size_t n, double *weights);

#endif
