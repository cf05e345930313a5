/*
 * A job that several GPUs share ("cuda:all"), seen from one of them.
 *
 * Who leads takes shares of the search until there are none left, waits for those that others have,
 * and computes the rest of the job from what all have found. Who helps has one share. Which they
 * are, and who has what: server/jobs/split.h.
 */
#include "server/clock.h"
#include "server/devices/gpu_worker_private.h"

static const double slice_seconds = 0.05;
static const double search_part = 0.6; /* of the whole, for progress */

/* The monitor of the job, which is told of the whole while a part of it runs. */
struct watch {
    const struct rejectd_monitor *monitor;
    struct split *split;
    size_t index; /* of the share that runs */
};

static bool report_search(const struct watch *watch)
{
    const struct rejectd_monitor *monitor = watch->monitor;
    return monitor->report(monitor->context, "thresholds",
                           search_part * split_progress(watch->split));
}

static bool report_share(void *context, const char *stage, double fraction)
{
    const struct watch *watch = context;
    (void)stage;
    split_set_progress(watch->split, watch->index, fraction);
    return report_search(watch);
}

static bool report_rest(void *context, const char *stage, double fraction)
{
    const struct watch *watch = context;
    const struct rejectd_monitor *monitor = watch->monitor;
    return monitor->report(monitor->context, stage,
                           fraction > search_part ? fraction : search_part);
}

/* A share that the leader took. */
static enum rejectd_status lead_share(struct gpu_worker *worker, struct claimed_job *job,
                                      struct rejectd_share share, struct watch *watch,
                                      struct rejectd_error *error)
{
    const struct gpu_part part = {.share = share};
    const struct rejectd_monitor monitor = {.report = report_share, .context = watch};
    struct rejectd_thresholds *found = NULL;
    watch->index = share.index;
    const enum rejectd_status status =
        gpu_job_run(worker, job, &part, &monitor, NULL, &found, error);
    if (status == REJECTD_OK) {
        split_give(job->split, share.index, worker->options.device, found);
    } else {
        split_give_back(job->split, share.index);
    }
    rejectd_thresholds_free(found);
    return status;
}

/* While others have shares: its own process is seen to, and the monitor asked. */
static enum rejectd_status wait_for_others(struct gpu_worker *worker, const struct watch *watch,
                                           bool *all_found, struct rejectd_error *error)
{
    *all_found = split_wait(watch->split, slice_seconds);
    const enum rejectd_status status = gpu_worker_attend(worker, error);
    if (status != REJECTD_OK) {
        gpu_worker_give_up(worker, error);
        return REJECTD_DEVICE_FAILED;
    }
    if (!report_search(watch)) {
        return REJECTD_FAIL(error, REJECTD_CANCELLED, "", "the work was cancelled");
    }
    return REJECTD_OK;
}

static enum rejectd_status search(struct gpu_worker *worker, struct claimed_job *job,
                                  struct watch *watch, struct rejectd_error *error)
{
    bool all_found = false;
    enum rejectd_status status = REJECTD_OK;
    while (status == REJECTD_OK && !all_found) {
        struct rejectd_share share;
        status = split_take(job->split, job->place, true, &share)
                     ? lead_share(worker, job, share, watch, error)
                     : wait_for_others(worker, watch, &all_found, error);
    }
    return status;
}

static enum rejectd_status lead(struct gpu_worker *worker, struct claimed_job *job,
                                const struct rejectd_monitor *monitor,
                                const struct task_cleaned *cleaned, struct rejectd_error *error)
{
    const double start = clock_monotonic();
    struct watch watch = {.monitor = monitor, .split = job->split};
    const struct rejectd_monitor rest = {.report = report_rest, .context = &watch};
    struct rejectd_thresholds *none = NULL;
    char devices[SPLIT_DEVICES_SIZE];
    const enum rejectd_status status = search(worker, job, &watch, error);
    if (status != REJECTD_OK) {
        return status;
    }
    split_devices(job->split, devices);
    const struct gpu_part part = {
        .joined = split_found(job->split),
        .devices = devices,
        .seconds_searched = clock_monotonic() - start,
    };
    return gpu_job_run(worker, job, &part, &rest, cleaned, &none, error);
}

enum rejectd_status gpu_worker_run(void *context, struct pool_job *job,
                                   const struct rejectd_monitor *monitor,
                                   const struct task_cleaned *cleaned, struct rejectd_error *error)
{
    struct gpu_worker *worker = context;
    struct claimed_job *claimed = job->ticket;
    const bool helps = claimed->share.n > 0;
    if (claimed->split != NULL && !helps) {
        return lead(worker, claimed, monitor, cleaned, error);
    }
    const struct gpu_part part = {.share = claimed->share};
    return gpu_job_run(worker, claimed, &part, monitor, cleaned, &claimed->products.found, error);
}
