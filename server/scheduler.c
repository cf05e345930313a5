/*
 * A claim opens what the job needs: its dataset's description, its samples as a mapped blob, its
 * parameters resolved against the dataset, its model. What cannot be opened fails the job, and
 * the next one is claimed. A finished job leaves blobs (labels, cleaned samples, ...), its result
 * and perhaps a model, all committed at once; a crash before that commit leaves blobs that nobody
 * refers to, and a job that runs again.
 *
 * A GPU that fails costs its job a try and nothing else: it is queued again, for another device if
 * there is one, and after the second loss for the processor. A job that a GPU has no room for goes
 * to the processor at once.
 */
#include "server/scheduler.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/npy.h"

struct running {
    struct pool_job job; /* first: a job of the pool is one of these */
    struct claimed_job claimed;
    char device[32];
    struct blob_map samples;
    struct blob_writer *writers[ARTIFACT_COUNT]; /* of the arrays it makes, as far as it has */
    struct running *next;                        /* the rest under the scheduler's lock */
    bool cancelled;
    char stage[RESOURCE_STAGE_SIZE];
    double fraction;
};

struct scheduler {
    struct scheduler_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool interrupted;
    struct running *first;
};

static const char processor[] = "cpu";

static void finish_in_store(struct scheduler *scheduler, const struct store_claim *claim,
                            const struct store_outcome *outcome);

static struct running *running_of(struct pool_job *job)
{
    return (struct running *)(void *)job;
}

static void running_free(struct running *running)
{
    for (int i = 0; i < ARTIFACT_COUNT; i++) {
        blob_writer_close(running->writers[i]);
    }
    blobs_unmap(&running->samples);
    job_products_clear(&running->claimed.products);
    job_inputs_clear(&running->claimed.inputs);
    job_texts_clear(&running->claimed.texts);
    store_claim_clear(&running->claimed.claim);
    free(running);
}

/* ---- claim ---- */

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
        status = blobs_map(scheduler->options.blobs, inputs->dataset_sha256,
                           dataset_sample_bytes(&inputs->description), &running->samples, error);
    }
    if (claim->type == JOB_FIT) {
        store_new_id("md_", claimed->model_id);
    } else {
        memcpy(claimed->model_id, claim->model, sizeof claimed->model_id);
    }
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

/*
 * Claims and lists the first queued job; NULL when there is none. Under the lock, so that a
 * cancellation that finds the job running in the store also finds it in the list.
 */
static struct running *claim_next(struct scheduler *scheduler, const char *device)
{
    struct store *store = scheduler->options.store;
    struct device_board *board = scheduler->options.board;
    struct rejectd_error error = {0};
    struct store_taker taker;
    struct buffer held[2];
    bool found = false;
    struct running *running = calloc(1, sizeof *running);
    if (running == NULL) {
        return NULL;
    }
    running->job.ticket = &running->claimed;
    snprintf(running->device, sizeof running->device, "%s", device);
    enum rejectd_status status = device_board_taker(board, device, &taker, held)
                                     ? REJECTD_OK
                                     : REJECTD_FAIL_MEMORY(&error, 0);
    if (status == REJECTD_OK) {
        status =
            store->functions->job_claim(store, &taker, &found, &running->claimed.claim, &error);
    }
    buffer_free(&held[0]);
    buffer_free(&held[1]);
    if (status != REJECTD_OK) {
        log_write(scheduler->options.log, LOG_LEVEL_ERROR, "claim-failed", "%s", error.message);
    }
    if (!found) {
        running_free(running);
        return NULL;
    }
    running->next = scheduler->first;
    scheduler->first = running;
    device_board_begin_job(board, device, running->claimed.claim.job);
    return running;
}

static struct timespec time_from_now(double seconds)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    const long nanoseconds = time.tv_nsec + (long)(1e9 * seconds);
    time.tv_sec += nanoseconds / 1000000000;
    time.tv_nsec = nanoseconds % 1000000000;
    return time;
}

static struct running *wait_for_claim(struct scheduler *scheduler, const char *device,
                                      const struct timespec *deadline)
{
    struct running *running = NULL;
    int failed = 0;
    pthread_mutex_lock(&scheduler->lock);
    while (!scheduler->interrupted && failed == 0) {
        running = claim_next(scheduler, device);
        if (running != NULL) {
            break;
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
    device_board_end_job(scheduler->options.board, running->device);
    running_free(running);
}

static struct pool_job *source_claim(void *context, const char *device, double seconds)
{
    struct scheduler *scheduler = context;
    const struct timespec deadline = time_from_now(seconds > 0.0 ? seconds : 0.0);
    struct running *running;
    while ((running = wait_for_claim(scheduler, device, seconds < 0.0 ? NULL : &deadline)) !=
           NULL) {
        const struct store_claim *claim = &running->claimed.claim;
        struct rejectd_error error = {0};
        if (open_job(scheduler, running, &error) == REJECTD_OK) {
            log_write(scheduler->options.log, LOG_LEVEL_INFO, "job-started", "%s on %s", claim->job,
                      device);
            return &running->job;
        }
        const struct store_outcome outcome = {.state = JOB_STATE_FAILED, .error = &error};
        finish_in_store(scheduler, claim, &outcome);
        end_claim(scheduler, running);
    }
    return NULL;
}

/* ---- while it runs ---- */

static bool source_progress(void *context, struct pool_job *job, const char *stage, double fraction)
{
    struct scheduler *scheduler = context;
    struct running *running = running_of(job);
    pthread_mutex_lock(&scheduler->lock);
    snprintf(running->stage, sizeof running->stage, "%s", stage);
    running->fraction = fraction;
    const bool goes_on = !running->cancelled;
    pthread_mutex_unlock(&scheduler->lock);
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

static void finish_in_store(struct scheduler *scheduler, const struct store_claim *claim,
                            const struct store_outcome *outcome)
{
    struct store *store = scheduler->options.store;
    struct rejectd_error error = {0};
    const enum rejectd_status status =
        store->functions->job_finish(store, claim->job, claim->fence, outcome, &error);
    if (status != REJECTD_OK) {
        /* The job stays running in the store and is dealt with at the next start. */
        log_write(scheduler->options.log, LOG_LEVEL_ERROR, "finish-failed", "%s: %s", claim->job,
                  error.message);
        return;
    }
    log_write(scheduler->options.log, LOG_LEVEL_INFO, "job-ended", "%s %s%s%s", claim->job,
              job_state_name(outcome->state), outcome->error == NULL ? "" : ": ",
              outcome->error == NULL ? "" : outcome->error->message);
    scheduler->options.ended(scheduler->options.context, claim->job);
}

/* Writes one array of the job as a .npy file. */
static enum rejectd_status write_array(struct scheduler *scheduler, struct running *running,
                                       enum artifact artifact, const char *descr, size_t item_bytes,
                                       const struct job_array *array, struct rejectd_error *error)
{
    const struct blob_writer_options options = {0};
    unsigned char header[256];
    if (array->items == NULL) {
        return REJECTD_OK;
    }
    const size_t header_bytes = npy_header_write(descr, 2, array->shape, header);
    struct blob_writer **writer = &running->writers[artifact];
    enum rejectd_status status =
        blob_writer_open(scheduler->options.blobs, &options, writer, error);
    if (status == REJECTD_OK) {
        status = blob_writer_write(*writer, header, header_bytes, error);
    }
    if (status == REJECTD_OK) {
        status = blob_writer_write(*writer, array->items,
                                   array->shape[0] * array->shape[1] * item_bytes, error);
    }
    return status;
}

/* Publishes the blobs and commits the record that refers to them. */
static enum rejectd_status commit_success(struct scheduler *scheduler, struct running *running,
                                          const struct store_outcome *outcome,
                                          struct rejectd_error *error)
{
    struct blobs *blobs = scheduler->options.blobs;
    enum rejectd_status status = REJECTD_OK;
    blobs_lock(blobs);
    for (int i = 0; i < ARTIFACT_COUNT && status == REJECTD_OK; i++) {
        if (outcome->artifacts[i] != NULL) {
            status = blob_writer_publish(running->writers[i], error);
        }
    }
    if (status == REJECTD_OK) {
        status = blobs_sync(blobs, error);
    }
    if (status == REJECTD_OK) {
        finish_in_store(scheduler, &running->claimed.claim, outcome);
    }
    blobs_unlock(blobs);
    return status;
}

/* Makes what the arrays of the job are named by. */
static enum rejectd_status finish_arrays(struct scheduler *scheduler, struct running *running,
                                         char sha256[ARTIFACT_COUNT][SHA256_TEXT_SIZE],
                                         struct store_outcome *stored, struct rejectd_error *error)
{
    const struct job_products *products = &running->claimed.products;
    enum rejectd_status status = write_array(scheduler, running, ARTIFACT_LABELS, "|i1",
                                             sizeof(int8_t), &products->labels, error);
    if (status == REJECTD_OK) {
        status = write_array(scheduler, running, ARTIFACT_CORRELATIONS, "<f8", sizeof(double),
                             &products->correlations, error);
    }
    for (int i = 0; i < ARTIFACT_COUNT && status == REJECTD_OK; i++) {
        if (running->writers[i] != NULL) {
            status = blob_writer_finish(running->writers[i], sha256[i], NULL, error);
            stored->artifacts[i] = sha256[i];
        }
    }
    return status;
}

/* Of a job that was computed in this process. */
static enum rejectd_status make_products(struct scheduler *scheduler, struct running *running,
                                         const struct pool_outcome *outcome,
                                         struct rejectd_error *error)
{
    struct claimed_job *claimed = &running->claimed;
    const struct store_claim *claim = &claimed->claim;
    struct rejectd_warning warning = claim->warning;
    /* It has come here because the GPU that it wished for was away. */
    if (warning.code[0] == '\0' && strncmp(claim->wish, "cuda", 4) == 0) {
        snprintf(warning.code, sizeof warning.code, "device-failed");
        snprintf(warning.message, sizeof warning.message,
                 "device %s could not be used; the job was computed on %s", claim->wish,
                 running->device);
    }
    const struct result_context context = {
        .model = claimed->model_id,
        .device = running->device,
        .backend = scheduler->options.backend,
        .dataset_sha256 = claimed->inputs.dataset_sha256,
        .parameters_json = claim->parameters_json,
        .random_state = claimed->inputs.parameters.random_state,
        .seconds_queued = claim->seconds_queued,
        .seconds_running = outcome->seconds,
        .warnings = &warning,
        .n_warnings = warning.code[0] != '\0',
    };
    return job_products_make(claim->type, &claimed->inputs, outcome->result, &context,
                             &claimed->products, error);
}

static enum rejectd_status finish_success(struct scheduler *scheduler, struct running *running,
                                          const struct pool_outcome *outcome,
                                          struct rejectd_error *error)
{
    const struct claimed_job *claimed = &running->claimed;
    char sha256[ARTIFACT_COUNT][SHA256_TEXT_SIZE];
    struct store_outcome stored = {.state = JOB_STATE_SUCCEEDED};
    enum rejectd_status status = REJECTD_OK;
    if (claimed->products.result_json == NULL) {
        status = make_products(scheduler, running, outcome, error);
    }
    if (status == REJECTD_OK) {
        status = finish_arrays(scheduler, running, sha256, &stored, error);
    }
    if (status == REJECTD_OK) {
        stored.result_json = claimed->products.result_json;
        stored.model_json = claimed->products.model_json;
        stored.model_id = stored.model_json == NULL ? NULL : claimed->model_id;
        status = commit_success(scheduler, running, &stored, error);
    }
    return status;
}

static void release(struct scheduler *scheduler, const struct store_claim *claim)
{
    struct store *store = scheduler->options.store;
    struct rejectd_error error = {0};
    if (store->functions->job_release(store, claim->job, claim->fence, &error) != REJECTD_OK) {
        log_write(scheduler->options.log, LOG_LEVEL_ERROR, "release-failed", "%s: %s", claim->job,
                  error.message);
    } else {
        log_write(scheduler->options.log, LOG_LEVEL_INFO, "job-released", "%s", claim->job);
    }
}

/*
 * A GPU had no room for the job, or was lost with it: somebody else is to run it. False when the
 * error is one of the job, not of the device.
 */
static bool try_again(struct scheduler *scheduler, const struct running *running,
                      const struct rejectd_error *why)
{
    const struct store_claim *claim = &running->claimed.claim;
    const bool lost = why->status == REJECTD_DEVICE_FAILED;
    const bool no_room =
        why->status == REJECTD_DEVICE_MEMORY || why->status == REJECTD_OUT_OF_MEMORY;
    if (strcmp(running->device, processor) == 0 || !(lost || no_room)) {
        return false;
    }
    struct store *store = scheduler->options.store;
    struct rejectd_error error = {0};
    struct rejectd_warning warning;
    enum job_state state = JOB_STATE_QUEUED;
    struct store_retry retry = {.device = running->device, .error = why, .lost = lost};
    /* The second loss on GPUs is enough. */
    if (no_room || claim->lost_on[0] != '\0') {
        snprintf(warning.code, sizeof warning.code, "%s",
                 no_room ? "device-memory" : "device-failed");
        snprintf(warning.message, sizeof warning.message, "computed on the processor: %.180s",
                 why->message);
        retry.moved_to = processor;
        retry.warning = &warning;
    }
    if (store->functions->job_retry(store, claim->job, claim->fence, &retry, &state, &error) !=
        REJECTD_OK) {
        log_write(scheduler->options.log, LOG_LEVEL_ERROR, "retry-failed", "%s: %s", claim->job,
                  error.message);
        return true; /* as with a failed end: dealt with at the next start */
    }
    log_write(scheduler->options.log, LOG_LEVEL_WARNING, lost ? "job-lost" : "job-moved",
              "%s on %s: %s; it is %s%s", claim->job, running->device, why->message,
              job_state_name(state), retry.moved_to != NULL ? " for the processor" : "");
    if (job_state_is_final(state)) {
        scheduler->options.ended(scheduler->options.context, claim->job);
    }
    return true;
}

static void source_finish(void *context, struct pool_job *job, const struct pool_outcome *outcome)
{
    struct scheduler *scheduler = context;
    struct running *running = running_of(job);
    struct store_claim *claim = &running->claimed.claim;
    struct rejectd_error error = {0};
    struct store_outcome stored = {0};
    bool store_it = true;
    switch (outcome->kind) {
    case POOL_SUCCEEDED:
        store_it = finish_success(scheduler, running, outcome, &error) != REJECTD_OK;
        stored = (struct store_outcome){.state = JOB_STATE_FAILED, .error = &error};
        break;
    case POOL_FAILED:
        store_it = !try_again(scheduler, running, outcome->error);
        stored = (struct store_outcome){.state = JOB_STATE_FAILED, .error = outcome->error};
        break;
    case POOL_CANCELLED:
        stored = (struct store_outcome){.state = JOB_STATE_CANCELLED};
        break;
    case POOL_RELEASED:
        release(scheduler, claim);
        store_it = false;
        break;
    }
    if (store_it) {
        finish_in_store(scheduler, claim, &stored);
    }
    end_claim(scheduler, running);
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
    pthread_condattr_t monotonic;
    pthread_mutex_init(&made->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&made->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
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
    pthread_mutex_unlock(&scheduler->lock);
}

bool scheduler_show_progress(struct scheduler *scheduler, struct job_view *job)
{
    pthread_mutex_lock(&scheduler->lock);
    const struct running *running = find_running(scheduler, job->id);
    if (running != NULL) {
        memcpy(job->stage, running->stage, sizeof job->stage);
        job->fraction = running->fraction;
    }
    pthread_mutex_unlock(&scheduler->lock);
    return running != NULL;
}
