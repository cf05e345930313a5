#include "server/jobs/queue_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"

enum {
    MOST_JOBS = 500,   /* that are looked at, the next ones first */
    TOLD_PLACES = 100, /* that the listeners to the queue are told of */
};

/* Looking takes at most one part in so many of the time. */
static const double pause_seconds = 1.0, pause_factor = 50.0;

struct seen {
    char id[RESOURCE_ID_SIZE];
    double fraction; /* of a running job */
};

struct queue_watch {
    struct queue_watch_options options;
    double next; /* look: clock_monotonic() */
    size_t n_queued;
    size_t n_running;
    struct seen places[MOST_JOBS]; /* queued jobs, by their place */
    size_t n_places;
    struct seen running[MOST_JOBS];
    size_t n_seen_running;
};

static const struct seen *find(const struct seen *seen, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(seen[i].id, id) == 0) {
            return &seen[i];
        }
    }
    return NULL;
}

/* Somebody who was shown the queue may have seen it as it was between two looks: then the counts
 * are told, though they are those of the last look. */
static void tell_counts(struct queue_watch *watch, const struct store_queue *queue, bool was_shown)
{
    struct queue_view view = {.n_queued = store_queue_n_queued(queue),
                              .n_running = queue->n_running};
    if (!was_shown && view.n_queued == watch->n_queued && view.n_running == watch->n_running) {
        return;
    }
    watch->n_queued = view.n_queued;
    watch->n_running = view.n_running;
    char *text = queue_to_json(&view);
    if (text != NULL) {
        events_publish_queue(watch->options.events, NULL, EVENT_QUEUE, text);
    }
    free(text);
}

/* A job that has come into the queue was told with its place then. */
static void tell_place(const struct queue_watch *watch, const struct job_view *job, size_t place)
{
    struct events *events = watch->options.events;
    const bool known = find(watch->places, watch->n_places, job->id) != NULL;
    const bool same = place < watch->n_places && strcmp(watch->places[place].id, job->id) == 0;
    if (!known || same) {
        return;
    }
    char *text = job_change_to_json(job);
    if (text != NULL && events_wanted(events, job->id)) {
        events_publish(events, job->id, EVENT_POSITION, text);
    }
    if (text != NULL && place < TOLD_PLACES) {
        events_publish_queue(events, &job->ownership, EVENT_POSITION, text);
    }
    free(text);
}

static void tell_progress(const struct queue_watch *watch, const struct job_view *job)
{
    const struct seen *seen = find(watch->running, watch->n_seen_running, job->id);
    if (job->fraction == (seen == NULL ? 0.0 : seen->fraction)) {
        return;
    }
    char *text = job_change_to_json(job);
    if (text != NULL) {
        events_publish_queue(watch->options.events, &job->ownership, EVENT_PROGRESS, text);
    }
    free(text);
}

static void remember(struct queue_watch *watch, const struct job_view *jobs, size_t n_jobs)
{
    watch->n_places = 0;
    watch->n_seen_running = 0;
    for (size_t i = 0; i < n_jobs; i++) {
        const bool runs = jobs[i].state == JOB_STATE_RUNNING;
        struct seen *seen =
            runs ? &watch->running[watch->n_seen_running++] : &watch->places[watch->n_places++];
        memcpy(seen->id, jobs[i].id, sizeof seen->id);
        seen->fraction = jobs[i].fraction;
    }
}

static void look(struct queue_watch *watch)
{
    struct store *store = watch->options.store;
    struct rejectd_error error = {0};
    struct store_queue queue;
    struct job_view *jobs = NULL;
    size_t n_jobs = 0, place = 0;
    const bool was_shown = events_queue_was_shown(watch->options.events);
    if (store->functions->queue_look(store, &queue, &error) == REJECTD_OK) {
        tell_counts(watch, &queue, was_shown);
    }
    if (store->functions->queue_list(store, NULL, MOST_JOBS, &jobs, &n_jobs, &error) !=
        REJECTD_OK) {
        return;
    }
    for (size_t i = 0; i < n_jobs; i++) {
        if (jobs[i].state == JOB_STATE_RUNNING) {
            /* One that has ended since the store was read has been told of, and is done. */
            if (scheduler_show_progress(watch->options.scheduler, &jobs[i])) {
                tell_progress(watch, &jobs[i]);
            }
        } else {
            tell_place(watch, &jobs[i], place++);
        }
    }
    remember(watch, jobs, n_jobs);
    job_list_free(jobs, n_jobs);
}

void queue_watch_tick(struct queue_watch *watch, double now)
{
    struct events *events = watch->options.events;
    if (now < watch->next || events_n_listeners(events) == 0) {
        return;
    }
    events_hold_order(events);
    look(watch);
    events_release_order(events);
    const double took = clock_monotonic() - now;
    watch->next = now + (pause_factor * took > pause_seconds ? pause_factor * took : pause_seconds);
}

enum rejectd_status queue_watch_open(const struct queue_watch_options *options,
                                     struct queue_watch **watch, struct rejectd_error *error)
{
    *watch = calloc(1, sizeof **watch);
    if (*watch == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof **watch);
    }
    (*watch)->options = *options;
    return REJECTD_OK;
}

void queue_watch_close(struct queue_watch *watch)
{
    free(watch);
}
