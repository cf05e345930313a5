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

/* "http://127.0.0.1:8765" (https with TLS), with the port that was taken. Valid as long as the
 * server. */
const char *http_url(const struct http_server *server);

/* Ends connections that take too long. To be called often; looks about once a second. */
void http_tick(struct http_server *server);

/* Reads the certificate and its key again, when there are any; connections go on. After an error,
 * which the log tells, too, the old ones stay. */
enum rejectd_status http_reload_certificate(struct http_server *server,
                                            struct rejectd_error *error);

/* Takes what can change from the service's settings, which have been replaced. */
void http_configure(struct http_server *server);

/* For how many seconds the longest of its threads' handlers has run. They never wait: more than a
 * few seconds mean that it is stuck. */
double http_longest_handler(const struct http_server *server);

/* No new connections; requests that wait are answered, later ones get 503. */
void http_drain(struct http_server *server);

/* Drains, waits until no request is on an executor, and ends. NULL is allowed. */
void http_stop(struct http_server *server);

#endif
