/* One job in a worker process: received, computed, and its products sent. */
#ifndef SERVER_DEVICES_WORKER_JOB_H
#define SERVER_DEVICES_WORKER_JOB_H

#include <stdatomic.h>

#include "server/devices/worker_messages.h"

/* Where and how jobs are computed. */
struct worker_site {
    struct rejectd_device *device; /* open */
    const char *note;              /* what CUDA this is */
    int n_threads;
    atomic_bool cancelled; /* set by any thread; ends the job at its next report */
    /* May be called by several threads at once. */
    enum rejectd_status (*send)(void *context, enum worker_message type, const struct iovec *parts,
                                size_t n_parts, struct rejectd_error *error);
    void *context;
};

struct worker_order;

/* Receives what follows the head of a JOB. fd, of the samples, or -1, becomes the order's, also on
 * failure. *order is owned by the caller. */
enum rejectd_status worker_order_receive(const struct worker_channel *channel, uint64_t length,
                                         int fd, struct worker_order **order,
                                         struct rejectd_error *error);
void worker_order_free(struct worker_order *order); /* NULL is allowed */

/* Computes the job and sends all that it makes but DONE, whose outcome is returned. */
enum rejectd_status worker_order_run(struct worker_order *order, struct worker_site *site,
                                     struct rejectd_error *error);

#endif
