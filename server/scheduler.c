/*
 * A claim opens what the job needs: its dataset's description, its samples as a mapped blob, its
 * parameters resolved against the dataset, its model. What cannot be opened fails the job, and
 * the next one is claimed. A finished job leaves two blobs (labels, cleaned samples), its result
 * and perhaps a model, all committed at once; a crash before that commit leaves blobs that nobody
 * refers to, and a job that runs again.
 */
#include "server/scheduler.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/npy.h"
#include "server/job_open.h"

struct running {
    struct pool_job job; /* first: its ticket is this */
    struct store_claim claim;
    char device[32];
    struct job_inputs inputs;
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

static void finish_in_store(struct scheduler *scheduler, const struct store_claim *claim,
                            const struct store_outcome *outcome);

static void running_free(struct running *running)
{
    for (int i = 0; i < ARTIFACT_COUNT; i++) {
        blob_writer_close(running->writers[i]);
    }
    blobs_unmap(&running->samples);
    job_inputs_clear(&running->inputs);
    store_claim_clear(&running->claim);
    free(running);
}

/* ---- claim ---- */

static enum rejectd_status open_job(struct scheduler *scheduler, struct running *running,
                                    struct rejectd_error *error)
{
    const struct store_claim *claim = &running->claim;
    const struct job_terms terms = {
        .type = claim->type,
        .dataset = claim->dataset,
        .model = claim->model,
        .parameters_json = claim->parameters_json,
    };
    struct job_inputs *inputs = &running->inputs;
    enum rejectd_status status = job_open(scheduler->options.store, &terms, inputs, error);
    if (status == REJECTD_OK) {
        status = blobs_map(scheduler->options.blobs, inputs->dataset_sha256,
                           dataset_sample_bytes(&inputs->description), &running->samples, error);
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
    struct rejectd_error error = {0};
    bool found = false;
    struct running *running = calloc(1, sizeof *running);
    if (running == NULL) {
        return NULL;
    }
    running->job.ticket = running;
    snprintf(running->device, sizeof running->device, "%s", device);
    const enum rejectd_status status =
        store->functions->job_claim(store, device, &found, &running->claim, &error);
    if (status != REJECTD_OK) {
        log_write(scheduler->options.log, LOG_LEVEL_ERROR, "claim-failed", "%s", error.message);
    }
    if (!found) {
        running_free(running);
        return NULL;
    }
    running->next = scheduler->first;
    scheduler->first = running;
    return running;
}

static struct running *wait_for_claim(struct scheduler *scheduler, const char *device)
{
    struct running *running = NULL;
    pthread_mutex_lock(&scheduler->lock);
    while (!scheduler->interrupted) {
        running = claim_next(scheduler, device);
        if (running != NULL) {
            break;
        }
        pthread_cond_wait(&scheduler->changed, &scheduler->lock);
    }
    pthread_mutex_unlock(&scheduler->lock);
    return running;
}

static struct pool_job *source_claim(void *context, const char *device)
{
    struct scheduler *scheduler = context;
    struct running *running;
    while ((running = wait_for_claim(scheduler, device)) != NULL) {
        struct rejectd_error error = {0};
        if (open_job(scheduler, running, &error) == REJECTD_OK) {
            log_write(scheduler->options.log, LOG_LEVEL_INFO, "job-started", "%s on %s",
                      running->claim.job, device);
            return &running->job;
        }
        const struct store_outcome outcome = {.state = JOB_STATE_FAILED, .error = &error};
        unlist(scheduler, running);
        finish_in_store(scheduler, &running->claim, &outcome);
        running_free(running);
    }
    return NULL;
}

/* ---- while it runs ---- */

static bool source_progress(void *context, struct pool_job *job, const char *stage, double fraction)
{
    struct scheduler *scheduler = context;
    struct running *running = job->ticket;
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
    struct running *running = job->ticket;
    const struct dataset_description *description = &running->inputs.description;
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
                                       enum artifact artifact, const char *descr,
                                       const size_t shape[2], const void *items, size_t bytes,
                                       struct rejectd_error *error)
{
    const struct blob_writer_options options = {0};
    unsigned char header[256];
    const size_t header_bytes = npy_header_write(descr, 2, shape, header);
    struct blob_writer **writer = &running->writers[artifact];
    enum rejectd_status status =
        blob_writer_open(scheduler->options.blobs, &options, writer, error);
    if (status == REJECTD_OK) {
        status = blob_writer_write(*writer, header, header_bytes, error);
    }
    if (status == REJECTD_OK) {
        status = blob_writer_write(*writer, items, bytes, error);
    }
    return status;
}

static enum rejectd_status write_labels(struct scheduler *scheduler, struct running *running,
                                        const struct rejectd_reject_log *log,
                                        struct rejectd_error *error)
{
    const size_t shape[2] = {log->n_epochs, log->n_channels};
    return write_array(scheduler, running, ARTIFACT_LABELS, "|i1", shape, log->labels,
                       shape[0] * shape[1], error);
}

static enum rejectd_status write_correlations(struct scheduler *scheduler, struct running *running,
                                              const struct rejectd_ransac *ransac,
                                              struct rejectd_error *error)
{
    const size_t shape[2] = {ransac->n_epochs, ransac->n_picks};
    return write_array(scheduler, running, ARTIFACT_CORRELATIONS, "<f8", shape,
                       ransac->correlations, shape[0] * shape[1] * sizeof(double), error);
}

static char *result_text(const struct scheduler *scheduler, const struct running *running,
                         const struct pool_outcome *outcome, const char *model_id)
{
    const struct job_inputs *inputs = &running->inputs;
    const struct task_result *result = outcome->result;
    const struct result_context context = {
        .model = model_id,
        .device = running->device,
        .backend = scheduler->options.backend,
        .dataset_sha256 = inputs->dataset_sha256,
        .parameters_json = running->claim.parameters_json,
        .random_state = inputs->parameters.random_state,
        .seconds_queued = running->claim.seconds_queued,
        .seconds_running = outcome->seconds,
    };
    const struct rejectd_channel *channels = inputs->description.channels;
    switch (running->claim.type) {
    case JOB_FIT:
        return fit_result_to_json(result->fit, channels, &context);
    case JOB_APPLY:
        return apply_result_to_json(result->log, result->model, channels, &context);
    case JOB_THRESHOLDS:
        return thresholds_result_to_json(result->thresholds, inputs->task.thresholds.meg_legendre,
                                         channels, &context);
    case JOB_RANSAC:
        return ransac_result_to_json(result->ransac, inputs->task.ransac.meg_legendre, channels,
                                     &context);
    case JOB_GLOBAL_THRESHOLDS:
        return global_thresholds_result_to_json(result->global_thresholds, &context);
    case JOB_VALIDATION_CURVE:
        return validation_curve_result_to_json(result->validation_curve, &context);
    case JOB_INTERPOLATE:
        return interpolate_result_to_json(result->log, &inputs->task.clean, channels, &context);
    default:
        return NULL;
    }
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
        finish_in_store(scheduler, &running->claim, outcome);
    }
    blobs_unlock(blobs);
    return status;
}

/* Makes what the arrays of the job are named by. */
static enum rejectd_status finish_arrays(struct scheduler *scheduler, struct running *running,
                                         const struct task_result *result,
                                         char sha256[ARTIFACT_COUNT][SHA256_TEXT_SIZE],
                                         struct store_outcome *stored, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    if (result->model != NULL) {
        status = write_labels(scheduler, running, result->log, error);
    }
    if (status == REJECTD_OK && result->ransac != NULL) {
        status = write_correlations(scheduler, running, result->ransac, error);
    }
    for (int i = 0; i < ARTIFACT_COUNT && status == REJECTD_OK; i++) {
        if (running->writers[i] != NULL) {
            status = blob_writer_finish(running->writers[i], sha256[i], NULL, error);
            stored->artifacts[i] = sha256[i];
        }
    }
    return status;
}

static enum rejectd_status finish_success(struct scheduler *scheduler, struct running *running,
                                          const struct pool_outcome *outcome,
                                          struct rejectd_error *error)
{
    const struct task_result *result = outcome->result;
    char sha256[ARTIFACT_COUNT][SHA256_TEXT_SIZE];
    char model_id[RESOURCE_ID_SIZE] = "";
    char *model_json = NULL;
    char *result_json = NULL;
    struct store_outcome stored = {.state = JOB_STATE_SUCCEEDED};

    enum rejectd_status status = finish_arrays(scheduler, running, result, sha256, &stored, error);
    if (status == REJECTD_OK) {
        if (result->fitted != NULL) {
            store_new_id("md_", model_id);
            model_json = model_to_json(result->fitted);
        }
        result_json = result_text(scheduler, running, outcome,
                                  result->fitted != NULL ? model_id : running->claim.model);
        if (result_json == NULL || (result->fitted != NULL && model_json == NULL)) {
            status = REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "no memory for the result");
        }
    }
    if (status == REJECTD_OK) {
        stored.result_json = result_json;
        stored.model_id = model_json == NULL ? NULL : model_id;
        stored.model_json = model_json;
        status = commit_success(scheduler, running, &stored, error);
    }
    free(model_json);
    free(result_json);
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

static void source_finish(void *context, struct pool_job *job, const struct pool_outcome *outcome)
{
    struct scheduler *scheduler = context;
    struct running *running = job->ticket;
    struct rejectd_error error = {0};
    struct store_outcome stored = {0};
    bool store_it = true;
    switch (outcome->kind) {
    case POOL_SUCCEEDED:
        store_it = finish_success(scheduler, running, outcome, &error) != REJECTD_OK;
        stored = (struct store_outcome){.state = JOB_STATE_FAILED, .error = &error};
        break;
    case POOL_FAILED:
        stored = (struct store_outcome){.state = JOB_STATE_FAILED, .error = outcome->error};
        break;
    case POOL_CANCELLED:
        stored = (struct store_outcome){.state = JOB_STATE_CANCELLED};
        break;
    case POOL_RELEASED:
        release(scheduler, &running->claim);
        store_it = false;
        break;
    }
    if (store_it) {
        finish_in_store(scheduler, &running->claim, &stored);
    }
    unlist(scheduler, running);
    running_free(running);
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
    pthread_cond_init(&made->changed, NULL);
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
    pthread_cond_signal(&scheduler->changed);
    pthread_mutex_unlock(&scheduler->lock);
}

static struct running *find_running(struct scheduler *scheduler, const char *job)
{
    struct running *running = scheduler->first;
    while (running != NULL && strcmp(running->claim.job, job) != 0) {
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
