/*
 * The four sums over Legendre polynomials behind the product of two lead fields in a sphere:
 *
 *   S1 = sum n (n+1) / (2n+1)       beta^(n+1) P_n (c)       S2 = sum n / (2n+1) beta^(n+1) P_n'(c)
 *   S3 = sum n / ((2n+1)(n+1))      beta^(n+1) P_n'(c)
 *   S4 = sum n / ((2n+1)(n+1))      beta^(n+1) P_n''(c)      n = 1 .. 49
 *
 * Evaluated exactly, or with the polynomials looked up in a table as MNE-Python up to 1.12 does it:
 * rounded to float32 at 20001 cosines, the nearest of which is taken.
 */
#ifndef WORKER_MEG_LEGENDRE_H
#define WORKER_MEG_LEGENDRE_H

#include <rejectd/error.h>
#include <rejectd/types.h>

enum { LEGENDRE_DEGREES = 49, LEGENDRE_LANES = 16 };

struct legendre_table;

/* Makes the table, some 12 MB. *table is owned by the caller: legendre_table_free(). */
enum rejectd_status legendre_table_make(struct legendre_table **table, struct rejectd_error *error);
void legendre_table_free(struct legendre_table *table); /* NULL is allowed */

/* sums[k][lane] of LEGENDRE_LANES cosines (within -1..1) and betas (0 <= beta < 1). A table of NULL
 * means exact evaluation. */
void legendre_sums(const struct legendre_table *table, const double cosines[LEGENDRE_LANES],
                   const double betas[LEGENDRE_LANES], double sums[4][LEGENDRE_LANES]);

#endif
