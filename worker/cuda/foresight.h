/*
 * What is begun while the samples of a session still arrive: the predictions, and the medians of
 * all folds. The link to the device is the slowest part of a fit of samples that are not there yet;
 * what is done meanwhile costs nothing. So samples arrive by columns, some times of all epochs: of
 * these nothing else is needed for a prediction or a median.
 */
#ifndef WORKER_CUDA_FORESIGHT_H
#define WORKER_CUDA_FORESIGHT_H

#include <thread>

#include "worker/cuda/losses.h"

struct foresight {
    std::thread teller; /* asks what there will be to do, while the first samples are sent */
    struct backend_foresight told = {};
    enum rejectd_status status = REJECTD_OK; /* of the answer */
    struct rejectd_error error = {};

    std::vector<uint16_t> fold; /* [E] of the cross-validation; empty: its medians are not made */
    median_sets tests;          /* of these folds */
    device_array<unsigned char> medians;    /* [C][n_folds][pitch] of the work type */
    bool predicts = false;                  /* whether predictions are made */
    device_array<unsigned char> weights;    /* [parts][C][C], as weights_in_parts() */
    std::shared_ptr<foreseen_folds> search; /* folds of the search, or null */

    foresight() = default;
    foresight(const foresight &) = delete;
    foresight &operator=(const foresight &) = delete;
    ~foresight()
    {
        if (teller.joinable())
            teller.join();
    }
};

void foresight_ask(const struct backend_session *session, struct foresight *foresight);

/* Waits for the answer and begins what of it there is room for. The session's samples have their
 * place. */
enum rejectd_status foresight_begin(struct backend_session *session, struct foresight *foresight,
                                    struct rejectd_error *error);

/* Samples `time` .. time + n_times - 1 of all epochs are there, or will be before what is queued on
 * the compute stream now. Called for one after the other, from 0 to the pitch; all but the last
 * are multiples of PANEL_TIMES. */
enum rejectd_status foresight_arrived(struct backend_session *session, struct foresight *foresight,
                                      size_t time, size_t n_times, struct rejectd_error *error);

/* All are: leaves predictions and medians with the session, those of the cross-validation with its
 * resident. */
void foresight_end(struct backend_session *session, struct foresight *foresight);

#endif
