/*
 * A GPU as the daemon has it: a process of its own, started, watched, and replaced when it fails.
 *
 * It is the runner (worker/pool.h) of the pool's thread for that GPU, on which everything happens
 * but gpu_worker_forget().
 */
#ifndef SERVER_DEVICES_GPU_WORKER_H
#define SERVER_DEVICES_GPU_WORKER_H

#include "server/devices/device_board.h"
#include "server/log.h"
#include "worker/pool.h"

struct gpu_worker;

struct gpu_worker_options {
    const char *device; /* "cuda:0"; all borrowed for the life of the worker */
    const char *module; /* of CUDA, or NULL */
    uint64_t memory;    /* budget of the device; 0: nearly all */
    int64_t threads;
    double timeout; /* seconds of silence, pings unanswered, after which it is given up */
    double stall;   /* seconds without any progress of its job, or of its start, likewise */
    struct device_board *board;
    struct blobs *blobs;
    const struct log *log;
};

enum rejectd_status gpu_worker_open(const struct gpu_worker_options *options,
                                    struct gpu_worker **worker, struct rejectd_error *error);
void gpu_worker_close(struct gpu_worker *worker); /* after pool_stop(); NULL is allowed */

const struct pool_runner *gpu_worker_runner(struct gpu_worker *worker);

/* Has the device forget a dataset, soon. Any thread. */
void gpu_worker_forget(struct gpu_worker *worker, const char *sha256);

#endif
