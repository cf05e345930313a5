/*
 * Signal-space projection restricted to some channels.
 *
 *   Uusitalo MA, Ilmoniemi RJ (1997). Signal-space projection method for separating MEG or EEG into
 *   components. Med Biol Eng Comput 35:135-140.
 */
#ifndef WORKER_MEG_PROJECTION_H
#define WORKER_MEG_PROJECTION_H

#include <rejectd/error.h>
#include <stddef.h>

/*
 * An orthonormal basis of what the projector removes from n channels: the vectors [n_vectors][n]
 * scaled to unit length, those of (nearly) dependent directions left out (singular value at most
 * 0.01 of the largest). basis [n_vectors][n] receives *n_basis vectors; vectors is destroyed.
 * *n_basis is 0 where all vectors are zero. UNSUITABLE_DATASET where no dimension is left.
 */
enum rejectd_status projection_basis(double *vectors, size_t n_vectors, size_t n, double *basis,
                                     size_t *n_basis, struct rejectd_error *error);

/* x <- (I - basis' basis) x for one column x [n]. */
void projection_apply(const double *basis, size_t n_basis, size_t n, double *x);

#endif
