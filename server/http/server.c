/*
 * The life of a request.
 *
 * libmicrohttpd calls the access handler once with the headers, then with each piece of the body,
 * then once more; after a resumed suspension it calls again. The phase of the request says where
 * it is. Everything that can be refused is refused at the headers (admission.c): the body of
 * a refused request is dropped if it's small, so that the client reads the answer, and else cut
 * off.
 *
 * Suspending. libmicrohttpd resumes only what is suspended, exactly once, so `suspended` and
 * `woken` change under one lock of the server, and request_wake() alone resumes. A request is
 * freed by completed(), which libmicrohttpd never calls while it's suspended. The number of
 * suspended requests is counted: libmicrohttpd must not be stopped before it is zero.
 *
 * poll, not epoll: libmicrohttpd watches edges, and takes a short read for the end of what has
 * come, so that it misses a connection's end that arrived together with data.
 *
 * Time. libmicrohttpd ends only what is silent; connections.h has the deadlines, and this file
 * tells it what a connection is doing.
 */
#include "server/http/server.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/http/account.h"
#include "server/http/admission.h"
#include "server/http/authorize.h"
#include "server/http/conditions.h"
#include "server/http/connections.h"
#include "server/http/handlers.h"
#include "server/http/limits.h"
#include "server/http/linger.h"
#include "server/http/request.h"
#include "server/http/tls.h"

enum {
    /* Headers, and twice the size of body pieces. A connection that has had an answer keeps all of
     * it: with a thousand of them more would be felt, and no upload is faster for it. */
    CONNECTION_MEMORY = 48 << 10,
    DROPPED_BODY = 4 << 20, /* largest body of a refused request that is read */
    BACKLOG = 1024,
};

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

/* ---- suspending ---- */

void request_suspend(struct request *request)
{
    struct http_server *server = request->server;
    pthread_mutex_lock(&server->lock);
    MHD_suspend_connection(request->connection);
    if (request->woken) {
        request->woken = false;
        MHD_resume_connection(request->connection);
    } else {
        request->suspended = true;
        server->n_suspended++;
    }
    pthread_mutex_unlock(&server->lock);
}

void request_wake(struct request *request)
{
    /* The request may be gone as soon as it's resumed; the server isn't. */
    struct http_server *server = request->server;
    pthread_mutex_lock(&server->lock);
    if (request->suspended) {
        request->suspended = false;
        server->n_suspended--;
        MHD_resume_connection(request->connection);
        pthread_cond_broadcast(&server->changed);
    } else {
        request->woken = true;
    }
    pthread_mutex_unlock(&server->lock);
}

static void wake_callback(void *context)
{
    request_wake(context);
}

bool request_may_wait(const struct request *request)
{
    struct http_server *server = request->server;
    pthread_mutex_lock(&server->lock);
    const bool draining = server->draining;
    pthread_mutex_unlock(&server->lock);
    return !draining;
}

/* ---- phases ---- */

static void refuse(struct request *request, const struct rejectd_error *error)
{
    /* What was told before the refusal belongs to it. */
    const struct response told = request->response;
    respond_problem(&request->response, error);
    memcpy(request->response.allow, told.allow, sizeof told.allow);
    request->response.retry_after = told.retry_after;
    request->response.place = told.place;
    request->response.tells_codings = told.tells_codings;
    request->phase = REQUEST_REFUSED;
}

bool request_take_memory(struct request *request, uint64_t bytes)
{
    const bool taken = connections_take_memory(request->server->connections, bytes);
    request->body_memory += taken ? bytes : 0;
    return taken;
}

/* Room for a body that is kept in memory, of exactly its length. */
static enum rejectd_status begin_collecting(struct request *request, struct rejectd_error *error)
{
    if (!request_take_memory(request, request->content_length)) {
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "",
                            "the bodies of other requests take all memory that there is for "
                            "them; try again soon");
    }
    buffer_init(&request->body, (size_t)request->content_length);
    return REJECTD_OK;
}

static enum rejectd_status begin_file(struct request *request, struct rejectd_error *error)
{
    struct file_upload_options options = {
        .dataset = request->id,
        .content_length = request->content_length,
        .coding = request->facts.coding,
        .on_room = wake_callback,
        .context = request,
    };
    const enum rejectd_status status = limits_room(request, &options.most, error);
    return status == REJECTD_OK
               ? file_upload_open(request->service, &options, &request->file, error)
               : status;
}

static enum rejectd_status begin_samples(struct request *request, struct rejectd_error *error)
{
    const struct body_facts *facts = &request->facts;
    struct upload_options options = {
        .dataset = request->id,
        .content_length = request->content_length,
        .is_npy = admission_is_npy(request),
        .coding = facts->coding,
        .piece = facts->piece,
        .whole_or_nothing = facts->has_content_digest,
        .has_digest = facts->has_repr_digest,
        .on_room = wake_callback,
        .context = request,
    };
    memcpy(options.digest, facts->repr_digest, sizeof options.digest);
    return upload_open(request->service, &options, &request->upload, &request->response.place,
                       error);
}

static enum rejectd_status begin_body(struct request *request, struct rejectd_error *error)
{
    if (admission_takes_file(request)) {
        return begin_file(request, error);
    }
    if (admission_collects(request)) {
        return begin_collecting(request, error);
    }
    return request->route->body == BODY_SAMPLES ? begin_samples(request, error) : REJECTD_OK;
}

/* An answer with an end must be taken at the least rate. */
static enum MHD_Result send_answer(struct request *request)
{
    const struct response *response = &request->response;
    const bool ends = response->stream.read == NULL || response->stream.bytes != MHD_SIZE_UNKNOWN;
    connection_enter(request->record, ends ? CONNECTION_ANSWERING : CONNECTION_WORKING, 0.0);
    conditions_apply(request, &request->response);
    account_answer(request);
    return response_queue(&request->response, request->connection);
}

/* New work is for another time, or another daemon; what is there can be looked at and ended. */
static enum rejectd_status check_draining(const struct request *request,
                                          struct rejectd_error *error)
{
    const char *method = request->route->method;
    const bool brings_work = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    if (!request_may_wait(request) || (brings_work && atomic_load(&request->service->draining))) {
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "",
                            "the service is stopping; try again in a moment");
    }
    return REJECTD_OK;
}

static enum rejectd_status check_connection(const struct request *request,
                                            struct rejectd_error *error)
{
    switch (connection_refused(request->record)) {
    case CONNECTION_TOO_MANY:
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "",
                            "there are %zu connections already; try again soon",
                            connections_limit(request->server->connections));
    case CONNECTION_TOO_MANY_FOR:
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "",
                            "there are %lld connections from this address already",
                            (long long)request->service->config->connections_per_address);
    default:
        return REJECTD_OK;
    }
}

/* How long it may take for all of the body: a file takes as long as it must, at the least rate. */
static void await_body(struct request *request)
{
    const bool streamed = request->upload != NULL || request->file != NULL;
    const double seconds = (double)request->service->config->request_timeout;
    const enum connection_phase phase =
        request->content_length > 0 ? CONNECTION_BODY : CONNECTION_WORKING;
    connection_enter(request->record, phase,
                     streamed || phase == CONNECTION_WORKING ? 0.0 : seconds);
}

/* The client sends its body only when it's told to: it would be for nothing. */
static bool awaits_permission(const struct request *request)
{
    const char *expect = request_header(request, "Expect");
    return expect != NULL && strcasecmp(expect, "100-continue") == 0;
}

static enum MHD_Result begin(struct request *request, const char *method, const char *version)
{
    struct rejectd_error error = {0};
    bool close_after = false;
    request->is_head = strcmp(method, "HEAD") == 0;
    account_begin(request, method);
    enum rejectd_status status = admission_check(request, method, version, &close_after, &error);
    if (status == REJECTD_OK && check_connection(request, &error) != REJECTD_OK) {
        status = error.status;
        close_after = true;
    }
    if (status == REJECTD_OK && check_draining(request, &error) != REJECTD_OK) {
        status = error.status;
        close_after = true;
    }
    if (status == REJECTD_OK) {
        status = authorize(request, &error);
    }
    if (status == REJECTD_OK) {
        status = limits_check(request, &error);
    }
    if (status == REJECTD_OK) {
        status = body_begin(request, &error);
    }
    if (status == REJECTD_OK) {
        status = begin_body(request, &error);
    }
    if (status == REJECTD_OK) {
        request->phase = REQUEST_BODY;
        await_body(request);
        return MHD_YES;
    }
    refuse(request, &error);
    if (close_after || request->content_length > DROPPED_BODY ||
        (request->content_length > 0 && awaits_permission(request))) {
        request->response.close = true;
        request->cut = true;
        return send_answer(request);
    }
    await_body(request);
    return MHD_YES;
}

/* All of a piece or, suspended, none of it. */
static enum MHD_Result take_streamed(struct request *request, const char *bytes, size_t *count)
{
    if (request->file != NULL && file_upload_has_room(request->file, *count)) {
        body_take(request, bytes, *count);
        file_upload_write(request->file, bytes, *count);
        *count = 0;
        return MHD_YES;
    }
    if (request->upload != NULL && upload_has_room(request->upload, *count)) {
        body_take(request, bytes, *count);
        upload_write(request->upload, bytes, *count);
        *count = 0;
        return MHD_YES;
    }
    /* The upload wakes this request exactly once, now or soon. */
    request_suspend(request);
    return MHD_YES;
}

static enum MHD_Result take_piece(struct request *request, const char *bytes, size_t *count)
{
    const bool streamed = request->upload != NULL || request->file != NULL;
    if (streamed && request->phase == REQUEST_BODY) {
        return take_streamed(request, bytes, count);
    }
    if (request->phase == REQUEST_BODY) {
        body_take(request, bytes, *count);
        buffer_append(&request->body, bytes, *count);
    }
    *count = 0;
    return MHD_YES;
}

/* Before the answer: whoever has it may go on at once with the next upload to the dataset. */
static void close_uploads(struct request *request)
{
    upload_close(request->upload);
    request->upload = NULL;
    file_upload_close(request->file);
    request->file = NULL;
}

static void work(void *context)
{
    struct request *request = context;
    request->route->handle(request, &request->response);
    close_uploads(request);
    request->phase = REQUEST_DONE;
    request_wake(request);
}

static enum MHD_Result answer(struct request *request)
{
    if (request->phase == REQUEST_REFUSED || request->phase == REQUEST_DONE) {
        return send_answer(request);
    }
    connection_enter(request->record, CONNECTION_WORKING, 0.0);
    struct rejectd_error error = {0};
    if (request->phase == REQUEST_BODY && body_check_digests(request, &error) != REJECTD_OK) {
        close_uploads(request);
        refuse(request, &error);
        return send_answer(request);
    }
    const enum route_thread thread = request->file != NULL ? ROUTE_UPLOADS : request->route->thread;
    if (thread == ROUTE_HTTP) {
        request->route->handle(request, &request->response);
        if (request->response.status != 0) {
            return send_answer(request);
        }
        request_suspend(request);
        return MHD_YES;
    }
    if (request->phase == REQUEST_BODY) {
        request->phase = REQUEST_WORKING;
        request->task = (struct executor_task){.run = work, .context = request};
        executor_submit(thread == ROUTE_UPLOADS ? request->service->uploads
                                                : request->service->commits,
                        &request->task);
    }
    request_suspend(request);
    return MHD_YES;
}

/* What libmicrohttpd calls for. After it the request may be on another thread. */
static enum MHD_Result go_on(struct request *request, const char *method, const char *version,
                             const char *bytes, size_t *count)
{
    if (request->phase == REQUEST_NEW) {
        return begin(request, method, version);
    }
    if (*count > 0) {
        const size_t before = *count;
        const enum MHD_Result result = take_piece(request, bytes, count);
        request->account.bytes_in += before - *count;
        return result;
    }
    return answer(request);
}

static enum MHD_Result access_handler(void *context, struct MHD_Connection *connection,
                                      const char *url, const char *method, const char *version,
                                      const char *upload_data, size_t *upload_data_size,
                                      void **request_context)
{
    struct http_server *server = context;
    struct request *request = *request_context;
    (void)url;
    if (request == NULL) {
        return MHD_NO;
    }
    const size_t handler = handlers_enter(&server->handlers, clock_monotonic());
    if (request->phase == REQUEST_NEW) {
        request->connection = connection;
    }
    const enum MHD_Result result = go_on(request, method, version, upload_data, upload_data_size);
    handlers_leave(&server->handlers, handler);
    return result;
}

static struct connection *record_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

/* Splits "http://host/path?query"; what has no room stays "", or is one that no host has. */
static void read_uri(struct request *request, const char *uri)
{
    const char *path = uri;
    request->uri_length = strlen(uri);
    if (strncasecmp(uri, "http://", 7) == 0 || strncasecmp(uri, "https://", 8) == 0) {
        const char *authority = strstr(uri, "//") + 2;
        const size_t length = strcspn(authority, "/?");
        if (length > 0 && length < sizeof request->authority) {
            memcpy(request->authority, authority, length);
        } else {
            request->authority[0] = '?';
        }
        path = authority + length;
    }
    const size_t length = strcspn(path, "?");
    if (length < sizeof request->path) {
        memcpy(request->path, path, length);
    }
}

/* Called first of all, with the URI as it was sent: percent-decoding could turn an id into more
 * path. */
static void *new_request(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http_server *server = context;
    struct request *request = calloc(1, sizeof *request);
    struct connection *record = record_of(connection);
    if (connection_refused(record) == CONNECTION_ACCEPTED) {
        connection_enter(record, CONNECTION_HEADERS,
                         (double)server->service->config->header_timeout);
    }
    if (request != NULL) {
        request->record = record;
        read_uri(request, uri);
        request->server = server;
        request->service = server->service;
        request_ids_make(&server->ids, request->request_id);
        request->account.method = "other"; /* until the headers are there */
        request->started = clock_monotonic();
        request->waiter.wake = wake_callback;
        request->waiter.context = request;
    }
    return request;
}

static void completed(void *context, struct MHD_Connection *connection, void **request_context,
                      enum MHD_RequestTerminationCode code)
{
    struct request *request = *request_context;
    const struct http_server *server = context;
    const struct config *config = server->service->config;
    if (request == NULL) {
        return;
    }
    if (request->cut) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        linger_add(server->linger, info->connect_fd);
    }
    account_end(request, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    /* The next one may take its time to begin, but then not to go on. */
    connection_enter(request->record, CONNECTION_IDLE,
                     (double)(config->idle_timeout + config->header_timeout));
    connections_give_memory(server->connections, request->body_memory);
    waiters_remove(request->service->waiters, &request->waiter);
    event_stream_close(request->service, request->events);
    close_uploads(request);
    buffer_free(&request->body);
    response_clear(&request->response);
    free(request);
    *request_context = NULL;
}

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

/* GnuTLS asks for the certificate. libmicrohttpd leaves its connection with the session. */
static int show_identity(gnutls_session_t session, const gnutls_datum_t *authorities,
                         int n_authorities, const gnutls_pk_algorithm_t *algorithms,
                         int n_algorithms, gnutls_pcert_st **chain, unsigned *length,
                         gnutls_privkey_t *key)
{
    struct MHD_Connection *connection = gnutls_session_get_ptr(session);
    struct connection *record = connection == NULL ? NULL : record_of(connection);
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
        flags, 0, NULL, NULL, access_handler, server, MHD_OPTION_EXTERNAL_LOGGER, log_message,
        server, MHD_OPTION_LISTEN_SOCKET, server->socket, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)config->http_threads, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(limit + limit / 4 + (size_t)config->http_threads), MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)config->idle_timeout, MHD_OPTION_URI_LOG_CALLBACK, new_request, server,
        MHD_OPTION_NOTIFY_COMPLETED, completed, server, MHD_OPTION_NOTIFY_CONNECTION,
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
