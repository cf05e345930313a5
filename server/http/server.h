/*
 * HTTP: libmicrohttpd's own threads, the life of a request, and what is refused before any route
 * sees it.
 */
#ifndef SERVER_HTTP_SERVER_H
#define SERVER_HTTP_SERVER_H

#include "server/service.h"

struct http_server;

/* Listens and answers. *server is owned by the caller: http_stop(). */
enum rejectd_status http_start(struct service *service, struct http_server **server,
                               struct rejectd_error *error);

/* "http://127.0.0.1:8765", with the port that was taken. Valid as long as the server. */
const char *http_url(const struct http_server *server);

/* No new connections; requests that wait are answered, later ones get 503. */
void http_drain(struct http_server *server);

/* Drains, waits until no request is on an executor, and ends. NULL is allowed. */
void http_stop(struct http_server *server);

#endif
