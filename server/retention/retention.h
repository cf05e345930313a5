/*
 * Datasets are kept for dataset-retention-seconds after their last use (upload or job), results
 * for result-retention-seconds after their job; 0: for ever. What is deleted, by whomever, leaves
 * the store's files a moment later.
 */
#ifndef SERVER_RETENTION_RETENTION_H
#define SERVER_RETENTION_RETENTION_H

#include "server/chore.h"
#include "server/service.h"

struct retention {
    struct service *service; /* borrowed */
    struct chore sweep;
    struct chore forget;
};

void retention_init(struct retention *retention, struct service *service);

/* To be called often, by one thread; never waits. */
void retention_tick(struct retention *retention, double now);

/* Fills in when they expire. */
void retention_show_dataset(const struct service *service, struct dataset_view *dataset);
void retention_show_job(const struct service *service, struct job_view *job);

#endif
