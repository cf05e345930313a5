/* What the routes work with; made by main.c, borrowed by everybody else. */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include <stdatomic.h>

#include "server/blobs/blobs.h"
#include "server/config.h"
#include "server/converter/converter.h"
#include "server/devices/device_board.h"
#include "server/devices/gpu_worker.h"
#include "server/executor.h"
#include "server/http/events.h"
#include "server/http/waiters.h"
#include "server/jobs/scheduler.h"
#include "server/log.h"
#include "server/store/store.h"

struct service {
    const struct config *config;
    const struct log *log;
    struct store *store;
    struct blobs *blobs;
    struct converter *converter;
    struct scheduler *scheduler;
    struct device_board *board;
    struct gpu_worker **gpus; /* [n_gpus] */
    size_t n_gpus;
    struct waiters *waiters;
    struct events *events;
    struct executor *commits; /* requests that parse or commit */
    struct executor *uploads; /* ends of uploads, which may wait long for the disk */
    atomic_int n_uploads;     /* that are open */
};

#endif
