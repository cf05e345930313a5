/* What listeners are told of a job. */
#ifndef SERVER_JOBS_JOB_EVENTS_H
#define SERVER_JOBS_JOB_EVENTS_H

#include "server/http/events.h"
#include "server/store/store.h"

/* Publishes the job as the store has it: its state has changed. */
void job_events_state(struct events *events, struct store *store, const char *job);
/* seconds_left 0: unknown. */
void job_events_progress(struct events *events, const char *job, const char *stage, double fraction,
                         double seconds_left);

#endif
