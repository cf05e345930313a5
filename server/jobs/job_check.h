/* What a submitted job needs is checked before it is queued, not when its turn comes. */
#ifndef SERVER_JOBS_JOB_CHECK_H
#define SERVER_JOBS_JOB_CHECK_H

#include "protocol/job_json.h"
#include "server/devices/device_board.h"
#include "server/store/store.h"

/*
 * True answers to: is there such a device, dataset (NOT_FOUND at "dataset"), model (at "model"),
 * has the dataset its samples (CONFLICT), and do the parameters suit the dataset. Looks at no
 * sample.
 */
enum rejectd_status job_check(struct store *store, struct device_board *board,
                              const struct job_request *wanted, struct rejectd_error *error);

#endif
