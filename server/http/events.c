#include "server/http/events.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char queue_name[] = ""; /* in place of a job */

enum {
    N_BUCKETS = 1024,
    MOST_LOGS = 4096,
    MOST_BYTES = 32 << 20, /* of text, in all logs */
};

struct event {
    uint64_t id;
    enum event_kind kind;
    size_t bytes;
    char *text;         /* owned */
    bool has_ownership; /* else everybody may know of it */
    struct ownership ownership;
};

/* Events of a job, or of the queue: a ring. */
struct event_log {
    char job[RESOURCE_ID_SIZE];
    size_t kept;
    size_t kept_bytes;
    size_t first;
    size_t n;
    size_t bytes;
    uint64_t known_after; /* all later events are in the ring */
    bool ended;
    struct listener *listeners;
    struct event_log *next;      /* a younger one */
    struct event_log *same_hash; /* another one in its bucket */
    struct event ring[];         /* [kept] */
};

struct listener {
    struct event_log *log;
    uint64_t last;
    double due;
    void (*wake)(void *context);
    bool (*sees)(void *context, const struct ownership *ownership); /* NULL: everything */
    void *context;
    struct listener *next;
    struct listener **link;
};

struct events {
    pthread_mutex_t order;
    pthread_mutex_t lock;
    uint64_t last_id;
    size_t most_listeners;
    size_t n_listeners;
    bool queue_was_shown;
    struct event_log *oldest;
    size_t n_logs;
    size_t bytes;
    struct event_log *buckets[N_BUCKETS];
};

/* ---- logs, under the lock ---- */

static void drop_first(struct events *events, struct event_log *log)
{
    struct event *event = &log->ring[log->first];
    log->known_after = event->id;
    log->bytes -= event->bytes;
    events->bytes -= event->bytes;
    free(event->text);
    *event = (struct event){0};
    log->first = (log->first + 1) % log->kept;
    log->n--;
}

static struct event_log **bucket_of(struct events *events, const char *job)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = job; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    }
    return &events->buckets[hash % N_BUCKETS];
}

static void remove_log(struct events *events, struct event_log **link)
{
    struct event_log *log = *link;
    struct event_log **hashed = bucket_of(events, log->job);
    while (*hashed != log) {
        hashed = &(*hashed)->same_hash;
    }
    *hashed = log->same_hash;
    while (log->n > 0) {
        drop_first(events, log);
    }
    *link = log->next;
    events->n_logs--;
    free(log);
}

/* A log with a listener stays, so there may be as many as there may be listeners. */
static void make_room(struct events *events, const struct event_log *spared)
{
    struct event_log **link = &events->oldest;
    while (*link != NULL && (events->n_logs > MOST_LOGS || events->bytes > MOST_BYTES)) {
        if ((*link)->listeners == NULL && *link != spared) {
            remove_log(events, link);
        } else {
            link = &(*link)->next;
        }
    }
}

static struct event_log *find_log(struct events *events, const char *job)
{
    struct event_log *log = *bucket_of(events, job);
    while (log != NULL && strcmp(log->job, job) != 0) {
        log = log->same_hash;
    }
    return log;
}

static struct event_log *find_or_add_log(struct events *events, const char *job)
{
    struct event_log *log = find_log(events, job);
    if (log != NULL) {
        return log;
    }
    const bool is_queue = job == queue_name;
    const size_t kept = is_queue ? EVENTS_QUEUE_KEPT : EVENTS_KEPT;
    log = calloc(1, sizeof *log + kept * sizeof log->ring[0]);
    if (log == NULL) {
        return NULL;
    }
    log->kept = kept;
    log->kept_bytes = is_queue ? EVENTS_QUEUE_BYTES : EVENTS_JOB_BYTES;
    log->same_hash = *bucket_of(events, job);
    *bucket_of(events, job) = log;
    strncpy(log->job, job, sizeof log->job - 1);
    log->known_after = events->last_id;
    struct event_log **link = &events->oldest;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = log;
    events->n_logs++;
    make_room(events, log);
    return log;
}

static void wake_listeners(const struct event_log *log, double now)
{
    for (struct listener *listener = log->listeners; listener != NULL; listener = listener->next) {
        if (listener->due <= now) {
            listener->wake(listener->context);
        }
    }
}

static void wake_before(struct events *events, double now)
{
    pthread_mutex_lock(&events->lock);
    for (struct event_log *log = events->oldest; log != NULL; log = log->next) {
        wake_listeners(log, now);
    }
    pthread_mutex_unlock(&events->lock);
}

/* ---- for publishers ---- */

enum rejectd_status events_open(uint64_t first_id, size_t most_listeners, struct events **events,
                                struct rejectd_error *error)
{
    struct events *made = calloc(1, sizeof *made);
    *events = made;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->last_id = first_id;
    made->most_listeners = most_listeners;
    pthread_mutex_init(&made->order, NULL);
    pthread_mutex_init(&made->lock, NULL);
    return REJECTD_OK;
}

void events_close(struct events *events)
{
    if (events == NULL) {
        return;
    }
    while (events->oldest != NULL) {
        remove_log(events, &events->oldest);
    }
    pthread_mutex_destroy(&events->lock);
    pthread_mutex_destroy(&events->order);
    free(events);
}

void events_hold_order(struct events *events)
{
    pthread_mutex_lock(&events->order);
}

void events_release_order(struct events *events)
{
    pthread_mutex_unlock(&events->order);
}

bool events_wanted(struct events *events, const char *job)
{
    pthread_mutex_lock(&events->lock);
    const bool wanted = find_log(events, job) != NULL;
    pthread_mutex_unlock(&events->lock);
    return wanted;
}

bool events_queue_wanted(struct events *events)
{
    return events_wanted(events, queue_name);
}

static char *copy_line(const char *text)
{
    char *line = strdup(text);
    for (char *at = line; at != NULL && *at != '\0'; at++) {
        if (*at == '\n' || *at == '\r') {
            *at = ' ';
        }
    }
    return line;
}

static void append(struct events *events, struct event_log *log, enum event_kind kind,
                   const struct ownership *ownership, char *text)
{
    const size_t bytes = strlen(text);
    while (log->n == log->kept || (log->n > 0 && log->bytes > log->kept_bytes)) {
        drop_first(events, log);
    }
    struct event *event = &log->ring[(log->first + log->n) % log->kept];
    *event = (struct event){.id = events->last_id, .kind = kind, .bytes = bytes, .text = text};
    if (ownership != NULL) {
        event->has_ownership = true;
        event->ownership = *ownership;
    }
    log->n++;
    log->bytes += bytes;
    events->bytes += bytes;
    make_room(events, log);
}

static void publish(struct events *events, const char *job, const struct ownership *ownership,
                    enum event_kind kind, const char *text)
{
    char *line = copy_line(text);
    pthread_mutex_lock(&events->lock);
    struct event_log *log = find_log(events, job);
    if (log != NULL) {
        events->last_id++;
        log->ended = log->ended || kind == EVENT_END;
        if (line != NULL) {
            append(events, log, kind, ownership, line);
            line = NULL;
        } else {
            while (log->n > 0) {
                drop_first(events, log);
            }
            log->known_after = events->last_id;
        }
        wake_listeners(log, __builtin_inf());
    }
    pthread_mutex_unlock(&events->lock);
    free(line);
}

void events_publish(struct events *events, const char *job, enum event_kind kind, const char *text)
{
    publish(events, job, NULL, kind, text);
}

void events_publish_queue(struct events *events, const struct ownership *ownership,
                          enum event_kind kind, const char *text)
{
    publish(events, queue_name, ownership, kind, text);
}

/* ---- for listeners ---- */

/* `like` says who listens. */
static enum rejectd_status join(struct events *events, const char *job, const struct listener *like,
                                struct listener **listener, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    struct listener *made = malloc(sizeof *made);
    *listener = NULL;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    *made = *like;
    pthread_mutex_lock(&events->lock);
    if (events->n_listeners >= events->most_listeners) {
        status = REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "",
                              "%zu clients listen to events already; try again soon",
                              events->n_listeners);
    } else if ((made->log = find_or_add_log(events, job)) == NULL) {
        status = REJECTD_FAIL_MEMORY(error, sizeof *made->log);
    } else {
        made->due = __builtin_inf();
        made->next = made->log->listeners;
        made->link = &made->log->listeners;
        if (made->next != NULL) {
            made->next->link = &made->next;
        }
        made->log->listeners = made;
        events->n_listeners++;
    }
    pthread_mutex_unlock(&events->lock);
    if (status != REJECTD_OK) {
        free(made);
        return status;
    }
    *listener = made;
    return REJECTD_OK;
}

enum rejectd_status events_join(struct events *events, const char *job, uint64_t last,
                                void (*wake)(void *context), void *context,
                                struct listener **listener, struct rejectd_error *error)
{
    const struct listener like = {.last = last, .wake = wake, .context = context};
    return join(events, job, &like, listener, error);
}

enum rejectd_status
events_join_queue(struct events *events, uint64_t last, void (*wake)(void *context),
                  bool (*sees)(void *context, const struct ownership *ownership), void *context,
                  struct listener **listener, struct rejectd_error *error)
{
    const struct listener like = {.last = last, .wake = wake, .sees = sees, .context = context};
    return join(events, queue_name, &like, listener, error);
}

/* Where there are events or others who listen, the end is among the events, or about to be. */
void events_begin_ended(struct events *events, struct listener *listener)
{
    pthread_mutex_lock(&events->lock);
    struct event_log *log = listener->log;
    if (!log->ended && log->n == 0 && log->listeners == listener && listener->next == NULL) {
        log->ended = true;
        listener->last = 0;
    }
    pthread_mutex_unlock(&events->lock);
}

void events_leave(struct events *events, struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    pthread_mutex_lock(&events->lock);
    *listener->link = listener->next;
    if (listener->next != NULL) {
        listener->next->link = listener->link;
    }
    events->n_listeners--;
    make_room(events, NULL);
    pthread_mutex_unlock(&events->lock);
    free(listener);
}

static const struct event *event_at(const struct event_log *log, size_t i)
{
    return &log->ring[(log->first + i) % log->kept];
}

/* The next event that the listener sees; what it doesn't see is behind it then. */
static const struct event *next_event(struct listener *listener)
{
    const struct event_log *log = listener->log;
    size_t from = 0, to = log->n;
    while (from < to) {
        const size_t middle = (from + to) / 2;
        if (event_at(log, middle)->id <= listener->last) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    for (; from < log->n; from++) {
        const struct event *event = event_at(log, from);
        if (listener->sees == NULL || !event->has_ownership ||
            listener->sees(listener->context, &event->ownership)) {
            return event;
        }
        listener->last = event->id;
    }
    return NULL;
}

/* Whether all that came after the listener's last event is known; locked. */
static bool is_continuous(const struct events *events, const struct listener *listener)
{
    return listener->last >= listener->log->known_after && listener->last <= events->last_id;
}

enum events_next events_next(struct events *events, struct listener *listener, uint64_t *id,
                             enum event_kind *kind, char **text)
{
    enum events_next next = EVENTS_GAP;
    *text = NULL;
    pthread_mutex_lock(&events->lock);
    const struct event_log *log = listener->log;
    if (is_continuous(events, listener)) {
        const struct event *event = next_event(listener);
        if (event == NULL) {
            next = log->ended ? EVENTS_OVER : EVENTS_NONE;
        } else if ((*text = strdup(event->text)) != NULL) {
            next = EVENTS_EVENT;
            *kind = event->kind;
            listener->last = event->id;
        }
    }
    if (next == EVENTS_GAP) {
        listener->last = events->last_id;
        events->queue_was_shown = events->queue_was_shown || log->job[0] == '\0';
    }
    *id = listener->last;
    pthread_mutex_unlock(&events->lock);
    return next;
}

bool events_queue_was_shown(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    const bool shown = events->queue_was_shown;
    events->queue_was_shown = false;
    pthread_mutex_unlock(&events->lock);
    return shown;
}

bool events_are_over(struct events *events, struct listener *listener)
{
    pthread_mutex_lock(&events->lock);
    const bool over =
        is_continuous(events, listener) && listener->log->ended && next_event(listener) == NULL;
    pthread_mutex_unlock(&events->lock);
    return over;
}

void events_set_due(struct events *events, struct listener *listener, double due)
{
    pthread_mutex_lock(&events->lock);
    listener->due = due;
    pthread_mutex_unlock(&events->lock);
}

void events_wake_due(struct events *events, double now)
{
    wake_before(events, now);
}

void events_wake_all(struct events *events)
{
    wake_before(events, __builtin_inf());
}

size_t events_n_listeners(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    const size_t n = events->n_listeners;
    pthread_mutex_unlock(&events->lock);
    return n;
}
