/*
 * The choice of consensus and n_interpolate by cross-validation over the epochs of one channel
 * type (Jas et al. 2017, section 2.3 and algorithm 1).
 */
#ifndef WORKER_ALGORITHM_LOCAL_CV_H
#define WORKER_ALGORITHM_LOCAL_CV_H

#include "worker/algorithm/interpolation.h"
#include "worker/algorithm/progress.h"
#include "worker/algorithm/votes.h"
#include "worker/backend.h"

struct local_cv_grid {
    const double *consensus; /* [n_consensus] in any order */
    size_t n_consensus;
    const int *n_interpolate; /* [n_n_interpolate] in the order autoreject carries repairs over */
    size_t n_n_interpolate;
    size_t n_folds;
};

/* Which cell of the grid won. */
struct local_cv_choice {
    size_t consensus;
    size_t n_interpolate;
    bool finite; /* false: every cell is infinite, and the first was taken */
};

/*
 * Repairs the epochs on the session, evaluates the grid and chooses the first smallest mean over
 * folds, consensus-major.
 *   losses [n_consensus][n_n_interpolate][n_folds] in the order of the grid; infinite where
 *          consensus * C <= n_interpolate, or where no training epoch is kept
 *   start, share        where the two steps, "repair" and "local_cv", lie in the whole call
 */
enum rejectd_status local_cv_run(const struct backend *backend, struct backend_session *session,
                                 const struct votes *votes, struct interpolation *interpolation,
                                 const struct local_cv_grid *grid, struct progress *progress,
                                 double start, double share, double *losses,
                                 struct local_cv_choice *choice, struct rejectd_error *error);

#endif
