/*
 * Inner products of the lead fields of MEG coils in a spherically symmetric conductor.
 *
 *   Hamalainen MS, Ilmoniemi RJ (1994). Interpreting magnetic fields of the brain: minimum norm
 *   estimates. Med Biol Eng Comput 32:35-42.
 *
 * The sphere is centred at (0, 0, 0.04) m of the head and sources fill it up to 0.06 m, as
 * autoreject has it.
 */
#ifndef WORKER_MEG_LEAD_FIELD_H
#define WORKER_MEG_LEAD_FIELD_H

#include "worker/meg/coils.h"

/* Coils nearer to the origin than this see the series of the products diverge, or nearly so. */
extern const double lead_field_least_radius; /* m */

/* Distance of a point from the centre of the sphere, m. */
double lead_field_radius(const double point[3]);

/*
 * products [n][n], symmetric: the product of the lead fields of coils i and j (T^2, T^2/m,
 * T^2/m^2 up to the source strength). Every point of every coil is at least
 * lead_field_least_radius from the centre.
 */
enum rejectd_status lead_field_products(const struct coil *coils, size_t n,
                                        enum rejectd_meg_legendre legendre, int n_threads,
                                        double *products, struct rejectd_error *error);

#endif
