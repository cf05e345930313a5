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
#include "server/http/rate_limiter.h"
#include "server/http/waiters.h"
#include "server/jobs/forecast.h"
#include "server/jobs/scheduler.h"
#include "server/jobs/starts.h"
#include "server/log.h"
#include "server/metrics/metrics.h"
#include "server/metrics/nvml.h"
#include "server/store/store.h"

struct partials;

struct service {
    /* A snapshot that never changes, replaced as a whole by a reload; an old one stays valid. */
    _Atomic(const struct config *) config;
    const struct log *log;
    const char *numerics; /* what computes on the processor; static storage */
    struct store *store;
    struct blobs *blobs;
    struct converter *converter;
    struct forecaster forecaster;
    struct scheduler *scheduler;
    struct starts *starts;
    struct device_board *board;
    struct gpu_worker **gpus; /* [n_gpus] */
    size_t n_gpus;
    struct waiters *waiters;
    struct rate_limiter *rates; /* of users */
    struct executor *commits;   /* requests that parse or commit */
    struct executor *uploads;   /* ends of uploads, which may wait long for the disk */
    atomic_int n_uploads;       /* that are open */
    struct partials *partials;
    atomic_bool draining; /* it takes no new work, because it will end soon */
    double started_at;    /* process_start_time() */
    struct metrics *metrics;
    struct nvml *nvml;
    struct events *events;
};

#endif
