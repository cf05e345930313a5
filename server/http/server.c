/*
 * The threads, sockets and connections of HTTP. The life of a request: life.c.
 *
 * poll, not epoll: libmicrohttpd watches edges, and takes a short read for the end of what has
 * come, so that it misses a connection's end that arrived together with data.
 */
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/http/server_private.h"

enum {
    /* Headers, and twice the size of body pieces. A connection that has had an answer keeps all of
     * it: with a thousand of them more would be felt, and no upload is faster for it. */
    CONNECTION_MEMORY = 48 << 10,
    BACKLOG = 1024,
};

/* ---- connections ---- */

static void connection_changed(void *context, struct MHD_Connection *connection, void **record,
                               enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *socket_info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        const union MHD_ConnectionInfo *client =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        if (socket_info != NULL && client != NULL) {
            const struct address address = address_of(client->client_addr);
            *record = connection_add(server->connections, socket_info->connect_fd, &address);
        }
    } else if (*record != NULL) {
        if (server->tls != NULL) {
            tls_give(server->tls, connection_identity(*record));
        }
        connection_remove(server->connections, *record);
        *record = NULL;
    }
}

struct connection *http_record_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

/* GnuTLS asks for the certificate. libmicrohttpd leaves its connection with the session. */
static int show_identity(gnutls_session_t session, const gnutls_datum_t *authorities,
                         int n_authorities, const gnutls_pk_algorithm_t *algorithms,
                         int n_algorithms, gnutls_pcert_st **chain, unsigned *length,
                         gnutls_privkey_t *key)
{
    struct MHD_Connection *connection = gnutls_session_get_ptr(session);
    struct connection *record = connection == NULL ? NULL : http_record_of(connection);
    (void)authorities;
    (void)n_authorities;
    (void)algorithms;
    (void)n_algorithms;
    if (record == NULL) {
        return -1;
    }
    if (connection_identity(record) == NULL) {
        connection_set_identity(record, tls_take(connection_tls(record)));
    }
    tls_identity_show(connection_identity(record), chain, length, key);
    return 0;
}

void http_tick(struct http_server *server)
{
    const double now = clock_monotonic();
    if (now < server->next_sweep) {
        return;
    }
    server->next_sweep = now + 1.0;
    const size_t n = connections_sweep(server->connections, now);
    if (n > 0) {
        log_write(server->service->log, LOG_LEVEL_INFO, "slow-clients",
                  "%zu connections were ended: they took too long", n);
    }
}

/* ---- TLS ---- */

static void log_expiry(const struct http_server *server, const char *event)
{
    const int64_t seconds = tls_expiry(server->tls) - (int64_t)time(NULL);
    const double days = (double)seconds / 86400.0;
    log_write(server->service->log, days < 14.0 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, event,
              seconds < 0 ? "the certificate ended %.1f days ago"
                          : "the certificate ends in %.1f "
                            "days",
              seconds < 0 ? -days : days);
}

enum rejectd_status http_reload_certificate(struct http_server *server, struct rejectd_error *error)
{
    if (server->tls == NULL) {
        return REJECTD_OK;
    }
    const enum rejectd_status status = tls_reload(server->tls, error);
    if (status == REJECTD_OK) {
        log_expiry(server, "certificate-reloaded");
    } else {
        log_write(server->service->log, LOG_LEVEL_ERROR, "certificate-refused",
                  "%s; the old certificate stays", error->message);
    }
    return status;
}

/* ---- the daemon ---- */

static void log_message(void *context, const char *format, va_list arguments)
{
    const struct http_server *server = context;
    char message[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    vsnprintf(message, sizeof message, format, arguments);
#pragma GCC diagnostic pop
    message[strcspn(message, "\n")] = '\0';
    log_write(server->service->log, LOG_LEVEL_DEBUG, "http", "%s", message);
}

static enum rejectd_status fail_listen(const struct config *config, const char *why,
                                       struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "listen", "listening on %.100s failed: %s",
                        config->listen, why);
}

static int bind_first(const struct addrinfo *addresses)
{
    int number = EADDRNOTAVAIL;
    for (const struct addrinfo *a = addresses; a != NULL; a = a->ai_next) {
        const int flags = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
        const int fd = socket(a->ai_family, flags, 0);
        const int on = 1;
        if (fd < 0) {
            number = errno;
            continue;
        }
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
            return fd;
        }
        number = errno;
        close(fd);
    }
    errno = number;
    return -1;
}

/* Opens the socket and tells the URL with the port that it got. */
static enum rejectd_status open_socket(struct http_server *server, struct rejectd_error *error)
{
    const struct config *config = server->service->config;
    char host[256];
    char port_text[16];
    int port = 0;
    enum rejectd_status status = config_listen_address(config, host, &port, error);
    if (status != REJECTD_OK) {
        return status;
    }
    snprintf(port_text, sizeof port_text, "%d", port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *addresses = NULL;
    const int failed = getaddrinfo(host, port_text, &hints, &addresses);
    if (failed != 0) {
        return fail_listen(config, gai_strerror(failed), error);
    }
    server->socket = bind_first(addresses);
    const int number = errno;
    freeaddrinfo(addresses);
    if (server->socket < 0) {
        return fail_listen(config, strerror(number), error);
    }
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (getsockname(server->socket, (struct sockaddr *)&address, &length) != 0 ||
        getnameinfo((struct sockaddr *)&address, length, NULL, 0, port_text, sizeof port_text,
                    NI_NUMERICSERV) != 0) {
        return fail_listen(config, "its port can't be told", error);
    }
    const bool six = strchr(host, ':') != NULL;
    snprintf(server->url, sizeof server->url, "%s://%s%s%s:%s",
             config->tls_certificate[0] == '\0' ? "http" : "https", six ? "[" : "", host,
             six ? "]" : "", port_text);
    return REJECTD_OK;
}

/* What connections need before there are any. */
static enum rejectd_status open_front(struct http_server *server, struct rejectd_error *error)
{
    const struct config *config = server->service->config;
    enum rejectd_status status = REJECTD_OK;
    if (config->tls_certificate[0] != '\0') {
        status = tls_open(config->tls_certificate, config->tls_key, &server->tls, error);
    }
    if (status == REJECTD_OK) {
        status = connections_open(config, server->tls, &server->connections, error);
    }
    if (status == REJECTD_OK) {
        status = linger_open(&server->linger, error);
    }
    if (status == REJECTD_OK && server->tls != NULL) {
        log_expiry(server, "certificate-loaded");
    }
    if (status == REJECTD_OK &&
        connections_limit(server->connections) < (size_t)config->connection_limit) {
        log_write(server->service->log, LOG_LEVEL_WARNING, "few-files",
                  "this process may open few files, so that it takes %zu connections, not %lld",
                  connections_limit(server->connections), (long long)config->connection_limit);
    }
    return status;
}

static enum rejectd_status start_threads(struct http_server *server, struct rejectd_error *error)
{
    const struct config *config = server->service->config;
    const size_t limit = connections_limit(server->connections);
    unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    /* ISO C keeps functions and objects apart; libmicrohttpd and POSIX don't. */
    union {
        int (*function)(gnutls_session_t, const gnutls_datum_t *, int,
                        const gnutls_pk_algorithm_t *, int, gnutls_pcert_st **, unsigned *,
                        gnutls_privkey_t *);
        void *plain;
    } callback = {.function = show_identity};
    union {
        const char *constant;
        void *plain;
    } priorities = {.constant = tls_priorities};
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, callback.plain},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, priorities.plain},
        {MHD_OPTION_END, 0, NULL},
    };
    if (server->tls == NULL) {
        tls[0] = tls[2];
    } else {
        flags |= MHD_USE_TLS;
    }
    /* The logger must be the first option. libmicrohttpd doesn't answer connections beyond its
     * limit, which is also divided among the threads, so it gets a larger one than ours. */
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, http_access, server, MHD_OPTION_EXTERNAL_LOGGER, log_message, server,
        MHD_OPTION_LISTEN_SOCKET, server->socket, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)config->http_threads, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(limit + limit / 4 + (size_t)config->http_threads), MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)config->idle_timeout, MHD_OPTION_URI_LOG_CALLBACK, http_new_request, server,
        MHD_OPTION_NOTIFY_COMPLETED, http_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        connection_changed, server, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    return server->daemon != NULL ? REJECTD_OK
                                  : fail_listen(config, "the HTTP threads can't be started", error);
}

enum rejectd_status http_start(struct service *service, struct http_server **server,
                               struct rejectd_error *error)
{
    *server = NULL;
    struct http_server *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->service = service;
    made->socket = -1;
    request_ids_init(&made->ids);
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    enum rejectd_status status = open_front(made, error);
    if (status == REJECTD_OK) {
        status = open_socket(made, error);
    }
    if (status == REJECTD_OK) {
        status = start_threads(made, error);
    }
    if (status != REJECTD_OK) {
        http_stop(made);
        return status;
    }
    made->socket = -1;
    *server = made;
    return REJECTD_OK;
}

const char *http_url(const struct http_server *server)
{
    return server->url;
}

double http_longest_handler(const struct http_server *server)
{
    return handlers_longest(&server->handlers, clock_monotonic());
}

void http_configure(struct http_server *server)
{
    connections_configure(server->connections, server->service->config);
}

void http_drain(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    const bool first = !server->draining;
    server->draining = true;
    pthread_mutex_unlock(&server->lock);
    if (first && server->daemon != NULL) {
        server->socket = MHD_quiesce_daemon(server->daemon);
        waiters_wake_all(server->service->waiters);
        events_wake_all(server->service->events);
    }
}

/* Their streams have an end that they are to be told, if they take it soon. */
static void await_listeners(struct http_server *server)
{
    const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
    const double until = clock_monotonic() + 2.0;
    while (events_n_listeners(server->service->events) > 0 && clock_monotonic() < until) {
        nanosleep(&moment, NULL);
    }
}

void http_stop(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    http_drain(server);
    if (server->daemon != NULL) {
        pthread_mutex_lock(&server->lock);
        while (server->n_suspended > 0) {
            pthread_cond_wait(&server->changed, &server->lock);
        }
        pthread_mutex_unlock(&server->lock);
        await_listeners(server);
        MHD_stop_daemon(server->daemon);
    }
    linger_close(server->linger);
    if (server->socket >= 0) {
        close(server->socket);
    }
    connections_close(server->connections);
    tls_close(server->tls);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
