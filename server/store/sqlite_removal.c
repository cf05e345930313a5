/* What is removed from the SQLite store, and what is due to be. */
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/store/sqlite.h"

/* Of a dataset ?1: its samples, the files it came from, and what jobs made of it. */
#define BLOBS_OF_DATASET                                                                           \
    "SELECT sha256 FROM datasets WHERE id = ?1 AND sha256 IS NOT NULL "                            \
    "UNION SELECT head_sha256 FROM parts WHERE dataset = ?1 AND head_sha256 IS NOT NULL "          \
    "UNION SELECT samples_sha256 FROM parts WHERE dataset = ?1 AND samples_sha256 IS NOT NULL "    \
    "UNION SELECT sha256 FROM artifacts WHERE job IN (SELECT id FROM jobs WHERE dataset = ?1)"

#define UNFINISHED "state IN ('queued', 'running')"
#define IN_USE(id) "EXISTS (SELECT 1 FROM jobs WHERE dataset = " id " AND " UNFINISHED ")"

#define JOBS_OF_DATASET "SELECT id FROM jobs WHERE dataset = ?1"

static void read_digest(struct query *query, void *item)
{
    query_read_text(query, item, RESOURCE_SHA256_SIZE);
}

static enum rejectd_status list_blobs(struct sqlite_connection *writer, const char *sql,
                                      const char *id, struct store_removed *removed,
                                      struct rejectd_error *error)
{
    static const struct query_items digests = {RESOURCE_SHA256_SIZE, read_digest, NULL};
    struct query query;
    void *list = NULL;
    query_begin(&query, writer, sql, error);
    query_bind_text(&query, id);
    const enum rejectd_status status = query_end_list(&query, &digests, &list, &removed->n);
    removed->sha256 = list;
    return status;
}

/* jobs: the ids of the jobs, of ?1. */
#define REMOVE_ARTIFACTS(jobs) "DELETE FROM artifacts WHERE job IN (" jobs ")"
#define REMOVE_RESULTS(jobs)                                                                       \
    "UPDATE jobs SET result = NULL, result_removed_at = ?2 WHERE result IS NOT NULL "              \
    "AND id IN (" jobs ")"

static enum rejectd_status remove_results(struct sqlite_connection *writer,
                                          const char *artifacts_sql, const char *results_sql,
                                          const char *id, struct store_removed *removed,
                                          struct rejectd_error *error)
{
    struct query query;
    int n_results = 0;
    enum rejectd_status status = sqlite_execute_for(writer, artifacts_sql, id, NULL, error);
    if (status == REJECTD_OK) {
        query_begin(&query, writer, results_sql, error);
        query_bind_text(&query, id);
        query_bind_integer(&query, clock_milliseconds());
        status = query_execute(&query, &n_results);
    }
    removed->n_results = (size_t)n_results;
    return status;
}

/* There, not in use, and unused since then. */
static enum rejectd_status check_dataset(struct sqlite_connection *writer, const char *id,
                                         int64_t unused_since, struct rejectd_error *error)
{
    int64_t in_use = 0, used_at = 0; /* 0: there is none */
    enum rejectd_status status =
        sqlite_lookup(writer, "SELECT used_at FROM datasets WHERE id = ?", id, &used_at, error);
    if (status == REJECTD_OK && used_at == 0) {
        return REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is no dataset %.40s", id);
    }
    if (status == REJECTD_OK) {
        status = sqlite_lookup(writer, "SELECT " IN_USE("?"), id, &in_use, error);
    }
    if (status == REJECTD_OK && in_use != 0) {
        return REJECTD_FAIL(error, REJECTD_CONFLICT, "",
                            "dataset %.40s is used by a job that is queued or running", id);
    }
    if (status == REJECTD_OK && used_at >= unused_since) {
        return REJECTD_FAIL(error, REJECTD_CONFLICT, "", "dataset %.40s was used just now", id);
    }
    return status;
}

enum rejectd_status sqlite_dataset_delete(struct store *store, const char *id, int64_t unused_since,
                                          struct store_removed *removed,
                                          struct rejectd_error *error)
{
    static const char *const belongings[] = {
        "DELETE FROM parts WHERE dataset = ?",
        SQLITE_DELETE_PARTIAL,
        "DELETE FROM datasets WHERE id = ?",
    };
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    *removed = (struct store_removed){0};
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status = check_dataset(writer, id, unused_since, error);
    }
    if (status == REJECTD_OK) {
        status = list_blobs(writer, BLOBS_OF_DATASET, id, removed, error);
    }
    if (status == REJECTD_OK) {
        status = remove_results(writer, REMOVE_ARTIFACTS(JOBS_OF_DATASET),
                                REMOVE_RESULTS(JOBS_OF_DATASET), id, removed, error);
    }
    for (size_t i = 0; i < sizeof belongings / sizeof *belongings && status == REJECTD_OK; i++) {
        status = sqlite_execute_for(writer, belongings[i], id, NULL, error);
    }
    sqlite_store_of(store)->remembers = true;
    status = transaction_end(writer, status, error);
    if (status != REJECTD_OK) {
        store_removed_clear(removed);
    }
    return status;
}

enum rejectd_status sqlite_result_delete(struct store *store, const char *job,
                                         struct store_removed *removed, struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    *removed = (struct store_removed){0};
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status =
            list_blobs(writer, "SELECT sha256 FROM artifacts WHERE job = ?1", job, removed, error);
    }
    if (status == REJECTD_OK) {
        status = remove_results(writer, REMOVE_ARTIFACTS("?1"), REMOVE_RESULTS("?1"), job, removed,
                                error);
    }
    if (status == REJECTD_OK && removed->n_results == 0) {
        status = REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "job %.40s has no result", job);
    }
    sqlite_store_of(store)->remembers = true;
    status = transaction_end(writer, status, error);
    if (status != REJECTD_OK) {
        store_removed_clear(removed);
    }
    return status;
}

/*
 * The write-ahead log has the pages as they were, until others take their places: it is cut off.
 * What is in it goes to the database first, beside the readers, who then wait for a moment.
 */
void sqlite_forget(struct store *store)
{
    struct sqlite_store *sqlite = sqlite_store_of(store);
    struct sqlite_connection *writer = &sqlite->writer;
    sqlite3 *database = writer->database;
    pthread_mutex_lock(&writer->lock);
    /* A commit that failed is another matter: transaction_settle(). */
    if (sqlite->remembers && !writer->uncertain) {
        sqlite3_wal_checkpoint_v2(database, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        pthread_mutex_lock(&sqlite->reader.lock);
        sqlite3_busy_timeout(database, 0); /* another process may take long to read */
        sqlite->remembers = sqlite3_wal_checkpoint_v2(database, NULL, SQLITE_CHECKPOINT_TRUNCATE,
                                                      NULL, NULL) != SQLITE_OK;
        sqlite3_busy_timeout(database, SQLITE_BUSY_MILLISECONDS);
        pthread_mutex_unlock(&sqlite->reader.lock);
    }
    pthread_mutex_unlock(&writer->lock);
}

static enum rejectd_status list_due(struct store *store, const char *sql, int64_t before,
                                    char (*ids)[RESOURCE_ID_SIZE], size_t capacity, size_t *n_ids,
                                    struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    struct query query;
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader, sql, error);
    query_bind_integer(&query, before);
    query_bind_integer(&query, (int64_t)capacity);
    const enum rejectd_status status = query_end_ids(&query, ids, capacity, n_ids);
    pthread_mutex_unlock(&reader->lock);
    return status;
}

enum rejectd_status sqlite_dataset_unused(struct store *store, int64_t before,
                                          char (*ids)[RESOURCE_ID_SIZE], size_t capacity,
                                          size_t *n_ids, struct rejectd_error *error)
{
    return list_due(store,
                    "SELECT id FROM datasets WHERE used_at < ? AND NOT " IN_USE(
                        "datasets.id") " ORDER BY used_at LIMIT ?",
                    before, ids, capacity, n_ids, error);
}

enum rejectd_status sqlite_result_old(struct store *store, int64_t before,
                                      char (*ids)[RESOURCE_ID_SIZE], size_t capacity, size_t *n_ids,
                                      struct rejectd_error *error)
{
    return list_due(store,
                    "SELECT id FROM jobs WHERE result IS NOT NULL AND finished_at < ? "
                    "ORDER BY finished_at LIMIT ?",
                    before, ids, capacity, n_ids, error);
}
