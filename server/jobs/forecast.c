#include "server/jobs/forecast.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "server/clock.h"
#include "server/memory.h"
#include "worker/needs.h"

static const char processor[] = "cpu";

/* Of the memory that there is, unless it is set: the rest is the daemon's own, for connections,
 * bodies and files that others want. */
static const double default_share = 0.8;

/* Of a GPU that has not told its budget yet: nearly all that it has. */
static const double budget_share = 0.9;

/* ---- the processor's rate, before any job ---- */

enum { TRIAL_EPOCHS = 40, TRIAL_CHANNELS = 16, TRIAL_TIMES = 256 };

/* Noise on electrodes around a ring; good for nothing but being computed with. */
static void make_trial(struct rejectd_channel *channels, double *samples)
{
    uint32_t state = 1;
    for (size_t c = 0; c < TRIAL_CHANNELS; c++) {
        const double angle = 6.283185307179586 * (double)c / TRIAL_CHANNELS;
        channels[c] = (struct rejectd_channel){
            .type = REJECTD_CHANNEL_EEG,
            .has_position = true,
            .position = {0.08 * cos(angle), 0.08 * sin(angle), 0.04},
        };
        snprintf(channels[c].name, sizeof channels[c].name, "%zu", c);
    }
    for (size_t i = 0; i < (size_t)TRIAL_EPOCHS * TRIAL_CHANNELS * TRIAL_TIMES; i++) {
        state = 1664525 * state + 1013904223;
        samples[i] = 1e-5 * ((double)state / 4294967296.0 - 0.5);
    }
}

static enum rejectd_status run_trial(struct forecaster *forecaster, const struct task *task,
                                     struct rejectd_error *error)
{
    const struct needs_site site = {.n_threads = forecaster->n_threads,
                                    .backend = forecaster->backend};
    const struct rejectd_compute_options options = {.n_threads = forecaster->n_threads,
                                                    .backend = forecaster->backend};
    struct task_needs needs;
    struct task_result result;
    double least = INFINITY;
    enum rejectd_status status = task_needs_tell(task, &site, &needs, error);
    /* The first time threads are started and pages touched. */
    for (int i = 0; i < 2 && status == REJECTD_OK; i++) {
        const double start = clock_monotonic();
        status = task_run(task, &options, NULL, &result, error);
        if (status == REJECTD_OK) {
            const double seconds = clock_monotonic() - start;
            least = seconds < least ? seconds : least;
            task_result_clear(&result);
        }
    }
    if (status == REJECTD_OK) {
        rates_try(forecaster->rates, processor, needs.work, least);
    }
    return status;
}

static enum rejectd_status measure_processor(struct forecaster *forecaster,
                                             struct rejectd_error *error)
{
    struct rejectd_channel *channels = calloc(TRIAL_CHANNELS, sizeof *channels);
    double *samples = malloc((size_t)TRIAL_EPOCHS * TRIAL_CHANNELS * TRIAL_TIMES * sizeof *samples);
    enum rejectd_status status = REJECTD_FAIL_MEMORY(error, sizeof *channels);
    if (channels != NULL && samples != NULL) {
        make_trial(channels, samples);
        const struct task task = {
            .type = TASK_THRESHOLDS,
            .epochs = {.n_epochs = TRIAL_EPOCHS,
                       .n_channels = TRIAL_CHANNELS,
                       .n_times = TRIAL_TIMES,
                       .dtype = REJECTD_FLOAT64,
                       .samples = samples,
                       .channels = channels},
            .thresholds = {.precision = REJECTD_FLOAT64},
        };
        status = run_trial(forecaster, &task, error);
    }
    free(channels);
    free(samples);
    return status;
}

enum rejectd_status forecaster_open(struct store *store, struct device_board *board,
                                    const char *backend, int n_threads,
                                    struct forecaster *forecaster, struct rejectd_error *error)
{
    *forecaster = (struct forecaster){.board = board, .backend = backend, .n_threads = n_threads};
    atomic_init(&forecaster->job_memory, INT64_MAX);
    enum rejectd_status status = rates_open(store, &forecaster->rates, error);
    if (status == REJECTD_OK && !rates_know(forecaster->rates, processor)) {
        status = measure_processor(forecaster, error);
    }
    return status;
}

void forecaster_close(struct forecaster *forecaster)
{
    rates_close(forecaster->rates);
    forecaster->rates = NULL;
}

void forecaster_set_memory(struct forecaster *forecaster, int64_t setting)
{
    const double machine = (double)memory_of_machine("");
    const int64_t share = machine > 0.0 ? (int64_t)(default_share * machine) : INT64_MAX;
    atomic_store(&forecaster->job_memory, setting > 0 ? setting : share);
}

/* ---- one device ---- */

static bool is_gpu(const struct device_view *view)
{
    return device_kind_is_gpu(view->kind);
}

static double budget_of(const struct device_view *view)
{
    return view->memory_budget > 0 ? (double)view->memory_budget
                                   : budget_share * (double)view->memory_total;
}

static struct needs_site site_of(const struct forecaster *forecaster,
                                 const struct device_view *view)
{
    return (struct needs_site){
        .gpu = is_gpu(view),
        .n_threads = forecaster->n_threads,
        .backend = forecaster->backend,
        .device_budget = is_gpu(view) ? budget_of(view) : 0.0,
    };
}

static void judge(const struct device_view *view, const struct task_needs *needs, double limit,
                  struct estimate_device *out)
{
    char needed[BYTES_TEXT_SIZE], there[BYTES_TEXT_SIZE];
    out->fits = false;
    if (needs->host_bytes > limit) {
        bytes_write(needs->host_bytes, needed);
        bytes_write(limit, there);
        snprintf(out->reason, sizeof out->reason,
                 "it needs %s of the host's memory, and jobs may use %s", needed, there);
    } else if (needs->device_least > budget_of(view) && is_gpu(view)) {
        bytes_write(needs->device_least, needed);
        bytes_write(budget_of(view), there);
        snprintf(out->reason, sizeof out->reason,
                 "even in pieces it needs %s of the device's memory, which has %s", needed, there);
    } else {
        out->fits = true;
        if (view->state == DEVICE_FAILED) {
            snprintf(out->reason, sizeof out->reason, "the device has failed: %.180s",
                     view->reason);
        } else if (needs->in_pieces) {
            bytes_write(needs->device_bytes, needed);
            bytes_write(budget_of(view), there);
            snprintf(out->reason, sizeof out->reason,
                     "it passes through the device in pieces: as a whole it needs %s, and there "
                     "are %s",
                     needed, there);
        }
    }
}

static enum rejectd_status foretell(struct forecaster *forecaster, const struct task *task,
                                    const struct device_view *view, struct estimate_device *out,
                                    struct task_needs *needs, struct rejectd_error *error)
{
    const struct needs_site site = site_of(forecaster, view);
    const enum rejectd_status status = task_needs_tell(task, &site, needs, error);
    if (status != REJECTD_OK) {
        return status;
    }
    enum rate_basis basis;
    memcpy(out->device, view->id, sizeof out->device);
    memcpy(out->kind, needs->kind, sizeof out->kind);
    out->host_bytes = needs->host_bytes;
    out->device_bytes = needs->in_pieces ? budget_of(view) : needs->device_bytes;
    out->in_pieces = needs->in_pieces;
    out->work = needs->work;
    out->seconds = rates_seconds(forecaster->rates, view->id, needs->kind, needs->work, &basis);
    snprintf(out->basis, sizeof out->basis, "%s", rate_basis_name(basis));
    judge(view, needs, (double)atomic_load(&forecaster->job_memory), out);
    return REJECTD_OK;
}

/* ---- all of them ---- */

static bool has_resident(const struct device_view *view, const char *sha256)
{
    for (size_t i = 0; i < view->n_residents; i++) {
        if (sha256[0] != '\0' && strcmp(view->residents[i].sha256, sha256) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * Whom the scheduler's rules give the job, were it the only one: of the GPUs that the wish allows
 * (all, when the one that it names is away) the one that has the samples, or else an idle one;
 * without any that can be used, or where it has
 * no room, the processor (see device_board.h and scheduler_finish.c).
 */
static void choose(const struct device_view *views, struct estimate_view *view, const char *sha256)
{
    int best_rank = 0;
    for (size_t i = 0; i < view->n; i++) {
        const struct device_view *device = &views[i];
        if (!is_gpu(device) || !device_state_is_usable(device->state) ||
            !view->devices[i].considered || !view->devices[i].fits) {
            continue;
        }
        const int rank = 1 + (device->job[0] == '\0') + 2 * has_resident(device, sha256);
        if (rank > best_rank) {
            best_rank = rank;
            memcpy(view->chosen, device->id, sizeof view->chosen);
        }
    }
    if (best_rank == 0 && view->devices[0].fits) {
        memcpy(view->chosen, processor, sizeof processor);
    }
}

enum rejectd_status forecast_make(struct forecaster *forecaster, const struct task *task,
                                  const char *wish, const char *sha256, struct estimate_view *view,
                                  struct rejectd_error *error)
{
    struct device_view *views = NULL;
    size_t n = 0;
    *view = (struct estimate_view){0};
    const char *taken_for = device_board_serves(forecaster->board, wish) ? wish : "cuda";
    enum rejectd_status status = device_board_copy(forecaster->board, &views, &n, error);
    if (status == REJECTD_OK) {
        view->devices = calloc(n + 1, sizeof *view->devices);
        status = view->devices == NULL ? REJECTD_FAIL_MEMORY(error, n * sizeof *view->devices)
                                       : REJECTD_OK;
    }
    for (; view->n < n && status == REJECTD_OK; view->n++) {
        struct task_needs needs;
        struct estimate_device *device = &view->devices[view->n];
        status = foretell(forecaster, task, &views[view->n], device, &needs, error);
        device->considered = device_wish_allows(taken_for, views[view->n].id);
        view->sample_bytes = (uint64_t)needs.sample_bytes;
    }
    if (status == REJECTD_OK) {
        view->job_memory = (uint64_t)atomic_load(&forecaster->job_memory);
        choose(views, view, sha256);
    } else {
        estimate_view_clear(view);
    }
    free(views);
    return status;
}

enum rejectd_status forecast_check(const struct estimate_view *view, struct rejectd_error *error)
{
    const struct estimate_device *reason = &view->devices[0];
    for (size_t i = 0; i < view->n; i++) {
        const struct estimate_device *device = &view->devices[i];
        /* What a GPU has no room for is for the processor in the end. */
        if (device->fits && (device->considered || i == 0)) {
            return REJECTD_OK;
        }
        reason = device->considered ? device : reason;
    }
    return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "dataset",
                        "this job can't run here: %s; take fewer epochs, channels or samples, or "
                        "have job-memory raised",
                        reason->reason);
}

static int64_t whole(double number)
{
    return number < 9.2e18 ? (int64_t)number : INT64_MAX;
}

struct job_needs forecast_needs(const struct estimate_view *view)
{
    struct job_needs needs = {.host_bytes = whole(view->devices[0].host_bytes),
                              .work = whole(view->devices[0].work)};
    memcpy(needs.kind, view->devices[0].kind, sizeof needs.kind);
    /* Of GPUs with different budgets, the one with the least needs most. */
    for (size_t i = 1; i < view->n; i++) {
        const struct estimate_device *device = &view->devices[i];
        const int64_t bytes = whole(device->host_bytes), work = whole(device->work);
        needs.gpu_host_bytes = bytes > needs.gpu_host_bytes ? bytes : needs.gpu_host_bytes;
        needs.gpu_work = work > needs.gpu_work ? work : needs.gpu_work;
    }
    return needs;
}

double forecast_seconds(struct forecaster *forecaster, const char *device,
                        const struct job_needs *needs)
{
    const bool gpu = strcmp(device, processor) != 0;
    const int64_t work = gpu ? needs->gpu_work : needs->work;
    return work > 0 ? rates_seconds(forecaster->rates, device, needs->kind, (double)work, NULL)
                    : 0.0;
}

enum rejectd_status forecast_check_device(struct forecaster *forecaster, const struct task *task,
                                          const char *device, struct rejectd_error *error)
{
    struct device_view *views = NULL;
    size_t n = 0;
    if (strcmp(device, processor) == 0) {
        return REJECTD_OK;
    }
    enum rejectd_status status = device_board_copy(forecaster->board, &views, &n, error);
    for (size_t i = 1; i < n && status == REJECTD_OK; i++) {
        struct task_needs needs;
        if (strcmp(views[i].id, device) != 0) {
            continue;
        }
        const struct needs_site site = site_of(forecaster, &views[i]);
        status = task_needs_tell(task, &site, &needs, error);
        if (status == REJECTD_OK && needs.device_least > site.device_budget) {
            status = REJECTD_FAIL(error, REJECTD_DEVICE_MEMORY, "device",
                                  "%.31s has %.0f bytes, and the job needs %.0f even in pieces",
                                  device, site.device_budget, needs.device_least);
        }
    }
    free(views);
    return status;
}
