/* Jobs of the SQLite store that are answered by the results of earlier ones. */
#include <string.h>

#include "server/store/sqlite.h"

/* A fit whose model was deleted isn't all there. */
#define IS_WHOLE                                                                                   \
    "result IS NOT NULL AND "                                                                      \
    "(type <> 'fit' OR EXISTS (SELECT 1 FROM models WHERE job = jobs.id))"

enum rejectd_status sqlite_answer_find(struct store *store, const char *fingerprint,
                                       const struct store_viewer *viewer,
                                       char job[RESOURCE_ID_SIZE], struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    struct query query;
    job[0] = '\0';
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader,
                "SELECT id FROM jobs WHERE fingerprint = ? AND " IS_WHOLE " AND " SQLITE_VISIBLE
                " ORDER BY seq DESC LIMIT 1",
                error);
    query_bind_text(&query, fingerprint);
    query_bind_viewer(&query, viewer);
    if (query_next(&query)) {
        query_read_text(&query, job, RESOURCE_ID_SIZE);
    }
    const enum rejectd_status status = query_end(&query);
    pthread_mutex_unlock(&reader->lock);
    return status;
}

/* The model of the answer, as one of the job's own; *model is "" when the answer has none. */
static enum rejectd_status copy_model(struct sqlite_connection *writer, const char *job,
                                      const char *answer, char model[RESOURCE_ID_SIZE],
                                      struct rejectd_error *error)
{
    struct query query;
    int n = 0;
    store_new_id("md_", model);
    query_begin(&query, writer,
                "INSERT INTO models (id, job, dataset, model, created_at, owner, visibility) "
                "SELECT ?1, jobs.id, jobs.dataset, models.model, jobs.created_at, jobs.owner, "
                "jobs.visibility FROM models, jobs WHERE models.job = ?2 AND jobs.id = ?3",
                error);
    query_bind_text(&query, model);
    query_bind_text(&query, answer);
    query_bind_text(&query, job);
    const enum rejectd_status status = query_execute(&query, &n);
    if (n == 0) {
        model[0] = '\0';
    }
    return status;
}

static enum rejectd_status copy_artifacts(struct sqlite_connection *writer, const char *job,
                                          const char *answer, struct rejectd_error *error)
{
    struct query query;
    query_begin(&query, writer,
                "INSERT INTO artifacts (job, name, sha256) "
                "SELECT ?, name, sha256 FROM artifacts WHERE job = ?",
                error);
    query_bind_text(&query, job);
    query_bind_text(&query, answer);
    return query_execute(&query, NULL);
}

enum rejectd_status sqlite_answer_copy(struct sqlite_connection *writer, const char *job,
                                       const char *answer, struct rejectd_error *error)
{
    struct query query;
    int64_t there = 0;
    char model[RESOURCE_ID_SIZE] = "";
    enum rejectd_status status = sqlite_lookup(
        writer, "SELECT 1 FROM jobs WHERE id = ? AND " IS_WHOLE, answer, &there, error);
    if (status != REJECTD_OK || there == 0) {
        return status; /* it was removed just now: the job waits for its turn */
    }
    status = copy_model(writer, job, answer, model, error);
    if (status == REJECTD_OK) {
        status = copy_artifacts(writer, job, answer, error);
    }
    if (status == REJECTD_OK) {
        /* An id that nobody can guess is nothing else in the result than the model's name. */
        query_begin(&query, writer,
                    "UPDATE jobs SET state = 'succeeded', started_at = created_at, "
                    "finished_at = created_at, answered_from = ?1, result = (SELECT "
                    "iif(?2 IS NULL, result, replace(result, (SELECT id FROM models "
                    "WHERE job = ?1), ?2)) FROM jobs WHERE id = ?1) WHERE id = ?3",
                    error);
        query_bind_text(&query, answer);
        query_bind_text(&query, model);
        query_bind_text(&query, job);
        status = query_execute(&query, NULL);
    }
    return status;
}
