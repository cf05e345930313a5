/*
 * A backend that runs another one and keeps account of each step: time, and the bytes and
 * operations that the formulation of the step needs. For one benchmark process, one session.
 */
#ifndef TESTS_BENCH_TIMED_BACKEND_H
#define TESTS_BENCH_TIMED_BACKEND_H

#include "worker/backend.h"

enum timed_step_id {
    TIMED_PEAK_TO_PEAK,
    TIMED_PREDICT,
    TIMED_THRESHOLD_LOSSES,
    TIMED_INTERPOLATE,
    TIMED_LOCAL_CV,
    TIMED_STEPS
};

struct timed_step {
    int calls;
    double seconds;
    double bytes;
    double flop;
};

/* Chooses the backend to run; false when there is none of that name. */
bool timed_backend_wrap(const char *name);
const struct backend *timed_backend(void);
void timed_backend_reset(void);
const struct timed_step *timed_backend_steps(void); /* [TIMED_STEPS] */
const char *timed_step_name(int step);

#endif
