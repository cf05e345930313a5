#include "server/store/sqlite_query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/page_sums.h"

enum rejectd_status sqlite_connect(struct sqlite_connection *connection, const char *path,
                                   struct rejectd_error *error)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &connection->database, flags, page_sums_layer()) != SQLITE_OK) {
        const enum rejectd_status status =
            REJECTD_FAIL(error, REJECTD_STORAGE, "", "the store %.200s cannot be opened: %s", path,
                         sqlite3_errmsg(connection->database));
        sqlite3_close(connection->database);
        connection->database = NULL;
        return status;
    }
    pthread_mutex_init(&connection->lock, NULL);
    sqlite3_busy_timeout(connection->database, SQLITE_BUSY_MILLISECONDS);
    page_sums_request(connection->database);
    return REJECTD_OK;
}

void sqlite_disconnect(struct sqlite_connection *connection)
{
    if (connection->database != NULL) {
        for (size_t i = 0; i < SQLITE_PREPARED; i++) {
            sqlite3_finalize(connection->prepared[i].statement);
            connection->prepared[i] = (struct sqlite_prepared){0};
        }
        sqlite3_close(connection->database);
        pthread_mutex_destroy(&connection->lock);
        connection->database = NULL;
    }
}

/* What the system said last about a file: 0 for one that isn't open. */
static int last_errno(sqlite3 *database, int which)
{
    sqlite3_file *file = NULL;
    int number = 0;
    sqlite3_file_control(database, "main", which, &file);
    if (file != NULL && file->pMethods != NULL) {
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number);
    }
    return number;
}

/* SQLite knows a full disk, but no other way of there being no room. */
static bool is_full(sqlite3 *database)
{
    const int code = sqlite3_errcode(database);
    const int numbers[] = {sqlite3_system_errno(database),
                           last_errno(database, SQLITE_FCNTL_FILE_POINTER),
                           last_errno(database, SQLITE_FCNTL_JOURNAL_POINTER)};
    bool full = code == SQLITE_FULL;
    for (size_t i = 0; (code == SQLITE_IOERR || code == SQLITE_CANTOPEN) && i < 3; i++) {
        full = full || numbers[i] == ENOSPC || numbers[i] == EDQUOT;
    }
    return full;
}

enum rejectd_status sqlite_fail(struct sqlite_connection *connection, struct rejectd_error *error)
{
    if (connection->n_errors != NULL) {
        atomic_fetch_add_explicit(connection->n_errors, 1, memory_order_relaxed);
    }
    const bool full = is_full(connection->database);
    return REJECTD_FAIL(error, full ? REJECTD_STORAGE_FULL : REJECTD_STORAGE, "",
                        "the store failed: %s", sqlite3_errmsg(connection->database));
}

enum rejectd_status sqlite_run(struct sqlite_connection *connection, const char *sql,
                               struct rejectd_error *error)
{
    if (sqlite3_exec(connection->database, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return sqlite_fail(connection, error);
    }
    return REJECTD_OK;
}

enum rejectd_status transaction_begin(struct sqlite_connection *connection,
                                      struct rejectd_error *error)
{
    pthread_mutex_lock(&connection->lock);
    return sqlite_run(connection, "BEGIN IMMEDIATE", error);
}

enum rejectd_status transaction_end(struct sqlite_connection *connection,
                                    enum rejectd_status status, struct rejectd_error *error)
{
    if (status == REJECTD_OK) {
        status = sqlite_run(connection, "COMMIT", error);
        connection->uncertain = connection->uncertain || status != REJECTD_OK;
    }
    if (status != REJECTD_OK && sqlite3_get_autocommit(connection->database) == 0) {
        sqlite_run(connection, "ROLLBACK", NULL);
    }
    if (status == REJECTD_STORAGE_FULL) {
        /* The log may have more room, once what is in it is in the database: enough to delete. */
        sqlite3_wal_checkpoint_v2(connection->database, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
                                  NULL);
    }
    pthread_mutex_unlock(&connection->lock);
    return status;
}

/* Writes what was there already: the first page, and so the first place in the log. */
static enum rejectd_status write_anything(struct sqlite_connection *connection,
                                          struct rejectd_error *error)
{
    int64_t version = 0;
    char pragma[64];
    struct query query;
    query_begin(&query, connection, "PRAGMA user_version", error);
    if (query_next(&query)) {
        version = query_read_integer(&query);
    }
    const enum rejectd_status status = query_end(&query);
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", (int)version);
    return status == REJECTD_OK ? sqlite_run(connection, pragma, error) : status;
}

enum rejectd_status transaction_settle(struct sqlite_connection *connection,
                                       struct rejectd_error *error)
{
    pthread_mutex_lock(&connection->lock);
    enum rejectd_status status = REJECTD_OK;
    if (connection->uncertain) {
        status = sqlite_run(connection, "BEGIN IMMEDIATE", error);
        if (status == REJECTD_OK) {
            status = write_anything(connection, error);
        }
        if (status == REJECTD_OK) {
            status = sqlite_run(connection, "COMMIT", error);
        }
        if (sqlite3_get_autocommit(connection->database) == 0) {
            sqlite_run(connection, "ROLLBACK", NULL);
        }
        connection->uncertain = status != REJECTD_OK;
    }
    pthread_mutex_unlock(&connection->lock);
    return status;
}

static void note(struct query *query, int code)
{
    if (code != SQLITE_OK && query->status == REJECTD_OK) {
        query->status = sqlite_fail(query->connection, query->error);
    }
}

/* The place of a statement, or the free one where it belongs; NULL when it is in use, or when there
 * is no room. */
static struct sqlite_prepared *find_place(struct sqlite_connection *connection, const char *sql)
{
    enum { TRIES = 16 };
    const size_t first = (size_t)((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15) >> 32);
    for (size_t i = 0; i < TRIES; i++) {
        struct sqlite_prepared *place = &connection->prepared[(first + i) % SQLITE_PREPARED];
        if (place->sql == sql) {
            return place->busy ? NULL : place;
        }
        if (place->sql == NULL) {
            return place;
        }
    }
    return NULL;
}

void query_begin(struct query *query, struct sqlite_connection *connection, const char *sql,
                 struct rejectd_error *error)
{
    struct sqlite_prepared *place = find_place(connection, sql);
    *query = (struct query){.connection = connection, .error = error};
    if (place != NULL && place->statement != NULL) {
        query->statement = place->statement;
    } else {
        const unsigned flags = place == NULL ? 0 : SQLITE_PREPARE_PERSISTENT;
        note(query,
             sqlite3_prepare_v3(connection->database, sql, -1, flags, &query->statement, NULL));
    }
    if (place != NULL && query->statement != NULL) {
        *place = (struct sqlite_prepared){.sql = sql, .statement = query->statement, .busy = true};
        query->prepared = place;
    }
}

void query_bind_text(struct query *query, const char *text)
{
    query->n_bound++;
    if (query->status == REJECTD_OK) {
        note(query, text == NULL || text[0] == '\0'
                        ? sqlite3_bind_null(query->statement, query->n_bound)
                        : sqlite3_bind_text64(query->statement, query->n_bound, text, strlen(text),
                                              SQLITE_STATIC, SQLITE_UTF8));
    }
}

void query_bind_string(struct query *query, const char *text)
{
    query->n_bound++;
    if (query->status == REJECTD_OK) {
        note(query, sqlite3_bind_text64(query->statement, query->n_bound, text, strlen(text),
                                        SQLITE_STATIC, SQLITE_UTF8));
    }
}

void query_bind_blob(struct query *query, const void *bytes, size_t count)
{
    query->n_bound++;
    if (query->status == REJECTD_OK) {
        note(query,
             sqlite3_bind_blob64(query->statement, query->n_bound, bytes, count, SQLITE_STATIC));
    }
}

void query_bind_integer(struct query *query, int64_t number)
{
    query->n_bound++;
    if (query->status == REJECTD_OK) {
        note(query, sqlite3_bind_int64(query->statement, query->n_bound, number));
    }
}

bool query_next(struct query *query)
{
    query->n_read = 0;
    if (query->status != REJECTD_OK) {
        return false;
    }
    const int code = sqlite3_step(query->statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        note(query, code);
    }
    return code == SQLITE_ROW;
}

void query_read_text(struct query *query, char *out, size_t size)
{
    const int column = query->n_read++;
    const unsigned char *text = sqlite3_column_text(query->statement, column);
    size_t length = text == NULL ? 0 : (size_t)sqlite3_column_bytes(query->statement, column);
    length = length < size ? length : size - 1;
    if (length > 0) {
        memcpy(out, text, length);
    }
    out[length] = '\0';
}

char *query_read_copy(struct query *query)
{
    const unsigned char *text = sqlite3_column_text(query->statement, query->n_read++);
    if (text == NULL) {
        return NULL;
    }
    char *copy = strdup((const char *)text);
    if (copy == NULL && query->status == REJECTD_OK) {
        query->status = REJECTD_FAIL(query->error, REJECTD_OUT_OF_MEMORY, "",
                                     "no memory for a record of the store");
    }
    return copy;
}

bool query_read_blob(struct query *query, void *out, size_t count)
{
    const int column = query->n_read++;
    const void *bytes = sqlite3_column_blob(query->statement, column);
    if (bytes == NULL || (size_t)sqlite3_column_bytes(query->statement, column) != count) {
        return false;
    }
    memcpy(out, bytes, count);
    return true;
}

int64_t query_read_integer(struct query *query)
{
    return sqlite3_column_int64(query->statement, query->n_read++);
}

enum rejectd_status query_end(struct query *query)
{
    if (query->prepared != NULL) {
        sqlite3_reset(query->statement);
        sqlite3_clear_bindings(query->statement);
        query->prepared->busy = false;
    } else {
        sqlite3_finalize(query->statement);
    }
    query->statement = NULL;
    return query->status;
}

static bool grow(void **list, size_t n, size_t size)
{
    /* Doubling at powers of two. */
    if (n != 0 && (n & (n - 1)) != 0) {
        return true;
    }
    void *grown = realloc(*list, (n == 0 ? 1 : 2 * n) * size);
    if (grown == NULL) {
        return false;
    }
    *list = grown;
    return true;
}

enum rejectd_status query_end_list(struct query *query, const struct query_items *items,
                                   void **list, size_t *n)
{
    char *first = NULL;
    *list = NULL;
    *n = 0;
    while (query_next(query)) {
        if (!grow(list, *n, items->size)) {
            query->status = REJECTD_FAIL_MEMORY(query->error, *n * items->size);
            break;
        }
        first = *list;
        items->read(query, first + *n * items->size);
        ++*n;
    }
    const enum rejectd_status status = query_end(query);
    if (status != REJECTD_OK) {
        for (size_t i = 0; i < *n && items->clear != NULL; i++) {
            items->clear(first + i * items->size);
        }
        free(*list);
        *list = NULL;
        *n = 0;
    }
    return status;
}

enum rejectd_status query_execute(struct query *query, int *n_changed)
{
    query_next(query);
    if (n_changed != NULL) {
        *n_changed = query->status == REJECTD_OK ? sqlite3_changes(query->connection->database) : 0;
    }
    return query_end(query);
}
