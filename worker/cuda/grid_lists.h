/* What the kernels of the local cross-validation's grid are told: lists of cells and changes, made
 * on the host. */
#ifndef WORKER_CUDA_GRID_LISTS_H
#define WORKER_CUDA_GRID_LISTS_H

#include "worker/cuda/session.h"

enum : uint32_t { NO_ROW = 0xffffffffu };

/* A row that a value repairs otherwise than the value before. */
struct change {
    uint32_t cell;
    uint32_t epoch;
    uint32_t row; /* the repaired row now */
    uint32_t old; /* and before; NO_ROW: the epoch's own */
};

/* What is the same for every pick. */
struct grid_lists {
    const struct backend_local_cv *cv;
    size_t n_values, n_cells; /* n_consensus * n_folds */
    std::vector<uint32_t> cell_epochs, cell_offsets;
    std::vector<uint32_t> n_train;            /* [n_consensus][n_folds] */
    std::unique_ptr<struct change[]> changes; /* value by value, pick by pick, cell by cell */
    size_t n_changes;
    std::vector<size_t> change_offsets; /* [n_values * C + 1] */
};

/* Lists all for the repairs that the session has; cv must stay as long as the lists. */
void grid_list(const struct backend_session *session, const struct backend_local_cv *cv,
               struct grid_lists *lists);

#endif
