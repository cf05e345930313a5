/*
 * What a task will need, told before it runs and without looking at a sample: memory of the host,
 * memory of a GPU, and how much work it is.
 *
 * Memory is counted by the same sizes by which the code allocates: each operation of the cpu
 * backend says what it takes (worker/cpu/needs.h), the cuda backend decides what fits by
 * worker/cuda/sizes.h. Where that depends on the samples - how many sensors of how many epochs are
 * repaired - the most that the parameters allow is counted.
 *
 * Work is counted in nanoseconds of one core of one machine (docs/numerics and the measured costs
 * of each step). It says how tasks of one kind compare; what they take here is for the caller to
 * learn from tasks that ran.
 *
 * All numbers are doubles: no shape overflows them, and all grow with every size of the dataset.
 */
#ifndef WORKER_NEEDS_H
#define WORKER_NEEDS_H

#include "worker/task.h"

/* Where a task would run. */
struct needs_site {
    bool gpu;
    int n_threads;        /* 0: as many as the machine has processors */
    const char *backend;  /* of the processor; NULL: the best one */
    double device_budget; /* bytes that a GPU may use; 0: not known */
};

enum { NEEDS_KIND_SIZE = 32 };

struct task_needs {
    double host_bytes;          /* the samples, which are mapped, and all that is allocated */
    double sample_bytes;        /* the share of the samples */
    double device_bytes;        /* of a GPU that holds all samples; 0 on the processor */
    double device_least;        /* of a GPU that takes them in pieces; less is not enough */
    bool in_pieces;             /* the device's budget is known, and less than device_bytes */
    double work;                /* ns */
    char kind[NEEDS_KIND_SIZE]; /* tasks of the same kind have comparable work: "fit eeg float64" */
};

/* The task passed task_check(). Fails only without memory. */
enum rejectd_status task_needs_tell(const struct task *task, const struct needs_site *site,
                                    struct task_needs *needs, struct rejectd_error *error);

#endif
