/* The thresholds of the channels of one type: Jas et al. 2017, section 2.2. */
#ifndef WORKER_ALGORITHM_THRESHOLDS_H
#define WORKER_ALGORITHM_THRESHOLDS_H

#include "worker/algorithm/progress.h"
#include "worker/backend.h"

struct thresholds_request {
    enum rejectd_threshold_method method;
    uint32_t seed;
    int n_threads;          /* for the search, which runs on the host */
    size_t memory_budget;   /* bytes for predictions; 0: no limit */
    size_t first, count;    /* the picks that are searched */
    const uint8_t *is_test; /* the folds of the seed (folds_shuffle_split), if they have been drawn;
                               else NULL */
};

/* How many picks are predicted and searched at a time on the processor. memory_budget as above. */
size_t thresholds_block(const struct backend_samples *samples, int n_threads, size_t memory_budget);

/* Whether the losses of m rows are found as the search asks for them, not all, where a backend can.
 */
bool thresholds_asks(enum rejectd_threshold_method method, size_t n_rows);

/* What thresholds_search() allocates on the processor beside what the backend does: the tables of
 * a block of `count` picks, and what each thread needs. Bytes. */
double thresholds_tables_bytes(size_t count, size_t n_epochs, size_t n_rows);
double thresholds_thread_bytes(enum rejectd_threshold_method method, size_t n_rows);

/*
 * Predicts picks first..first+count-1 from the others, block by block, evaluates the loss of every
 * candidate threshold and searches.
 *   ptp        [E][C] of the epochs themselves
 *   weights    [C][C] of leave-one-out prediction; NULL: the epochs alone, without predictions
 *   thresholds, losses [C] are filled at these picks
 * The result does not depend on how the picks are cut into blocks, nor on which others are
 * searched. Progress goes from 0 to 1 of the step that `progress` is in; the session must have been
 * opened with it.
 */
enum rejectd_status
thresholds_search(const struct backend *backend, struct backend_session *session,
                  const struct backend_samples *samples, const double *ptp, const double *weights,
                  const struct thresholds_request *request, struct progress *progress,
                  double *thresholds, double *losses, struct rejectd_error *error);

#endif
