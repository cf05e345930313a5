/*
 * What a job will need and take, on each device: the one prediction that estimates, admission and
 * the queue go by.
 *
 * Bytes come from the code that will allocate them (worker/needs.h), seconds from the jobs that
 * have run here (rates.h). All functions may be called by several threads at once.
 */
#ifndef SERVER_JOBS_FORECAST_H
#define SERVER_JOBS_FORECAST_H

#include <stdatomic.h>

#include "protocol/estimate_json.h"
#include "server/devices/device_board.h"
#include "server/jobs/rates.h"
#include "worker/task.h"

struct forecaster {
    struct device_board *board; /* all borrowed but rates */
    struct rates *rates;        /* owned */
    const char *backend;        /* of the processor; NULL: the best one */
    int n_threads;              /* 0: as many as there are processors */
    _Atomic int64_t job_memory; /* bytes that all running jobs together may need of the host */
};

/* Measures the processor when the store knows nothing of it, which takes some milliseconds. */
enum rejectd_status forecaster_open(struct store *store, struct device_board *board,
                                    const char *backend, int n_threads,
                                    struct forecaster *forecaster, struct rejectd_error *error);
void forecaster_close(struct forecaster *forecaster); /* all-zero is allowed */

/* The setting job-memory, in bytes; 0: most of what the machine has. */
void forecaster_set_memory(struct forecaster *forecaster, int64_t setting);

/*
 * Foretells a task that passed task_check(). `wish` is the device that the job is posted for;
 * estimate_view_clear() the view. sha256: of the samples, "" when there are none yet.
 */
enum rejectd_status forecast_make(struct forecaster *forecaster, const struct task *task,
                                  const char *wish, const char *sha256, struct estimate_view *view,
                                  struct rejectd_error *error);

/* TOO_LARGE, with why, when no device that the wish allows can ever run it. */
enum rejectd_status forecast_check(const struct estimate_view *view, struct rejectd_error *error);

/* What the store keeps of it. */
struct job_needs forecast_needs(const struct estimate_view *view);

/* Seconds that a job of these needs takes on a device. */
double forecast_seconds(struct forecaster *forecaster, const char *device,
                        const struct job_needs *needs);

/* DEVICE_MEMORY when a GPU can't hold even the pieces of the task. */
enum rejectd_status forecast_check_device(struct forecaster *forecaster, const struct task *task,
                                          const char *device, struct rejectd_error *error);

#endif
