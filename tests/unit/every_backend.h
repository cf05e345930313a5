/*
 * Every backend that can be tested here: those of the processor, and the CUDA module's where one
 * is found: $REJECTD_CUDA_MODULE (the emulated one, in CI), or the one that was built, with a GPU.
 *
 * REJECTD_TEST_BACKENDS=cuda leaves those of the processor out: for runs that vary what only the
 * emulation takes notice of. Tests of the processor's backends alone are in the test case
 * "processor", all others in "operations", so that CK_RUN_CASE=operations leaves them out.
 */
#ifndef TESTS_UNIT_EVERY_BACKEND_H
#define TESTS_UNIT_EVERY_BACKEND_H

#include "worker/backend.h"

struct tested_backend {
    const struct backend *backend;
    struct backend_device *device; /* for backend_options */
};

/* Entry `index`; backend is NULL beyond the last. Devices stay open until the process ends. */
struct tested_backend every_backend(size_t index);

/* The CUDA backend on a device of its own with a budget (0: no limit); backend is NULL when there
 * is none. *devices is the caller's: rejectd_devices_close(). */
struct tested_backend cuda_backend_within(size_t budget, struct rejectd_devices **devices);

#endif
