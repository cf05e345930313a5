#include "server/daemon.h"

#include <rejectd/compute.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/data_dir.h"
#include "server/devices/device_list.h"
#include "server/environment.h"
#include "server/http/request.h"
#include "server/http/server.h"
#include "server/jobs/job_events.h"
#include "server/jobs/queue_watch.h"
#include "server/metrics/process.h"
#include "server/notify.h"
#include "server/pulse.h"
#include "server/retention/retention.h"
#include "server/uploads/partials.h"

enum {
    COMMIT_THREADS = 2,
    UPLOAD_THREADS = 2,
    MOST_GPUS = DEVICE_LIST_MOST,
};

/* Settings that are in force, or were: somebody may still read them. */
struct snapshot {
    struct config config;
    struct snapshot *older;
};

struct daemon {
    struct snapshot *settings; /* the latest first; owned */
    struct notify notify;
    struct pulse *pulse;
    double drained_at; /* clock_monotonic(): when running jobs are given up */
    int lock;          /* of the data directory; -1: none */
    struct log log;
    struct waiters waiters;
    struct service service;
    struct gpu_worker *gpus[MOST_GPUS];
    char gpu_ids[MOST_GPUS][32];
    struct queue_watch *queue_watch;
    struct retention retention;
    struct pool *pool;
    struct http_server *http;
};

static enum log_level least_level(const char *name)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum log_level)i;
        }
    }
    return LOG_LEVEL_INFO;
}

static void job_ended(void *context, const char *job)
{
    struct daemon *daemon = context;
    waiters_wake_job(&daemon->waiters, job);
    job_events_state(daemon->service.events, daemon->service.store, job);
}

static void job_changed(void *context, const char *job)
{
    struct daemon *daemon = context;
    job_events_state(daemon->service.events, daemon->service.store, job);
}

static void job_progressed(void *context, const char *job, const char *stage, double fraction,
                           double seconds_left)
{
    struct daemon *daemon = context;
    job_events_progress(daemon->service.events, job, stage, fraction, seconds_left);
}

static double job_seconds(void *context)
{
    const struct daemon *daemon = context;
    return (double)daemon->service.config->job_timeout_seconds;
}

/* Of the processor; NULL: the best one. */
static const char *backend_name(const struct config *config)
{
    const bool named =
        strcmp(config->backend, "cpu") == 0 || strcmp(config->backend, "reference") == 0;
    return named ? config->backend : NULL;
}

static const char *module_path(const struct config *config)
{
    return config->cuda_module[0] == '\0' ? NULL : config->cuda_module;
}

static bool blob_needed(void *context, const char *name)
{
    struct store *store = context;
    const char *dataset = blobs_partial_id(name);
    struct store_partial partial;
    return dataset == NULL
               ? store->functions->blob_is_needed(store, name)
               : store->functions->partial_get(store, dataset, &partial, NULL) != REJECTD_NOT_FOUND;
}

static enum rejectd_status path_in(const struct config *config, const char *name,
                                   char out[CONFIG_TEXT_SIZE], struct rejectd_error *error)
{
    const int length = snprintf(out, CONFIG_TEXT_SIZE, "%s/%s", config->data_dir, name);
    if (length >= CONFIG_TEXT_SIZE) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "data-dir", "data-dir is too long");
    }
    return REJECTD_OK;
}

static void blob_damaged(void *context, const char *sha256)
{
    log_write(context, LOG_LEVEL_ERROR, "blob-damaged",
              "blob %s has another content than its name says; it is no longer used", sha256);
}

static enum rejectd_status open_blobs(struct daemon *daemon, struct rejectd_error *error)
{
    struct service *service = &daemon->service;
    struct store *store = service->store;
    char path[CONFIG_TEXT_SIZE];
    char identity[STORE_IDENTITY_SIZE];
    enum rejectd_status status = path_in(service->config, "blobs", path, error);
    if (status == REJECTD_OK) {
        status = blobs_open(path, &service->blobs, error);
    }
    if (status == REJECTD_OK) {
        blobs_tell_damaged(service->blobs, blob_damaged, &daemon->log);
        status = store->functions->identity(store, identity, error);
    }
    return status == REJECTD_OK ? blobs_claim(service->blobs, identity, blob_needed, store, error)
                                : status;
}

/* It takes time and room, once; a store for which there is none of it does without. */
static void add_sums(const struct daemon *daemon)
{
    bool added = false;
    struct rejectd_error error = {0};
    if (store_sqlite_add_sums(daemon->service.store, &added, &error) != REJECTD_OK) {
        log_write(&daemon->log, LOG_LEVEL_WARNING, "no-checksums",
                  "the store goes on without checksums of its pages: %s", error.message);
    } else if (added) {
        log_write(&daemon->log, LOG_LEVEL_INFO, "checksums-added",
                  "the pages of the store have checksums now");
    }
}

static enum rejectd_status open_storage(struct daemon *daemon, struct rejectd_error *error)
{
    struct service *service = &daemon->service;
    char path[CONFIG_TEXT_SIZE];
    enum rejectd_status status = data_dir_take(service->config->data_dir, &daemon->lock, error);
    if (status == REJECTD_OK) {
        status = data_dir_open_store(service->config->data_dir, &service->store, error);
    }
    if (status == REJECTD_OK) {
        add_sums(daemon);
        status = open_blobs(daemon, error);
    }
    if (status == REJECTD_OK) {
        status = path_in(service->config, "convert", path, error);
    }
    if (status == REJECTD_OK) {
        status = converter_open(service->config, &daemon->log, path, &service->converter, error);
    }
    if (status == REJECTD_OK) {
        status = data_dir_sync(service->config->data_dir, daemon->lock, error);
    }
    return status;
}

/* What the last daemon left when it ended without warning. */
static enum rejectd_status recover(struct daemon *daemon, struct rejectd_error *error)
{
    struct store *store = daemon->service.store;
    struct store_recovery recovery = {0};
    size_t n_removed = 0;
    enum rejectd_status status = store->functions->recover(store, &recovery, error);
    if (status == REJECTD_OK) {
        status = blobs_sweep(daemon->service.blobs, blob_needed, store, &n_removed, error);
    }
    if (status == REJECTD_OK &&
        recovery.n_requeued + recovery.n_failed + recovery.n_cancelled > 0) {
        log_write(&daemon->log, LOG_LEVEL_WARNING, "jobs-recovered",
                  "of the jobs that were running, %zu are queued again, %zu have failed and %zu "
                  "are cancelled",
                  recovery.n_requeued, recovery.n_failed, recovery.n_cancelled);
    }
    if (status == REJECTD_OK && n_removed > 0) {
        log_write(&daemon->log, LOG_LEVEL_INFO, "blobs-swept", "%zu unfinished files removed",
                  n_removed);
    }
    return status;
}

static void devices_changed(void *context)
{
    scheduler_wake(context);
}

static enum rejectd_status add_gpu(struct daemon *daemon, const struct rejectd_device_info *info,
                                   struct rejectd_error *error)
{
    struct service *service = &daemon->service;
    const struct config *config = service->config;
    char *id = daemon->gpu_ids[service->n_gpus];
    snprintf(id, sizeof daemon->gpu_ids[0], "%s", info->id);
    const struct gpu_worker_options options = {
        .device = id,
        .module = module_path(config),
        .memory = (uint64_t)config->device_memory,
        .threads = config->threads,
        .timeout = (double)config->device_timeout,
        .stall = (double)config->device_stall,
        .board = service->board,
        .blobs = service->blobs,
        .log = &daemon->log,
    };
    enum rejectd_status status =
        device_board_add(service->board, id, info->name, info->memory, DEVICE_OPENING, error);
    if (status == REJECTD_OK) {
        status = gpu_worker_open(&options, &daemon->gpus[service->n_gpus], error);
    }
    if (status == REJECTD_OK) {
        service->n_gpus++;
    }
    return status;
}

static enum rejectd_status list_devices(struct daemon *daemon, struct rejectd_error *error)
{
    static const double list_seconds = 60.0;
    struct service *service = &daemon->service;
    const struct config *config = service->config;
    struct device_list list = {.note = "not looked for: the backend is set to another one"};
    if (backend_name(config) == NULL) {
        device_list_ask(module_path(config), list_seconds, &list);
    }
    enum rejectd_status status = device_board_open(list.note, &service->board, error);
    if (status == REJECTD_OK) {
        status = device_board_add(service->board, "cpu", "processor", 0, DEVICE_READY, error);
    }
    for (size_t i = 0; i < list.n && status == REJECTD_OK; i++) {
        status = add_gpu(daemon, &list.devices[i], error);
    }
    if (status == REJECTD_OK && list.n == 0 && strcmp(config->backend, "cuda") == 0) {
        status = REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "backend",
                              "the backend is to be cuda, but there is no GPU to use: %.250s",
                              list.note);
    }
    return status;
}

static enum rejectd_status start_jobs(struct daemon *daemon, struct rejectd_error *error)
{
    struct service *service = &daemon->service;
    const char *backend = backend_name(service->config);
    service->numerics = rejectd_compute_description(backend);
    const struct scheduler_options options = {
        .store = service->store,
        .blobs = service->blobs,
        .board = service->board,
        .log = &daemon->log,
        .metrics = service->metrics,
        .forecaster = &service->forecaster,
        .backend = service->numerics,
        .ended = job_ended,
        .changed = job_changed,
        .progressed = job_progressed,
        .most_seconds = job_seconds,
        .context = daemon,
    };
    struct pool_device devices[1 + MOST_GPUS] = {{
        .name = "cpu",
        .options = {.backend = backend, .n_threads = (int)service->config->threads},
    }};
    for (size_t i = 0; i < service->n_gpus; i++) {
        devices[1 + i] = (struct pool_device){
            .name = daemon->gpu_ids[i],
            .runner = gpu_worker_runner(daemon->gpus[i]),
        };
    }
    enum rejectd_status status =
        forecaster_open(service->store, service->board, backend, (int)service->config->threads,
                        &service->forecaster, error);
    if (status == REJECTD_OK) {
        forecaster_set_memory(&service->forecaster, service->config->job_memory);
        status = scheduler_open(&options, &service->scheduler, error);
    }
    if (status == REJECTD_OK) {
        const struct queue_watch_options watched = {
            .events = service->events,
            .store = service->store,
            .scheduler = service->scheduler,
        };
        status = queue_watch_open(&watched, &daemon->queue_watch, error);
    }
    if (status == REJECTD_OK) {
        const struct starts_options asked = {
            .store = service->store,
            .board = service->board,
            .scheduler = service->scheduler,
            .forecaster = &service->forecaster,
        };
        status = starts_open(&asked, &service->starts, error);
    }
    if (status == REJECTD_OK) {
        const struct job_source source = scheduler_source(service->scheduler);
        device_board_tell(service->board, devices_changed, service->scheduler);
        status = pool_start(&source, devices, 1 + service->n_gpus, &daemon->pool, error);
    }
    return status;
}

static enum rejectd_status open_metrics(struct service *service, struct rejectd_error *error)
{
    const size_t n = route_count();
    struct metrics_route *routes = calloc(n, sizeof *routes);
    if (routes == NULL) {
        return REJECTD_FAIL_MEMORY(error, n * sizeof *routes);
    }
    for (size_t i = 0; i < n; i++) {
        routes[i] = (struct metrics_route){route_at(i)->method, route_at(i)->path};
    }
    enum rejectd_status status = metrics_open(routes, n, &service->metrics, error);
    free(routes);
    service->started_at = process_start_time();
    if (status == REJECTD_OK) {
        status = nvml_open(service->config->nvml_library, &service->nvml, error);
    }
    return status;
}

/* Ids go on growing over restarts: no job has a thousand events per millisecond. */
static enum rejectd_status open_events(struct service *service, struct rejectd_error *error)
{
    const uint64_t first_id = (uint64_t)clock_milliseconds() * 1000;
    return events_open(first_id, (size_t)service->config->max_listeners, &service->events, error);
}

static enum rejectd_status start(struct daemon *daemon, struct rejectd_error *error)
{
    struct service *service = &daemon->service;
    enum rejectd_status status = open_storage(daemon, error);
    if (status == REJECTD_OK) {
        status = open_events(service, error);
    }
    if (status == REJECTD_OK) {
        status = recover(daemon, error);
    }
    if (status == REJECTD_OK) {
        status = open_metrics(service, error);
    }
    if (status == REJECTD_OK) {
        status = rate_limiter_open(&service->rates, error);
    }
    if (status == REJECTD_OK) {
        status = executor_open(COMMIT_THREADS, &service->commits, error);
    }
    if (status == REJECTD_OK) {
        status = executor_open(UPLOAD_THREADS, &service->uploads, error);
    }
    if (status == REJECTD_OK) {
        status = partials_open(service, &service->partials, error);
        retention_init(&daemon->retention, service);
    }
    if (status == REJECTD_OK) {
        status = list_devices(daemon, error);
    }
    if (status == REJECTD_OK) {
        status = start_jobs(daemon, error);
    }
    if (status == REJECTD_OK) {
        status = http_start(service, &daemon->http, error);
    }
    if (status == REJECTD_OK) {
        status = pulse_open(&daemon->notify, service, daemon->http, &daemon->pulse, error);
    }
    return status;
}

/* False without memory. */
static bool use_settings(struct daemon *daemon, const struct config *config)
{
    struct snapshot *snapshot = malloc(sizeof *snapshot);
    if (snapshot == NULL) {
        return false;
    }
    *snapshot = (struct snapshot){.config = *config, .older = daemon->settings};
    daemon->settings = snapshot;
    daemon->service.config = &snapshot->config;
    log_set_level(&daemon->log, least_level(config->log_level));
    return true;
}

enum rejectd_status daemon_start(const struct config *config, char *const *environment,
                                 struct daemon **daemon, struct rejectd_error *error)
{
    *daemon = NULL;
    struct daemon *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->lock = -1;
    log_init(&made->log, STDERR_FILENO, LOG_LEVEL_INFO,
             environment_value(environment, "JOURNAL_STREAM"));
    notify_open(&made->notify, environment);
    waiters_init(&made->waiters);
    made->service.log = &made->log;
    made->service.waiters = &made->waiters;
    made->service.gpus = made->gpus;
    const enum rejectd_status status = use_settings(made, config)
                                           ? start(made, error)
                                           : REJECTD_FAIL_MEMORY(error, sizeof *made->settings);
    if (status != REJECTD_OK) {
        daemon_stop(made);
        return status;
    }
    log_write(&made->log, LOG_LEVEL_INFO, "started", "%s, data in %s, %s; %zu GPUs (%s)",
              http_url(made->http), config->data_dir,
              rejectd_compute_description(backend_name(config)), made->service.n_gpus,
              device_board_note(made->service.board));
    *daemon = made;
    return REJECTD_OK;
}

const char *daemon_url(const struct daemon *daemon)
{
    return http_url(daemon->http);
}

void daemon_tick(struct daemon *daemon)
{
    const double now = clock_monotonic();
    waiters_wake_expired(&daemon->waiters, now);
    queue_watch_tick(daemon->queue_watch, now);
    events_wake_due(daemon->service.events, now);
    http_tick(daemon->http);
    pulse_tick(daemon->pulse, now);
    partials_tick(daemon->service.partials, now);
    retention_tick(&daemon->retention, now);
}

void daemon_ready(struct daemon *daemon)
{
    notify_send(&daemon->notify, "READY=1\nSTATUS=listening on %s", http_url(daemon->http));
}

/* ---- reload ---- */

static void log_setting(void *context, const char *name, bool applied)
{
    const struct daemon *daemon = context;
    log_write_fields(&daemon->log, applied ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
                     applied ? "setting-changed" : "restart-needed",
                     LOG_FIELDS(LOG_TEXT("setting", name)), "%s %s", name,
                     applied ? "has changed" : "has changed, which takes effect at the next start");
}

static void reload_settings(struct daemon *daemon, const struct config *fresh)
{
    struct config merged;
    const struct config *old = daemon->service.config;
    if (!config_reload(old, fresh, &merged, log_setting, daemon)) {
        return;
    }
    if (!use_settings(daemon, &merged)) {
        log_write(&daemon->log, LOG_LEVEL_ERROR, "reload-failed", "no memory for settings");
        return;
    }
    converter_configure(daemon->service.converter, daemon->service.config);
    http_configure(daemon->http);
    forecaster_set_memory(&daemon->service.forecaster, daemon->service.config->job_memory);
    scheduler_wake(daemon->service.scheduler);
}

void daemon_reload(struct daemon *daemon, const struct config *fresh,
                   const struct rejectd_error *error)
{
    struct rejectd_error certificate;
    notify_reloading(&daemon->notify);
    if (fresh != NULL) {
        reload_settings(daemon, fresh);
        log_write(&daemon->log, LOG_LEVEL_INFO, "reloaded", "the settings were read again");
    } else {
        log_write(&daemon->log, LOG_LEVEL_ERROR, "reload-failed", "the old settings stay: %s",
                  error->message);
    }
    http_reload_certificate(daemon->http, &certificate); /* the log has its error */
    daemon_ready(daemon);
}

/* ---- the end ---- */

void daemon_drain(struct daemon *daemon)
{
    struct service *service = &daemon->service;
    const int64_t seconds = service->config->drain_seconds;
    atomic_store(&service->draining, true);
    scheduler_drain(service->scheduler);
    daemon->drained_at = clock_monotonic() + (double)seconds;
    const size_t n = scheduler_n_running(service->scheduler);
    notify_send(&daemon->notify, "STOPPING=1\nSTATUS=%zu jobs have %lld s to end", n,
                (long long)seconds);
    log_write_fields(&daemon->log, LOG_LEVEL_INFO, "draining",
                     LOG_FIELDS(LOG_NUMBER("jobs", n), LOG_NUMBER("seconds", seconds)),
                     "%zu jobs run; they have %lld s to end", n, (long long)seconds);
}

bool daemon_is_drained(const struct daemon *daemon)
{
    return scheduler_n_running(daemon->service.scheduler) == 0 ||
           clock_monotonic() >= daemon->drained_at;
}

void daemon_stop(struct daemon *daemon)
{
    if (daemon == NULL) {
        return;
    }
    struct service *service = &daemon->service;
    if (daemon->http != NULL) {
        log_write(&daemon->log, LOG_LEVEL_INFO, "stopping", "requests and jobs are ended");
        http_drain(daemon->http);
    }
    pulse_close(daemon->pulse);
    converter_stop(service->converter);
    pool_stop(daemon->pool);
    http_stop(daemon->http);
    executor_close(service->uploads);
    executor_close(service->commits);
    partials_close(service->partials);
    queue_watch_close(daemon->queue_watch);
    starts_close(service->starts);
    scheduler_close(service->scheduler);
    forecaster_close(&service->forecaster);
    for (size_t i = 0; i < service->n_gpus; i++) {
        gpu_worker_close(daemon->gpus[i]);
    }
    device_board_close(service->board);
    rate_limiter_close(service->rates);
    metrics_close(service->metrics);
    nvml_close(service->nvml);
    if (service->store != NULL) {
        service->store->functions->close(service->store);
    }
    converter_close(service->converter);
    blobs_close(service->blobs);
    events_close(service->events);
    waiters_destroy(&daemon->waiters);
    notify_close(&daemon->notify);
    while (daemon->settings != NULL) {
        struct snapshot *older = daemon->settings->older;
        free(daemon->settings);
        daemon->settings = older;
    }
    if (daemon->lock >= 0) {
        close(daemon->lock);
    }
    free(daemon);
}
