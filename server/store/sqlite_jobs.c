/* Jobs of the SQLite store as people see them; sqlite_queue.c has the side of workers. */
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/store/quota.h"
#include "server/store/sqlite.h"

#define JOB_COLUMNS JOB_COLUMNS_WITH("parameters")
#define JOB_COLUMNS_WITH(parameters)                                                               \
    "id, type, dataset, model, device, priority, " parameters ", state, attempt, created_at, "     \
    "started_at, finished_at, error_name, error_field, error_message, owner, visibility, "         \
    "request_id, result_removed_at, answered_from, iif(result IS NULL, 0, "                        \
    "finished_at), " SQLITE_NEEDS ", "

/* Of one job: asked when it is queued alone, because it sorts the queue. */
#define JOB_PLACE                                                                                  \
    "CASE WHEN state = 'queued' THEN (SELECT place FROM queue WHERE queue.job = jobs.id) "         \
    "  ELSE -1 END"

static enum rejectd_status status_from_name(const char *name)
{
    for (int status = 0; status < REJECTD_STATUS_COUNT; status++) {
        if (strcmp(rejectd_status_name((enum rejectd_status)status), name) == 0) {
            return (enum rejectd_status)status;
        }
    }
    return REJECTD_INTERNAL;
}

static void read_job(struct query *query, void *item)
{
    struct job_view *job = item;
    char text[64];
    *job = (struct job_view){0};
    query_read_text(query, job->id, sizeof job->id);
    query_read_text(query, text, sizeof text);
    job_type_from_name(text, &job->type);
    query_read_text(query, job->dataset, sizeof job->dataset);
    query_read_text(query, job->model, sizeof job->model);
    query_read_text(query, job->device, sizeof job->device);
    job->priority = (int)query_read_integer(query);
    job->parameters_json = query_read_copy(query);
    query_read_text(query, text, sizeof text);
    job_state_from_name(text, &job->state);
    job->attempt = (int)query_read_integer(query);
    query_read_time(query, job->created_at);
    query_read_time(query, job->started_at);
    query_read_time(query, job->finished_at);
    query_read_text(query, text, sizeof text);
    job->error.status = text[0] == '\0' ? REJECTD_OK : status_from_name(text);
    query_read_text(query, job->error.field, sizeof job->error.field);
    query_read_text(query, job->error.message, sizeof job->error.message);
    query_read_ownership(query, &job->ownership);
    query_read_text(query, job->request_id, sizeof job->request_id);
    query_read_time(query, job->result_removed_at);
    query_read_text(query, job->answered_from, sizeof job->answered_from);
    job->result_since = query_read_integer(query);
    query_read_needs(query, &job->needs);
    job->position = (long)query_read_integer(query);
    job->fraction = job->state == JOB_STATE_SUCCEEDED ? 1.0 : 0.0;
}

static void clear_job(void *item)
{
    job_view_clear(item);
}

static const struct query_items job_items = {sizeof(struct job_view), read_job, clear_job};

static enum rejectd_status get_job(struct sqlite_connection *connection, const char *id,
                                   struct job_view *job, struct rejectd_error *error)
{
    struct query query;
    *job = (struct job_view){0};
    query_begin(&query, connection, "SELECT " JOB_COLUMNS JOB_PLACE " FROM jobs WHERE id = ?",
                error);
    query_bind_text(&query, id);
    const bool found = query_next(&query);
    if (found) {
        read_job(&query, job);
    }
    enum rejectd_status status = query_end(&query);
    if (status == REJECTD_OK && !found) {
        status = REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is no job %.40s", id);
    }
    if (status != REJECTD_OK) {
        job_view_clear(job);
    }
    return status;
}

enum rejectd_status sqlite_job_get(struct store *store, const char *id, struct job_view *job,
                                   struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    pthread_mutex_lock(&reader->lock);
    const enum rejectd_status status = get_job(reader, id, job, error);
    pthread_mutex_unlock(&reader->lock);
    return status;
}

/* What a job works on must be there, and stays there while the job isn't final. */
static enum rejectd_status check_job_inputs(struct sqlite_connection *writer,
                                            const struct job_view *job, struct rejectd_error *error)
{
    int64_t state = 0; /* 0 no such dataset, 1 awaiting samples, 2 ready */
    enum rejectd_status status =
        sqlite_lookup(writer, "SELECT 1 + (sha256 IS NOT NULL) FROM datasets WHERE id = ?",
                      job->dataset, &state, error);
    if (status == REJECTD_OK && state == 0) {
        status = REJECTD_FAIL(error, REJECTD_NOT_FOUND, "dataset", "there is no dataset %.40s",
                              job->dataset);
    }
    if (status == REJECTD_OK && state == 1) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "dataset",
                              "dataset %.40s awaits its samples", job->dataset);
    }
    if (status == REJECTD_OK && job->model[0] != '\0') {
        int64_t found = 0;
        status =
            sqlite_lookup(writer, "SELECT 1 FROM models WHERE id = ?", job->model, &found, error);
        if (status == REJECTD_OK && found == 0) {
            status = REJECTD_FAIL(error, REJECTD_NOT_FOUND, "model", "there is no model %.40s",
                                  job->model);
        }
    }
    return status;
}

static enum rejectd_status insert_job(struct sqlite_connection *writer, const struct job_view *job,
                                      const struct store_submission *submission, int64_t now,
                                      struct rejectd_error *error)
{
    struct query query;
    query_begin(&query, writer,
                "INSERT INTO jobs (id, type, dataset, model, device, priority, parameters, state, "
                "created_at, owner, visibility, idempotency_key, request_sha256, fingerprint, "
                "request_id, " SQLITE_NEEDS ") "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                error);
    query_bind_text(&query, job->id);
    query_bind_text(&query, job_type_name(job->type));
    query_bind_text(&query, job->dataset);
    query_bind_text(&query, job->model);
    query_bind_text(&query, job->device);
    query_bind_integer(&query, job->priority);
    query_bind_text(&query, job->parameters_json == NULL ? "{}" : job->parameters_json);
    query_bind_integer(&query, now);
    query_bind_ownership(&query, &job->ownership);
    query_bind_text(&query, submission == NULL ? NULL : submission->key);
    query_bind_text(&query, submission == NULL ? NULL : submission->sha256);
    query_bind_text(&query, submission == NULL ? NULL : submission->fingerprint);
    query_bind_text(&query, job->request_id);
    query_bind_needs(&query, &job->needs);
    return query_execute(&query, NULL);
}

/* The job that its owner made before with this key; "" when there is none. */
static enum rejectd_status find_earlier(struct sqlite_connection *connection, const char *owner,
                                        const struct store_submission *submission,
                                        char id[RESOURCE_ID_SIZE], struct rejectd_error *error)
{
    struct query query;
    char sha256[RESOURCE_SHA256_SIZE] = "";
    id[0] = '\0';
    query_begin(&query, connection,
                "SELECT id, request_sha256 FROM jobs WHERE owner = ? AND idempotency_key = ?",
                error);
    query_bind_string(&query, owner);
    query_bind_text(&query, submission->key);
    if (query_next(&query)) {
        query_read_text(&query, id, RESOURCE_ID_SIZE);
        query_read_text(&query, sha256, sizeof sha256);
    }
    const enum rejectd_status status = query_end(&query);
    return status == REJECTD_OK && id[0] != '\0' && strcmp(sha256, submission->sha256) != 0
               ? REJECTD_FAIL(error, REJECTD_CONFLICT, "Idempotency-Key",
                              "this key came with another request before, which made job %s", id)
               : status;
}

enum rejectd_status sqlite_job_earlier(struct store *store, const char *owner,
                                       const struct store_submission *submission,
                                       char job[RESOURCE_ID_SIZE], struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    pthread_mutex_lock(&reader->lock);
    const enum rejectd_status status = find_earlier(reader, owner, submission, job, error);
    pthread_mutex_unlock(&reader->lock);
    return status;
}

/* One more may be queued. */
static enum rejectd_status check_place(struct sqlite_connection *writer, const char *owner,
                                       uint64_t most, struct rejectd_error *error)
{
    struct store_usage usage = {0};
    if (most == 0) {
        return REJECTD_OK;
    }
    const enum rejectd_status status = sqlite_usage_beside(writer, owner, NULL, &usage, error);
    return status == REJECTD_OK ? quota_check_jobs(&usage, most, error) : status;
}

enum rejectd_status sqlite_job_insert(struct store *store,
                                      const struct store_submission *submission,
                                      struct job_view *job, struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    const int64_t now = clock_milliseconds();
    struct job_view inserted = {0};
    store_new_id("jb_", job->id);
    char earlier[RESOURCE_ID_SIZE] = "";
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK && submission != NULL && submission->key != NULL) {
        status = find_earlier(writer, job->ownership.owner, submission, earlier, error);
    }
    const bool is_new = earlier[0] == '\0';
    if (status == REJECTD_OK && is_new && submission != NULL) {
        status = check_place(writer, job->ownership.owner, submission->most_queued, error);
    }
    if (status == REJECTD_OK && is_new) {
        status = check_job_inputs(writer, job, error);
    }
    if (status == REJECTD_OK && is_new) {
        status = insert_job(writer, job, submission, now, error);
    }
    if (status == REJECTD_OK && is_new && submission != NULL && submission->answer != NULL) {
        status = sqlite_answer_copy(writer, job->id, submission->answer, error);
    }
    if (status == REJECTD_OK) {
        status = get_job(writer, is_new ? job->id : earlier, &inserted, error);
    }
    status = transaction_end(writer, status, error);
    if (status == REJECTD_OK) {
        job_view_clear(job);
        *job = inserted;
    } else {
        job_view_clear(&inserted);
    }
    return status;
}

/* What the statement gives, whose parameters are those of SQLITE_VISIBLE and a limit. */
static enum rejectd_status list_jobs(struct store *store, const char *sql,
                                     const struct store_viewer *viewer, size_t limit,
                                     struct job_view **jobs, size_t *n_jobs,
                                     struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    void *list = NULL;
    struct query query;
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader, sql, error);
    query_bind_viewer(&query, viewer);
    query_bind_integer(&query, (int64_t)limit);
    const enum rejectd_status status = query_end_list(&query, &job_items, &list, n_jobs);
    pthread_mutex_unlock(&reader->lock);
    *jobs = list;
    return status;
}

enum rejectd_status sqlite_job_list(struct store *store, const struct store_viewer *viewer,
                                    size_t limit, struct job_view **jobs, size_t *n_jobs,
                                    struct rejectd_error *error)
{
    return list_jobs(store,
                     "SELECT " JOB_COLUMNS
                     "ifnull(place, -1) FROM (SELECT * FROM jobs WHERE " SQLITE_VISIBLE
                     " ORDER BY seq DESC LIMIT ?) AS listed LEFT JOIN queue ON job = listed.id "
                     "ORDER BY listed.seq DESC",
                     viewer, limit, jobs, n_jobs, error);
}

enum rejectd_status sqlite_queue_list(struct store *store, const struct store_viewer *viewer,
                                      size_t limit, struct job_view **jobs, size_t *n_jobs,
                                      struct rejectd_error *error)
{
    return list_jobs(
        store,
        "SELECT " JOB_COLUMNS_WITH(
            "NULL") "ifnull(place, -1) AS at FROM jobs LEFT JOIN queue ON job = jobs.id "
                    "WHERE state IN ('queued', 'running') AND " SQLITE_VISIBLE
                    " ORDER BY at, seq LIMIT ?",
        viewer, limit, jobs, n_jobs, error);
}

enum rejectd_status sqlite_job_cancel(struct store *store, const char *id, struct job_view *job,
                                      struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    *job = (struct job_view){0};
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status = get_job(writer, id, job, error);
    }
    if (status == REJECTD_OK && job_state_is_final(job->state)) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "", "job %s has ended already: %s", job->id,
                              job_state_name(job->state));
    }
    if (status == REJECTD_OK) {
        struct query query;
        query_begin(&query, writer,
                    "UPDATE jobs SET cancel_requested = 1, "
                    "finished_at = CASE state WHEN 'queued' THEN ? END, "
                    "state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END WHERE id = ?",
                    error);
        query_bind_integer(&query, clock_milliseconds());
        query_bind_text(&query, id);
        status = query_execute(&query, NULL);
    }
    job_view_clear(job);
    if (status == REJECTD_OK) {
        status = get_job(writer, id, job, error);
    }
    status = transaction_end(writer, status, error);
    if (status != REJECTD_OK) {
        job_view_clear(job);
    }
    return status;
}

static enum rejectd_status read_artifacts(struct sqlite_connection *reader, const char *id,
                                          struct store_result *result, struct rejectd_error *error)
{
    struct query query;
    query_begin(&query, reader, "SELECT name, sha256 FROM artifacts WHERE job = ?", error);
    query_bind_text(&query, id);
    while (query_next(&query)) {
        char name[64];
        enum artifact artifact;
        query_read_text(&query, name, sizeof name);
        if (artifact_from_name(name, &artifact)) {
            query_read_text(&query, result->artifacts[artifact],
                            sizeof result->artifacts[artifact]);
        }
    }
    return query_end(&query);
}

enum rejectd_status sqlite_job_result(struct store *store, const char *id,
                                      struct store_result *result, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    struct query query;
    char state[32] = "";
    *result = (struct store_result){0};
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader, "SELECT state, result FROM jobs WHERE id = ?", error);
    query_bind_text(&query, id);
    const bool found = query_next(&query);
    if (found) {
        query_read_text(&query, state, sizeof state);
        result->json = query_read_copy(&query);
    }
    enum rejectd_status status = query_end(&query);
    if (status == REJECTD_OK && found) {
        status = read_artifacts(reader, id, result, error);
    }
    pthread_mutex_unlock(&reader->lock);
    if (status == REJECTD_OK && !found) {
        status = REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is no job %.40s", id);
    }
    if (status == REJECTD_OK && strcmp(state, "succeeded") != 0) {
        status = REJECTD_FAIL(
            error, REJECTD_CONFLICT, "",
            "job %.40s is in the state %s; only jobs that succeeded have a result", id, state);
    }
    if (status == REJECTD_OK && result->json == NULL) {
        status =
            REJECTD_FAIL(error, REJECTD_NOT_FOUND, "",
                         "the result of job %.40s was removed: its dataset was deleted, or the "
                         "time was over that results are kept",
                         id);
    }
    if (status != REJECTD_OK) {
        free(result->json);
        *result = (struct store_result){0};
    }
    return status;
}

enum rejectd_status sqlite_usage_beside(struct sqlite_connection *connection, const char *owner,
                                        const char *dataset, struct store_usage *usage,
                                        struct rejectd_error *error)
{
    struct query query;
    *usage = (struct store_usage){0};
    query_begin(&query, connection,
                "SELECT (SELECT count(*) FROM jobs WHERE owner = ?1 AND state = 'queued'), "
                "(SELECT ifnull(sum(bytes), 0) FROM datasets WHERE owner = ?1 "
                " AND id IS NOT ?2)",
                error);
    query_bind_string(&query, owner);
    query_bind_text(&query, dataset);
    if (query_next(&query)) {
        usage->queued_jobs = (uint64_t)query_read_integer(&query);
        usage->stored_bytes = (uint64_t)query_read_integer(&query);
    }
    return query_end(&query);
}

enum rejectd_status sqlite_usage_get(struct store *store, const char *owner,
                                     struct store_usage *usage, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    pthread_mutex_lock(&reader->lock);
    const enum rejectd_status status = sqlite_usage_beside(reader, owner, NULL, usage, error);
    pthread_mutex_unlock(&reader->lock);
    return status;
}
