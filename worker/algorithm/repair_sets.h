/*
 * The weights of every distinct set of sensors that is to be repaired.
 *
 * A field map has no matrix that serves all sets, as splines have: each set of bad sensors costs an
 * eigenproblem. Epochs share sets, so each is solved once.
 */
#ifndef WORKER_ALGORITHM_REPAIR_SETS_H
#define WORKER_ALGORITHM_REPAIR_SETS_H

#include "worker/algorithm/interpolation.h"

struct repair_sets {
    struct backend_weights weights; /* its arrays are owned */
    size_t n_sets;                  /* distinct ones */
};

/* Finds the distinct sets of the repairs and solves them, several at once: by the backend where it
 * has map_sets() and there are enough of them, else on the host. All-zero on failure;
 * repair_sets_free(). The interpolation is a field map, the session's picks are its own. */
enum rejectd_status repair_sets_make(const struct interpolation *interpolation,
                                     const struct backend *backend, struct backend_session *session,
                                     const struct backend_repairs *repairs,
                                     struct progress *progress, struct repair_sets *sets,
                                     struct rejectd_error *error);
void repair_sets_free(struct repair_sets *sets);

#endif
