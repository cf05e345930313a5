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
 * Known limit: the time for headers is bounded only by the idle timeout between their bytes. Put
 * a proxy in front of a daemon that listens to the world.
 */
#include "server/http/server.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/http/admission.h"
#include "server/http/linger.h"
#include "server/http/request.h"

enum {
    CONNECTION_MEMORY = 128 << 10, /* headers, and twice the size of body pieces */
    DROPPED_BODY = 4 << 20,        /* largest body of a refused request that is read */
    BACKLOG = 128,
};

struct http_server {
    struct service *service;
    struct MHD_Daemon *daemon;
    int socket; /* -1: libmicrohttpd's */
    char url[320];
    struct http_linger *linger;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n_suspended;
    bool draining;
};

/* ---- suspending ---- */

/* When it has been woken before, libmicrohttpd is made to call again at once. */
static void suspend(struct request *request)
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
    char allow[sizeof request->response.allow];
    memcpy(allow, request->response.allow, sizeof allow);
    respond_problem(&request->response, error);
    memcpy(request->response.allow, allow, sizeof allow);
    request->phase = REQUEST_REFUSED;
}

static enum rejectd_status begin_body(struct request *request, struct rejectd_error *error)
{
    if (admission_takes_file(request)) {
        return file_upload_open(request->service, request->id, request->content_length,
                                wake_callback, request, &request->file, error);
    }
    if (request->route->body == BODY_JSON || request->route->body == BODY_DATASET ||
        request->route->body == BODY_MODEL) {
        buffer_init(&request->body, (size_t)request->service->config->max_json_bytes);
    }
    if (request->route->body == BODY_SAMPLES) {
        return upload_open(request->service, request->id, request->content_length,
                           admission_is_npy(request), wake_callback, request, &request->upload,
                           error);
    }
    return REJECTD_OK;
}

static enum MHD_Result begin(struct request *request, const char *method, const char *version)
{
    struct rejectd_error error = {0};
    bool close_after = false;
    enum rejectd_status status = admission_check(request, method, version, &close_after, &error);
    if (status == REJECTD_OK && !request_may_wait(request)) {
        status = REJECTD_FAIL(&error, REJECTD_UNAVAILABLE, "", "the service is stopping");
        close_after = true;
    }
    if (status == REJECTD_OK) {
        status = begin_body(request, &error);
    }
    if (status == REJECTD_OK) {
        request->phase = REQUEST_BODY;
        return MHD_YES;
    }
    refuse(request, &error);
    if (close_after || request->content_length > DROPPED_BODY) {
        request->response.close = true;
        request->cut = true;
        return response_queue(&request->response, request->connection);
    }
    return MHD_YES;
}

/* All of a piece or, suspended, none of it. */
static enum MHD_Result take_streamed(struct request *request, const char *bytes, size_t *count)
{
    if (request->file != NULL && file_upload_has_room(request->file, *count)) {
        file_upload_write(request->file, bytes, *count);
        *count = 0;
        return MHD_YES;
    }
    if (request->upload != NULL && upload_has_room(request->upload, *count)) {
        upload_write(request->upload, bytes, *count);
        *count = 0;
        return MHD_YES;
    }
    /* The upload wakes this request exactly once, now or soon. */
    suspend(request);
    return MHD_YES;
}

static enum MHD_Result take_piece(struct request *request, const char *bytes, size_t *count)
{
    const bool streamed = request->upload != NULL || request->file != NULL;
    if (streamed && request->phase == REQUEST_BODY) {
        return take_streamed(request, bytes, count);
    }
    const double elapsed = clock_monotonic() - request->started;
    if (elapsed > (double)request->service->config->request_timeout) {
        return MHD_NO;
    }
    if (request->phase == REQUEST_BODY) {
        buffer_append(&request->body, bytes, *count);
    }
    *count = 0;
    return MHD_YES;
}

static void work(void *context)
{
    struct request *request = context;
    request->route->handle(request, &request->response);
    request->phase = REQUEST_DONE;
    request_wake(request);
}

static enum MHD_Result answer(struct request *request)
{
    if (request->phase == REQUEST_REFUSED || request->phase == REQUEST_DONE) {
        return response_queue(&request->response, request->connection);
    }
    const enum route_thread thread = request->file != NULL ? ROUTE_UPLOADS : request->route->thread;
    if (thread == ROUTE_HTTP) {
        request->route->handle(request, &request->response);
        if (request->response.status != 0) {
            return response_queue(&request->response, request->connection);
        }
        suspend(request);
        return MHD_YES;
    }
    if (request->phase == REQUEST_BODY) {
        request->phase = REQUEST_WORKING;
        request->task = (struct executor_task){.run = work, .context = request};
        executor_submit(thread == ROUTE_UPLOADS ? request->service->uploads
                                                : request->service->commits,
                        &request->task);
    }
    suspend(request);
    return MHD_YES;
}

static enum MHD_Result access_handler(void *context, struct MHD_Connection *connection,
                                      const char *url, const char *method, const char *version,
                                      const char *upload_data, size_t *upload_data_size,
                                      void **request_context)
{
    struct request *request = *request_context;
    (void)context;
    (void)url;
    if (request == NULL) {
        return MHD_NO;
    }
    if (request->phase == REQUEST_NEW) {
        request->connection = connection;
        return begin(request, method, version);
    }
    if (*upload_data_size > 0) {
        return take_piece(request, upload_data, upload_data_size);
    }
    return answer(request);
}

/* Called first of all, with the URI as it was sent: percent-decoding could turn an id into more
 * path. */
static void *new_request(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http_server *server = context;
    struct request *request = calloc(1, sizeof *request);
    (void)connection;
    if (request != NULL) {
        const size_t length = strcspn(uri, "?");
        if (length < sizeof request->path) {
            memcpy(request->path, uri, length);
        }
        request->server = server;
        request->service = server->service;
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
    (void)code;
    if (request == NULL) {
        return;
    }
    if (request->cut) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        linger_add(server->linger, info->connect_fd);
    }
    waiters_remove(request->service->waiters, &request->waiter);
    upload_close(request->upload);
    file_upload_close(request->file);
    buffer_free(&request->body);
    response_clear(&request->response);
    free(request);
    *request_context = NULL;
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
    snprintf(server->url, sizeof server->url, "http://%s%s%s:%s", six ? "[" : "", host,
             six ? "]" : "", port_text);
    return REJECTD_OK;
}

enum rejectd_status http_start(struct service *service, struct http_server **server,
                               struct rejectd_error *error)
{
    const struct config *config = service->config;
    *server = NULL;
    struct http_server *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->service = service;
    made->socket = -1;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    enum rejectd_status status = linger_open(&made->linger, error);
    if (status == REJECTD_OK) {
        status = open_socket(made, error);
    }
    if (status == REJECTD_OK) {
        /* The logger must be the first option. */
        made->daemon = MHD_start_daemon(
            MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
            NULL, access_handler, made, MHD_OPTION_EXTERNAL_LOGGER, log_message, made,
            MHD_OPTION_LISTEN_SOCKET, made->socket, MHD_OPTION_THREAD_POOL_SIZE,
            (unsigned)config->http_threads, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
            (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)config->connection_limit, MHD_OPTION_CONNECTION_TIMEOUT,
            (unsigned)config->idle_timeout, MHD_OPTION_URI_LOG_CALLBACK, new_request, made,
            MHD_OPTION_NOTIFY_COMPLETED, completed, made, MHD_OPTION_END);
        if (made->daemon == NULL) {
            status = fail_listen(config, "the HTTP threads can't be started", error);
        }
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

void http_drain(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    const bool first = !server->draining;
    server->draining = true;
    pthread_mutex_unlock(&server->lock);
    if (first && server->daemon != NULL) {
        server->socket = MHD_quiesce_daemon(server->daemon);
        waiters_wake_all(server->service->waiters);
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
        MHD_stop_daemon(server->daemon);
    }
    linger_close(server->linger);
    if (server->socket >= 0) {
        close(server->socket);
    }
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
