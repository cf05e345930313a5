/*
 * A job on a GPU, seen from the daemon: what the job needs goes to the device's process, what it
 * makes comes back, and the monitor is asked meanwhile whether it is still wanted.
 *
 * Nothing the process sends is taken beyond what this job can have: the shapes of its arrays, as
 * many samples as its kept epochs have, texts in proportion.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/blobs/blobs.h"
#include "server/clock.h"
#include "server/devices/gpu_worker_private.h"

static const double slice_seconds = 0.05;
static const double cancel_seconds = 10.0;

struct run {
    struct gpu_worker *worker;
    struct claimed_job *job;
    const struct gpu_part *part;
    struct rejectd_thresholds *found; /* of a share, owned */
    const struct rejectd_monitor *monitor;
    const struct task_cleaned *cleaned;
    struct worker_progress progress;
    double cancelled_at; /* 0: it isn't */
    bool has_sink;
    struct rejectd_sink sink;
    uint64_t cleaned_left;   /* bytes that must still come */
    enum rejectd_status own; /* what went wrong on this side; the process goes on */
    struct rejectd_error own_error;
    bool done;
    enum rejectd_status told; /* by DONE */
};

static size_t epoch_bytes(const struct run *run)
{
    const struct dataset_description *description = &run->job->inputs.description;
    return dataset_sample_bytes(description) / description->n_epochs;
}

/* ---- sending ---- */

static struct iovec text_part(char *text)
{
    return (struct iovec){text, text == NULL ? 0 : strlen(text)};
}

/* fd: of the samples. */
static enum rejectd_status send_job(const struct run *run, int fd, struct rejectd_error *error)
{
    const struct claimed_job *job = run->job;
    const struct gpu_part *part = run->part;
    const struct rejectd_thresholds *joined = part->joined;
    const struct job_texts *texts = &job->texts;
    struct iovec parts[6] = {
        [1] = text_part(texts->description_json),
        [2] = text_part(texts->parameters_json),
        [3] = text_part(texts->model_json),
    };
    struct worker_job head = {
        .type = texts->type,
        .warning = job->warning,
        .seconds_queued = job->claim.seconds_queued,
        .lengths = {parts[1].iov_len, parts[2].iov_len, parts[3].iov_len},
        .share_index = part->share.index,
        .n_shares = part->share.n,
        .seconds_searched = part->seconds_searched,
    };
    memcpy(head.dataset_sha256, texts->dataset_sha256, sizeof head.dataset_sha256);
    memcpy(head.model_id, job->model_id, sizeof head.model_id);
    if (joined != NULL) {
        const size_t bytes = joined->n_channels * sizeof(double);
        head.n_found = joined->n_channels;
        snprintf(head.devices, sizeof head.devices, "%s", part->devices);
        parts[4] = (struct iovec){joined->thresholds, bytes};
        parts[5] = (struct iovec){joined->losses, bytes};
    }
    parts[0] = (struct iovec){&head, sizeof head};
    return worker_channel_send(&run->worker->process.channel, WORKER_JOB, parts, 6, fd, error);
}

/* Ends the job in the process; it goes on until it has said so. */
static enum rejectd_status cancel(struct run *run, struct rejectd_error *error)
{
    if (run->cancelled_at > 0.0) {
        return REJECTD_OK;
    }
    run->cancelled_at = clock_monotonic();
    return worker_channel_send(&run->worker->process.channel, WORKER_CANCEL, NULL, 0, -1, error);
}

/* ---- receiving ---- */

static enum rejectd_status receive(const struct run *run, void *bytes, size_t count,
                                   struct rejectd_error *error)
{
    return worker_channel_receive(&run->worker->process.channel, bytes, count, error);
}

/* What went wrong on this side ends the job, not the process. */
static enum rejectd_status note_own(struct run *run, enum rejectd_status status,
                                    struct rejectd_error *error)
{
    if (status != REJECTD_OK && run->own == REJECTD_OK) {
        run->own = status;
        return cancel(run, error);
    }
    return REJECTD_OK;
}

static enum rejectd_status take_progress(struct run *run, struct rejectd_error *error)
{
    struct worker_progress progress;
    const enum rejectd_status status = receive(run, &progress, sizeof progress, error);
    if (status != REJECTD_OK) {
        return status;
    }
    if (!worker_progress_check(&progress)) {
        return gpu_worker_fail_protocol(error);
    }
    if (progress.fraction >= run->progress.fraction) {
        run->progress = progress;
    }
    return REJECTD_OK;
}

static enum rejectd_status take_cleaned_open(struct run *run, struct rejectd_error *error)
{
    uint64_t n_kept;
    const enum rejectd_status status = receive(run, &n_kept, sizeof n_kept, error);
    if (status != REJECTD_OK) {
        return status;
    }
    if (run->has_sink || n_kept > run->job->inputs.description.n_epochs) {
        return gpu_worker_fail_protocol(error);
    }
    run->has_sink = true;
    run->cleaned_left = n_kept * epoch_bytes(run);
    const enum rejectd_status opened =
        run->cleaned->open(run->cleaned->context, (size_t)n_kept, &run->sink, &run->own_error);
    return note_own(run, opened, error);
}

static enum rejectd_status take_cleaned(struct run *run, uint64_t length,
                                        struct rejectd_error *error)
{
    if (length > run->cleaned_left) {
        return gpu_worker_fail_protocol(error);
    }
    char *bytes = run->worker->cleaned;
    enum rejectd_status status = receive(run, bytes, (size_t)length, error);
    if (status == REJECTD_OK && run->own == REJECTD_OK) {
        run->cleaned_left -= length;
        status = note_own(
            run, run->sink.write(run->sink.context, bytes, (size_t)length, &run->own_error), error);
    }
    return status;
}

/* Labels and loss grids are nearly all of a result. */
static uint64_t most_text(const struct run *run)
{
    const struct dataset_description *description = &run->job->inputs.description;
    return ((uint64_t)1 << 28) + 4 * description->n_epochs * description->n_channels;
}

static enum rejectd_status take_text(struct run *run, uint64_t length, char **text,
                                     struct rejectd_error *error)
{
    if (*text != NULL || length > most_text(run)) {
        return gpu_worker_fail_protocol(error);
    }
    char *taken = malloc((size_t)length + 1);
    if (taken == NULL) {
        return REJECTD_FAIL_MEMORY(error, length);
    }
    taken[length] = '\0';
    *text = taken;
    return receive(run, taken, (size_t)length, error);
}

static enum rejectd_status take_array(struct run *run, uint64_t length, size_t item_bytes,
                                      struct job_array *array, struct rejectd_error *error)
{
    const struct dataset_description *description = &run->job->inputs.description;
    struct worker_array head;
    const enum rejectd_status status = receive(run, &head, sizeof head, error);
    if (status != REJECTD_OK) {
        return status;
    }
    if (array->items != NULL || head.shape[0] != description->n_epochs ||
        head.shape[1] > description->n_channels ||
        length - sizeof head != head.shape[0] * head.shape[1] * item_bytes ||
        length == sizeof head) {
        return gpu_worker_fail_protocol(error);
    }
    array->owned = malloc((size_t)length - sizeof head);
    if (array->owned == NULL) {
        return REJECTD_FAIL_MEMORY(error, length);
    }
    array->items = array->owned;
    array->shape[0] = (size_t)head.shape[0];
    array->shape[1] = (size_t)head.shape[1];
    return receive(run, array->owned, (size_t)length - sizeof head, error);
}

/* Of a share: thresholds and losses of all channels. */
static enum rejectd_status take_found(struct run *run, uint64_t length, struct rejectd_error *error)
{
    const size_t n = run->job->inputs.description.n_channels;
    if (run->found != NULL || length != 2 * n * sizeof(double)) {
        return gpu_worker_fail_protocol(error);
    }
    struct rejectd_thresholds *found = run->found = calloc(1, sizeof *found);
    if (found == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *found);
    }
    found->n_channels = n;
    found->thresholds = malloc(n * sizeof(double));
    found->losses = malloc(n * sizeof(double));
    if (found->thresholds == NULL || found->losses == NULL) {
        return REJECTD_FAIL_MEMORY(error, length);
    }
    const enum rejectd_status status = receive(run, found->thresholds, n * sizeof(double), error);
    return status == REJECTD_OK ? receive(run, found->losses, n * sizeof(double), error) : status;
}

/* Whether all has come that this job leaves behind. */
static bool is_complete(const struct run *run)
{
    const struct job_products *products = &run->job->products;
    if (run->part->share.n > 0) {
        return run->found != NULL;
    }
    return products->result_json != NULL && run->cleaned_left == 0 &&
           (run->job->texts.type == JOB_FIT) == (products->model_json != NULL);
}

static enum rejectd_status take_done(struct run *run, struct rejectd_error *error)
{
    const enum rejectd_status status = gpu_worker_take_outcome(run->worker, &run->told, error);
    if (status != REJECTD_OK) {
        return status;
    }
    run->done = true;
    if (run->told == REJECTD_OK && run->own == REJECTD_OK && !is_complete(run)) {
        return gpu_worker_fail_protocol(error);
    }
    return REJECTD_OK;
}

static enum rejectd_status take_message(struct run *run, const struct worker_header *header,
                                        struct rejectd_error *error)
{
    struct job_products *products = &run->job->products;
    const bool is_share = run->part->share.n > 0;
    if (header->type != WORKER_STATUS) {
        run->worker->progressed = clock_monotonic();
    }
    /* A share leaves what it found behind and nothing else, a job all but that. */
    const bool is_product = header->type >= WORKER_CLEANED_OPEN && header->type < WORKER_DONE;
    if (is_product && is_share != (header->type == WORKER_FOUND)) {
        return gpu_worker_fail_protocol(error);
    }
    switch ((enum worker_message)header->type) {
    case WORKER_STATUS:
        return gpu_worker_take_status(run->worker, error);
    case WORKER_PROGRESS:
        return take_progress(run, error);
    case WORKER_CLEANED_OPEN:
        return take_cleaned_open(run, error);
    case WORKER_CLEANED:
        return take_cleaned(run, header->length, error);
    case WORKER_RESULT:
        return take_text(run, header->length, &products->result_json, error);
    case WORKER_MODEL:
        return take_text(run, header->length, &products->model_json, error);
    case WORKER_LABELS:
        return take_array(run, header->length, sizeof(int8_t), &products->labels, error);
    case WORKER_CORRELATIONS:
        return take_array(run, header->length, sizeof(double), &products->correlations, error);
    case WORKER_FOUND:
        return take_found(run, header->length, error);
    case WORKER_DONE:
        return take_done(run, error);
    default:
        return gpu_worker_fail_protocol(error);
    }
}

/* ---- the job ---- */

/* Is it still wanted? Once it isn't, its process has a while to say that it has stopped. */
static enum rejectd_status ask_monitor(struct run *run, struct rejectd_error *error)
{
    const struct rejectd_monitor *monitor = run->monitor;
    if (run->cancelled_at == 0.0) {
        return monitor->report(monitor->context, run->progress.stage, run->progress.fraction)
                   ? REJECTD_OK
                   : cancel(run, error);
    }
    if (clock_monotonic() - run->cancelled_at > cancel_seconds) {
        return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "",
                            "a cancelled job has not ended for %.0f s", cancel_seconds);
    }
    return REJECTD_OK;
}

static enum rejectd_status follow(struct run *run, struct rejectd_error *error)
{
    struct gpu_worker *worker = run->worker;
    double asked = 0.0;
    enum rejectd_status status = REJECTD_OK;
    while (status == REJECTD_OK && !run->done) {
        struct worker_header header;
        bool arrived = false;
        status = gpu_worker_next(worker, slice_seconds, &arrived, &header, error);
        if (status == REJECTD_OK && arrived) {
            status = take_message(run, &header, error);
            /* What this side took over it, the disk say, is not the silence of the other. */
            worker->heard = clock_monotonic();
        }
        if (status == REJECTD_OK && !run->done && clock_monotonic() - asked > slice_seconds) {
            asked = clock_monotonic();
            status = ask_monitor(run, error);
        }
        if (status == REJECTD_OK && !run->done) {
            status = gpu_worker_watch(worker, error);
        }
    }
    return status;
}

enum rejectd_status gpu_job_run(struct gpu_worker *worker, struct claimed_job *job,
                                const struct gpu_part *part, const struct rejectd_monitor *monitor,
                                const struct task_cleaned *cleaned,
                                struct rejectd_thresholds **found, struct rejectd_error *error)
{
    struct run run = {
        .worker = worker, .job = job, .part = part, .monitor = monitor, .cleaned = cleaned};
    int fd = -1;
    *found = NULL;
    uint64_t bytes = 0;
    enum rejectd_status status =
        blobs_open_file(worker->options.blobs, run.job->texts.dataset_sha256, &fd, &bytes, error);
    if (status != REJECTD_OK) {
        return status;
    }
    worker->claim = &run.job->claim;
    device_board_use(worker->options.board, worker->options.device, run.job->texts.dataset_sha256,
                     run.job->claim.dataset);
    worker->progressed = worker->heard = clock_monotonic();
    status = send_job(&run, fd, error);
    close(fd);
    if (status == REJECTD_OK) {
        status = follow(&run, error);
    }
    if (status == REJECTD_OK && run.told == REJECTD_CANCELLED && run.cancelled_at == 0.0) {
        status = gpu_worker_fail_protocol(error);
    }
    if (status != REJECTD_OK || run.told == REJECTD_DEVICE_FAILED) {
        gpu_worker_give_up(worker, error);
        status = REJECTD_DEVICE_FAILED;
    } else {
        worker->n_failures = 0;
        status = run.told;
    }
    worker->claim = NULL;
    if (run.own != REJECTD_OK) {
        *error = run.own_error;
        status = run.own;
    }
    if (status == REJECTD_OK) {
        *found = run.found;
    } else {
        rejectd_thresholds_free(run.found);
    }
    return status;
}
