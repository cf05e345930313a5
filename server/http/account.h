/* What is told of each request: its id, its line in the log, its place in the figures. */
#ifndef SERVER_HTTP_ACCOUNT_H
#define SERVER_HTTP_ACCOUNT_H

#include "server/http/request.h"

/* Makes ids that no other request of this daemon gets, nor, but by chance in 2^64, one of another
 * daemon. Cheap: no question to the kernel. */
struct request_ids {
    uint64_t start; /* random */
    atomic_uint_least64_t n_made;
};
void request_ids_init(struct request_ids *ids);
void request_ids_make(struct request_ids *ids, char id[RESOURCE_REQUEST_SIZE]);

/* 1 to 64 of [A-Za-z0-9._-]: what a client may call its request. */
bool request_id_is_acceptable(const char *id);

/* At the headers: takes the X-Request-Id of the client when it is acceptable. */
void account_begin(struct request *request, const char *method);
/* Before the answer is queued, whose id it gets: what will be told of it. */
void account_answer(struct request *request);
/* At the end, which came with all of the answer or before. */
void account_end(struct request *request, bool whole);

#endif
