/* Starting and ending the process of a worker: this program again, as "rejectd worker". */
#ifndef SERVER_DEVICES_WORKER_PROCESS_H
#define SERVER_DEVICES_WORKER_PROCESS_H

#include <sys/types.h>

#include "server/devices/worker_channel.h"

struct worker_process {
    pid_t pid; /* 0: there is none */
    struct worker_channel channel;
};

struct worker_process_options {
    const char *device; /* NULL: it tells what devices there are */
    const char *module; /* of CUDA, or NULL: where it is looked for */
    uint64_t memory;    /* budget of the device; 0: nearly all */
    int64_t threads;
    double patience; /* of the channel */
};

/*
 * Starts it. It has the daemon's environment and stderr, none of its other descriptors, a process
 * group of its own, and is killed when the calling thread ends (not only the daemon): the thread
 * must live as long as the worker is wanted.
 */
enum rejectd_status worker_process_start(const struct worker_process_options *options,
                                         struct worker_process *process,
                                         struct rejectd_error *error);

enum { WORKER_PROCESS_END_SIZE = 96 };

/*
 * Closes the channel, gives the process up to `seconds` to end by itself, kills it, and waits for
 * it. how (WORKER_PROCESS_END_SIZE bytes, may be NULL) tells in words how it ended. Nothing happens
 * when there is none.
 */
void worker_process_end(struct worker_process *process, double seconds, char *how);

#endif
