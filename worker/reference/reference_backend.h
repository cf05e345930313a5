/*
 * The definition: every operation of worker/backend.h in plain scalar float64, one thread, as
 * close to its formula as it can be written. What other backends are compared with.
 *
 * Whatever precision a session asks for, this one reckons in float64.
 */
#ifndef WORKER_REFERENCE_REFERENCE_BACKEND_H
#define WORKER_REFERENCE_REFERENCE_BACKEND_H

#include "worker/backend.h"

extern const struct backend reference_backend;

#endif
