/*
 * MEG sensors predicted from other MEG sensors by minimum-norm field mapping.
 *
 *   Hamalainen MS, Ilmoniemi RJ (1994). Interpreting magnetic fields of the brain: minimum norm
 *   estimates. Med Biol Eng Comput 32:35-42.
 *
 * With S the products of the lead fields, W the inverse noise levels (20 fT, 5 fT/cm) and P the
 * signal-space projection restricted to the sensors R, sensors B are predicted from R with the
 * weights
 *     S_BR P (W K+ W),   K = W P S_RR P W,
 * K+ being the pseudo-inverse over the eigenvalues of largest magnitude that add up to 1 - 1e-4 of
 * all magnitudes. K need not be positive definite: the table of MNE-Python up to 1.12 leaves many
 * negative eigenvalues, and they are inverted with their sign.
 */
#ifndef WORKER_MEG_FIELD_MAP_H
#define WORKER_MEG_FIELD_MAP_H

#include <rejectd/error.h>
#include <rejectd/types.h>

struct backend;
struct backend_session;
struct field_map;

/* The map among the channels picks [n] (mag and grad, their coils checked: checks.h) of a dataset.
 * *map is owned by the caller: field_map_close(). Not changed after that: threads may share it. */
enum rejectd_status field_map_open(const struct rejectd_epochs *epochs, const size_t *picks,
                                   size_t n, enum rejectd_meg_legendre legendre, int n_threads,
                                   struct field_map **map, struct rejectd_error *error);
void field_map_close(struct field_map *map); /* NULL is allowed */

/* The products of the lead fields, [n][n]; as long as the map. */
const double *field_map_products(const struct field_map *map);
/* How many vectors its projectors have. */
size_t field_map_vectors(const struct field_map *map);

/* weights [n][n]: row b predicts sensor b from all the others; its own weight is 0. n >= 2. */
enum rejectd_status field_map_leave_one_out(const struct field_map *map, int n_threads,
                                            double *weights, struct rejectd_error *error);

/* Call with BLAS pinned (blas_threads.h), from several threads if you like.
 * weights [n_to][n_from]: predicts sensors `to` from `from` (positions in picks, n_from >= 1). */
enum rejectd_status field_map_between(const struct field_map *map, const size_t *from,
                                      size_t n_from, const size_t *to, size_t n_to, double *weights,
                                      struct rejectd_error *error);

/*
 * The same for many sets of sensors at a time, each predicted from all the others, by a backend
 * that has map_sets(), on a session whose picks are those of the map. Set s leaves out
 * left_out[offsets[s] .. offsets[s + 1] - 1], ascending; offsets[0] is 0. Call with BLAS pinned.
 *   rows   [offsets[n_sets]][n], 0 at the sensors of the set
 *   solved [n_sets] 0 where the set is left to field_map_between(): backend.h says when. Such a
 *          set's rows are undefined.
 */
enum rejectd_status field_map_sets(const struct field_map *map, const struct backend *backend,
                                   struct backend_session *session, const size_t *offsets,
                                   const uint16_t *left_out, size_t n_sets, int n_threads,
                                   double *rows, uint8_t *solved, struct rejectd_error *error);

/* How many sets to ask field_map_sets() for at a time, for what it keeps of each on the host. */
size_t field_map_slice(const struct field_map *map);

#endif
