/* /v1/jobs */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/http/authorize.h"
#include "server/http/limits.h"
#include "server/http/request.h"
#include "server/jobs/job_check.h"
#include "server/jobs/job_events.h"
#include "server/retention/retention.h"

static void respond_job(const struct request *request, int http, struct job_view *job,
                        struct response *response)
{
    retention_show_job(request->service, job);
    respond_json(response, http, job_view_to_json(job));
    if (http == 202 && response->status == 202) {
        snprintf(response->location, sizeof response->location, "/v1/jobs/%s", job->id);
    }
}

/*
 * Adds the progress of a job as the store had it. One that has ended since is read again, lest its
 * progress seem to fall back to zero.
 */
static enum rejectd_status show_progress(struct service *service, struct job_view *job,
                                         struct rejectd_error *error)
{
    struct job_view now = {0};
    if (job->state != JOB_STATE_RUNNING || scheduler_show_progress(service->scheduler, job)) {
        return REJECTD_OK;
    }
    const enum rejectd_status status =
        service->store->functions->job_get(service->store, job->id, &now, error);
    if (status == REJECTD_OK) {
        job_view_clear(job);
        *job = now;
    }
    return status;
}

/* ---- POST ---- */

/* With an Idempotency-Key, a request that is sent again (because its answer was lost) is answered
 * by the job that it made. key is NULL without one. */
static enum rejectd_status read_submission(const struct request *request,
                                           char sha256[RESOURCE_SHA256_SIZE],
                                           struct store_submission *submission,
                                           struct rejectd_error *error)
{
    enum { LONGEST_KEY = 255 };
    struct sha256 hash;
    const char *key = request_header(request, "Idempotency-Key");
    *submission = (struct store_submission){.key = key, .sha256 = key == NULL ? NULL : sha256};
    if (key == NULL) {
        return REJECTD_OK;
    }
    const size_t length = strlen(key);
    bool printable = length > 0 && length <= LONGEST_KEY;
    for (size_t i = 0; i < length; i++) {
        printable = printable && key[i] > 0x20 && key[i] < 0x7f;
    }
    if (!printable) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "Idempotency-Key",
                            "the key is not accepted; accepted: 1 to %d printable ASCII characters "
                            "without blanks",
                            LONGEST_KEY);
    }
    sha256_init(&hash);
    sha256_update(&hash, request->body.data, request->body.length);
    sha256_final(&hash, sha256);
    return REJECTD_OK;
}

/* A job that an earlier request made has the id of that one. */
static bool is_of(const struct request *request, const struct job_view *job)
{
    return strcmp(job->request_id, request->request_id) == 0;
}

static void log_queued(const struct request *request, const struct job_view *job)
{
    const bool is_new = is_of(request, job);
    const bool is_answered = is_new && job->answered_from[0] != '\0';
    log_write_fields(
        request->service->log, LOG_LEVEL_INFO,
        is_answered ? "job-answered" : (is_new ? "job-queued" : "job-known"),
        LOG_FIELDS(LOG_TEXT("job", job->id), LOG_TEXT("type", job_type_name(job->type)),
                   LOG_TEXT("dataset", job->dataset), LOG_NUMBER("priority", job->priority),
                   LOG_TEXT("request_id", request->request_id)),
        "%s%s", is_answered ? "by the result of " : (is_new ? "a new job" : "asked for again"),
        is_answered ? job->answered_from : "");
}

static bool is_whole(struct service *service, const char *job)
{
    struct store_result result = {0};
    struct rejectd_error error;
    enum rejectd_status status =
        service->store->functions->job_result(service->store, job, &result, &error);
    for (int i = 0; i < ARTIFACT_COUNT && status == REJECTD_OK; i++) {
        if (result.artifacts[i][0] != '\0') {
            status = blobs_verify(service->blobs, result.artifacts[i], &error);
        }
    }
    free(result.json);
    return status == REJECTD_OK;
}

/* An earlier job whose result is what the new one would have; "" when there is none that the user
 * sees and that is whole. */
static void find_answer(const struct request *request, const char *fingerprint,
                        char answer[RESOURCE_ID_SIZE])
{
    struct service *service = request->service;
    struct store_viewer viewer;
    struct rejectd_error error;
    const enum rejectd_status status = service->store->functions->answer_find(
        service->store, fingerprint, principal_viewer(&request->principal, &viewer), answer,
        &error);
    if (status != REJECTD_OK || (answer[0] != '\0' && !is_whole(service, answer))) {
        answer[0] = '\0';
    }
}

static enum rejectd_status insert(const struct request *request, struct job_request *wanted,
                                  const char *fingerprint, const struct store_submission *sent,
                                  struct job_view *job, struct rejectd_error *error)
{
    struct service *service = request->service;
    char answer[RESOURCE_ID_SIZE] = "";
    job->type = wanted->type;
    job->priority = wanted->priority;
    memcpy(job->dataset, wanted->dataset, sizeof job->dataset);
    memcpy(job->model, wanted->model, sizeof job->model);
    memcpy(job->device, wanted->device, sizeof job->device);
    job->parameters_json = wanted->parameters_json;
    wanted->parameters_json = NULL;
    memcpy(job->request_id, request->request_id, sizeof job->request_id);
    if (!wanted->fresh) {
        find_answer(request, fingerprint, answer);
    }
    struct store_submission submission = *sent;
    submission.fingerprint = fingerprint;
    submission.answer = answer[0] == '\0' ? NULL : answer;
    submission.most_queued = (uint64_t)service->config->user_queued_jobs;
    const enum rejectd_status status =
        service->store->functions->job_insert(service->store, &submission, job, error);
    if (status == REJECTD_OK && is_of(request, job)) {
        job_events_state(service->events, service->store, job->id);
        scheduler_wake(service->scheduler);
    }
    return status;
}

/* Makes the job, whose ownership is given. */
static enum rejectd_status submit(const struct request *request, struct job_request *wanted,
                                  const struct store_submission *sent, struct job_view *job,
                                  struct rejectd_error *error)
{
    struct service *service = request->service;
    struct job_checked checked;
    enum rejectd_status status = authorize_use(request, wanted->dataset, "dataset", error);
    if (status == REJECTD_OK && wanted->model[0] != '\0') {
        status = authorize_use(request, wanted->model, "model", error);
    }
    if (status == REJECTD_OK) {
        status = job_check(service->store, &service->forecaster, service->numerics, wanted,
                           &checked, error);
    }
    if (status == REJECTD_OK) {
        job->needs = checked.needs;
        status = insert(request, wanted, checked.fingerprint, sent, job, error);
    }
    return status;
}

/* The job that the request made when it came before, whatever has become of its dataset since; else
 * a new one. */
static enum rejectd_status find_or_submit(const struct request *request, struct job_request *wanted,
                                          struct job_view *job, struct rejectd_error *error)
{
    struct store *store = request->service->store;
    struct store_submission submission;
    char sha256[RESOURCE_SHA256_SIZE];
    char earlier[RESOURCE_ID_SIZE] = "";
    enum rejectd_status status = read_submission(request, sha256, &submission, error);
    if (status == REJECTD_OK && submission.key != NULL) {
        status =
            store->functions->job_earlier(store, job->ownership.owner, &submission, earlier, error);
    }
    if (status == REJECTD_OK) {
        status = earlier[0] != '\0' ? store->functions->job_get(store, earlier, job, error)
                                    : submit(request, wanted, &submission, job, error);
    }
    return status;
}

void job_create(struct request *request, struct response *response)
{
    struct rejectd_error error = {0};
    struct job_request wanted = {0};
    struct job_view job = {0};
    enum rejectd_status status = request_check_body(request, &error);
    if (status == REJECTD_OK) {
        status = job_request_from_json(request->body.data, request->body.length, &wanted, &error);
    }
    if (status == REJECTD_OK) {
        status = request_ownership(request, &job.ownership, &error);
    }
    if (status == REJECTD_OK) {
        status = find_or_submit(request, &wanted, &job, &error);
    }
    if (status == REJECTD_OK) {
        log_queued(request, &job);
        show_progress(request->service, &job, &error); /* of one that is known, and may run */
        respond_job(request, 202, &job, response);
    } else {
        respond_problem(response, &error);
        response->retry_after = status == REJECTD_TOO_MANY_REQUESTS ? LIMITS_QUEUE_SECONDS : 0;
    }
    job_request_clear(&wanted);
    job_view_clear(&job);
}

/* ---- GET ---- */

enum rejectd_status job_look_at(struct service *service, const char *id, struct job_view *job,
                                struct rejectd_error *error)
{
    struct store *store = service->store;
    enum rejectd_status status = store->functions->job_get(store, id, job, error);
    if (status == REJECTD_OK) {
        status = show_progress(service, job, error);
    }
    if (status == REJECTD_OK) {
        starts_show(service->starts, job);
    }
    return status;
}

/*
 * Waiting: the waiter is listed before the job is looked at, so that an end in between wakes it.
 * Called again after every wake-up, whatever its cause.
 */
void job_show(struct request *request, struct response *response)
{
    struct service *service = request->service;
    struct waiter *waiter = &request->waiter;
    struct rejectd_error error = {0};
    struct job_view job = {0};
    double seconds = 0.0;
    enum rejectd_status status = request_wait(request, &seconds, &error);
    waiters_remove(service->waiters, waiter);
    if (status == REJECTD_OK && seconds > 0.0) {
        memcpy(waiter->job, request->id, sizeof waiter->job);
        waiter->deadline = request->started + seconds;
        request->account.waits = true;
        waiters_add(service->waiters, waiter);
    }
    if (status == REJECTD_OK) {
        status = job_look_at(service, request->id, &job, &error);
    }
    if (status != REJECTD_OK) {
        respond_problem(response, &error);
    } else if (job_state_is_final(job.state) || seconds == 0.0 ||
               clock_monotonic() >= waiter->deadline || !request_may_wait(request)) {
        respond_job(request, 200, &job, response);
    }
    if (response->status != 0) {
        waiters_remove(service->waiters, waiter);
    }
    job_view_clear(&job);
}

void job_show_now(struct request *request, struct response *response)
{
    struct rejectd_error error = {0};
    struct job_view job = {0};
    if (job_look_at(request->service, request->id, &job, &error) == REJECTD_OK) {
        respond_job(request, 200, &job, response);
    } else {
        respond_problem(response, &error);
    }
    job_view_clear(&job);
}

void job_list_all(struct request *request, struct response *response)
{
    struct service *service = request->service;
    struct store *store = service->store;
    struct rejectd_error error = {0};
    struct job_view *jobs = NULL;
    size_t n_jobs = 0;
    struct store_viewer viewer;
    size_t limit = 0;
    enum rejectd_status status = request_limit(request, &limit, &error);
    if (status == REJECTD_OK) {
        status = store->functions->job_list(store, principal_viewer(&request->principal, &viewer),
                                            limit, &jobs, &n_jobs, &error);
    }
    for (size_t i = 0; i < n_jobs; i++) {
        /* One that is gone by now was there when the list was made. */
        show_progress(service, &jobs[i], &error);
        retention_show_job(service, &jobs[i]);
        starts_show(service->starts, &jobs[i]);
    }
    if (status == REJECTD_OK) {
        respond_json(response, 200, job_list_to_json(jobs, n_jobs));
    } else {
        respond_problem(response, &error);
    }
    job_list_free(jobs, n_jobs);
}

/* ---- DELETE ---- */

void job_remove(struct request *request, struct response *response)
{
    struct service *service = request->service;
    struct store *store = service->store;
    struct rejectd_error error = {0};
    struct job_view job = {0};
    if (store->functions->job_cancel(store, request->id, &job, &error) != REJECTD_OK) {
        respond_problem(response, &error);
        return;
    }
    /* It may have held memory for itself, too, when it was queued. */
    scheduler_cancel(service->scheduler, job.id);
    if (job_state_is_final(job.state)) {
        metrics_count_job(service->metrics, job.type, job.state, NULL, 0.0);
        waiters_wake_job(service->waiters, job.id);
        job_events_state(service->events, store, job.id);
    } else {
        show_progress(service, &job, &error); /* of one that runs until it notices */
    }
    respond_job(request, 202, &job, response);
    response->location[0] = '\0'; /* nothing was made */
    job_view_clear(&job);
}

/* ---- results ---- */

void job_show_result(struct request *request, struct response *response)
{
    struct store *store = request->service->store;
    struct rejectd_error error = {0};
    struct store_result result = {0};
    if (store->functions->job_result(store, request->id, &result, &error) == REJECTD_OK) {
        respond_json(response, 200, result.json);
        respond_tagged(response, NULL);
    } else {
        respond_problem(response, &error);
    }
}

static void send_array(struct request *request, enum artifact artifact, struct response *response)
{
    struct store *store = request->service->store;
    struct rejectd_error error = {0};
    struct store_result result = {0};
    int file = -1;
    uint64_t bytes = 0;
    enum rejectd_status status = store->functions->job_result(store, request->id, &result, &error);
    const char *sha256 = result.artifacts[artifact];
    if (status == REJECTD_OK && sha256[0] == '\0') {
        status = REJECTD_FAIL(&error, REJECTD_NOT_FOUND, "",
                              "job %.40s is of a type that makes no %s, or was told not to",
                              request->id, artifact_name(artifact));
    }
    if (status == REJECTD_OK) {
        status = blobs_verify(request->service->blobs, sha256, &error);
    }
    if (status == REJECTD_OK) {
        status = blobs_open_file(request->service->blobs, sha256, &file, &bytes, &error);
    }
    if (status == REJECTD_OK) {
        respond_file(response, "application/x-npy", file, bytes);
        respond_tagged(response, sha256);
    } else {
        respond_problem(response, &error);
    }
    free(result.json);
}

void job_send_labels(struct request *request, struct response *response)
{
    send_array(request, ARTIFACT_LABELS, response);
}

void job_send_cleaned(struct request *request, struct response *response)
{
    send_array(request, ARTIFACT_CLEANED, response);
}

void job_send_correlations(struct request *request, struct response *response)
{
    send_array(request, ARTIFACT_CORRELATIONS, response);
}
