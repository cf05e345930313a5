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
 * freed by http_completed(), which libmicrohttpd never calls while it's suspended. The number of
 * suspended requests is counted: libmicrohttpd must not be stopped before it is zero.
 *
 * Time. libmicrohttpd ends only what is silent; connections.h has the deadlines, and this file
 * tells it what a connection is doing.
 */
#include <string.h>
#include <strings.h>

#include "server/clock.h"
#include "server/http/admission.h"
#include "server/http/authorize.h"
#include "server/http/conditions.h"
#include "server/http/limits.h"
#include "server/http/server_private.h"

enum { DROPPED_BODY = 4 << 20 }; /* largest body of a refused request that is read */

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

void request_wake_callback(void *request)
{
    request_wake(request);
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
        .owner = request->principal.user,
        .content_length = request->content_length,
        .coding = request->facts.coding,
        .on_room = request_wake_callback,
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
        .on_room = request_wake_callback,
        .context = request,
    };
    memcpy(options.digest, facts->repr_digest, sizeof options.digest);
    return upload_open(request->service, &options, &request->upload, &request->response.place,
                       error);
}

static enum rejectd_status begin_body(struct request *request, struct rejectd_error *error)
{
    struct ownership ignored;
    const enum body_kind kind = request->route->body;
    const bool makes = kind == BODY_DATASET || kind == BODY_MODEL;
    if (makes && request_ownership(request, &ignored, error) != REJECTD_OK) {
        return error->status;
    }
    if (admission_takes_file(request)) {
        return begin_file(request, error);
    }
    if (admission_collects(request)) {
        return begin_collecting(request, error);
    }
    return kind == BODY_SAMPLES ? begin_samples(request, error) : REJECTD_OK;
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

enum MHD_Result http_access(void *context, struct MHD_Connection *connection, const char *url,
                            const char *method, const char *version, const char *upload_data,
                            size_t *upload_data_size, void **request_context)
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

void *http_new_request(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http_server *server = context;
    struct request *request = calloc(1, sizeof *request);
    struct connection *record = http_record_of(connection);
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
        request->waiter.wake = request_wake_callback;
        request->waiter.context = request;
    }
    return request;
}

void http_completed(void *context, struct MHD_Connection *connection, void **request_context,
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
