/*
 * What is begun while the samples of a session still arrive: the predictions, and the medians of
 * the folds of the cross-validation. The link to the device is the slowest part of a fit of samples
 * that are not there yet; what is done meanwhile costs nothing.
 */
#ifndef WORKER_CUDA_FORESIGHT_H
#define WORKER_CUDA_FORESIGHT_H

#include "worker/cuda/medians.h"

struct foresight {
    bool predicts, folds; /* what of it is done */
    size_t n_arrived;     /* epochs */
    size_t n_predicted;   /* epochs, whole chunks of PANEL_EPOCHS but for the last */
    size_t n_folds_done;
    median_sets tests;
    device_array<unsigned char> medians; /* [C][n_folds][pitch] of the work type */
    device_array<unsigned char> weights; /* [parts][C][C], as weights_in_parts() */
};

/* Decides what there is room for, before the first sample arrives. The session's samples have
 * their place; options.foresight says what will be asked. */
enum rejectd_status foresight_begin(struct backend_session *session, struct foresight *foresight,
                                    struct rejectd_error *error);

/* Epochs 0..n-1 are there, or will be before what is queued on the compute stream now. */
enum rejectd_status foresight_arrived(struct backend_session *session, struct foresight *foresight,
                                      size_t n, struct rejectd_error *error);

/* All are: leaves predictions with the session, medians with its resident. */
void foresight_end(struct backend_session *session, struct foresight *foresight);

#endif
