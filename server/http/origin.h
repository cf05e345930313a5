/* Requests that another site's page made a browser send. */
#ifndef SERVER_HTTP_ORIGIN_H
#define SERVER_HTTP_ORIGIN_H

#include "server/http/request.h"

/*
 * FORBIDDEN when a browser says that the request comes from a page of another site, unless all
 * that it asks for is open to everybody. No such page is ever allowed to read an answer (there are
 * no CORS headers); this keeps it from having things done.
 */
enum rejectd_status origin_check(const struct request *request, const char *method,
                                 struct rejectd_error *error);

#endif
