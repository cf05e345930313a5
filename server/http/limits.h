/* What one user may take: requests a second, jobs in the queue, bytes stored. */
#ifndef SERVER_HTTP_LIMITS_H
#define SERVER_HTTP_LIMITS_H

#include "server/http/request.h"

/*
 * Refuses at the headers of a request what is beyond its user's limits: TOO_MANY_REQUESTS, and
 * TOO_LARGE for a file that has no room. request->response.retry_after then says when to come
 * again. For a request that authorize() let in; the limits are the configuration's.
 */
enum rejectd_status limits_check(struct request *request, struct rejectd_error *error);

/* How many bytes a file may have in the end that comes with a coding: *most. */
enum rejectd_status limits_room(const struct request *request, uint64_t *most,
                                struct rejectd_error *error);

/* The same for a dataset of `bytes` that a body describes. */
enum rejectd_status limits_check_bytes(const struct request *request, uint64_t bytes,
                                       struct rejectd_error *error);

#endif
