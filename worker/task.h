/*
 * What a worker does with a dataset: one job of whatever type, from its inputs to its results.
 *
 * A task is a view: it owns nothing, and its inputs stay as long as it runs. The types are those of
 * autoreject's functions; each is a few calls of <rejectd/compute.h> in a row.
 */
#ifndef WORKER_TASK_H
#define WORKER_TASK_H

#include <rejectd/compute.h>

enum task_type {
    TASK_FIT,        /* fit, model, and the fitted epochs cleaned */
    TASK_APPLY,      /* a model's reject log, or a given one, and the epochs cleaned by it */
    TASK_THRESHOLDS, /* thresholds alone */
    TASK_RANSAC,     /* bad channels, and the epochs with them interpolated throughout */
    TASK_GLOBAL_THRESHOLDS,
    TASK_VALIDATION_CURVE,
    TASK_INTERPOLATE, /* the epochs with the sensors labelled 2 of a given log interpolated */
};

struct task {
    enum task_type type;
    struct rejectd_epochs epochs;
    struct rejectd_fit_parameters fit;
    struct rejectd_thresholds_parameters thresholds;
    struct rejectd_ransac_parameters ransac;
    struct rejectd_global_thresholds_parameters global_thresholds;
    struct rejectd_validation_curve_parameters validation_curve;
    struct rejectd_clean_parameters clean; /* of an interpolation */
    const struct rejectd_model *model;     /* of an apply */
    const struct rejectd_reject_log *log;  /* of an interpolation; of an apply, or NULL */
    bool without_cleaned; /* of a fit, an apply and RANSAC: no epochs are cleaned */
};

/* Everything a task can leave behind; what its type does not make is NULL. */
struct task_result {
    struct rejectd_fit *fit;      /* owned, as all here but the last two */
    struct rejectd_model *fitted; /* by the fit */
    struct rejectd_thresholds *thresholds;
    struct rejectd_ransac *ransac;
    struct rejectd_global_thresholds *global_thresholds;
    struct rejectd_validation_curve *validation_curve;
    struct rejectd_reject_log own_log;    /* of an apply without a given one */
    const struct rejectd_model *model;    /* fitted, or the one that was applied */
    const struct rejectd_reject_log *log; /* by which the epochs were cleaned */
};

/* Where repaired epochs go: opened once, before the first of n_kept epochs is written. */
struct task_cleaned {
    enum rejectd_status (*open)(void *context, size_t n_kept, struct rejectd_sink *sink,
                                struct rejectd_error *error);
    void *context;
};

/* Checks that the task can be done, without looking at the samples: with the same errors that
 * task_run() would give before it starts. */
enum rejectd_status task_check(const struct task *task, struct rejectd_error *error);

/* Does it. With options->found, what all shares have found, it searches nothing. The monitor of the
 * options is told fractions of the whole task. *result is cleared on
 * failure; else task_result_clear() it, before the task's inputs go. */
enum rejectd_status task_run(const struct task *task, const struct rejectd_compute_options *options,
                             const struct task_cleaned *cleaned, struct task_result *result,
                             struct rejectd_error *error);
/* Whether the task searches thresholds, which several devices may share (rejectd_share). */
bool task_can_be_shared(const struct task *task);
/* Searches options->share of them; as rejectd_thresholds(). */
enum rejectd_status task_search_share(const struct task *task,
                                      const struct rejectd_compute_options *options,
                                      struct rejectd_thresholds **found,
                                      struct rejectd_error *error);
void task_result_clear(struct task_result *result); /* all-zero is allowed */

#endif
