/* The two halves of the HTTP server: its threads and sockets (server.c), and the life of a request
 * (life.c). */
#ifndef SERVER_HTTP_SERVER_PRIVATE_H
#define SERVER_HTTP_SERVER_PRIVATE_H

#include <pthread.h>

#include "server/http/account.h"
#include "server/http/connections.h"
#include "server/http/handlers.h"
#include "server/http/linger.h"
#include "server/http/request.h"
#include "server/http/server.h"
#include "server/http/tls.h"

struct http_server {
    struct service *service;
    struct MHD_Daemon *daemon;
    int socket; /* -1: libmicrohttpd's */
    char url[320];
    struct connections *connections;
    struct http_linger *linger;
    struct tls *tls;   /* NULL: none */
    double next_sweep; /* clock_monotonic() */
    struct request_ids ids;
    struct handlers handlers;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n_suspended;
    bool draining;
};

/* Of server.c: the record of a connection; NULL when there was no memory for one. */
struct connection *http_record_of(struct MHD_Connection *connection);

/* Of life.c, for libmicrohttpd; the context is the server. */

/* Called first of all, with the URI as it was sent: percent-decoding could turn an id into more
 * path. */
void *http_new_request(void *context, const char *uri, struct MHD_Connection *connection);
/* The headers, a piece of the body, or its end. */
enum MHD_Result http_access(void *context, struct MHD_Connection *connection, const char *url,
                            const char *method, const char *version, const char *upload_data,
                            size_t *upload_data_size, void **request_context);
/* The request is over, whole or not. */
void http_completed(void *context, struct MHD_Connection *connection, void **request_context,
                    enum MHD_RequestTerminationCode code);

#endif
