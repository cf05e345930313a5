#include "server/metrics/collect.h"

#include <rejectd/version.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/clock.h"
#include "server/metrics/process.h"
#include "server/metrics/text.h"

enum { MOST_TEXT = 16 << 20 };

static void write_build(const struct service *service, struct buffer *text)
{
    const struct metric_label labels[] = {
        {"version", REJECTD_VERSION},
        {"backend", service->config->backend},
    };
    metric_text_family(text, "rejectd_build_info", METRIC_GAUGE, "What runs; always 1.");
    metric_text_sample(text, "rejectd_build_info", labels, 2, 1.0);
    metric_text_single(text, "rejectd_draining", METRIC_GAUGE,
                       "1 while the service ends: running jobs are finished, none is begun.",
                       atomic_load(&service->draining) ? 1.0 : 0.0);
}

/* ---- store ---- */

static void write_queue(const struct store_queue *queue, struct buffer *text)
{
    static const char depth[] = "rejectd_queue_depth";
    static const char oldest[] = "rejectd_queue_oldest_seconds";
    const int64_t now = clock_milliseconds();
    bool usual = false;
    metric_text_family(text, depth, METRIC_GAUGE, "Jobs that wait, by priority.");
    for (size_t i = 0; i < queue->n; i++) {
        char priority[16];
        snprintf(priority, sizeof priority, "%d", queue->by_priority[i].priority);
        metric_text_sample(text, depth, &(struct metric_label){"priority", priority}, 1,
                           (double)queue->by_priority[i].n_queued);
        usual = usual || queue->by_priority[i].priority == 0;
    }
    if (!usual) { /* an empty queue is told, too */
        metric_text_sample(text, depth, &(struct metric_label){"priority", "0"}, 1, 0.0);
    }
    metric_text_family(text, oldest, METRIC_GAUGE,
                       "How long the first of them has waited, by priority.");
    for (size_t i = 0; i < queue->n; i++) {
        char priority[16];
        const double age = 1e-3 * (double)(now - queue->by_priority[i].oldest);
        snprintf(priority, sizeof priority, "%d", queue->by_priority[i].priority);
        metric_text_sample(text, oldest, &(struct metric_label){"priority", priority}, 1,
                           age > 0.0 ? age : 0.0);
    }
    metric_text_single(text, "rejectd_jobs_running", METRIC_GAUGE, "Jobs that run now.",
                       (double)queue->n_running);
}

static void write_store(struct service *service, struct buffer *text)
{
    struct store *store = service->store;
    struct store_queue queue = {0};
    const enum rejectd_status status = store->functions->queue_look(store, &queue, NULL);
    metric_text_single(text, "rejectd_store_up", METRIC_GAUGE, "1 when the store answers.",
                       status == REJECTD_OK ? 1.0 : 0.0);
    if (status == REJECTD_OK) {
        write_queue(&queue, text);
    }
    metric_text_single(text, "rejectd_store_errors_total", METRIC_COUNTER,
                       "Failures of the database.", (double)atomic_load(&store->n_errors));
}

/* ---- blobs ---- */

static void write_blobs(struct service *service, struct buffer *text)
{
    struct blobs_usage usage;
    blobs_look(service->blobs, &usage);
    metric_text_single(text, "rejectd_blob_errors_total", METRIC_COUNTER,
                       "Failures to read or write samples and results.", (double)usage.n_errors);
    metric_text_single(text, "rejectd_blob_bytes", METRIC_GAUGE,
                       "Bytes of samples and results on the disk.", (double)usage.bytes);
    metric_text_single(text, "rejectd_blobs", METRIC_GAUGE, "Files that they are in.",
                       (double)usage.n_blobs);
    if (usage.has_disk) {
        metric_text_single(text, "rejectd_disk_free_bytes", METRIC_GAUGE,
                           "What the disk of the data directory has left for the service.",
                           (double)usage.disk_free);
        metric_text_single(text, "rejectd_disk_size_bytes", METRIC_GAUGE, "How large it is.",
                           (double)usage.disk_size);
    }
    metric_text_single(text, "rejectd_event_listeners", METRIC_GAUGE,
                       "Clients that listen to a job's events.",
                       (double)events_n_listeners(service->events));
    metric_text_single(text, "rejectd_uploads_open", METRIC_GAUGE, "Uploads that are going on.",
                       (double)atomic_load(&service->n_uploads));
}

/* ---- devices ---- */

static double resident_bytes(const struct device_view *device)
{
    return (double)device->held_bytes;
}

static double device_up(const struct device_view *device)
{
    return device_state_is_usable(device->state) ? 1.0 : 0.0;
}

static double device_busy(const struct device_view *device)
{
    return device->job[0] != '\0' ? 1.0 : 0.0;
}

static double device_restarts(const struct device_view *device)
{
    return (double)device->restarts;
}

static double device_residents(const struct device_view *device)
{
    return (double)device->n_held;
}

static double device_evictions(const struct device_view *device)
{
    return (double)device->evictions;
}

static double device_total(const struct device_view *device)
{
    return (double)device->memory_total;
}

static double device_budget(const struct device_view *device)
{
    return (double)device->memory_budget;
}

static double device_free(const struct device_view *device)
{
    return (double)device->memory_free;
}

static const struct device_family {
    const char *name;
    enum metric_type type;
    bool gpus_alone;
    double (*value)(const struct device_view *device);
    const char *help;
} device_families[] = {
    {"rejectd_device_up", METRIC_GAUGE, false, device_up, "1 when jobs can run on it."},
    {"rejectd_device_busy", METRIC_GAUGE, false, device_busy, "1 while it has a job."},
    {"rejectd_device_restarts_total", METRIC_COUNTER, true, device_restarts,
     "Times that its process was replaced."},
    {"rejectd_device_residents", METRIC_GAUGE, true, device_residents, "Datasets that it keeps."},
    {"rejectd_device_resident_bytes", METRIC_GAUGE, true, resident_bytes,
     "Bytes of them, and of what was computed from them."},
    {"rejectd_device_evictions_total", METRIC_COUNTER, true, device_evictions,
     "Datasets that it dropped because their room was needed."},
    {"rejectd_device_memory_bytes", METRIC_GAUGE, true, device_total, "Memory that it has."},
    {"rejectd_device_memory_budget_bytes", METRIC_GAUGE, true, device_budget,
     "What of it may be used."},
    {"rejectd_device_memory_free_bytes", METRIC_GAUGE, true, device_free, "What of it is free."},
};

static void write_devices(const struct service *service, struct buffer *text)
{
    struct device_view *views = NULL;
    size_t n_views = 0;
    if (device_board_copy(service->board, &views, &n_views, NULL) != REJECTD_OK) {
        return;
    }
    for (size_t f = 0; f < sizeof device_families / sizeof device_families[0]; f++) {
        const struct device_family *family = &device_families[f];
        metric_text_family(text, family->name, family->type, family->help);
        for (size_t i = 0; i < n_views; i++) {
            if (i > 0 || !family->gpus_alone) { /* the first is the processor */
                metric_text_sample(text, family->name,
                                   &(struct metric_label){"device", views[i].id}, 1,
                                   family->value(&views[i]));
            }
        }
    }
    free(views);
}

/* ---- GPUs, as the driver sees them ---- */

static bool gpu_busy(const struct nvml_gpu *gpu, double *value)
{
    *value = gpu->busy;
    return gpu->has_utilization;
}

static bool gpu_memory_busy(const struct nvml_gpu *gpu, double *value)
{
    *value = gpu->memory_busy;
    return gpu->has_utilization;
}

static bool gpu_memory_used(const struct nvml_gpu *gpu, double *value)
{
    *value = (double)gpu->memory_used;
    return gpu->has_memory;
}

static bool gpu_memory_total(const struct nvml_gpu *gpu, double *value)
{
    *value = (double)gpu->memory_total;
    return gpu->has_memory;
}

static bool gpu_celsius(const struct nvml_gpu *gpu, double *value)
{
    *value = gpu->celsius;
    return gpu->has_temperature;
}

static const struct gpu_family {
    const char *name;
    bool (*value)(const struct nvml_gpu *gpu, double *value);
    const char *help;
} gpu_families[] = {
    {"rejectd_gpu_utilization_ratio", gpu_busy, "Share of time in which a kernel ran."},
    {"rejectd_gpu_memory_utilization_ratio", gpu_memory_busy,
     "Share of time in which memory was read or written."},
    {"rejectd_gpu_memory_used_bytes", gpu_memory_used, "Memory in use, by anybody."},
    {"rejectd_gpu_memory_total_bytes", gpu_memory_total, "Memory that it has."},
    {"rejectd_gpu_temperature_celsius", gpu_celsius, "How warm it is."},
};

static void write_gpus(struct service *service, struct buffer *text)
{
    struct nvml_gpu *gpus = calloc(NVML_MOST_GPUS, sizeof *gpus);
    const size_t n_gpus = gpus == NULL ? 0 : nvml_read(service->nvml, gpus);
    for (size_t f = 0; n_gpus > 0 && f < sizeof gpu_families / sizeof gpu_families[0]; f++) {
        metric_text_family(text, gpu_families[f].name, METRIC_GAUGE, gpu_families[f].help);
        for (size_t i = 0; i < n_gpus; i++) {
            char index[24];
            double value;
            snprintf(index, sizeof index, "%zu", i);
            const struct metric_label labels[] = {{"gpu", index}, {"uuid", gpus[i].uuid}};
            if (gpu_families[f].value(&gpus[i], &value)) {
                metric_text_sample(text, gpu_families[f].name, labels, 2, value);
            }
        }
    }
    free(gpus);
}

char *metrics_collect(struct service *service)
{
    struct buffer text;
    buffer_init(&text, MOST_TEXT);
    write_build(service, &text);
    metrics_write(service->metrics, &text);
    write_store(service, &text);
    write_blobs(service, &text);
    write_devices(service, &text);
    write_gpus(service, &text);
    process_metrics_write(service->started_at, &text);
    return buffer_take(&text, NULL);
}
