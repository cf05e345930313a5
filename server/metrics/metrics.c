#include "server/metrics/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/devices/device_list.h"
#include "server/metrics/text.h"

/* What the service answers; anything else counts as "other". */
static const int statuses[] = {200, 201, 202, 204, 206, 304, 400, 401, 403, 404,
                               405, 408, 409, 411, 412, 413, 415, 416, 417, 422,
                               428, 429, 431, 500, 501, 502, 503, 507, 0};

enum {
    N_STATUSES = sizeof statuses / sizeof statuses[0] + 1, /* the last: other */
    N_PRIORITIES = 2 * JOB_MAX_PRIORITY + 1,
    MOST_DEVICES = DEVICE_LIST_MOST + 1,
};

static const struct metric_bounds request_bounds = {
    14, {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60}};
static const struct metric_bounds job_bounds = {
    14, {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800}};
static const struct metric_bounds wait_bounds = {
    14, {0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1800, 3600, 14400, 86400}};

/* Of a route, by GET's two faces. */
struct route_figures {
    struct metric_counter by_status[2][N_STATUSES];
    struct metric_histogram seconds[2];
    struct metric_counter bytes_in;
    struct metric_counter bytes_out;
};

struct device_figures {
    char id[32];
    struct metric_histogram seconds[JOB_TYPE_COUNT]; /* of jobs that succeeded */
};

struct metrics {
    size_t n_routes;
    struct metrics_route *routes;   /* [n_routes], owned */
    struct route_figures *by_route; /* [n_routes + 1], owned; the last: no route */
    struct metric_counter ended[JOB_TYPE_COUNT][JOB_STATE_COUNT];
    struct metric_histogram waits[N_PRIORITIES];
    pthread_mutex_t lock; /* of the list of devices */
    size_t n_devices;
    struct device_figures devices[MOST_DEVICES];
};

enum rejectd_status metrics_open(const struct metrics_route *routes, size_t n_routes,
                                 struct metrics **metrics, struct rejectd_error *error)
{
    *metrics = NULL;
    struct metrics *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    pthread_mutex_init(&made->lock, NULL);
    made->n_routes = n_routes;
    made->routes = calloc(n_routes + 1, sizeof *made->routes);
    made->by_route = calloc(n_routes + 1, sizeof *made->by_route);
    if (made->routes == NULL || made->by_route == NULL) {
        metrics_close(made);
        return REJECTD_FAIL_MEMORY(error, (n_routes + 1) * sizeof *made->by_route);
    }
    memcpy(made->routes, routes, n_routes * sizeof *routes);
    *metrics = made;
    return REJECTD_OK;
}

void metrics_close(struct metrics *metrics)
{
    if (metrics != NULL) {
        pthread_mutex_destroy(&metrics->lock);
        free(metrics->routes);
        free(metrics->by_route);
        free(metrics);
    }
}

/* ---- counting ---- */

static size_t status_slot(int status)
{
    size_t slot = 0;
    while (slot < N_STATUSES - 1 && statuses[slot] != status) {
        slot++;
    }
    return slot;
}

void metrics_count_request(struct metrics *metrics, const struct metrics_request *request)
{
    const size_t route = request->route < metrics->n_routes ? request->route : metrics->n_routes;
    const int head = route < metrics->n_routes && request->is_head;
    struct route_figures *figures = &metrics->by_route[route];
    metric_add(&figures->by_status[head][status_slot(request->status)], 1);
    if (request->seconds >= 0.0) {
        metric_observe(&figures->seconds[head], &request_bounds, request->seconds);
    }
    if (request->bytes_in > 0) {
        metric_add(&figures->bytes_in, request->bytes_in);
    }
    if (request->bytes_out > 0) {
        metric_add(&figures->bytes_out, request->bytes_out);
    }
}

void metrics_count_claim(struct metrics *metrics, int priority, double seconds_queued)
{
    const int slot = priority + JOB_MAX_PRIORITY;
    if (slot >= 0 && slot < N_PRIORITIES) {
        metric_observe(&metrics->waits[slot], &wait_bounds, seconds_queued);
    }
}

/* NULL: more devices than there can be. */
static struct device_figures *find_device(struct metrics *metrics, const char *id)
{
    struct device_figures *found = NULL;
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->n_devices && found == NULL; i++) {
        found = strcmp(metrics->devices[i].id, id) == 0 ? &metrics->devices[i] : NULL;
    }
    if (found == NULL && metrics->n_devices < MOST_DEVICES) {
        found = &metrics->devices[metrics->n_devices++];
        snprintf(found->id, sizeof found->id, "%s", id);
    }
    pthread_mutex_unlock(&metrics->lock);
    return found;
}

void metrics_count_job(struct metrics *metrics, enum job_type type, enum job_state state,
                       const char *device, double seconds)
{
    metric_add(&metrics->ended[type][state], 1);
    if (device != NULL && state == JOB_STATE_SUCCEEDED) {
        struct device_figures *figures = find_device(metrics, device);
        if (figures != NULL) {
            metric_observe(&figures->seconds[type], &job_bounds, seconds);
        }
    }
}

/* ---- writing ---- */

static const char *method_of(const struct metrics *metrics, size_t route, int head)
{
    if (route == metrics->n_routes) {
        return "other";
    }
    return head ? "HEAD" : metrics->routes[route].method;
}

static const char *path_of(const struct metrics *metrics, size_t route)
{
    return route == metrics->n_routes ? "unmatched" : metrics->routes[route].path;
}

static void write_counts(const struct metrics *metrics, struct buffer *text)
{
    static const char name[] = "rejectd_http_requests_total";
    metric_text_family(text, name, METRIC_COUNTER,
                       "Requests that are over, by route, method and status (none: it went away).");
    for (size_t r = 0; r <= metrics->n_routes; r++) {
        for (size_t i = 0; i < (size_t)2 * N_STATUSES; i++) {
            const int head = (int)(i / N_STATUSES);
            const size_t slot = i % N_STATUSES;
            const uint64_t n = metric_value(&metrics->by_route[r].by_status[head][slot]);
            char status[16] = "other";
            if (n == 0) {
                continue;
            }
            if (slot < N_STATUSES - 1) {
                snprintf(status, sizeof status, "%d", statuses[slot]);
            }
            const struct metric_label labels[] = {
                {"route", path_of(metrics, r)},
                {"method", method_of(metrics, r, head)},
                {"status", strcmp(status, "0") == 0 ? "none" : status},
            };
            metric_text_sample(text, name, labels, 3, (double)n);
        }
    }
}

static void write_seconds(const struct metrics *metrics, struct buffer *text)
{
    static const char name[] = "rejectd_http_request_duration_seconds";
    metric_text_family(text, name, METRIC_HISTOGRAM,
                       "From the headers to the end of the answer; without those who wait.");
    for (size_t r = 0; r <= metrics->n_routes; r++) {
        for (int head = 0; head < 2; head++) {
            const struct metric_histogram *seconds = &metrics->by_route[r].seconds[head];
            const struct metric_label labels[] = {
                {"route", path_of(metrics, r)},
                {"method", method_of(metrics, r, head)},
            };
            if (metric_observed(seconds) > 0) {
                metric_text_histogram(text, name, labels, 2, &request_bounds, seconds);
            }
        }
    }
}

static void write_bytes(const struct metrics *metrics, struct buffer *text)
{
    static const char *const names[] = {"rejectd_http_request_body_bytes_total",
                                        "rejectd_http_response_body_bytes_total"};
    static const char *const helps[] = {"Bytes of request bodies that came.",
                                        "Bytes of answers that were sent whole."};
    for (int out = 0; out < 2; out++) {
        metric_text_family(text, names[out], METRIC_COUNTER, helps[out]);
        for (size_t r = 0; r <= metrics->n_routes; r++) {
            const struct route_figures *figures = &metrics->by_route[r];
            const uint64_t n = metric_value(out ? &figures->bytes_out : &figures->bytes_in);
            const struct metric_label labels[] = {
                {"route", path_of(metrics, r)},
                {"method", method_of(metrics, r, 0)},
            };
            if (n > 0) {
                metric_text_sample(text, names[out], labels, 2, (double)n);
            }
        }
    }
}

/* Zeros are told, too: a rate needs the sample before the first event. */
static void write_ended(const struct metrics *metrics, struct buffer *text)
{
    static const char name[] = "rejectd_jobs_finished_total";
    metric_text_family(text, name, METRIC_COUNTER, "Jobs that ended, by type and final state.");
    for (int type = 0; type < JOB_TYPE_COUNT; type++) {
        for (int state = 0; state < JOB_STATE_COUNT; state++) {
            const struct metric_label labels[] = {
                {"type", job_type_name((enum job_type)type)},
                {"state", job_state_name((enum job_state)state)},
            };
            if (job_state_is_final((enum job_state)state)) {
                metric_text_sample(text, name, labels, 2,
                                   (double)metric_value(&metrics->ended[type][state]));
            }
        }
    }
}

static void write_waits(const struct metrics *metrics, struct buffer *text)
{
    static const char name[] = "rejectd_job_queue_wait_seconds";
    metric_text_family(text, name, METRIC_HISTOGRAM,
                       "From a job's creation to its claim, by priority.");
    for (int slot = 0; slot < N_PRIORITIES; slot++) {
        char priority[16];
        snprintf(priority, sizeof priority, "%d", slot - JOB_MAX_PRIORITY);
        const struct metric_label label = {"priority", priority};
        if (metric_observed(&metrics->waits[slot]) > 0) {
            metric_text_histogram(text, name, &label, 1, &wait_bounds, &metrics->waits[slot]);
        }
    }
}

static void write_durations(struct metrics *metrics, struct buffer *text)
{
    static const char name[] = "rejectd_job_duration_seconds";
    pthread_mutex_lock(&metrics->lock);
    const size_t n_devices = metrics->n_devices;
    pthread_mutex_unlock(&metrics->lock);
    metric_text_family(text, name, METRIC_HISTOGRAM,
                       "From the claim to the committed result of jobs that succeeded.");
    for (size_t d = 0; d < n_devices; d++) {
        for (int type = 0; type < JOB_TYPE_COUNT; type++) {
            const struct device_figures *device = &metrics->devices[d];
            const struct metric_label labels[] = {
                {"type", job_type_name((enum job_type)type)},
                {"device", device->id},
            };
            if (metric_observed(&device->seconds[type]) > 0) {
                metric_text_histogram(text, name, labels, 2, &job_bounds, &device->seconds[type]);
            }
        }
    }
}

void metrics_write(struct metrics *metrics, struct buffer *text)
{
    write_counts(metrics, text);
    write_seconds(metrics, text);
    write_bytes(metrics, text);
    write_ended(metrics, text);
    write_waits(metrics, text);
    write_durations(metrics, text);
}
