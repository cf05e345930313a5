/*
 * When queued jobs will start, as far as can be told: as if those that run end when they are
 * foretold to, and the rest follow in the order of the queue, each on the device that is free first
 * of those that take it.
 *
 * That is counted anew when somebody asks, but at most once a second, and less often where it takes
 * long. All functions may be called by several threads at once.
 */
#ifndef SERVER_JOBS_STARTS_H
#define SERVER_JOBS_STARTS_H

#include "server/jobs/scheduler.h"

struct starts;

struct starts_options {
    struct store *store; /* all borrowed */
    struct device_board *board;
    struct scheduler *scheduler;
    struct forecaster *forecaster;
};

enum rejectd_status starts_open(const struct starts_options *options, struct starts **starts,
                                struct rejectd_error *error);
void starts_close(struct starts *starts); /* NULL is allowed */

/* Fills the estimated start of a queued job; it stays "" where it can't be told: far back in a long
 * queue, or without a device. */
void starts_show(struct starts *starts, struct job_view *job);

#endif
