/*
 * The SQLite store: one file, write-ahead logging, synchronous=FULL, so that what was answered
 * with success survives even a power failure. One connection writes, under a lock; another one
 * reads. The schema has a version (PRAGMA user_version); a file of a newer version is refused.
 *
 * Datasets and models are in sqlite_datasets.c, the files that datasets came from in
 * sqlite_parts.c, uploads in pieces in sqlite_partials.c, jobs as people see them in sqlite_jobs.c,
 * jobs as workers see them in sqlite_queue.c, jobs that earlier ones answer in sqlite_answers.c,
 * what is removed in sqlite_removal.c, what is learnt of durations in sqlite_rates.c, tokens and
 * whose what is in sqlite_identity.c.
 */
#include "server/store/sqlite.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"

const char *const sqlite_migrations[] = {
    "CREATE TABLE datasets ("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  id TEXT NOT NULL UNIQUE,"
    "  sha256 TEXT," /* NULL: awaiting samples */
    "  bytes INTEGER NOT NULL,"
    "  description TEXT NOT NULL,"
    "  created_at INTEGER NOT NULL);" /* milliseconds since 1970, as all times here */
    "CREATE INDEX datasets_sha256 ON datasets (sha256);"
    "CREATE TABLE jobs ("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  id TEXT NOT NULL UNIQUE,"
    "  type TEXT NOT NULL,"
    "  dataset TEXT NOT NULL," /* may be deleted when the job is final */
    "  model TEXT,"            /* that is applied */
    "  device TEXT NOT NULL,"
    "  priority INTEGER NOT NULL,"
    "  parameters TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK"
    "    (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),"
    "  attempt INTEGER NOT NULL DEFAULT 0,"
    "  fence INTEGER NOT NULL DEFAULT 0,"
    "  owner TEXT,"
    "  cancel_requested INTEGER NOT NULL DEFAULT 0,"
    "  created_at INTEGER NOT NULL,"
    "  started_at INTEGER,"
    "  finished_at INTEGER,"
    "  error_name TEXT,"
    "  error_field TEXT,"
    "  error_message TEXT,"
    "  result TEXT,"
    "  labels_sha256 TEXT,"
    "  cleaned_sha256 TEXT);"
    "CREATE INDEX jobs_queue ON jobs (priority DESC, seq) WHERE state = 'queued';"
    "CREATE INDEX jobs_running ON jobs (seq) WHERE state = 'running';"
    "CREATE INDEX jobs_dataset ON jobs (dataset);"
    "CREATE INDEX jobs_model ON jobs (model);"
    "CREATE INDEX jobs_labels ON jobs (labels_sha256);"
    "CREATE INDEX jobs_cleaned ON jobs (cleaned_sha256);"
    "CREATE TABLE models ("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  id TEXT NOT NULL UNIQUE,"
    "  job TEXT NOT NULL,"
    "  dataset TEXT NOT NULL,"
    "  model TEXT NOT NULL,"
    "  created_at INTEGER NOT NULL);",

    "CREATE TABLE artifacts ("
    "  job TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  sha256 TEXT NOT NULL,"
    "  PRIMARY KEY (job, name)) WITHOUT ROWID;"
    "CREATE INDEX artifacts_sha256 ON artifacts (sha256);"
    "INSERT INTO artifacts SELECT id, 'labels.npy', labels_sha256 FROM jobs "
    "  WHERE labels_sha256 IS NOT NULL;"
    "INSERT INTO artifacts SELECT id, 'cleaned.npy', cleaned_sha256 FROM jobs "
    "  WHERE cleaned_sha256 IS NOT NULL;"
    "DROP INDEX jobs_labels;"
    "DROP INDEX jobs_cleaned;"
    "ALTER TABLE jobs DROP COLUMN labels_sha256;"
    "ALTER TABLE jobs DROP COLUMN cleaned_sha256;",

    "ALTER TABLE datasets ADD COLUMN next_part TEXT;" /* NULL: none is awaited */
    "CREATE TABLE parts ("
    "  dataset TEXT NOT NULL,"
    "  number INTEGER NOT NULL,"
    "  format TEXT NOT NULL,"
    "  head_sha256 TEXT,"
    "  head_bytes INTEGER NOT NULL,"
    "  samples_at INTEGER NOT NULL,"
    "  n_epochs INTEGER NOT NULL,"
    "  samples_sha256 TEXT,"
    "  PRIMARY KEY (dataset, number)) WITHOUT ROWID;"
    "CREATE INDEX parts_head ON parts (head_sha256);"
    "CREATE INDEX parts_samples ON parts (samples_sha256);",

    "ALTER TABLE jobs ADD COLUMN moved_to TEXT;" /* wished for in place of device */
    "ALTER TABLE jobs ADD COLUMN lost_on TEXT;"  /* the last device that lost it */
    "ALTER TABLE jobs ADD COLUMN warning_code TEXT;"
    "ALTER TABLE jobs ADD COLUMN warning_message TEXT;",

    "ALTER TABLE datasets ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE datasets ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private';"
    "ALTER TABLE jobs RENAME COLUMN owner TO claimed_by;" /* the device that runs it */
    "ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE jobs ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private';"
    "ALTER TABLE models ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE models ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private';"
    "CREATE INDEX datasets_owner ON datasets (owner);"
    "CREATE INDEX jobs_owner ON jobs (owner);"
    "CREATE INDEX models_owner ON models (owner);"
    "CREATE TABLE tokens ("
    "  id TEXT PRIMARY KEY,"
    "  user TEXT NOT NULL,"
    "  role TEXT NOT NULL CHECK (role IN ('user', 'admin')),"
    "  hash BLOB NOT NULL,"
    "  created_at INTEGER NOT NULL,"
    "  expires_at INTEGER,"
    "  revoked_at INTEGER) WITHOUT ROWID;",

    /* Users take turns: see sqlite_queue.c. `served` counts claims. */
    "CREATE TABLE shares (owner TEXT PRIMARY KEY, served INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE VIEW queue AS"
    "  SELECT id AS job, row_number() OVER (ORDER BY turn, served, priority DESC, seq) - 1 AS "
    "place FROM"
    "  (SELECT id, priority, seq, ifnull(served, 0) AS served,"
    "    row_number() OVER (PARTITION BY jobs.owner ORDER BY priority DESC, seq)"
    "    + ifnull(running.n, 0) AS turn"
    "    FROM jobs LEFT JOIN shares ON shares.owner = jobs.owner"
    "    LEFT JOIN (SELECT owner, count(*) AS n FROM jobs WHERE state = 'running' GROUP BY owner)"
    "      AS running ON running.owner = jobs.owner"
    "    WHERE state = 'queued');"
    "ALTER TABLE jobs ADD COLUMN idempotency_key TEXT;"
    "ALTER TABLE jobs ADD COLUMN request_sha256 TEXT;" /* with idempotency_key: of what was posted
                                                        */
    "CREATE UNIQUE INDEX jobs_idempotency ON jobs (owner, idempotency_key)"
    "  WHERE idempotency_key IS NOT NULL;",

    "ALTER TABLE jobs ADD COLUMN request_id TEXT;", /* of who made it; NULL: not known */

    /* Uploads that come in pieces: see store_partial. */
    "CREATE TABLE partials ("
    "  dataset TEXT PRIMARY KEY,"
    "  total INTEGER NOT NULL,"
    "  is_npy INTEGER NOT NULL,"
    "  in_header INTEGER NOT NULL,"
    "  header_bytes INTEGER NOT NULL,"
    "  header BLOB,"
    "  sample_bytes INTEGER NOT NULL,"
    "  touched_at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX partials_touched ON partials (touched_at);",

    /* Which store this is: blobs/blobs_owner.c. A copy is the same one. */
    "CREATE TABLE identity (id TEXT NOT NULL);"
    "INSERT INTO identity"
    "  VALUES (lower(hex(randomblob(16))));",

    /* What is kept for a time: results since their job ended, datasets since their last use, which
     * are jobs, too, wherever they come from and end. */
    "ALTER TABLE jobs ADD COLUMN result_removed_at INTEGER;"
    "CREATE INDEX jobs_results ON jobs (finished_at) WHERE result IS NOT NULL;"
    "ALTER TABLE datasets ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;"
    "UPDATE datasets SET used_at = max(created_at, ifnull((SELECT max(ifnull(finished_at, "
    "  created_at)) FROM jobs WHERE jobs.dataset = datasets.id), 0));"
    "CREATE INDEX datasets_used ON datasets (used_at);"
    "CREATE TRIGGER dataset_made AFTER INSERT ON datasets BEGIN"
    "  UPDATE datasets SET used_at = NEW.created_at WHERE seq = NEW.seq; END;"
    "CREATE TRIGGER dataset_comes AFTER INSERT ON partials BEGIN"
    "  UPDATE datasets SET used_at = max(used_at, NEW.touched_at) WHERE id = NEW.dataset; END;"
    "CREATE TRIGGER dataset_wanted AFTER INSERT ON jobs BEGIN"
    "  UPDATE datasets SET used_at = max(used_at, NEW.created_at) WHERE id = NEW.dataset; END;"
    "CREATE TRIGGER dataset_left AFTER UPDATE OF finished_at ON jobs"
    "  WHEN NEW.finished_at IS NOT NULL BEGIN"
    "  UPDATE datasets SET used_at = max(used_at, NEW.finished_at) WHERE id = NEW.dataset; END;",

    /* What jobs are foretold to need, NULL: nothing was foretold; and what has been learnt of the
     * time they take: see struct store_rate. */
    "ALTER TABLE jobs ADD COLUMN host_bytes INTEGER;"
    "ALTER TABLE jobs ADD COLUMN gpu_host_bytes INTEGER;"
    "ALTER TABLE jobs ADD COLUMN work INTEGER;"
    "ALTER TABLE jobs ADD COLUMN gpu_work INTEGER;"
    "ALTER TABLE jobs ADD COLUMN kind TEXT;"
    "CREATE TABLE rates ("
    "  device TEXT NOT NULL,"
    "  kind TEXT NOT NULL,"
    "  size INTEGER NOT NULL,"
    "  micro_log INTEGER NOT NULL,"
    "  n INTEGER NOT NULL,"
    "  PRIMARY KEY (device, kind, size)) WITHOUT ROWID;",

    /* Jobs that are answered by the results of earlier ones. */
    "ALTER TABLE jobs ADD COLUMN fingerprint TEXT;" /* NULL: of an older rejectd */
    "ALTER TABLE jobs ADD COLUMN answered_from TEXT;"
    "CREATE INDEX jobs_fingerprint ON jobs (fingerprint) WHERE result IS NOT NULL;"
    "CREATE INDEX models_job ON models (job);",

    /* Pages have sums: page_sums.h. Earlier versions, which would write pages without them, refuse
     * the store from here on. */
    "SELECT 1;",
};

const size_t sqlite_n_migrations = sizeof sqlite_migrations / sizeof sqlite_migrations[0];

struct sqlite_store *sqlite_store_of(struct store *store)
{
    return (struct sqlite_store *)(void *)store;
}

void store_new_id(const char *prefix, char out[RESOURCE_ID_SIZE])
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    enum { RANDOM_CHARACTERS = 22 };
    const size_t length = strlen(prefix);
    memcpy(out, prefix, length);
    for (size_t i = 0; i < RANDOM_CHARACTERS; i++) {
        out[length + i] = alphabet[randombytes_uniform(sizeof alphabet - 1)];
    }
    out[length + RANDOM_CHARACTERS] = '\0';
}

void store_removed_clear(struct store_removed *removed)
{
    free(removed->sha256);
    *removed = (struct store_removed){0};
}

size_t store_queue_n_queued(const struct store_queue *queue)
{
    size_t n = 0;
    for (size_t i = 0; i < queue->n; i++) {
        n += queue->by_priority[i].n_queued;
    }
    return n;
}

void store_claim_clear(struct store_claim *claim)
{
    free(claim->parameters_json);
    *claim = (struct store_claim){0};
}

enum rejectd_status sqlite_lookup(struct sqlite_connection *connection, const char *sql,
                                  const char *text, int64_t *number, struct rejectd_error *error)
{
    struct query query;
    *number = 0;
    query_begin(&query, connection, sql, error);
    if (text != NULL) {
        query_bind_text(&query, text);
    }
    if (query_next(&query)) {
        *number = query_read_integer(&query);
    }
    return query_end(&query);
}

enum rejectd_status sqlite_execute_for(struct sqlite_connection *connection, const char *sql,
                                       const char *text, int *n_changed,
                                       struct rejectd_error *error)
{
    struct query query;
    query_begin(&query, connection, sql, error);
    query_bind_text(&query, text);
    return query_execute(&query, n_changed);
}

enum rejectd_status query_end_ids(struct query *query, char (*ids)[RESOURCE_ID_SIZE],
                                  size_t capacity, size_t *n_ids)
{
    *n_ids = 0;
    while (*n_ids < capacity && query_next(query)) {
        query_read_text(query, ids[(*n_ids)++], RESOURCE_ID_SIZE);
    }
    return query_end(query);
}

void query_read_time(struct query *query, char out[RESOURCE_TIME_SIZE])
{
    const int64_t time = query_read_integer(query);
    if (time == 0) {
        out[0] = '\0';
    } else {
        clock_text(time, out);
    }
}

static enum rejectd_status migrate(struct sqlite_connection *connection,
                                   struct rejectd_error *error)
{
    int64_t version = 0;
    struct query query;
    enum rejectd_status status = transaction_begin(connection, error);
    if (status == REJECTD_OK) {
        query_begin(&query, connection, "PRAGMA user_version", error);
        if (query_next(&query)) {
            version = query_read_integer(&query);
        }
        status = query_end(&query);
    }
    if (status == REJECTD_OK && (version < 0 || version > (int64_t)sqlite_n_migrations)) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "",
                              "the store has schema version %lld; this rejectd knows up to %zu",
                              (long long)version, sqlite_n_migrations);
    }
    for (; status == REJECTD_OK && version < (int64_t)sqlite_n_migrations; version++) {
        char pragma[64];
        sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA user_version = %d", (int)version + 1);
        status = sqlite_run(connection, sqlite_migrations[version], error);
        if (status == REJECTD_OK) {
            status = sqlite_run(connection, pragma, error);
        }
    }
    return transaction_end(connection, status, error);
}

static void sqlite_close(struct store *store)
{
    struct sqlite_store *sqlite = sqlite_store_of(store);
    sqlite_disconnect(&sqlite->reader);
    sqlite_disconnect(&sqlite->writer);
    free(sqlite);
}

static enum rejectd_status sqlite_check(struct store *store, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    pthread_mutex_lock(&reader->lock);
    const enum rejectd_status status = sqlite_run(reader, "SELECT count(*) FROM models", error);
    pthread_mutex_unlock(&reader->lock);
    return status;
}

static bool sqlite_blob_is_needed(struct store *store, const char *sha256)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    int64_t needed = 1;
    if (transaction_settle(&sqlite_store_of(store)->writer, NULL) != REJECTD_OK) {
        return true;
    }
    pthread_mutex_lock(&reader->lock);
    const enum rejectd_status status =
        sqlite_lookup(reader,
                      "SELECT EXISTS (SELECT 1 FROM datasets WHERE sha256 = ?1) OR "
                      "EXISTS (SELECT 1 FROM artifacts WHERE sha256 = ?1) OR "
                      "EXISTS (SELECT 1 FROM parts WHERE head_sha256 = ?1) OR "
                      "EXISTS (SELECT 1 FROM parts WHERE samples_sha256 = ?1)",
                      sha256, &needed, NULL);
    pthread_mutex_unlock(&reader->lock);
    return status != REJECTD_OK || needed != 0;
}

static enum rejectd_status sqlite_identity(struct store *store, char out[STORE_IDENTITY_SIZE],
                                           struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    struct query query;
    out[0] = '\0';
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader, "SELECT id FROM identity", error);
    if (query_next(&query)) {
        query_read_text(&query, out, STORE_IDENTITY_SIZE);
    }
    const enum rejectd_status status = query_end(&query);
    pthread_mutex_unlock(&reader->lock);
    return status;
}

static enum rejectd_status sqlite_blob_visit(struct store *store,
                                             void (*visit)(void *context, const char *sha256,
                                                           const char *holder),
                                             void *context, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    struct query query;
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader,
                "SELECT sha256, 'dataset ' || id FROM datasets WHERE sha256 IS NOT NULL "
                "UNION ALL SELECT head_sha256, 'dataset ' || dataset FROM parts "
                "  WHERE head_sha256 IS NOT NULL "
                "UNION ALL SELECT samples_sha256, 'dataset ' || dataset FROM parts "
                "  WHERE samples_sha256 IS NOT NULL "
                "UNION ALL SELECT sha256, name || ' of job ' || job FROM artifacts ORDER BY 1",
                error);
    while (query_next(&query)) {
        char sha256[RESOURCE_SHA256_SIZE];
        char holder[128];
        query_read_text(&query, sha256, sizeof sha256);
        query_read_text(&query, holder, sizeof holder);
        visit(context, sha256, holder);
    }
    const enum rejectd_status status = query_end(&query);
    pthread_mutex_unlock(&reader->lock);
    return status;
}

static const struct store_functions sqlite_functions = {
    .close = sqlite_close,
    .check = sqlite_check,
    .identity = sqlite_identity,
    .dataset_insert = sqlite_dataset_insert,
    .dataset_add_part = sqlite_dataset_add_part,
    .dataset_parts = sqlite_dataset_parts,
    .dataset_set_samples = sqlite_dataset_set_samples,
    .dataset_get = sqlite_dataset_get,
    .dataset_list = sqlite_dataset_list,
    .dataset_delete = sqlite_dataset_delete,
    .dataset_unused = sqlite_dataset_unused,
    .partial_get = sqlite_partial_get,
    .partial_put = sqlite_partial_put,
    .partial_delete = sqlite_partial_delete,
    .partial_expired = sqlite_partial_expired,
    .answer_find = sqlite_answer_find,
    .job_earlier = sqlite_job_earlier,
    .job_insert = sqlite_job_insert,
    .job_get = sqlite_job_get,
    .job_list = sqlite_job_list,
    .job_cancel = sqlite_job_cancel,
    .job_claim = sqlite_job_claim,
    .job_release = sqlite_job_release,
    .job_retry = sqlite_job_retry,
    .job_finish = sqlite_job_finish,
    .rate_list = sqlite_rate_list,
    .queue_look = sqlite_queue_look,
    .queue_list = sqlite_queue_list,
    .job_result = sqlite_job_result,
    .result_delete = sqlite_result_delete,
    .result_old = sqlite_result_old,
    .recover = sqlite_recover,
    .model_insert = sqlite_model_insert,
    .model_get = sqlite_model_get,
    .model_list = sqlite_model_list,
    .model_delete = sqlite_model_delete,
    .usage_get = sqlite_usage_get,
    .ownership_get = sqlite_ownership_get,
    .ownership_change = sqlite_ownership_change,
    .token_insert = sqlite_token_insert,
    .token_get = sqlite_token_get,
    .token_list = sqlite_token_list,
    .token_revoke = sqlite_token_revoke,
    .token_any = sqlite_token_any,
    .blob_visit = sqlite_blob_visit,
    .blob_is_needed = sqlite_blob_is_needed,
    .forget = sqlite_forget,
};

static const char *step_text(sqlite3_stmt *statement, int *code)
{
    *code = sqlite3_step(statement);
    return *code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
}

/* SQLite's reports begin with a heading line. */
static const char *last_line(const char *text)
{
    const char *end = strrchr(text, '\n');
    return end == NULL ? text : end + 1;
}

/* Before anything is written: a damaged file stays as it was found. */
static enum rejectd_status find_damage(struct sqlite_connection *connection, const char *path,
                                       struct rejectd_error *error)
{
    sqlite3 *database = connection->database;
    sqlite3_stmt *statement = NULL;
    const char *found = NULL;
    int code = sqlite3_prepare_v2(database, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK) {
        found = step_text(statement, &code);
    }
    enum rejectd_status status = REJECTD_OK;
    if (found == NULL && code != SQLITE_CORRUPT && code != SQLITE_NOTADB) {
        status = sqlite_fail(connection, error);
    } else if (found == NULL || strcmp(found, "ok") != 0) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "",
                              "the store %.150s is damaged (%.50s) and has been left as it is; "
                              "restore it from a backup, or move the whole data directory away "
                              "to start with an empty one",
                              path, found == NULL ? sqlite3_errmsg(database) : last_line(found));
    }
    sqlite3_finalize(statement);
    if (status != REJECTD_OK) {
        sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    return status;
}

enum rejectd_status store_sqlite_open(const char *path, struct store **store,
                                      struct rejectd_error *error)
{
    *store = NULL;
    struct sqlite_store *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->store.functions = &sqlite_functions;
    made->remembers = true;
    made->writer.n_errors = made->reader.n_errors = &made->store.n_errors;
    enum rejectd_status status = sqlite_connect(&made->writer, path, error);
    if (status == REJECTD_OK) {
        status = find_damage(&made->writer, path, error);
    }
    if (status == REJECTD_OK) {
        status = sqlite_run(&made->writer,
                            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                            "PRAGMA secure_delete = ON;" /* nothing of it stays in the file */
                            "PRAGMA trusted_schema = OFF;",
                            error);
    }
    if (status == REJECTD_OK) {
        status = migrate(&made->writer, error);
    }
    if (status == REJECTD_OK) {
        status = sqlite_connect(&made->reader, path, error);
    }
    if (status == REJECTD_OK) {
        status = sqlite_run(&made->reader, "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;",
                            error);
    }
    if (status != REJECTD_OK) {
        sqlite_close(&made->store);
        return status;
    }
    *store = &made->store;
    return REJECTD_OK;
}
