#include "server/jobs/job_events.h"

#include <stdlib.h>

void job_events_state(struct events *events, struct store *store, const char *job)
{
    struct rejectd_error error = {0};
    struct job_view view = {0};
    if (!events_wanted(events, job) ||
        store->functions->job_get(store, job, &view, &error) != REJECTD_OK) {
        return;
    }
    char *text = job_view_to_json(&view);
    if (text != NULL) {
        events_publish(events, job, job_state_is_final(view.state) ? EVENT_END : EVENT_JOB, text);
    }
    free(text);
    job_view_clear(&view);
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
