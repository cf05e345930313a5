/* rejectd worker: the process that owns one GPU and computes jobs on it for the daemon. */
#ifndef SERVER_DEVICES_WORKER_MAIN_H
#define SERVER_DEVICES_WORKER_MAIN_H

#include <rejectd/error.h>

/*
 * argv[0] is "worker". The daemon starts it (server/worker_process.h) with the flags
 *
 *   --channel FD --daemon PID [--device ID] [--cuda-module PATH] [--memory BYTES] [--threads N]
 *
 * and talks to it over the channel (server/worker_messages.h); it returns when the channel ends or
 * the device has failed for good, or, without a device, once it has told what devices there are.
 * It is killed when the thread that started it ends. INVALID_VALUE for flags that make no sense.
 */
enum rejectd_status worker_main(int argc, char *const *argv, struct rejectd_error *error);

#endif
