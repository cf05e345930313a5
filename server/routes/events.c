/*
 * GET /v1/jobs/{id}/events and GET /v1/events: server-sent events.
 *
 * The body is made as it is sent: the listener's next event, or, after a gap (which is how a stream
 * without Last-Event-ID begins), the job or the queue as it is now. When there is nothing the
 * connection is suspended; a publication, the heartbeat or the daemon's end wakes it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "server/clock.h"
#include "server/http/authorize.h"
#include "server/http/request.h"

enum {
    MOST_EVENT_BYTES = 64 << 20,
    SHOWN_JOBS = 100, /* of the queue */
};

struct event_stream {
    struct listener *listener;
    char *pending; /* owned; what is to be sent, from `sent` on */
    size_t length;
    size_t sent;
    double due;   /* of the heartbeat */
    double check; /* when to see whether the listener may still listen */
    bool over;    /* after what is pending */
};

void event_stream_close(struct service *service, struct event_stream *stream)
{
    if (stream != NULL) {
        events_leave(service->events, stream->listener);
        free(stream->pending);
        free(stream);
    }
}

static void set_pending(struct event_stream *stream, char *text)
{
    free(stream->pending);
    stream->pending = text;
    stream->length = text == NULL ? 0 : strlen(text);
    stream->sent = 0;
    /* A listener that can't be told what happened is to come again. */
    stream->over = stream->over || text == NULL;
}

static char *format_event(uint64_t id, enum event_kind kind, const char *data)
{
    static const char *const names[] = {
        [EVENT_JOB] = "job",     [EVENT_PROGRESS] = "progress", [EVENT_POSITION] = "position",
        [EVENT_QUEUE] = "queue", [EVENT_END] = "end",
    };
    struct buffer text;
    buffer_init(&text, MOST_EVENT_BYTES);
    buffer_append_format(&text, "id: %llu\nevent: %s\ndata: ", (unsigned long long)id, names[kind]);
    for (const char *at = data; *at != '\0';) {
        const size_t length = strcspn(at, "\r\n");
        buffer_append(&text, at, length);
        at += length;
        if (*at != '\0') {
            buffer_append_text(&text, " ");
            at++;
        }
    }
    buffer_append_text(&text, "\n\n");
    return buffer_take(&text, NULL);
}

static char *show_job(struct request *request, uint64_t id, bool *final)
{
    struct rejectd_error error = {0};
    struct job_view job = {0};
    char *text = NULL;
    if (job_look_at(request->service, request->id, &job, &error) == REJECTD_OK) {
        char *json = job_view_to_json(&job);
        *final = job_state_is_final(job.state);
        text = json == NULL ? NULL : format_event(id, *final ? EVENT_END : EVENT_JOB, json);
        free(json);
    }
    job_view_clear(&job);
    return text;
}

/* The jobs that the listener sees; the totals are of all. */
static char *show_queue(const struct request *request, uint64_t id)
{
    struct service *service = request->service;
    struct store *store = service->store;
    struct rejectd_error error = {0};
    struct store_viewer viewer;
    struct store_queue queue;
    struct job_view *jobs = NULL;
    size_t n_jobs = 0;
    char *text = NULL;
    if (store->functions->queue_look(store, &queue, &error) != REJECTD_OK ||
        store->functions->queue_list(store, principal_viewer(&request->principal, &viewer),
                                     SHOWN_JOBS, &jobs, &n_jobs, &error) != REJECTD_OK) {
        return NULL;
    }
    struct job_view none = {0};
    struct queue_view view = {
        .n_queued = store_queue_n_queued(&queue),
        .n_running = queue.n_running,
        .jobs = n_jobs == 0 ? &none : jobs,
        .n_jobs = n_jobs,
    };
    for (size_t i = 0; i < n_jobs; i++) {
        scheduler_show_progress(service->scheduler, &jobs[i]);
    }
    char *json = queue_to_json(&view);
    text = json == NULL ? NULL : format_event(id, EVENT_QUEUE, json);
    free(json);
    job_list_free(jobs, n_jobs);
    return text;
}

static bool is_of_queue(const struct request *request)
{
    return request->id[0] == '\0';
}

/* Tokens are revoked, and jobs hidden, while somebody listens. */
static bool may_listen(const struct request *request)
{
    struct event_stream *stream = request->events;
    struct rejectd_error error = {0};
    const double now = clock_monotonic();
    if (now < stream->check) {
        return true;
    }
    stream->check = now + (double)request->service->config->event_heartbeat;
    const enum rejectd_status status = authorize_again(request, &error);
    return status != REJECTD_UNAUTHENTICATED && status != REJECTD_NOT_FOUND;
}

/* Makes something pending, or ends the stream; false when there is nothing yet. */
static bool go_on(struct request *request)
{
    struct event_stream *stream = request->events;
    enum event_kind kind = EVENT_JOB;
    uint64_t id = 0;
    char *data = NULL;
    bool final = false;
    if (!may_listen(request)) {
        stream->over = true;
        return true;
    }
    switch (events_next(request->service->events, stream->listener, &id, &kind, &data)) {
    case EVENTS_EVENT:
        set_pending(stream, format_event(id, kind, data));
        stream->over = stream->over || kind == EVENT_END;
        free(data);
        return true;
    case EVENTS_GAP:
        set_pending(stream,
                    is_of_queue(request) ? show_queue(request, id) : show_job(request, id, &final));
        stream->over = stream->over || final;
        return true;
    case EVENTS_OVER:
        stream->over = true;
        return true;
    case EVENTS_NONE:
        break;
    }
    if (!request_may_wait(request)) {
        set_pending(stream, strdup(": the service is stopping\n\n"));
        stream->over = true;
        return true;
    }
    if (clock_monotonic() >= stream->due) {
        set_pending(stream, strdup(":\n\n"));
        return true;
    }
    return false;
}

static size_t stream_read(void *context, uint64_t position, char *out, size_t most)
{
    struct request *request = context;
    struct event_stream *stream = request->events;
    (void)position;
    while (stream->sent == stream->length) {
        if (stream->over) {
            return RESPONSE_STREAM_END;
        }
        if (!go_on(request)) {
            request_suspend(request);
            return 0;
        }
        stream->due = clock_monotonic() + (double)request->service->config->event_heartbeat;
        events_set_due(request->service->events, stream->listener, stream->due);
    }
    const size_t left = stream->length - stream->sent;
    const size_t count = left < most ? left : most;
    memcpy(out, stream->pending + stream->sent, count);
    stream->sent += count;
    return count;
}

/* The stream is the request's, whose end libmicrohttpd may tell before or after the response's. */
static void leave_it(void *context)
{
    (void)context;
}

static enum rejectd_status read_last(const struct request *request, uint64_t *last,
                                     struct rejectd_error *error)
{
    const char *text = request_header(request, "Last-Event-ID");
    *last = 0;
    if (text == NULL || text[0] == '\0') {
        return REJECTD_OK;
    }
    const size_t length = strlen(text);
    if (length > 19 || strspn(text, "0123456789") != length) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "Last-Event-ID",
                            "Last-Event-ID is \"%.40s\"; accepted: the id of an event", text);
    }
    *last = strtoull(text, NULL, 10);
    return REJECTD_OK;
}

/* Decides who is told of a job in the queue. */
static bool may_see(void *context, const struct ownership *ownership)
{
    const struct request *request = context;
    return principal_sees(&request->principal, ownership);
}

static enum rejectd_status open_stream(struct request *request, struct rejectd_error *error)
{
    static const char hello[] = "retry: 1000\n\n";
    uint64_t last = 0;
    struct event_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *stream);
    }
    request->events = stream;
    stream->check = clock_monotonic() + (double)request->service->config->event_heartbeat;
    set_pending(stream, strdup(hello));
    enum rejectd_status status = read_last(request, &last, error);
    if (status == REJECTD_OK) {
        struct events *events = request->service->events;
        status = is_of_queue(request)
                     ? events_join_queue(events, last, request_wake_callback, may_see, request,
                                         &stream->listener, error)
                     : events_join(events, request->id, last, request_wake_callback, request,
                                   &stream->listener, error);
    }
    return status;
}

/* The id may be that of something else. */
static enum rejectd_status check_job(const struct request *request, bool *final,
                                     struct rejectd_error *error)
{
    struct store *store = request->service->store;
    struct job_view job = {0};
    const enum rejectd_status status = store->functions->job_get(store, request->id, &job, error);
    *final = status == REJECTD_OK && job_state_is_final(job.state);
    job_view_clear(&job);
    return status;
}

void send_events(struct request *request, struct response *response)
{
    const struct response_stream stream = {
        .read = stream_read, .close = leave_it, .context = request, .bytes = MHD_SIZE_UNKNOWN};
    struct rejectd_error error = {0};
    bool final = false;
    enum rejectd_status status =
        is_of_queue(request) ? REJECTD_OK : check_job(request, &final, &error);
    if (status == REJECTD_OK) {
        status = open_stream(request, &error);
    }
    if (status == REJECTD_OK && final) {
        events_begin_ended(request->service->events, request->events->listener);
    }
    if (status != REJECTD_OK) {
        respond_problem(response, &error);
        return;
    }
    if (events_are_over(request->service->events, request->events->listener)) {
        respond_nothing(response); /* which tells EventSource not to come again */
        return;
    }
    request->account.waits = true;
    respond_stream(response, "text/event-stream", &stream);
}
