/*
 * The way of samples from the host to the device, and of what comes back.
 *
 * Samples go through pinned buffers, the slots of a device. Host threads fill slots, piece by
 * piece; the calling thread alone speaks to the device: it sends what is full, has a kernel spread
 * it into rows, rounding it, and fills pieces too when there is nothing to send. So the link and
 * the host's threads are busy all the time, whatever else the calling thread queues in between.
 * What comes back goes through them as well, and rows of tables of which not all are sent.
 */
#ifndef WORKER_CUDA_STAGING_H
#define WORKER_CUDA_STAGING_H

#include <functional>

#include "worker/cuda/session.h"

/* Some times of some picks of some epochs. */
struct transfer {
    size_t first_epoch, n_epochs;
    size_t first_pick, n_picks;
    size_t time;  /* the first */
    size_t width; /* samples of a row on the device, zero beyond those of the host */
    size_t host;  /* samples of a row on the host; their bytes fit into a slot */
    void *to;     /* [n_epochs][n_picks][pitch] as samples are kept */
    double *ptp;  /* [n_epochs][n_picks] of the rows, which this completes; or null */
};

/* Sends transfers one after the other, on the device's streams `copy` and `arrivals`: what is
 * queued on the latter afterwards finds them there. `sent(i)` is called when transfer i has been
 * queued, on the calling thread, while others fill slots; what it returns or throws ends the
 * sending. */
enum rejectd_status staging_send(struct backend_session *session,
                                 const std::vector<struct transfer> &transfers,
                                 const std::function<enum rejectd_status(size_t i)> &sent,
                                 struct rejectd_error *error);

/* Copies bytes from the device to `to` and waits for them. They are taken when what was queued on
 * `after` until now is done. */
enum rejectd_status staging_receive(const struct backend_session *session, cudaStream_t after,
                                    const void *from, size_t bytes, void *to,
                                    struct rejectd_error *error);

/* Copies rows numbers[0..n-1] of `from` [..][width], one after the other, to `to` [n][width] on the
 * device. They are there for what is queued on the compute stream next; the host's memory is not
 * looked at again. */
enum rejectd_status staging_gather(const struct backend_session *session, const double *from,
                                   size_t width, const uint32_t *numbers, size_t n, double *to,
                                   struct rejectd_error *error);

#endif
