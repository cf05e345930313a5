/* Cross-validation folds, drawn exactly as scikit-learn draws them. */
#ifndef WORKER_ALGORITHM_FOLDS_H
#define WORKER_ALGORITHM_FOLDS_H

#include <rejectd/error.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/backend.h"

enum { FOLDS_SHUFFLE_SPLITS = 10 };

/*
 * StratifiedShuffleSplit(n_splits=10, test_size=0.2, random_state=seed) over n_classes (1 or 2)
 * classes of n_epochs rows each: the epochs, and their leave-one-out predictions. is_test is
 * [10][n_classes * n_epochs], owned by the caller: free() it.
 */
enum rejectd_status folds_shuffle_split(size_t n_epochs, size_t n_classes, uint32_t seed,
                                        uint8_t **is_test, struct rejectd_error *error);

/* KFold(n_folds) without shuffling: fold[e] is the fold that tests epoch e. The first
 * n_epochs % n_folds folds are one longer. */
void folds_contiguous(size_t n_epochs, size_t n_folds, uint16_t *fold);

#endif
