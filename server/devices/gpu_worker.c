/*
 * The life of a GPU's process.
 *
 * It is started by the pool's thread, which then sees to it every 100 ms while it waits for jobs.
 * A process that ends, breaks the protocol, reports that its device has failed or falls silent is
 * killed and replaced: at once, then after 1, 2, 4, ... 60 seconds. From the fifth failure in a row
 * the device counts as failed, and is tried again every minute. A job that has been computed, or a
 * minute without trouble, ends the row.
 */
#include "server/devices/gpu_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/devices/gpu_worker_private.h"

enum { FAILED_AFTER = 5 };

static const double slice_seconds = 0.1;
static const double longest_delay = 60.0;
static const double sound_after = 60.0;
static const double end_seconds = 2.0;
static const double idle_ping_seconds = 1.0;
static const double open_seconds = 120.0; /* at most; jobs may wait for it */

/* ---- what it says ---- */

enum rejectd_status gpu_worker_fail_protocol(struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "", "its process said what makes no sense");
}

enum rejectd_status gpu_worker_next(struct gpu_worker *worker, double seconds, bool *arrived,
                                    struct worker_header *header, struct rejectd_error *error)
{
    const struct worker_channel *channel = &worker->process.channel;
    int fd = -1;
    *arrived = worker_channel_wait(channel, seconds);
    if (!*arrived) {
        return REJECTD_OK;
    }
    const enum rejectd_status status = worker_channel_receive_header(channel, header, &fd, error);
    if (status != REJECTD_OK) {
        return status;
    }
    /* It has no descriptors to give: those that came with the header were for nobody. */
    if (fd >= 0 || !worker_message_fits(header)) {
        if (fd >= 0) {
            close(fd);
        }
        return gpu_worker_fail_protocol(error);
    }
    worker->heard = clock_monotonic();
    return REJECTD_OK;
}

enum rejectd_status gpu_worker_take_status(struct gpu_worker *worker, struct rejectd_error *error)
{
    struct worker_status said;
    const enum rejectd_status status =
        worker_channel_receive(&worker->process.channel, &said, sizeof said, error);
    if (status != REJECTD_OK) {
        return status;
    }
    if (!worker_status_unpack(&said, &worker->contents)) {
        return gpu_worker_fail_protocol(error);
    }
    worker->forgetting = false;
    device_board_set_contents(worker->options.board, worker->options.device, &worker->contents);
    return REJECTD_OK;
}

enum rejectd_status gpu_worker_take_outcome(struct gpu_worker *worker, enum rejectd_status *told,
                                            struct rejectd_error *error)
{
    struct worker_outcome outcome;
    const enum rejectd_status status =
        worker_channel_receive(&worker->process.channel, &outcome, sizeof outcome, error);
    if (status != REJECTD_OK) {
        return status;
    }
    return worker_outcome_unpack(&outcome, told, error) ? REJECTD_OK
                                                        : gpu_worker_fail_protocol(error);
}

/* ---- watching it ---- */

/* One message at a time: with many, each side could wait for the other to read. */
static enum rejectd_status pass_on_forgetting(struct gpu_worker *worker,
                                              struct rejectd_error *error)
{
    char sha256[FORGET_MOST][RESOURCE_SHA256_SIZE];
    size_t n;
    if (worker->forgetting || !forget_list_take(&worker->to_forget, sha256, &n)) {
        return REJECTD_OK;
    }
    worker->forgetting = true;
    return worker_channel_send(&worker->process.channel, WORKER_FORGET,
                               &(struct iovec){sha256, n * sizeof sha256[0]}, 1, -1, error);
}

enum rejectd_status gpu_worker_watch(struct gpu_worker *worker, struct rejectd_error *error)
{
    const double now = clock_monotonic();
    const double silence = now - worker->heard;
    if (silence > worker->options.timeout) {
        return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "",
                            "its process has not answered for %.3g s", silence);
    }
    const bool stalls = now - worker->progressed > worker->options.stall;
    if (stalls || (!worker->ready && now - worker->progressed > open_seconds)) {
        return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "", "it has got nowhere for %.3g s",
                            now - worker->progressed);
    }
    double every = worker->options.timeout / 4.0;
    every = every < idle_ping_seconds ? every : idle_ping_seconds;
    enum rejectd_status status = pass_on_forgetting(worker, error);
    if (status == REJECTD_OK && now - worker->pinged > every) {
        worker->pinged = now;
        status = worker_channel_send(&worker->process.channel, WORKER_PING, NULL, 0, -1, error);
    }
    return status;
}

/* ---- giving it up ---- */

static double delay_after(int n_failures)
{
    if (n_failures >= FAILED_AFTER) {
        return longest_delay;
    }
    return n_failures <= 1 ? 0.0 : (double)(1 << (n_failures - 2));
}

void gpu_worker_give_up(struct gpu_worker *worker, struct rejectd_error *why)
{
    const struct gpu_worker_options *options = &worker->options;
    const double now = clock_monotonic();
    char how[WORKER_PROCESS_END_SIZE];
    char reason[DEVICE_REASON_SIZE];
    /* One that closed the channel is about to end, and how it does tells more than that it did. */
    const bool closed = why->status == REJECTD_IO;
    worker_process_end(&worker->process, closed ? 1.0 : 0.0, how);
    snprintf(reason, sizeof reason, "%.250s", closed ? how : why->message);
    if (worker->ready && now - worker->ready_since > sound_after) {
        worker->n_failures = 0;
    }
    worker->ready = false;
    worker->n_failures++;
    const double delay = delay_after(worker->n_failures);
    worker->start_at = now + delay;
    const bool failed = worker->n_failures >= FAILED_AFTER;
    const struct store_claim *claim = worker->claim;
    log_write_fields(options->log, failed ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "device-lost",
                     LOG_FIELDS(LOG_TEXT("device", options->device),
                                LOG_TEXT("job", claim == NULL ? NULL : claim->job),
                                LOG_TEXT("request_id", claim == NULL ? NULL : claim->request_id),
                                LOG_NUMBER("failures", worker->n_failures)),
                     "%s: %s (failure %d in a row); it is started again in %.0f s", options->device,
                     reason, worker->n_failures, delay);
    device_board_set_state(options->board, options->device,
                           failed ? DEVICE_FAILED : DEVICE_RESTARTING, worker->n_failures <= 1,
                           reason);
    REJECTD_FAIL(why, REJECTD_DEVICE_FAILED, "", "device %s failed: %.250s", options->device,
                 reason);
}

/* ---- starting it ---- */

static enum rejectd_status start(struct gpu_worker *worker, struct rejectd_error *error)
{
    const struct gpu_worker_options *options = &worker->options;
    const struct worker_process_options process = {
        .device = options->device,
        .module = options->module,
        .memory = options->memory,
        .threads = options->threads,
        .patience = options->timeout,
    };
    if (worker->started_before) {
        device_board_count_restart(options->board, options->device);
    }
    worker->started_before = true;
    worker->forgetting = false;
    worker->heard = worker->pinged = worker->progressed = clock_monotonic();
    return worker_process_start(&process, &worker->process, error);
}

static void become_ready(struct gpu_worker *worker)
{
    const struct gpu_worker_options *options = &worker->options;
    worker->ready = true;
    worker->ready_since = clock_monotonic();
    log_write_fields(
        options->log, LOG_LEVEL_INFO, "device-ready",
        LOG_FIELDS(LOG_TEXT("device", options->device), LOG_NUMBER("pid", worker->process.pid)),
        "%s, process %d", options->device, (int)worker->process.pid);
    device_board_set_state(options->board, options->device, DEVICE_READY, true, "");
}

/* While no job runs: what may come is the outcome of its start, and what it says of its device. */
static enum rejectd_status attend_message(struct gpu_worker *worker,
                                          const struct worker_header *header,
                                          struct rejectd_error *error)
{
    enum rejectd_status told = REJECTD_OK;
    if (header->type == WORKER_STATUS) {
        return gpu_worker_take_status(worker, error);
    }
    if (header->type != WORKER_OPENED || worker->ready) {
        return gpu_worker_fail_protocol(error);
    }
    const enum rejectd_status status = gpu_worker_take_outcome(worker, &told, error);
    if (status == REJECTD_OK && told == REJECTD_OK) {
        become_ready(worker);
    }
    if (status == REJECTD_OK && told != REJECTD_OK) {
        error->status = REJECTD_DEVICE_FAILED; /* whatever kept it from being opened */
        return REJECTD_DEVICE_FAILED;
    }
    return status;
}

enum rejectd_status gpu_worker_attend(struct gpu_worker *worker, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    bool arrived = true;
    while (status == REJECTD_OK && arrived) {
        struct worker_header header;
        status =
            gpu_worker_next(worker, worker->ready ? 0.0 : slice_seconds, &arrived, &header, error);
        if (status == REJECTD_OK && arrived) {
            status = attend_message(worker, &header, error);
        }
        if (status == REJECTD_OK && worker->ready) {
            worker->progressed = clock_monotonic(); /* nothing is expected of it */
        }
        if (status == REJECTD_OK) {
            status = gpu_worker_watch(worker, error);
        }
    }
    return status;
}

static bool attend(void *context)
{
    static const struct timespec slice = {.tv_nsec = 100000000};
    struct gpu_worker *worker = context;
    struct rejectd_error error = {0};
    enum rejectd_status status = REJECTD_OK;
    if (worker->process.pid == 0) {
        if (clock_monotonic() < worker->start_at) {
            nanosleep(&slice, NULL);
            return false;
        }
        status = start(worker, &error);
    }
    if (status == REJECTD_OK) {
        status = gpu_worker_attend(worker, &error);
    }
    if (status != REJECTD_OK) {
        gpu_worker_give_up(worker, &error);
    }
    return worker->ready;
}

static void leave(void *context)
{
    struct gpu_worker *worker = context;
    worker_process_end(&worker->process, end_seconds, NULL);
}

/* ---- for the daemon ---- */

enum rejectd_status gpu_worker_open(const struct gpu_worker_options *options,
                                    struct gpu_worker **worker, struct rejectd_error *error)
{
    struct gpu_worker *made = calloc(1, sizeof *made);
    char *cleaned = malloc(WORKER_MAX_CLEANED);
    *worker = made;
    if (made == NULL || cleaned == NULL) {
        free(made);
        free(cleaned);
        *worker = NULL;
        return REJECTD_FAIL_MEMORY(error, WORKER_MAX_CLEANED);
    }
    made->cleaned = cleaned;
    made->options = *options;
    made->process.channel.fd = -1;
    made->runner = (struct pool_runner){
        .attend = attend,
        .run = gpu_worker_run,
        .leave = leave,
        .context = made,
    };
    forget_list_init(&made->to_forget);
    return REJECTD_OK;
}

void gpu_worker_close(struct gpu_worker *worker)
{
    if (worker != NULL) {
        forget_list_destroy(&worker->to_forget);
        free(worker->cleaned);
        free(worker);
    }
}

const struct pool_runner *gpu_worker_runner(struct gpu_worker *worker)
{
    return &worker->runner;
}

void gpu_worker_forget(struct gpu_worker *worker, const char *sha256)
{
    forget_list_add(&worker->to_forget, sha256);
}
