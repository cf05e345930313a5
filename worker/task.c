#include "worker/task.h"

#include <stdlib.h>
#include <string.h>

/* Shares of a task's time, from measured fits: cleaning is mostly copying. */
static const double fit_share = 0.9;
static const double apply_share = 0.5;
static const double ransac_share = 0.95;

/* A task on its way: its steps tell fractions of themselves, and it tells those of the whole. */
struct run {
    const struct task *task;
    const struct rejectd_compute_options *options;
    const struct task_cleaned *cleaned;
    struct task_result *result;
    double base; /* the fraction of the task that was done before the current step */
    double span; /* and the share of the current step */
};

static bool report(void *context, const char *stage, double fraction)
{
    const struct run *run = context;
    const struct rejectd_monitor *monitor = &run->options->monitor;
    return monitor->report == NULL ||
           monitor->report(monitor->context, stage, run->base + run->span * fraction);
}

static struct rejectd_compute_options step_options(struct run *run, double base, double span)
{
    run->base = base;
    run->span = span;
    struct rejectd_compute_options options = *run->options;
    options.monitor = (struct rejectd_monitor){.report = report, .context = run};
    return options;
}

static size_t count_kept(const struct rejectd_reject_log *log)
{
    size_t n_kept = 0;
    for (size_t epoch = 0; epoch < log->n_epochs; epoch++) {
        n_kept += log->bad_epochs[epoch] == 0;
    }
    return n_kept;
}

/* The share of a step that cleaning follows, if it does. */
static double share_before(const struct task *task, double share)
{
    return task->without_cleaned ? 1.0 : share;
}

/* The last step of a task that cleans: from `base` to the end. */
static enum rejectd_status write_cleaned(struct run *run, const struct rejectd_reject_log *log,
                                         const struct rejectd_clean_parameters *parameters,
                                         double base, struct rejectd_error *error)
{
    run->result->log = log;
    if (run->task->without_cleaned) {
        return REJECTD_OK;
    }
    struct rejectd_sink sink = {0};
    enum rejectd_status status =
        run->cleaned->open(run->cleaned->context, count_kept(log), &sink, error);
    if (status != REJECTD_OK) {
        return status;
    }
    const struct rejectd_compute_options options = step_options(run, base, 1.0 - base);
    return rejectd_clean(&run->task->epochs, log, parameters, &options, &sink, error);
}

static enum rejectd_status run_fit(struct run *run, struct rejectd_error *error)
{
    const struct task *task = run->task;
    struct task_result *result = run->result;
    const struct rejectd_compute_options options =
        step_options(run, 0.0, share_before(task, fit_share));
    enum rejectd_status status =
        rejectd_fit(&task->epochs, &task->fit, &options, &result->fit, error);
    if (status == REJECTD_OK) {
        status = rejectd_model_from_fit(result->fit, &task->epochs, &result->fitted, error);
        result->model = result->fitted;
    }
    if (status == REJECTD_OK) {
        const struct rejectd_clean_parameters clean = {.meg_legendre = result->fit->meg_legendre};
        status = write_cleaned(run, &result->fit->log, &clean, fit_share, error);
    }
    return status;
}

static enum rejectd_status run_apply(struct run *run, struct rejectd_error *error)
{
    const struct task *task = run->task;
    struct task_result *result = run->result;
    enum rejectd_status status = REJECTD_OK;
    result->model = task->model;
    if (task->log == NULL) {
        const struct rejectd_compute_options options =
            step_options(run, 0.0, share_before(task, apply_share));
        status = rejectd_apply(&task->epochs, task->model, &options, &result->own_log, error);
    }
    if (status == REJECTD_OK) {
        const struct rejectd_clean_parameters clean = {.meg_legendre = task->model->meg_legendre};
        status = write_cleaned(run, task->log != NULL ? task->log : &result->own_log, &clean,
                               task->log != NULL ? 0.0 : apply_share, error);
    }
    return status;
}

static enum rejectd_status run_thresholds(struct run *run, struct rejectd_error *error)
{
    return rejectd_thresholds(&run->task->epochs, &run->task->thresholds, run->options,
                              &run->result->thresholds, error);
}

static enum rejectd_status run_interpolate(struct run *run, struct rejectd_error *error)
{
    return write_cleaned(run, run->task->log, &run->task->clean, 0.0, error);
}

/* Of the picks, the bad ones are repaired in every epoch. */
static enum rejectd_status ransac_log(const struct rejectd_ransac *ransac, size_t n_channels,
                                      struct rejectd_reject_log *log, struct rejectd_error *error)
{
    *log = (struct rejectd_reject_log){
        .n_epochs = ransac->n_epochs,
        .n_channels = n_channels,
        .labels = malloc(ransac->n_epochs * n_channels),
        .bad_epochs = calloc(ransac->n_epochs, 1),
    };
    if (log->labels == NULL || log->bad_epochs == NULL) {
        return REJECTD_FAIL_MEMORY(error, ransac->n_epochs * n_channels);
    }
    memset(log->labels, REJECTD_LABEL_NOT_CONSIDERED, ransac->n_epochs * n_channels);
    for (size_t e = 0; e < ransac->n_epochs; e++) {
        for (size_t i = 0; i < ransac->n_picks; i++) {
            log->labels[e * n_channels + ransac->picks[i]] =
                ransac->bad[i] != 0 ? REJECTD_LABEL_INTERPOLATED : REJECTD_LABEL_GOOD;
        }
    }
    return REJECTD_OK;
}

static enum rejectd_status run_ransac(struct run *run, struct rejectd_error *error)
{
    const struct task *task = run->task;
    struct task_result *result = run->result;
    const struct rejectd_compute_options options =
        step_options(run, 0.0, share_before(task, ransac_share));
    enum rejectd_status status =
        rejectd_ransac(&task->epochs, &task->ransac, &options, &result->ransac, error);
    if (status != REJECTD_OK || memchr(result->ransac->bad, 0, result->ransac->n_picks) == NULL) {
        return status; /* where every channel is bad, nothing is left to interpolate from */
    }
    status = ransac_log(result->ransac, task->epochs.n_channels, &result->own_log, error);
    if (status == REJECTD_OK) {
        const struct rejectd_clean_parameters clean = {.meg_legendre = task->ransac.meg_legendre};
        status = write_cleaned(run, &result->own_log, &clean, ransac_share, error);
    }
    return status;
}

static enum rejectd_status run_global_thresholds(struct run *run, struct rejectd_error *error)
{
    return rejectd_global_thresholds(&run->task->epochs, &run->task->global_thresholds,
                                     run->options, &run->result->global_thresholds, error);
}

static enum rejectd_status run_validation_curve(struct run *run, struct rejectd_error *error)
{
    return rejectd_validation_curve(&run->task->epochs, &run->task->validation_curve, run->options,
                                    &run->result->validation_curve, error);
}

/* ---- checks ---- */

static enum rejectd_status check_fit(const struct task *task, struct rejectd_error *error)
{
    return rejectd_fit_check(&task->epochs, &task->fit, error);
}

static enum rejectd_status check_apply(const struct task *task, struct rejectd_error *error)
{
    enum rejectd_status status = rejectd_apply_check(&task->epochs, task->model, error);
    if (status == REJECTD_OK && task->log != NULL) {
        status = rejectd_log_check(&task->epochs, task->model, task->log, error);
    }
    return status;
}

static enum rejectd_status check_thresholds(const struct task *task, struct rejectd_error *error)
{
    return rejectd_thresholds_check(&task->epochs, &task->thresholds, error);
}

static enum rejectd_status check_ransac(const struct task *task, struct rejectd_error *error)
{
    return rejectd_ransac_check(&task->epochs, &task->ransac, error);
}

static enum rejectd_status check_global_thresholds(const struct task *task,
                                                   struct rejectd_error *error)
{
    return rejectd_global_thresholds_check(&task->epochs, &task->global_thresholds, error);
}

static enum rejectd_status check_validation_curve(const struct task *task,
                                                  struct rejectd_error *error)
{
    return rejectd_validation_curve_check(&task->epochs, &task->validation_curve, error);
}

static enum rejectd_status check_interpolate(const struct task *task, struct rejectd_error *error)
{
    return rejectd_clean_check(&task->epochs, task->log, &task->clean, error);
}

/* ---- the types ---- */

static const struct task_functions {
    enum rejectd_status (*check)(const struct task *task, struct rejectd_error *error);
    enum rejectd_status (*run)(struct run *run, struct rejectd_error *error);
} functions[] = {
    [TASK_FIT] = {check_fit, run_fit},
    [TASK_APPLY] = {check_apply, run_apply},
    [TASK_THRESHOLDS] = {check_thresholds, run_thresholds},
    [TASK_RANSAC] = {check_ransac, run_ransac},
    [TASK_GLOBAL_THRESHOLDS] = {check_global_thresholds, run_global_thresholds},
    [TASK_VALIDATION_CURVE] = {check_validation_curve, run_validation_curve},
    [TASK_INTERPOLATE] = {check_interpolate, run_interpolate},
};

enum rejectd_status task_check(const struct task *task, struct rejectd_error *error)
{
    return functions[task->type].check(task, error);
}

enum rejectd_status task_run(const struct task *task, const struct rejectd_compute_options *options,
                             const struct task_cleaned *cleaned, struct task_result *result,
                             struct rejectd_error *error)
{
    struct run run = {.task = task, .options = options, .cleaned = cleaned, .result = result};
    *result = (struct task_result){0};
    const enum rejectd_status status = functions[task->type].run(&run, error);
    if (status != REJECTD_OK) {
        task_result_clear(result);
    }
    return status;
}

bool task_can_be_shared(const struct task *task)
{
    return task->type == TASK_THRESHOLDS ||
           (task->type == TASK_FIT && task->fit.thresholds == NULL);
}

enum rejectd_status task_search_share(const struct task *task,
                                      const struct rejectd_compute_options *options,
                                      struct rejectd_thresholds **found,
                                      struct rejectd_error *error)
{
    struct rejectd_thresholds_parameters parameters = task->thresholds;
    if (task->type == TASK_FIT) {
        const struct rejectd_fit_parameters *fit = &task->fit;
        const enum rejectd_status status = rejectd_fit_check(&task->epochs, fit, error);
        if (status != REJECTD_OK) {
            *found = NULL;
            return status;
        }
        parameters = (struct rejectd_thresholds_parameters){
            .thresh_method = fit->thresh_method,
            .random_state = fit->random_state,
            .picks = fit->picks,
            .n_picks = fit->n_picks,
            .precision = fit->precision,
            .meg_legendre = fit->meg_legendre,
        };
    }
    return rejectd_thresholds(&task->epochs, &parameters, options, found, error);
}

void task_result_clear(struct task_result *result)
{
    rejectd_fit_free(result->fit);
    rejectd_model_free(result->fitted);
    rejectd_thresholds_free(result->thresholds);
    rejectd_ransac_free(result->ransac);
    rejectd_global_thresholds_free(result->global_thresholds);
    rejectd_validation_curve_free(result->validation_curve);
    rejectd_reject_log_clear(&result->own_log);
    *result = (struct task_result){0};
}
