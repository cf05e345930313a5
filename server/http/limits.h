/* What one user may take: requests a second, jobs in the queue, bytes stored. */
#ifndef SERVER_HTTP_LIMITS_H
#define SERVER_HTTP_LIMITS_H

#include "server/http/request.h"

enum { LIMITS_QUEUE_SECONDS = 10 }; /* to wait for a place in the queue */

/*
 * Refuses at the headers of a request what is beyond its user's limits: TOO_MANY_REQUESTS;
 * request->response.retry_after then says when to come again. For a request that authorize() let
 * in; the limits are the configuration's. The store has the last word (store/quota.h): of requests
 * that come at the same time, each has room.
 */
enum rejectd_status limits_check(struct request *request, struct rejectd_error *error);

/* How many bytes a file may have in the end that comes with a coding: *most. */
enum rejectd_status limits_room(const struct request *request, uint64_t *most,
                                struct rejectd_error *error);

#endif
