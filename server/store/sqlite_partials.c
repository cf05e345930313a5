/* Uploads that come in pieces, of the SQLite store. */
#include "server/clock.h"
#include "server/store/sqlite.h"

static bool read_partial(struct query *query, struct store_partial *partial)
{
    *partial = (struct store_partial){0};
    query_read_text(query, partial->dataset, sizeof partial->dataset);
    partial->total = (uint64_t)query_read_integer(query);
    partial->is_npy = query_read_integer(query) != 0;
    partial->in_header = query_read_integer(query) != 0;
    partial->sample_bytes = (uint64_t)query_read_integer(query);
    partial->touched_at = query_read_integer(query);
    partial->header_bytes = (size_t)query_read_integer(query);
    return partial->header_bytes == 0 ||
           (partial->header_bytes <= sizeof partial->header &&
            query_read_blob(query, partial->header, partial->header_bytes));
}

enum rejectd_status sqlite_partial_get(struct store *store, const char *dataset,
                                       struct store_partial *partial, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    struct query query;
    bool whole = true;
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader,
                "SELECT dataset, total, is_npy, in_header, sample_bytes, touched_at, header_bytes, "
                "header FROM partials WHERE dataset = ?",
                error);
    query_bind_text(&query, dataset);
    const bool found = query_next(&query);
    if (found) {
        whole = read_partial(&query, partial);
    }
    enum rejectd_status status = query_end(&query);
    pthread_mutex_unlock(&reader->lock);
    if (status == REJECTD_OK && !found) {
        status = REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "no upload to dataset %.40s was begun",
                              dataset);
    } else if (status == REJECTD_OK && !whole) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "",
                              "the record of the upload to dataset %.40s is damaged", dataset);
    }
    return status;
}

enum rejectd_status sqlite_partial_put(struct store *store, const struct store_partial *partial,
                                       struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    int n_changed = 0;
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        struct query query;
        query_begin(&query, writer,
                    "INSERT OR REPLACE INTO partials (dataset, total, is_npy, in_header, "
                    "sample_bytes, touched_at, header_bytes, header) "
                    "SELECT id, ?, ?, ?, ?, ?, ?, ? FROM datasets "
                    "WHERE id = ? AND sha256 IS NULL AND next_part IS NULL",
                    error);
        query_bind_integer(&query, (int64_t)partial->total);
        query_bind_integer(&query, partial->is_npy);
        query_bind_integer(&query, partial->in_header);
        query_bind_integer(&query, (int64_t)partial->sample_bytes);
        query_bind_integer(&query, clock_milliseconds());
        query_bind_integer(&query, (int64_t)partial->header_bytes);
        query_bind_blob(&query, partial->header, partial->header_bytes);
        query_bind_text(&query, partial->dataset);
        status = query_execute(&query, &n_changed);
    }
    if (status == REJECTD_OK && n_changed == 0) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "",
                              "dataset %.40s awaits no samples any more", partial->dataset);
    }
    return transaction_end(writer, status, error);
}

enum rejectd_status sqlite_partial_delete(struct store *store, const char *dataset,
                                          struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        struct query query;
        query_begin(&query, writer, SQLITE_DELETE_PARTIAL, error);
        query_bind_text(&query, dataset);
        status = query_execute(&query, NULL);
    }
    return transaction_end(writer, status, error);
}

enum rejectd_status sqlite_partial_expired(struct store *store, int64_t before,
                                           char (*ids)[RESOURCE_ID_SIZE], size_t capacity,
                                           size_t *n_ids, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    struct query query;
    *n_ids = 0;
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader,
                "SELECT dataset FROM partials WHERE touched_at < ? ORDER BY touched_at LIMIT ?",
                error);
    query_bind_integer(&query, before);
    query_bind_integer(&query, (int64_t)capacity);
    while (*n_ids < capacity && query_next(&query)) {
        query_read_text(&query, ids[(*n_ids)++], RESOURCE_ID_SIZE);
    }
    const enum rejectd_status status = query_end(&query);
    pthread_mutex_unlock(&reader->lock);
    return status;
}
