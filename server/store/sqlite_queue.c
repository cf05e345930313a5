/*
 * The queue of the SQLite store: jobs as workers see them.
 *
 * A claim needs no fsync: forgetting it in a power failure leaves the job queued, which is what
 * recovery would make of it anyway. The commits before it are on the disk already, and the next
 * one takes it along. That saves every job a wait for the disk.
 *
 * Users take turns. The jobs of one user are in the order of their priority, then age; a job's turn
 * is its place in that order plus the number of jobs that its user has running, and the lowest turn
 * is next. So whoever has nothing running comes before whoever has, however many jobs that one has
 * queued, and nobody comes first by giving their jobs a high priority. Among equal turns, it is the
 * user's who was served longest ago.
 */
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/store/sqlite.h"

#define WISH "COALESCE(moved_to, device)"

/* What a taker, whose `gpus` is ?9, is to take it for. */
#define TAKEN_FOR                                                                                  \
    "iif(?9 IS NOT NULL AND " WISH " GLOB 'cuda:*' AND "                                           \
    "(lost_on IS " WISH " OR instr(?9, ' ' || " WISH " || ' ') = 0), 'cuda', " WISH ")"

/* The columns of a claim, read in this order by read_claim(). */
#define CLAIM_COLUMNS                                                                              \
    "type, dataset, model, fence, created_at, parameters, attempt, device, lost_on, "              \
    "warning_code, warning_message, jobs.owner, request_id, priority, " SQLITE_NEEDS

static void read_claim(struct query *query, struct store_claim *claim, int64_t now)
{
    char type[32];
    query_read_text(query, type, sizeof type);
    job_type_from_name(type, &claim->type);
    query_read_text(query, claim->dataset, sizeof claim->dataset);
    query_read_text(query, claim->model, sizeof claim->model);
    claim->fence = query_read_integer(query) + 1;
    claim->seconds_queued = 1e-3 * (double)(now - query_read_integer(query));
    claim->parameters_json = query_read_copy(query);
    claim->attempt = (int)query_read_integer(query) + 1;
    query_read_text(query, claim->wish, sizeof claim->wish);
    query_read_text(query, claim->lost_on, sizeof claim->lost_on);
    query_read_text(query, claim->warning.code, sizeof claim->warning.code);
    query_read_text(query, claim->warning.message, sizeof claim->warning.message);
    query_read_text(query, claim->owner, sizeof claim->owner);
    query_read_text(query, claim->request_id, sizeof claim->request_id);
    claim->priority = (int)query_read_integer(query);
    query_read_needs(query, &claim->needs);
}

/* Whether there is room for a job of so many bytes; else it is passed over. */
static bool has_room(struct store_room *room, const char *job, int64_t bytes)
{
    if (room == NULL) {
        return true;
    }
    const bool is_first = room->first != NULL && strcmp(job, room->first) == 0;
    room->first_is_there = room->first_is_there || is_first;
    if (bytes <= (is_first ? room->most_for_first : room->most)) {
        return true;
    }
    if (room->passed[0] == '\0') {
        memcpy(room->passed, job, sizeof room->passed);
        room->passed_bytes = bytes;
    }
    return false;
}

/* The id of the job that is to be claimed; "" when there is none. */
static enum rejectd_status choose_job(struct sqlite_connection *writer,
                                      const struct store_taker *taker, char id[RESOURCE_ID_SIZE],
                                      struct rejectd_error *error)
{
    struct store_room *room = taker->room;
    struct query query;
    query_begin(&query, writer,
                "SELECT id, ifnull(iif(?6 AND gpu_host_bytes > 0, gpu_host_bytes, host_bytes), 0) "
                "FROM jobs LEFT JOIN shares ON shares.owner = jobs.owner "
                "LEFT JOIN (SELECT owner, count(*) AS n FROM jobs WHERE state = 'running' "
                "  GROUP BY owner) AS running ON running.owner = jobs.owner "
                "WHERE state = 'queued' "
                "AND (instr(?1, ' ' || " TAKEN_FOR " || ' ') > 0) <> ?2 "
                "AND (" WISH " = ?3 OR ((?4 = 0 OR lost_on IS NOT ?3) AND (?5 IS NULL "
                "  OR lost_on IS NOT NULL OR NOT EXISTS (SELECT 1 FROM datasets WHERE "
                "    datasets.id = jobs.dataset AND "
                "    instr(?5, ' ' || datasets.sha256 || ' ') > 0)))) "
                "ORDER BY id IS NOT ?7,"
                "  row_number() OVER (PARTITION BY jobs.owner ORDER BY priority DESC, seq)"
                "  + ifnull(running.n, 0), ifnull(served, 0), priority DESC, seq LIMIT ?8",
                error);
    query_bind_text(&query, taker->wishes);
    query_bind_integer(&query, taker->others);
    query_bind_text(&query, taker->device);
    query_bind_integer(&query, taker->avoids_lost);
    query_bind_text(&query, taker->elsewhere);
    query_bind_integer(&query, room != NULL && room->on_gpu);
    query_bind_text(&query, room == NULL ? NULL : room->first);
    query_bind_integer(&query, room == NULL || room->most == INT64_MAX ? 1 : -1);
    query_bind_text(&query, taker->gpus);
    if (room != NULL) {
        room->passed[0] = '\0';
        room->first_is_there = false;
    }
    id[0] = '\0';
    bool found = false;
    while (!found && query_next(&query)) {
        query_read_text(&query, id, RESOURCE_ID_SIZE);
        found = has_room(room, id, query_read_integer(&query));
    }
    if (!found) {
        id[0] = '\0';
    }
    return query_end(&query);
}

static enum rejectd_status select_claim(struct sqlite_connection *writer,
                                        const struct store_taker *taker, bool *found,
                                        struct store_claim *claim, int64_t now,
                                        struct rejectd_error *error)
{
    struct query query;
    enum rejectd_status status = choose_job(writer, taker, claim->job, error);
    *found = false;
    if (status != REJECTD_OK || claim->job[0] == '\0') {
        return status;
    }
    query_begin(&query, writer, "SELECT " CLAIM_COLUMNS " FROM jobs WHERE id = ?", error);
    query_bind_text(&query, claim->job);
    *found = query_next(&query);
    if (*found) {
        read_claim(&query, claim, now);
    }
    return query_end(&query);
}

static enum rejectd_status count_served(struct sqlite_connection *writer, const char *owner,
                                        struct rejectd_error *error)
{
    struct query query;
    query_begin(&query, writer,
                "INSERT INTO shares (owner, served) "
                "VALUES (?, (SELECT ifnull(max(served), 0) + 1 FROM shares)) "
                "ON CONFLICT (owner) DO UPDATE SET served = excluded.served",
                error);
    query_bind_string(&query, owner);
    return query_execute(&query, NULL);
}

enum rejectd_status sqlite_job_claim(struct store *store, const struct store_taker *taker,
                                     bool *found, struct store_claim *claim,
                                     struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    const int64_t now = clock_milliseconds();
    *claim = (struct store_claim){0};
    *found = false;

    pthread_mutex_lock(&writer->lock);
    /* A look first: an idle device asks several times a second, which should write nothing. */
    enum rejectd_status status = select_claim(writer, taker, found, claim, now, error);
    store_claim_clear(claim);
    if (status != REJECTD_OK || !*found) {
        pthread_mutex_unlock(&writer->lock);
        *found = false;
        return status;
    }
    sqlite_run(writer, "PRAGMA synchronous = NORMAL", NULL);
    status = sqlite_run(writer, "BEGIN IMMEDIATE", error);
    if (status == REJECTD_OK) {
        status = select_claim(writer, taker, found, claim, now, error);
    }
    if (status == REJECTD_OK && *found) {
        struct query query;
        query_begin(&query, writer,
                    "UPDATE jobs SET state = 'running', fence = ?, attempt = attempt + 1, "
                    "claimed_by = ?, started_at = ? WHERE id = ?",
                    error);
        query_bind_integer(&query, claim->fence);
        query_bind_text(&query, taker->device);
        query_bind_integer(&query, now);
        query_bind_text(&query, claim->job);
        status = query_execute(&query, NULL);
    }
    if (status == REJECTD_OK && *found) {
        status = count_served(writer, claim->owner, error);
    }
    if (status == REJECTD_OK) {
        status = sqlite_run(writer, "COMMIT", error);
    }
    if (sqlite3_get_autocommit(writer->database) == 0) {
        sqlite_run(writer, "ROLLBACK", NULL);
    }
    sqlite_run(writer, "PRAGMA synchronous = FULL", NULL);
    pthread_mutex_unlock(&writer->lock);
    if (status != REJECTD_OK || !*found) {
        store_claim_clear(claim);
        *found = false;
    }
    return status;
}

/* The claim must still be what it was when it was made. */
static enum rejectd_status check_fence(struct sqlite_connection *writer, const char *id,
                                       int64_t fence, bool *cancel_requested,
                                       struct rejectd_error *error)
{
    struct query query;
    int64_t current = -1;
    *cancel_requested = false;
    query_begin(&query, writer,
                "SELECT fence, cancel_requested FROM jobs WHERE id = ? AND state = 'running'",
                error);
    query_bind_text(&query, id);
    if (query_next(&query)) {
        current = query_read_integer(&query);
        *cancel_requested = query_read_integer(&query) != 0;
    }
    enum rejectd_status status = query_end(&query);
    if (status == REJECTD_OK && current != fence) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "", "the claim %lld on job %.40s has lapsed",
                              (long long)fence, id);
    }
    return status;
}

enum rejectd_status sqlite_job_release(struct store *store, const char *id, int64_t fence,
                                       struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    bool cancelled = false;
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status = check_fence(writer, id, fence, &cancelled, error);
    }
    if (status == REJECTD_OK) {
        struct query query;
        query_begin(&query, writer,
                    cancelled ? "UPDATE jobs SET state = 'cancelled', claimed_by = NULL, "
                                "finished_at = ?1 WHERE id = ?2"
                              : "UPDATE jobs SET state = 'queued', claimed_by = NULL, "
                                "attempt = attempt - 1, started_at = NULL WHERE id = ?2 AND ?1 > 0",
                    error);
        query_bind_integer(&query, clock_milliseconds());
        query_bind_text(&query, id);
        status = query_execute(&query, NULL);
    }
    return transaction_end(writer, status, error);
}

static enum rejectd_status update_finished(struct sqlite_connection *writer, const char *id,
                                           const struct store_outcome *outcome, int64_t now,
                                           struct rejectd_error *error)
{
    const struct rejectd_error *failure = outcome->error;
    struct query query;
    query_begin(&query, writer,
                "UPDATE jobs SET state = ?, claimed_by = NULL, finished_at = ?, error_name = ?, "
                "error_field = ?, error_message = ?, result = ?, "
                "fingerprint = iif(?, NULL, fingerprint) WHERE id = ?",
                error);
    query_bind_text(&query, job_state_name(outcome->state));
    query_bind_integer(&query, now);
    query_bind_text(&query, failure == NULL ? NULL : rejectd_status_name(failure->status));
    query_bind_text(&query, failure == NULL ? NULL : failure->field);
    query_bind_text(&query, failure == NULL ? NULL : failure->message);
    query_bind_text(&query, outcome->result_json);
    query_bind_integer(&query, outcome->answers_none);
    query_bind_text(&query, id);
    return query_execute(&query, NULL);
}

/* Queued again, for whom it may concern now. */
static enum rejectd_status queue_again(struct sqlite_connection *writer, const char *id,
                                       const struct store_retry *retry, struct rejectd_error *error)
{
    struct query query;
    const struct rejectd_warning *warning = retry->warning;
    query_begin(&query, writer,
                "UPDATE jobs SET state = 'queued', claimed_by = NULL, started_at = NULL, "
                "attempt = attempt - ?, lost_on = ?, moved_to = COALESCE(?, moved_to), "
                "warning_code = COALESCE(?, warning_code), "
                "warning_message = COALESCE(?, warning_message) WHERE id = ?",
                error);
    query_bind_integer(&query, retry->lost ? 0 : 1);
    query_bind_text(&query, retry->device);
    query_bind_text(&query, retry->moved_to);
    query_bind_text(&query, warning == NULL ? NULL : warning->code);
    query_bind_text(&query, warning == NULL ? NULL : warning->message);
    query_bind_text(&query, id);
    return query_execute(&query, NULL);
}

enum rejectd_status sqlite_job_retry(struct store *store, const char *id, int64_t fence,
                                     const struct store_retry *retry, enum job_state *state,
                                     struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    const int64_t now = clock_milliseconds();
    struct store_outcome outcome = {.state = JOB_STATE_QUEUED};
    bool cancelled = false;
    int64_t attempt = 0;
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status = check_fence(writer, id, fence, &cancelled, error);
    }
    if (status == REJECTD_OK) {
        status =
            sqlite_lookup(writer, "SELECT attempt FROM jobs WHERE id = ?", id, &attempt, error);
    }
    if (cancelled) {
        outcome.state = JOB_STATE_CANCELLED;
    } else if (retry->lost && attempt >= STORE_MAX_ATTEMPTS) {
        outcome = (struct store_outcome){.state = JOB_STATE_FAILED, .error = retry->error};
    }
    if (status == REJECTD_OK) {
        status = outcome.state == JOB_STATE_QUEUED
                     ? queue_again(writer, id, retry, error)
                     : update_finished(writer, id, &outcome, now, error);
    }
    status = transaction_end(writer, status, error);
    if (state != NULL) {
        *state = outcome.state;
    }
    return status;
}

static enum rejectd_status insert_model(struct sqlite_connection *writer, const char *job,
                                        const struct store_outcome *outcome, int64_t now,
                                        struct rejectd_error *error)
{
    struct query query;
    query_begin(&query, writer,
                "INSERT INTO models (id, job, dataset, model, created_at, owner, visibility) "
                "SELECT ?, id, dataset, ?, ?, owner, visibility FROM jobs WHERE id = ?",
                error);
    query_bind_text(&query, outcome->model_id);
    query_bind_text(&query, outcome->model_json);
    query_bind_integer(&query, now);
    query_bind_text(&query, job);
    return query_execute(&query, NULL);
}

static enum rejectd_status insert_artifacts(struct sqlite_connection *writer, const char *job,
                                            const struct store_outcome *outcome,
                                            struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    for (int i = 0; i < ARTIFACT_COUNT && status == REJECTD_OK; i++) {
        struct query query;
        if (outcome->artifacts[i] == NULL) {
            continue;
        }
        query_begin(&query, writer, "INSERT INTO artifacts (job, name, sha256) VALUES (?, ?, ?)",
                    error);
        query_bind_text(&query, job);
        query_bind_text(&query, artifact_name((enum artifact)i));
        query_bind_text(&query, outcome->artifacts[i]);
        status = query_execute(&query, NULL);
    }
    return status;
}

enum rejectd_status sqlite_job_finish(struct store *store, const char *id, int64_t fence,
                                      const struct store_outcome *outcome,
                                      struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    const struct store_outcome cancelled = {.state = JOB_STATE_CANCELLED};
    const int64_t now = clock_milliseconds();
    bool cancel_requested = false;
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status = check_fence(writer, id, fence, &cancel_requested, error);
    }
    if (cancel_requested && outcome->state != JOB_STATE_SUCCEEDED) {
        outcome = &cancelled;
    }
    if (status == REJECTD_OK && outcome->model_id != NULL) {
        status = insert_model(writer, id, outcome, now, error);
    }
    if (status == REJECTD_OK) {
        status = insert_artifacts(writer, id, outcome, error);
    }
    if (status == REJECTD_OK) {
        status = update_finished(writer, id, outcome, now, error);
    }
    if (status == REJECTD_OK && outcome->rate != NULL) {
        status = sqlite_rate_put(writer, outcome->rate, error);
    }
    return transaction_end(writer, status, error);
}

enum rejectd_status sqlite_recover(struct store *store, struct store_recovery *recovery,
                                   struct rejectd_error *error)
{
    /* Cancelled first, then lost too often, then the rest. */
    static const char *const cancel =
        "UPDATE jobs SET state = 'cancelled', claimed_by = NULL, finished_at = ?1 "
        "WHERE state = 'running' AND cancel_requested";
    static const char *const fail =
        "UPDATE jobs SET state = 'failed', claimed_by = NULL, finished_at = ?1, "
        "error_name = ?2, error_message = ?3 WHERE state = 'running' AND attempt >= ?4";
    static const char *const requeue =
        "UPDATE jobs SET state = 'queued', claimed_by = NULL, started_at = NULL "
        "WHERE state = 'running'";
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    const int64_t now = clock_milliseconds();
    int n_cancelled = 0;
    int n_failed = 0;
    int n_requeued = 0;
    struct query query;

    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        query_begin(&query, writer, cancel, error);
        query_bind_integer(&query, now);
        status = query_execute(&query, &n_cancelled);
    }
    if (status == REJECTD_OK) {
        query_begin(&query, writer, fail, error);
        query_bind_integer(&query, now);
        query_bind_text(&query, rejectd_status_name(REJECTD_INTERNAL));
        query_bind_text(&query, "the service died each time it ran this job");
        query_bind_integer(&query, STORE_MAX_ATTEMPTS);
        status = query_execute(&query, &n_failed);
    }
    if (status == REJECTD_OK) {
        query_begin(&query, writer, requeue, error);
        status = query_execute(&query, &n_requeued);
    }
    status = transaction_end(writer, status, error);
    *recovery = (struct store_recovery){.n_requeued = (size_t)n_requeued,
                                        .n_failed = (size_t)n_failed,
                                        .n_cancelled = (size_t)n_cancelled};
    return status;
}

static enum rejectd_status look_at_queued(struct sqlite_connection *reader,
                                          struct store_queue *queue, struct rejectd_error *error)
{
    struct query query;
    query_begin(&query, reader,
                "SELECT priority, count(*), min(created_at) FROM jobs WHERE state = 'queued' "
                "GROUP BY priority ORDER BY priority DESC",
                error);
    while (queue->n < STORE_PRIORITIES && query_next(&query)) {
        const size_t i = queue->n++;
        queue->by_priority[i].priority = (int)query_read_integer(&query);
        queue->by_priority[i].n_queued = (size_t)query_read_integer(&query);
        queue->by_priority[i].oldest = query_read_integer(&query);
    }
    return query_end(&query);
}

enum rejectd_status sqlite_queue_look(struct store *store, struct store_queue *queue,
                                      struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    int64_t n_running = 0;
    *queue = (struct store_queue){0};
    pthread_mutex_lock(&reader->lock);
    enum rejectd_status status = look_at_queued(reader, queue, error);
    if (status == REJECTD_OK) {
        status = sqlite_lookup(reader, "SELECT count(*) FROM jobs WHERE state = 'running'", NULL,
                               &n_running, error);
        queue->n_running = (size_t)n_running;
    }
    pthread_mutex_unlock(&reader->lock);
    return status;
}
