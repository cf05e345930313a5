/* What a submitted job needs is checked before it is queued, not when its turn comes. */
#ifndef SERVER_JOBS_JOB_CHECK_H
#define SERVER_JOBS_JOB_CHECK_H

#include "protocol/job_json.h"
#include "server/jobs/forecast.h"
#include "server/store/store.h"

/*
 * Reads a task's records and checks that it can be done; on success `view` is what it will need:
 * estimate_view_clear(). Of a job whose dataset is there, or of one with a shape.
 */
enum rejectd_status job_foretell(struct store *store, struct forecaster *forecaster,
                                 const struct job_request *wanted,
                                 const struct dataset_description *shape,
                                 struct estimate_view *view, struct rejectd_error *error);

struct job_checked {
    struct job_needs needs;                 /* what it will need */
    char fingerprint[RESOURCE_SHA256_SIZE]; /* fingerprint.h */
};

/*
 * True answers to: is there such a device, dataset (NOT_FOUND at "dataset"), model (at "model"),
 * has the dataset its samples (CONFLICT), do the parameters suit the dataset, and is there a device
 * with room for it (TOO_LARGE). Looks at no sample. numerics: what computes here.
 */
enum rejectd_status job_check(struct store *store, struct forecaster *forecaster,
                              const char *numerics, const struct job_request *wanted,
                              struct job_checked *checked, struct rejectd_error *error);

#endif
