/*
 * The search for the peak-to-peak threshold of one channel among its candidates.
 *
 * Candidates are the peak-to-peak values of the channel's M rows (epochs and their leave-one-out
 * predictions) in ascending order; losses[i] is the cross-validation loss of candidate i.
 */
#ifndef WORKER_ALGORITHM_THRESHOLD_SEARCH_H
#define WORKER_ALGORITHM_THRESHOLD_SEARCH_H

#include <rejectd/types.h>

#include "worker/algorithm/gaussian_process.h"
#include "worker/backend.h"

enum {
    THRESHOLD_SEARCH_DRAWS = 20,
    THRESHOLD_SEARCH_STARTS = 41, /* of the Bayesian optimisation, at most */
};

struct threshold {
    double value; /* peak-to-peak */
    double loss;
};

/* The candidate of smallest loss, the first on ties. */
struct threshold threshold_search_exact(const double *candidates, const double *losses, size_t m);

/* autoreject's Bayesian optimisation: 41 start candidates spread over the ranks, then ten steps of
 * a Gaussian process (Jas et al. 2017, section 2.2). The process is scratch for >= m candidates. */
struct threshold threshold_search_bayesian(const double *candidates, const double *losses, size_t m,
                                           struct gaussian_process *process);

/* The same, asking for the losses that it needs: those of its start candidates, whose ranks
 * threshold_search_starts() gives (it returns how many), and of ten others. */
struct threshold threshold_search_asking(const double *candidates,
                                         const struct backend_losses *losses, size_t m,
                                         struct gaussian_process *process);
size_t threshold_search_starts(size_t m, size_t ranks[THRESHOLD_SEARCH_STARTS]);

/* The same with six start candidates, for a threshold that all channels share: losses may be
 * infinite, and those are no points of the process. At least one is to be finite, else the loss
 * found is infinite. */
struct threshold threshold_search_global(const double *candidates, const double *losses, size_t m,
                                         struct gaussian_process *process);

/* The uniform draws in [0, 1) of a random search with that seed. */
void threshold_search_draw(uint32_t seed, double draws[THRESHOLD_SEARCH_DRAWS]);

/* autoreject's random search: the best of 20 values drawn uniformly from [least, least + most]. */
struct threshold threshold_search_random(const double *candidates, const double *losses, size_t m,
                                         uint32_t seed);

#endif
