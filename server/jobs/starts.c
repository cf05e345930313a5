#include "server/jobs/starts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"

enum {
    MOST_JOBS = 500, /* that are looked at, the next ones first */
    MOST_DEVICES = 64,
};

/* Looking takes at most one part in so many of the time. */
static const double pause_seconds = 1.0, pause_factor = 50.0;

struct start {
    char job[RESOURCE_ID_SIZE];
    int64_t at; /* milliseconds since 1970 */
};

struct starts {
    struct starts_options options;
    pthread_mutex_t lock;
    double next; /* look: clock_monotonic() */
    struct start known[MOST_JOBS];
    size_t n;
};

/* A device, and in how many seconds it is free. */
struct lane {
    const struct device_view *device;
    double free_in;
};

enum rejectd_status starts_open(const struct starts_options *options, struct starts **starts,
                                struct rejectd_error *error)
{
    struct starts *made = calloc(1, sizeof *made);
    *starts = made;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->options = *options;
    pthread_mutex_init(&made->lock, NULL);
    return REJECTD_OK;
}

void starts_close(struct starts *starts)
{
    if (starts != NULL) {
        pthread_mutex_destroy(&starts->lock);
        free(starts);
    }
}

/* As device_board.h has it: the processor takes what no GPU can. */
static bool takes(const struct lane *lane, const char *wish, bool any_gpu)
{
    const bool for_gpus = strcmp(wish, "auto") == 0 || device_wish_is_any_gpu(wish);
    if (strcmp(wish, lane->device->id) == 0) {
        return true;
    }
    return device_kind_is_gpu(lane->device->kind) ? for_gpus : for_gpus && !any_gpu;
}

/* The lane that is free first of those that take the job; NULL: none does. What a device that can't
 * be used was wished for runs on the processor. */
static struct lane *choose(struct lane *lanes, size_t n, const char *wish)
{
    struct lane *best = NULL;
    bool any_gpu = false;
    for (size_t i = 0; i < n; i++) {
        any_gpu = any_gpu || device_kind_is_gpu(lanes[i].device->kind);
    }
    for (size_t i = 0; i < n; i++) {
        if (takes(&lanes[i], wish, any_gpu) && (best == NULL || lanes[i].free_in < best->free_in)) {
            best = &lanes[i];
        }
    }
    return best != NULL || n == 0 ? best : &lanes[0];
}

static size_t make_lanes(const struct device_view *views, size_t n_views, struct lane *lanes)
{
    size_t n = 0;
    for (size_t i = 0; i < n_views && n < MOST_DEVICES; i++) {
        if (device_state_is_usable(views[i].state)) {
            lanes[n++] = (struct lane){.device = &views[i]};
        }
    }
    return n;
}

/* A job that runs keeps its device for as long as it will. */
static void occupy(const struct starts *starts, struct lane *lanes, size_t n, struct job_view *job)
{
    scheduler_show_progress(starts->options.scheduler, job);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(lanes[i].device->job, job->id) == 0) {
            lanes[i].free_in = job->seconds_left;
        }
    }
}

static void line_up(struct starts *starts, struct lane *lanes, size_t n, const struct job_view *job,
                    int64_t now)
{
    struct lane *lane = choose(lanes, n, job->device);
    if (lane == NULL) {
        return;
    }
    struct start *start = &starts->known[starts->n++];
    memcpy(start->job, job->id, sizeof start->job);
    start->at = now + (int64_t)(1e3 * (lane->free_in < 1e9 ? lane->free_in : 1e9));
    lane->free_in += forecast_seconds(starts->options.forecaster, lane->device->id, &job->needs);
}

/* Under the lock. */
static void look(struct starts *starts)
{
    const struct starts_options *options = &starts->options;
    struct rejectd_error error = {0};
    struct device_view *views = NULL;
    struct job_view *jobs = NULL;
    struct lane lanes[MOST_DEVICES];
    size_t n_views = 0, n_jobs = 0;
    const int64_t now = clock_milliseconds();
    starts->n = 0;
    if (device_board_copy(options->board, &views, &n_views, &error) == REJECTD_OK &&
        options->store->functions->queue_list(options->store, NULL, MOST_JOBS, &jobs, &n_jobs,
                                              &error) == REJECTD_OK) {
        const size_t n = make_lanes(views, n_views, lanes);
        for (size_t i = 0; i < n_jobs; i++) {
            if (jobs[i].state == JOB_STATE_RUNNING) {
                occupy(starts, lanes, n, &jobs[i]);
            } else {
                line_up(starts, lanes, n, &jobs[i], now);
            }
        }
    }
    job_list_free(jobs, n_jobs);
    free(views);
}

void starts_show(struct starts *starts, struct job_view *job)
{
    if (job->state != JOB_STATE_QUEUED) {
        return;
    }
    pthread_mutex_lock(&starts->lock);
    const double now = clock_monotonic();
    if (now >= starts->next) {
        look(starts);
        const double took = pause_factor * (clock_monotonic() - now);
        starts->next = now + (took > pause_seconds ? took : pause_seconds);
    }
    for (size_t i = 0; i < starts->n; i++) {
        if (strcmp(starts->known[i].job, job->id) == 0) {
            clock_text(starts->known[i].at, job->estimated_start);
        }
    }
    pthread_mutex_unlock(&starts->lock);
}
