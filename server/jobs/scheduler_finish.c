/*
 * How jobs end.
 *
 * A job that succeeded leaves blobs (labels, cleaned samples, ...), its result and perhaps a model,
 * all committed at once; a crash before that commit leaves blobs that nobody refers to, and a job
 * that runs again.
 *
 * A GPU that fails costs its job a try and nothing else: it is queued again, for another device if
 * there is one, and after the second loss for the processor. A job that a GPU has no room for goes
 * to the processor at once.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol/npy.h"
#include "server/clock.h"
#include "server/jobs/scheduler_private.h"

static const char processor[] = "cpu";

void running_log(const struct scheduler *scheduler, const struct running *running,
                 enum log_level level, const char *event, const char *format, ...)
{
    const struct store_claim *claim = &running->claimed.claim;
    char message[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log_write_fields(scheduler->options.log, level, event,
                     LOG_FIELDS(LOG_TEXT("job", claim->job), LOG_TEXT("device", running->device),
                                LOG_TEXT("type", job_type_name(claim->type)),
                                LOG_TEXT("request_id", claim->request_id)),
                     "%s", message);
}

/* A disk that was full or failed once may do better a little later: what was computed is worth some
 * waiting, 1.6 s in all. */
static enum rejectd_status finish_patiently(struct scheduler *scheduler,
                                            const struct running *running,
                                            const struct store_outcome *outcome,
                                            struct rejectd_error *error)
{
    enum { TRIES = 6 };
    const struct store_claim *claim = &running->claimed.claim;
    struct store *store = scheduler->options.store;
    struct timespec pause = {.tv_nsec = 50000000};
    for (int i = 1;; i++) {
        const enum rejectd_status status =
            store->functions->job_finish(store, claim->job, claim->fence, outcome, error);
        if ((status != REJECTD_STORAGE && status != REJECTD_STORAGE_FULL) || i == TRIES) {
            return status;
        }
        running_log(scheduler, running, LOG_LEVEL_WARNING, "finish-delayed", "%s", error->message);
        nanosleep(&pause, NULL);
        const long doubled = 2 * (pause.tv_sec * 1000000000 + pause.tv_nsec);
        pause = (struct timespec){.tv_sec = doubled / 1000000000, .tv_nsec = doubled % 1000000000};
    }
}

/* Stores the end of the job and tells of it. */
static enum rejectd_status store_end(struct scheduler *scheduler, struct running *running,
                                     const struct store_outcome *outcome,
                                     struct rejectd_error *error)
{
    const struct store_claim *claim = &running->claimed.claim;
    const enum rejectd_status status = finish_patiently(scheduler, running, outcome, error);
    if (status != REJECTD_OK) {
        return status;
    }
    const double seconds = clock_monotonic() - running->claimed_at;
    running_log(scheduler, running, LOG_LEVEL_INFO, "job-ended", "%s after %.3f s%s%s",
                job_state_name(outcome->state), seconds, outcome->error == NULL ? "" : ": ",
                outcome->error == NULL ? "" : log_error_text(outcome->error));
    metrics_count_job(scheduler->options.metrics, claim->type, outcome->state, running->device,
                      seconds);
    running->succeeded = outcome->state == JOB_STATE_SUCCEEDED;
    scheduler->options.ended(scheduler->options.context, claim->job);
    return REJECTD_OK;
}

void running_end(struct scheduler *scheduler, struct running *running,
                 const struct store_outcome *outcome)
{
    static const double retry_seconds = 1.0;
    struct rejectd_error error = {0};
    enum rejectd_status status = store_end(scheduler, running, outcome, &error);
    /* A store that takes no end takes no claim either: nothing is missed by waiting. */
    while ((status == REJECTD_STORAGE || status == REJECTD_STORAGE_FULL) &&
           scheduler_pause(scheduler, retry_seconds)) {
        status = store_end(scheduler, running, outcome, &error);
    }
    if (status != REJECTD_OK) {
        /* The job stays running in the store and is dealt with at the next start. */
        running_log(scheduler, running, LOG_LEVEL_ERROR, "finish-failed", "%s", error.message);
    }
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
    struct store *store = scheduler->options.store;
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
        status = store_end(scheduler, running, outcome, error);
    }
    for (int i = 0; i < ARTIFACT_COUNT && status != REJECTD_OK; i++) {
        const char *sha256 = outcome->artifacts[i];
        if (sha256 != NULL && !store->functions->blob_is_needed(store, sha256)) {
            blobs_remove(blobs, sha256);
        }
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
    const struct result_context context = {
        .model = claimed->model_id,
        .device = running->device,
        .backend = scheduler->options.backend,
        .dataset_sha256 = claimed->inputs.dataset_sha256,
        .parameters_json = claim->parameters_json,
        .random_state = claimed->inputs.parameters.random_state,
        .seconds_queued = claim->seconds_queued,
        .seconds_running = outcome->seconds,
        .warnings = &claimed->warning,
        .n_warnings = claimed->warning.code[0] != '\0',
    };
    return job_products_make(claim->type, &claimed->inputs, outcome->result, &context,
                             &claimed->products, error);
}

/* What can be learnt of the time that the job took. */
static const struct store_rate *learn(const struct scheduler *scheduler,
                                      const struct running *running, struct store_rate *rate)
{
    const struct job_needs *needs = &running->claimed.claim.needs;
    const bool gpu = strcmp(running->device, processor) != 0;
    const int64_t work = gpu ? needs->gpu_work : needs->work;
    return rates_learn(scheduler->options.forecaster->rates, running->device, needs->kind,
                       (double)work, clock_monotonic() - running->claimed_at, rate)
               ? rate
               : NULL;
}

static enum rejectd_status finish_success(struct scheduler *scheduler, struct running *running,
                                          const struct pool_outcome *outcome,
                                          struct rejectd_error *error)
{
    const struct claimed_job *claimed = &running->claimed;
    char sha256[ARTIFACT_COUNT][SHA256_TEXT_SIZE];
    struct store_outcome stored = {
        .state = JOB_STATE_SUCCEEDED,
        .answers_none = running_is_elsewhere(running),
    };
    struct store_rate rate;
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
        stored.rate = learn(scheduler, running, &rate);
        status = commit_success(scheduler, running, &stored, error);
    }
    return status;
}

static void release(struct scheduler *scheduler, const struct running *running)
{
    const struct store_claim *claim = &running->claimed.claim;
    struct store *store = scheduler->options.store;
    struct rejectd_error error = {0};
    if (store->functions->job_release(store, claim->job, claim->fence, &error) != REJECTD_OK) {
        running_log(scheduler, running, LOG_LEVEL_ERROR, "release-failed", "%s", error.message);
    } else {
        running_log(scheduler, running, LOG_LEVEL_INFO, "job-released", "it is queued again");
        scheduler->options.changed(scheduler->options.context, claim->job);
    }
}

/*
 * A GPU had no room for the job, or was lost with it: somebody else is to run it. False when the
 * error is one of the job, not of the device.
 */
static bool try_again(struct scheduler *scheduler, struct running *running,
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
    const enum rejectd_status status =
        store->functions->job_retry(store, claim->job, claim->fence, &retry, &state, &error);
    if (status != REJECTD_OK) {
        running_log(scheduler, running, LOG_LEVEL_ERROR, "retry-failed", "%s", error.message);
        /* A store that fails may take the end of the job later. */
        return status != REJECTD_STORAGE && status != REJECTD_STORAGE_FULL;
    }
    running_log(scheduler, running, LOG_LEVEL_WARNING, lost ? "job-lost" : "job-moved",
                "%s; it is %s%s", why->message, job_state_name(state),
                retry.moved_to != NULL ? " for the processor" : "");
    if (job_state_is_final(state)) {
        metrics_count_job(scheduler->options.metrics, claim->type, state, running->device,
                          clock_monotonic() - running->claimed_at);
        scheduler->options.ended(scheduler->options.context, claim->job);
    } else {
        scheduler->options.changed(scheduler->options.context, claim->job);
    }
    return true;
}

void running_finish(struct scheduler *scheduler, struct running *running,
                    const struct pool_outcome *outcome)
{
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
        if (running->most_seconds > 0.0) {
            REJECTD_FAIL(&error, REJECTD_TIME_LIMIT, "",
                         "it was stopped after %.0f s; jobs may run for %.0f s on this server",
                         clock_monotonic() - running->claimed_at, running->most_seconds);
            stored = (struct store_outcome){.state = JOB_STATE_FAILED, .error = &error};
        }
        break;
    case POOL_RELEASED:
        release(scheduler, running);
        store_it = false;
        break;
    }
    if (store_it) {
        running_end(scheduler, running, &stored);
    }
}
