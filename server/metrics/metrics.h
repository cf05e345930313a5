/*
 * What the daemon counts as it goes: requests and jobs.
 *
 * Figures that somebody else knows anyway (the store, the devices, the disk, the process) are not
 * kept here but asked for when /metrics is (collect.h). Counting a request takes a handful of
 * atomic additions. All functions but open and close may be called by any thread.
 */
#ifndef SERVER_METRICS_METRICS_H
#define SERVER_METRICS_METRICS_H

#include <rejectd/error.h>

#include "base/buffer.h"
#include "protocol/resource_json.h"

struct metrics;

/* A route as figures name it; the texts are static. */
struct metrics_route {
    const char *method;
    const char *path;
};

/* A request that is over. */
struct metrics_request {
    size_t route;       /* index, or n_routes: it matched none */
    bool is_head;       /* of a route with GET */
    int status;         /* 0: it went away without an answer */
    double seconds;     /* negative: not timed, because it waited for something on purpose */
    uint64_t bytes_in;  /* of the body */
    uint64_t bytes_out; /* likewise */
};

/* *metrics is owned by the caller: metrics_close(). routes is copied. */
enum rejectd_status metrics_open(const struct metrics_route *routes, size_t n_routes,
                                 struct metrics **metrics, struct rejectd_error *error);
void metrics_close(struct metrics *metrics); /* NULL is allowed */

void metrics_count_request(struct metrics *metrics, const struct metrics_request *request);

/* A job was claimed, after so many seconds in the queue. */
void metrics_count_claim(struct metrics *metrics, int priority, double seconds_queued);
/* A job has reached a final state. device: that had it; NULL: it never ran. */
void metrics_count_job(struct metrics *metrics, enum job_type type, enum job_state state,
                       const char *device, double seconds);

/* Appends all of it (metrics/text.h). */
void metrics_write(struct metrics *metrics, struct buffer *text);

#endif
