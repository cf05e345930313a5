/*
 * What is removed for good: from the store, the disk and the GPUs, with a line in the log that
 * says who removed what (LOG_LEVEL_AUDIT).
 */
#ifndef SERVER_RETENTION_REMOVAL_H
#define SERVER_RETENTION_REMOVAL_H

#include "server/http/request.h"

/* The dataset, its files, what has come of an upload, and the results of all jobs on it; models
 * that were made from it stay. request: who wants it; NULL: its time is over, which CONFLICT
 * contradicts when it was used at or after unused_since. */
enum rejectd_status removal_of_dataset(struct service *service, const char *id,
                                       const struct request *request, int64_t unused_since,
                                       struct rejectd_error *error);
/* The result of a job, whose time is over. */
enum rejectd_status removal_of_result(struct service *service, const char *job,
                                      struct rejectd_error *error);
enum rejectd_status removal_of_model(struct service *service, const char *id,
                                     const struct request *request, struct rejectd_error *error);

#endif
