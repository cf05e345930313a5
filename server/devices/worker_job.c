#include "server/devices/worker_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "server/clock.h"
#include "worker/task.h"

struct worker_order {
    struct worker_job head;
    struct job_texts texts;
    struct rejectd_thresholds *found; /* NULL: nothing was searched yet */
    int fd;                           /* of the samples; -1: none */
};

/* ---- receiving ---- */

static enum rejectd_status receive_text(const struct worker_channel *channel, uint64_t length,
                                        char **text, struct rejectd_error *error)
{
    *text = malloc((size_t)length + 1);
    if (*text == NULL) {
        return REJECTD_FAIL_MEMORY(error, length);
    }
    (*text)[length] = '\0';
    return worker_channel_receive(channel, *text, (size_t)length, error);
}

/* What the shares of the search have found: thresholds and losses of n channels. */
static enum rejectd_status receive_found(const struct worker_channel *channel, size_t n,
                                         struct rejectd_thresholds **found,
                                         struct rejectd_error *error)
{
    struct rejectd_thresholds *made = calloc(1, sizeof *made);
    *found = made;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->n_channels = n;
    made->thresholds = malloc(n * sizeof(double));
    made->losses = malloc(n * sizeof(double));
    if (made->thresholds == NULL || made->losses == NULL) {
        return REJECTD_FAIL_MEMORY(error, 2 * n * sizeof(double));
    }
    enum rejectd_status status =
        worker_channel_receive(channel, made->thresholds, n * sizeof(double), error);
    if (status == REJECTD_OK) {
        status = worker_channel_receive(channel, made->losses, n * sizeof(double), error);
    }
    return status;
}

static enum rejectd_status receive_texts(const struct worker_channel *channel, uint64_t length,
                                         struct worker_order *order, struct rejectd_error *error)
{
    struct worker_job *head = &order->head;
    enum rejectd_status status = worker_channel_receive(channel, head, sizeof *head, error);
    if (status != REJECTD_OK) {
        return status;
    }
    uint64_t rest = length - sizeof *head;
    for (int i = 0; i < 3; i++) {
        if (head->lengths[i] > rest) {
            return REJECTD_FAIL(error, REJECTD_IO, "", "the texts of a job are cut off");
        }
        rest -= head->lengths[i];
    }
    if (rest % (2 * sizeof(double)) != 0 || rest / (2 * sizeof(double)) != head->n_found ||
        head->type >= JOB_TYPE_COUNT ||
        (head->n_shares > 0 && head->share_index >= head->n_shares)) {
        return REJECTD_FAIL(error, REJECTD_IO, "", "what the other side sent is no job");
    }
    struct job_texts *texts = &order->texts;
    texts->type = (enum job_type)head->type;
    head->model_id[sizeof head->model_id - 1] = '\0';
    head->devices[sizeof head->devices - 1] = '\0';
    memcpy(texts->dataset_sha256, head->dataset_sha256, sizeof texts->dataset_sha256);
    texts->dataset_sha256[sizeof texts->dataset_sha256 - 1] = '\0';
    status = receive_text(channel, head->lengths[0], &texts->description_json, error);
    if (status == REJECTD_OK) {
        status = receive_text(channel, head->lengths[1], &texts->parameters_json, error);
    }
    if (status == REJECTD_OK && head->lengths[2] > 0) {
        status = receive_text(channel, head->lengths[2], &texts->model_json, error);
    }
    if (status == REJECTD_OK && head->n_found > 0) {
        status = receive_found(channel, (size_t)head->n_found, &order->found, error);
    }
    return status;
}

enum rejectd_status worker_order_receive(const struct worker_channel *channel, uint64_t length,
                                         int fd, struct worker_order **order,
                                         struct rejectd_error *error)
{
    *order = NULL;
    struct worker_order *made = calloc(1, sizeof *made);
    if (made == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->fd = fd;
    const enum rejectd_status status = receive_texts(channel, length, made, error);
    if (status != REJECTD_OK) {
        worker_order_free(made);
        return status;
    }
    *order = made;
    return REJECTD_OK;
}

void worker_order_free(struct worker_order *order)
{
    if (order == NULL) {
        return;
    }
    if (order->fd >= 0) {
        close(order->fd);
    }
    job_texts_clear(&order->texts);
    rejectd_thresholds_free(order->found);
    free(order);
}

/* ---- computing ---- */

struct run {
    struct worker_site *site;
    char stage[RESOURCE_STAGE_SIZE];
    double reported; /* when, clock_monotonic() */
};

static bool report(void *context, const char *stage, double fraction)
{
    static const double least_seconds = 0.02;
    struct run *run = context;
    struct worker_site *site = run->site;
    const double now = clock_monotonic();
    if (atomic_load(&site->cancelled)) {
        return false;
    }
    if (strcmp(stage, run->stage) == 0 && now - run->reported < least_seconds) {
        return true;
    }
    struct worker_progress progress = {.fraction = fraction};
    struct rejectd_error error;
    snprintf(run->stage, sizeof run->stage, "%s", stage);
    memcpy(progress.stage, run->stage, sizeof progress.stage);
    run->reported = now;
    return site->send(site->context, WORKER_PROGRESS, &(struct iovec){&progress, sizeof progress},
                      1, &error) == REJECTD_OK;
}

/* sendmsg() takes plain pointers, and leaves the bytes alone. */
static struct iovec piece(const void *bytes, size_t count)
{
    union {
        const void *constant;
        void *plain;
    } pointer = {.constant = bytes};
    return (struct iovec){pointer.plain, count};
}

static enum rejectd_status write_cleaned(void *context, const void *samples, size_t bytes,
                                         struct rejectd_error *error)
{
    const struct run *run = context;
    const struct worker_site *site = run->site;
    enum rejectd_status status = REJECTD_OK;
    for (size_t done = 0; done < bytes && status == REJECTD_OK;) {
        const size_t rest = bytes - done;
        const size_t count = rest < WORKER_MAX_CLEANED ? rest : WORKER_MAX_CLEANED;
        const struct iovec part = piece((const char *)samples + done, count);
        status = site->send(site->context, WORKER_CLEANED, &part, 1, error);
        done += count;
    }
    return status;
}

static enum rejectd_status open_cleaned(void *context, size_t n_kept, struct rejectd_sink *sink,
                                        struct rejectd_error *error)
{
    struct run *run = context;
    const struct worker_site *site = run->site;
    uint64_t kept = n_kept;
    *sink = (struct rejectd_sink){.write = write_cleaned, .context = run};
    return site->send(site->context, WORKER_CLEANED_OPEN, &(struct iovec){&kept, sizeof kept}, 1,
                      error);
}

static enum rejectd_status send_array(const struct worker_site *site, enum worker_message type,
                                      const struct job_array *array, size_t item_bytes,
                                      struct rejectd_error *error)
{
    struct worker_array head = {{array->shape[0], array->shape[1]}};
    if (array->items == NULL) {
        return REJECTD_OK;
    }
    const struct iovec parts[2] = {
        {&head, sizeof head},
        piece(array->items, array->shape[0] * array->shape[1] * item_bytes),
    };
    return site->send(site->context, type, parts, 2, error);
}

static enum rejectd_status send_text(const struct worker_site *site, enum worker_message type,
                                     const char *text, struct rejectd_error *error)
{
    if (text == NULL) {
        return REJECTD_OK;
    }
    const struct iovec part = piece(text, strlen(text));
    return site->send(site->context, type, &part, 1, error);
}

static enum rejectd_status send_products(const struct worker_site *site,
                                         const struct job_products *products,
                                         struct rejectd_error *error)
{
    enum rejectd_status status = send_text(site, WORKER_RESULT, products->result_json, error);
    if (status == REJECTD_OK) {
        status = send_text(site, WORKER_MODEL, products->model_json, error);
    }
    if (status == REJECTD_OK) {
        status = send_array(site, WORKER_LABELS, &products->labels, sizeof(int8_t), error);
    }
    if (status == REJECTD_OK) {
        status =
            send_array(site, WORKER_CORRELATIONS, &products->correlations, sizeof(double), error);
    }
    return status;
}

static enum rejectd_status compute_share(const struct worker_order *order,
                                         const struct worker_site *site, const struct task *task,
                                         const struct rejectd_compute_options *options,
                                         struct rejectd_error *error)
{
    struct rejectd_compute_options shared = *options;
    struct rejectd_thresholds *found = NULL;
    shared.share =
        (struct rejectd_share){(size_t)order->head.share_index, (size_t)order->head.n_shares};
    enum rejectd_status status = task_search_share(task, &shared, &found, error);
    if (status == REJECTD_OK) {
        const struct iovec parts[2] = {
            piece(found->thresholds, found->n_channels * sizeof(double)),
            piece(found->losses, found->n_channels * sizeof(double)),
        };
        status = site->send(site->context, WORKER_FOUND, parts, 2, error);
    }
    rejectd_thresholds_free(found);
    return status;
}

/* What a person should know of where and how it was computed: two warnings at most. */
static size_t warn(const struct worker_order *order, const struct rejectd_device *device,
                   bool in_pieces, struct rejectd_warning warnings[2])
{
    size_t n = 0, free_bytes, budget;
    char there[BYTES_TEXT_SIZE];
    if (order->head.warning.code[0] != '\0') {
        warnings[n++] = order->head.warning;
    }
    if (in_pieces) {
        rejectd_device_memory(device, &free_bytes, &budget);
        bytes_write((double)budget, there);
        warnings[n] = (struct rejectd_warning){.code = "in-pieces"};
        snprintf(warnings[n].message, sizeof warnings[n].message,
                 "%s, which may use %s, had no room for all of it at once, so that it took longer",
                 rejectd_device_info(device)->id, there);
        n++;
    }
    return n;
}

static enum rejectd_status compute(const struct worker_order *order, struct worker_site *site,
                                   const struct job_inputs *inputs, const void *samples,
                                   struct rejectd_error *error)
{
    const struct rejectd_device_info *info = rejectd_device_info(site->device);
    const double start = clock_monotonic();
    const uint64_t shortages = rejectd_device_shortages(site->device);
    struct run run = {.site = site};
    struct task task = inputs->task;
    task.epochs.samples = samples;
    const struct rejectd_compute_options options = {
        .device = site->device,
        .n_threads = site->n_threads,
        .found = order->found,
        .monitor = {.report = report, .context = &run},
    };
    if (order->head.n_shares > 0) {
        return compute_share(order, site, &task, &options, error);
    }
    const struct task_cleaned cleaned = {.open = open_cleaned, .context = &run};
    struct task_result result = {0};
    struct job_products products = {0};
    char backend[256];
    snprintf(backend, sizeof backend, "%s (%.140s)", info->name, site->note);
    enum rejectd_status status = task_run(&task, &options, &cleaned, &result, error);
    if (status == REJECTD_OK && result.fit != NULL) {
        result.fit->seconds_thresholds += order->head.seconds_searched;
    }
    if (status == REJECTD_OK) {
        struct rejectd_warning warnings[2];
        const bool in_pieces = rejectd_device_shortages(site->device) > shortages;
        const struct result_context context = {
            .model = order->head.model_id,
            .device = info->id,
            .devices = order->found != NULL ? order->head.devices : NULL,
            .backend = backend,
            .dataset_sha256 = order->texts.dataset_sha256,
            .parameters_json = order->texts.parameters_json,
            .random_state = inputs->parameters.random_state,
            .seconds_queued = order->head.seconds_queued,
            .seconds_running = clock_monotonic() - start + order->head.seconds_searched,
            .warnings = warnings,
            .n_warnings = warn(order, site->device, in_pieces, warnings),
        };
        status = job_products_make(order->texts.type, inputs, &result, &context, &products, error);
    }
    if (status == REJECTD_OK) {
        status = send_products(site, &products, error);
    }
    job_products_clear(&products);
    task_result_clear(&result);
    return status;
}

static enum rejectd_status map_samples(int fd, size_t bytes, void **samples,
                                       struct rejectd_error *error)
{
    struct stat file;
    *samples = NULL;
    if (fd < 0 || fstat(fd, &file) != 0 || (uint64_t)file.st_size != bytes) {
        return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "the samples of the job are missing");
    }
    void *mapped = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        return REJECTD_FAIL_MEMORY(error, bytes);
    }
    *samples = mapped;
    return REJECTD_OK;
}

enum rejectd_status worker_order_run(struct worker_order *order, struct worker_site *site,
                                     struct rejectd_error *error)
{
    struct job_inputs inputs;
    void *samples = NULL;
    size_t bytes = 0;
    enum rejectd_status status = job_inputs_open(&order->texts, &inputs, error);
    if (status == REJECTD_OK) {
        bytes = dataset_sample_bytes(&inputs.description);
        status = map_samples(order->fd, bytes, &samples, error);
    }
    if (status == REJECTD_OK) {
        status = compute(order, site, &inputs, samples, error);
    }
    if (samples != NULL) {
        munmap(samples, bytes);
    }
    job_inputs_clear(&inputs);
    return status;
}
