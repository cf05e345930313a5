/* The steps of a fit on one backend, compared with a case of reference data. */
#ifndef TESTS_PARITY_GOLDEN_STEPS_H
#define TESTS_PARITY_GOLDEN_STEPS_H

#include "golden_backends.h"
#include "golden_case.h"

/* Runs the steps and reports how far each result is from the case's. */
void golden_compare_steps(const struct golden_case *golden, const struct golden_backend *backend);

/* How many Bayesian thresholds were compared so far, and how many of them equal autoreject's. */
void golden_count_bayesian(size_t *equal, size_t *total);

#endif
