/* The loss of every candidate threshold of a block of picks, on the device. */
#ifndef WORKER_CUDA_LOSSES_H
#define WORKER_CUDA_LOSSES_H

#include "worker/cuda/medians.h"
#include "worker/cuda/ranks.h"

/* What the losses of all blocks share: the folds. */
struct loss_folds {
    size_t n_folds, n_rows;
    median_sets tests;              /* the test rows of each fold */
    device_array<uint16_t> is_test; /* [folds / PREFIX_FOLDS][rows] bits */
};

/* Folds whose medians were computed while the samples arrived. */
struct foreseen_folds {
    struct loss_folds folds;
    std::vector<uint8_t> is_test;        /* [n_folds][n_rows] */
    device_array<unsigned char> medians; /* [C][n_folds][pitch] of the work type */
};

/* Scratch, kept from block to block. */
struct loss_scratch {
    device_array<unsigned char> medians; /* [count][n_folds][pitch] of the work type */
    device_array<double> squares;        /* [count][parts][n_rows][PREFIX_FOLDS] */
    device_array<uint32_t> n_train;      /* [count][PREFIX_FOLDS][n_rows] */
};

enum rejectd_status loss_folds_open(struct backend_device *device,
                                    const struct backend_splits *splits, struct loss_folds *folds,
                                    struct rejectd_error *error);

/* Bytes of scratch that a pick needs. */
size_t loss_pick_bytes(const struct backend_session *session, size_t n_folds, size_t n_rows);

/* losses [count][n_rows] on the device, as backend.h's threshold_losses().
 *   medians  [count][n_folds][pitch] of the folds' test rows; null: they are computed first */
template <typename Sample>
enum rejectd_status
losses_compute(struct backend_session *session, const struct row_view<Sample> &view, size_t count,
               struct loss_folds *folds, const work_of<Sample> *medians, const struct ranks *ranks,
               struct loss_scratch *scratch, double *losses, struct rejectd_error *error);

#endif
