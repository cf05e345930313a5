/* Answers that the client has already, or wants a part of. */
#ifndef SERVER_HTTP_CONDITIONS_H
#define SERVER_HTTP_CONDITIONS_H

#include "server/http/request.h"

/*
 * Makes of a response with an ETag what the request's If-None-Match, Range and If-Range ask for:
 * 304, 206 or 416. Others stay as they are. A part can be had of files, and of streams that say so.
 */
void conditions_apply(const struct request *request, struct response *response);

#endif
