/*
 * A claim opens what the job needs: its dataset's description, its samples as a mapped blob, its
 * parameters resolved against the dataset, its model. What cannot be opened fails the job, and
 * the next one is claimed. How jobs end: scheduler_finish.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/npy.h"
#include "server/clock.h"
#include "server/jobs/scheduler_private.h"

static struct running *running_of(struct pool_job *job)
{
    return (struct running *)(void *)job;
}

void running_free(struct running *running)
{
    for (int i = 0; i < ARTIFACT_COUNT; i++) {
        blob_writer_close(running->writers[i]);
    }
    split_free(running->claimed.split);
    blobs_unmap(&running->samples);
    job_products_clear(&running->claimed.products);
    job_inputs_clear(&running->claimed.inputs);
    job_texts_clear(&running->claimed.texts);
    store_claim_clear(&running->claimed.claim);
    free(running);
}

/* ---- claim ---- */

/* Maps the samples, which must be those that were sent. */
static enum rejectd_status open_samples(struct scheduler *scheduler, struct running *running,
                                        struct rejectd_error *error)
{
    struct blobs *blobs = scheduler->options.blobs;
    const struct job_inputs *inputs = &running->claimed.inputs;
    const char *dataset = running->claimed.claim.dataset;
    enum rejectd_status status =
        blobs_map(blobs, inputs->dataset_sha256, dataset_sample_bytes(&inputs->description),
                  &running->samples, error);
    if (status == REJECTD_STORAGE) {
        running_log(scheduler, running, LOG_LEVEL_ERROR, "samples-damaged", "dataset %s: %s",
                    dataset, error->message);
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "dataset",
                              "the samples of dataset %.40s are damaged on the server's disk; "
                              "upload them again",
                              dataset);
    }
    return status;
}

bool running_is_elsewhere(const struct running *running)
{
    return !device_wish_allows(running->claimed.claim.wish, running->device);
}

/* What the result says of a job that is elsewhere. */
static struct rejectd_warning warning_for(const struct running *running)
{
    const struct store_claim *claim = &running->claimed.claim;
    struct rejectd_warning warning = claim->warning;
    if (warning.code[0] == '\0' && running_is_elsewhere(running)) {
        snprintf(warning.code, sizeof warning.code, "device-failed");
        snprintf(warning.message, sizeof warning.message,
                 "device %s could not be used; the job was computed on %s", claim->wish,
                 running->device);
    }
    return warning;
}

static enum rejectd_status open_job(struct scheduler *scheduler, struct running *running,
                                    struct rejectd_error *error)
{
    struct claimed_job *claimed = &running->claimed;
    const struct store_claim *claim = &claimed->claim;
    const struct job_terms terms = {
        .type = claim->type,
        .dataset = claim->dataset,
        .model = claim->model,
        .parameters_json = claim->parameters_json,
    };
    struct job_inputs *inputs = &claimed->inputs;
    enum rejectd_status status =
        job_texts_read(scheduler->options.store, &terms, &claimed->texts, error);
    if (status == REJECTD_OK) {
        status = job_inputs_open(&claimed->texts, inputs, error);
    }
    if (status == REJECTD_OK) {
        status = open_samples(scheduler, running, error);
    }
    if (claim->type == JOB_FIT) {
        store_new_id("md_", claimed->model_id);
    } else {
        memcpy(claimed->model_id, claim->model, sizeof claimed->model_id);
    }
    if (status == REJECTD_OK) {
        status = forecast_check_device(scheduler->options.forecaster, &inputs->task,
                                       running->device, error);
    }
    claimed->warning = warning_for(running);
    running->job.task = inputs->task;
    running->job.task.epochs.samples = running->samples.data;
    return status;
}

static void unlist(struct scheduler *scheduler, const struct running *running)
{
    pthread_mutex_lock(&scheduler->lock);
    struct running **link = &scheduler->first;
    while (*link != running) {
        link = &(*link)->next;
    }
    *link = running->next;
    pthread_mutex_unlock(&scheduler->lock);
}

/* ---- memory ---- */

/* What running jobs need; `after`: those alone that began after the reservation. */
static int64_t bytes_running(const struct scheduler *scheduler, bool after)
{
    int64_t bytes = 0;
    for (const struct running *running = scheduler->first; running != NULL;
         running = running->next) {
        /* Each who helps with it has what it needs, too. */
        for (size_t i = 0; i <= running->n_users && (!after || running->after_reservation); i++) {
            bytes = running->bytes < INT64_MAX - bytes ? bytes + running->bytes : INT64_MAX;
        }
    }
    return bytes;
}

static void forget_reservation(struct scheduler *scheduler)
{
    scheduler->reserved = (struct reservation){0};
    for (struct running *running = scheduler->first; running != NULL; running = running->next) {
        running->after_reservation = false;
    }
}

/* How much a device's next job may need. */
static struct store_room room_for(struct scheduler *scheduler, const char *device)
{
    const int64_t limit = atomic_load(&scheduler->options.forecaster->job_memory);
    const struct reservation *reserved = &scheduler->reserved;
    struct store_room room = {.on_gpu = strcmp(device, "cpu") != 0};
    const int64_t used = bytes_running(scheduler, false), after = bytes_running(scheduler, true);
    /* What runs alone always has room. */
    int64_t left = scheduler->first == NULL ? INT64_MAX : limit - used;
    if (reserved->job[0] != '\0' && strcmp(reserved->device, device) != 0 &&
        !device_board_is_usable(scheduler->options.board, reserved->device)) {
        forget_reservation(scheduler);
    }
    if (reserved->job[0] != '\0') {
        const int64_t beside = after < limit ? limit - after - reserved->bytes : -1;
        /* For whichever device may take it: the one that it waits for may have another job. */
        room.first = reserved->job;
        room.most_for_first = left;
        left = beside < left ? beside : left;
    }
    room.most = left > 0 ? left : -1;
    return room;
}

/* After a device has looked for a job, with or without success. */
static void reserve(struct scheduler *scheduler, const struct store_room *room, const char *device,
                    struct running *claimed)
{
    struct reservation *reserved = &scheduler->reserved;
    const bool its_own = strcmp(reserved->device, device) == 0;
    if (reserved->job[0] != '\0' &&
        ((its_own && !room->first_is_there) ||
         (claimed != NULL && strcmp(claimed->claimed.claim.job, reserved->job) == 0))) {
        forget_reservation(scheduler);
        pthread_cond_broadcast(&scheduler->changed);
    }
    if (reserved->job[0] == '\0' && room->passed[0] != '\0') {
        memcpy(reserved->job, room->passed, sizeof reserved->job);
        snprintf(reserved->device, sizeof reserved->device, "%s", device);
        reserved->bytes = room->passed_bytes;
        log_write_fields(scheduler->options.log, LOG_LEVEL_INFO, "job-waits",
                         LOG_FIELDS(LOG_TEXT("job", reserved->job), LOG_TEXT("device", device),
                                    LOG_NUMBER("bytes", reserved->bytes)),
                         "it waits for memory that running jobs have");
    }
    if (claimed != NULL) {
        claimed->after_reservation = reserved->job[0] != '\0';
    }
}

/* ---- claims ---- */

/*
 * Claims and lists the first queued job; NULL when there is none. Under the lock, so that a
 * cancellation that finds the job running in the store also finds it in the list. *failed: the
 * store could not be asked.
 */
static struct running *claim_next(struct scheduler *scheduler, const char *device, bool *failed)
{
    struct store *store = scheduler->options.store;
    struct device_board *board = scheduler->options.board;
    struct rejectd_error error = {0};
    struct store_taker taker;
    struct buffer held[3];
    bool found = false;
    struct store_room room = room_for(scheduler, device);
    struct running *running = calloc(1, sizeof *running);
    *failed = running == NULL;
    if (running == NULL) {
        return NULL;
    }
    running->job.ticket = &running->claimed;
    snprintf(running->device, sizeof running->device, "%s", device);
    enum rejectd_status status = device_board_taker(board, device, &taker, held)
                                     ? REJECTD_OK
                                     : REJECTD_FAIL_MEMORY(&error, 0);
    taker.room = &room;
    if (status == REJECTD_OK) {
        status =
            store->functions->job_claim(store, &taker, &found, &running->claimed.claim, &error);
    }
    for (int i = 0; i < 3; i++) {
        buffer_free(&held[i]);
    }
    if (status != REJECTD_OK) {
        log_write(scheduler->options.log, LOG_LEVEL_ERROR, "claim-failed", "%s", error.message);
        *failed = true;
    }
    if (status == REJECTD_OK) {
        reserve(scheduler, &room, device, found ? running : NULL);
    }
    if (!found) {
        running_free(running);
        return NULL;
    }
    const struct job_needs *needs = &running->claimed.claim.needs;
    running->bytes =
        room.on_gpu && needs->gpu_host_bytes > 0 ? needs->gpu_host_bytes : needs->host_bytes;
    running->claimed_at = clock_monotonic();
    running->foretold = forecast_seconds(scheduler->options.forecaster, device, needs);
    metrics_count_claim(scheduler->options.metrics, running->claimed.claim.priority,
                        running->claimed.claim.seconds_queued);
    running->next = scheduler->first;
    scheduler->first = running;
    device_board_begin_job(board, device, running->claimed.claim.job);
    return running;
}

bool scheduler_pause(struct scheduler *scheduler, double seconds)
{
    const struct timespec end = clock_from_now(seconds);
    int failed = 0;
    pthread_mutex_lock(&scheduler->lock);
    while (!scheduler->interrupted && failed == 0) {
        failed = pthread_cond_timedwait(&scheduler->changed, &scheduler->lock, &end);
    }
    const bool goes_on = !scheduler->interrupted;
    pthread_mutex_unlock(&scheduler->lock);
    return goes_on;
}

static struct running *wait_for_claim(struct scheduler *scheduler, const char *device,
                                      const struct timespec *deadline)
{
    static const double retry_seconds = 0.5;
    struct running *running = NULL;
    int failed = 0;
    pthread_mutex_lock(&scheduler->lock);
    while (!scheduler->interrupted && failed == 0) {
        bool claim_failed = false;
        /* What runs already comes first, also while nothing new is begun. */
        running = scheduler_take_share(scheduler, device);
        if (running == NULL && !scheduler->draining) {
            running = claim_next(scheduler, device, &claim_failed);
        }
        if (running != NULL) {
            break;
        }
        if (claim_failed && deadline == NULL) {
            /* Nobody would wake us for the jobs that are queued already. */
            const struct timespec soon = clock_from_now(retry_seconds);
            pthread_cond_timedwait(&scheduler->changed, &scheduler->lock, &soon);
            continue;
        }
        failed = deadline == NULL
                     ? pthread_cond_wait(&scheduler->changed, &scheduler->lock)
                     : pthread_cond_timedwait(&scheduler->changed, &scheduler->lock, deadline);
    }
    pthread_mutex_unlock(&scheduler->lock);
    return running;
}

static void end_claim(struct scheduler *scheduler, struct running *running)
{
    unlist(scheduler, running);
    device_board_end_job(scheduler->options.board, running->device, running->succeeded);
    if (running->claimed.split != NULL) {
        split_end(running->claimed.split);
    }
    running_leave(scheduler, running);
}

static struct pool_job *source_claim(void *context, const char *device, double seconds)
{
    struct scheduler *scheduler = context;
    const struct timespec deadline = clock_from_now(seconds > 0.0 ? seconds : 0.0);
    struct running *running;
    while ((running = wait_for_claim(scheduler, device, seconds < 0.0 ? NULL : &deadline)) !=
           NULL) {
        const struct store_claim *claim = &running->claimed.claim;
        struct rejectd_error error = {0};
        if (running->leader != NULL) {
            return &running->job;
        }
        enum rejectd_status status = open_job(scheduler, running, &error);
        if (status == REJECTD_OK) {
            status = running_share_out(scheduler, running, &error);
        }
        if (status == REJECTD_OK) {
            running_log(scheduler, running, LOG_LEVEL_INFO, "job-started",
                        "attempt %d, after %.3f s in the queue", claim->attempt,
                        claim->seconds_queued);
            scheduler->options.changed(scheduler->options.context, claim->job);
            return &running->job;
        }
        const struct pool_outcome outcome = {.kind = POOL_FAILED, .error = &error};
        running_finish(scheduler, running, &outcome);
        end_claim(scheduler, running);
        scheduler_wake(scheduler);
    }
    return NULL;
}

/* ---- while it runs ---- */

/* As if the rest went on as what was done so far; too little says nothing, and what was foretold
 * is told. */
static double seconds_left(const struct running *running, double now)
{
    static const double least_fraction = 0.02, least_seconds = 0.5;
    const double seconds = now - running->claimed_at;
    if (running->fraction < least_fraction || seconds < least_seconds) {
        return seconds < running->foretold ? running->foretold - seconds : 0.0;
    }
    return seconds * (1.0 - running->fraction) / running->fraction;
}

static bool source_progress(void *context, struct pool_job *job, const char *stage, double fraction)
{
    struct scheduler *scheduler = context;
    struct running *running = running_of(job);
    static const double pause = 0.1;
    const double now = clock_monotonic();
    const double most = scheduler->options.most_seconds(scheduler->options.context);
    if (running->leader != NULL) {
        return running_report_share(scheduler, running, fraction);
    }
    pthread_mutex_lock(&scheduler->lock);
    if (most > 0.0 && now - running->claimed_at > most && !running->cancelled) {
        running->most_seconds = most;
    }
    const bool tell = now - running->told >= pause;
    snprintf(running->stage, sizeof running->stage, "%s", stage);
    running->fraction = fraction;
    const bool goes_on = !running->cancelled && running->most_seconds == 0.0;
    const double left = seconds_left(running, now);
    running->told = tell ? now : running->told;
    pthread_mutex_unlock(&scheduler->lock);
    if (tell) {
        scheduler->options.progressed(scheduler->options.context, running->claimed.claim.job, stage,
                                      fraction, left);
    }
    return goes_on;
}

static enum rejectd_status write_cleaned(void *context, const void *samples, size_t bytes,
                                         struct rejectd_error *error)
{
    return blob_writer_write(context, samples, bytes, error);
}

static enum rejectd_status source_open_cleaned(void *context, struct pool_job *job, size_t n_kept,
                                               struct rejectd_sink *sink,
                                               struct rejectd_error *error)
{
    struct scheduler *scheduler = context;
    struct running *running = running_of(job);
    const struct dataset_description *description = &running->claimed.inputs.description;
    const size_t shape[3] = {n_kept, description->n_channels, description->n_times};
    unsigned char header[256];
    const size_t header_bytes = npy_header_write(npy_descr(description->dtype), 3, shape, header);
    const size_t epoch_bytes = dataset_sample_bytes(description) / description->n_epochs;
    const struct blob_writer_options options = {.expected_bytes =
                                                    header_bytes + n_kept * epoch_bytes};
    struct blob_writer **writer = &running->writers[ARTIFACT_CLEANED];
    enum rejectd_status status =
        blob_writer_open(scheduler->options.blobs, &options, writer, error);
    if (status == REJECTD_OK) {
        status = blob_writer_write(*writer, header, header_bytes, error);
    }
    *sink = (struct rejectd_sink){.write = write_cleaned, .context = *writer};
    return status;
}

/* ---- the end ---- */

static void source_finish(void *context, struct pool_job *job, const struct pool_outcome *outcome)
{
    struct scheduler *scheduler = context;
    struct running *running = running_of(job);
    if (running->leader != NULL) {
        running_finish_share(scheduler, running, outcome);
    } else {
        running_finish(scheduler, running, outcome);
        end_claim(scheduler, running);
    }
    /* It may be queued again, and a device is free: others may take other jobs than before. */
    scheduler_wake(scheduler);
}

static void source_interrupt(void *context)
{
    struct scheduler *scheduler = context;
    pthread_mutex_lock(&scheduler->lock);
    scheduler->interrupted = true;
    pthread_cond_broadcast(&scheduler->changed);
    pthread_mutex_unlock(&scheduler->lock);
}

/* ---- for the server ---- */

enum rejectd_status scheduler_open(const struct scheduler_options *options,
                                   struct scheduler **scheduler, struct rejectd_error *error)
{
    struct scheduler *made = calloc(1, sizeof *made);
    *scheduler = made;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->options = *options;
    pthread_mutex_init(&made->lock, NULL);
    clock_condition_init(&made->changed);
    return REJECTD_OK;
}

void scheduler_close(struct scheduler *scheduler)
{
    if (scheduler != NULL) {
        pthread_cond_destroy(&scheduler->changed);
        pthread_mutex_destroy(&scheduler->lock);
        free(scheduler);
    }
}

struct job_source scheduler_source(struct scheduler *scheduler)
{
    return (struct job_source){
        .claim = source_claim,
        .progress = source_progress,
        .open_cleaned = source_open_cleaned,
        .finish = source_finish,
        .interrupt = source_interrupt,
        .context = scheduler,
    };
}

void scheduler_drain(struct scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->lock);
    scheduler->draining = true;
    pthread_mutex_unlock(&scheduler->lock);
}

size_t scheduler_n_running(struct scheduler *scheduler)
{
    size_t n = 0;
    pthread_mutex_lock(&scheduler->lock);
    for (const struct running *running = scheduler->first; running != NULL;
         running = running->next) {
        n++;
    }
    pthread_mutex_unlock(&scheduler->lock);
    return n;
}

void scheduler_wake(struct scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->lock);
    pthread_cond_broadcast(&scheduler->changed);
    pthread_mutex_unlock(&scheduler->lock);
}

static struct running *find_running(struct scheduler *scheduler, const char *job)
{
    struct running *running = scheduler->first;
    while (running != NULL && strcmp(running->claimed.claim.job, job) != 0) {
        running = running->next;
    }
    return running;
}

void scheduler_cancel(struct scheduler *scheduler, const char *job)
{
    pthread_mutex_lock(&scheduler->lock);
    struct running *running = find_running(scheduler, job);
    if (running != NULL) {
        running->cancelled = true;
    }
    /* The device that it waited for may be busy for long, and would not tell that it is gone. */
    if (strcmp(scheduler->reserved.job, job) == 0) {
        forget_reservation(scheduler);
        pthread_cond_broadcast(&scheduler->changed);
    }
    pthread_mutex_unlock(&scheduler->lock);
}

bool scheduler_show_progress(struct scheduler *scheduler, struct job_view *job)
{
    if (job->state != JOB_STATE_RUNNING) {
        return false; /* its end is in the store a moment before it leaves the list here */
    }
    pthread_mutex_lock(&scheduler->lock);
    const struct running *running = find_running(scheduler, job->id);
    if (running != NULL) {
        memcpy(job->stage, running->stage, sizeof job->stage);
        job->fraction = running->fraction;
        job->seconds_left = seconds_left(running, clock_monotonic());
    }
    pthread_mutex_unlock(&scheduler->lock);
    return running != NULL;
}
