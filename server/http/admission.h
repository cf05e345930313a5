/* What is refused at the headers of a request. */
#ifndef SERVER_HTTP_ADMISSION_H
#define SERVER_HTTP_ADMISSION_H

#include "server/http/request.h"

/*
 * Finds the route and checks the headers against it: method, content type, length. Requests whose
 * framing is ambiguous (which a proxy in front might read differently) set *close_after.
 */
enum rejectd_status admission_check(struct request *request, const char *method,
                                    const char *version, bool *close_after,
                                    struct rejectd_error *error);

/* The body is a file that is to be streamed. */
bool admission_takes_file(const struct request *request);
/* The body is to be collected in memory. */
bool admission_collects(const struct request *request);
/* The content type says .npy. */
bool admission_is_npy(const struct request *request);

#endif
