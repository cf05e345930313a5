/* Turns the progress of single backend calls into that of a whole fit. */
#ifndef WORKER_ALGORITHM_PROGRESS_H
#define WORKER_ALGORITHM_PROGRESS_H

#include "worker/backend.h"

/* Where in the whole call the current step lies. */
struct progress {
    const struct rejectd_monitor *monitor;
    const char *stage;
    double start; /* fraction of the whole call done before this step */
    double share; /* fraction of the whole call that this step is */
    double told;  /* largest fraction told so far */
    /* The whole of one channel type lies at part_start .. part_start + part_share of the call;
     * a share of 0 means that there are no parts. */
    double part_start;
    double part_share;
};

/* One part of the call begins: from now on steps are fractions of it. */
void progress_part(struct progress *progress, double start, double share);

/* A step begins: fractions 0..1 of it are told as start..start+share. */
void progress_step(struct progress *progress, const char *stage, double start, double share);

/* Tells a fraction of the current step; false: the caller of the library wants to stop. */
bool progress_advance(void *progress, double fraction);

/* The form in which a backend takes it. */
struct backend_progress progress_for_backend(struct progress *progress);

#endif
