#include "server/jobs/job_events.h"

#include <stdlib.h>

static void tell_job(struct events *events, const struct job_view *view)
{
    char *text = job_view_to_json(view);
    if (text != NULL) {
        const bool final = job_state_is_final(view->state);
        events_publish(events, view->id, final ? EVENT_END : EVENT_JOB, text);
    }
    free(text);
}

static void tell_queue(struct events *events, const struct job_view *view)
{
    char *text = job_summary_to_json(view);
    if (text != NULL) {
        events_publish_queue(events, &view->ownership, EVENT_JOB, text);
    }
    free(text);
}

void job_events_state(struct events *events, struct store *store, const char *job)
{
    struct rejectd_error error = {0};
    struct job_view view = {0};
    events_hold_order(events);
    const bool by_job = events_wanted(events, job);
    const bool by_queue = events_queue_wanted(events);
    if ((by_job || by_queue) &&
        store->functions->job_get(store, job, &view, &error) == REJECTD_OK) {
        if (by_job) {
            tell_job(events, &view);
        }
        if (by_queue) {
            tell_queue(events, &view);
        }
        job_view_clear(&view);
    }
    events_release_order(events);
}

void job_events_progress(struct events *events, const char *job, const char *stage, double fraction,
                         double seconds_left)
{
    if (!events_wanted(events, job)) {
        return;
    }
    char *text = job_progress_to_json(stage, fraction, seconds_left);
    if (text != NULL) {
        events_publish(events, job, EVENT_PROGRESS, text);
    }
    free(text);
}
