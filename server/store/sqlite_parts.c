/* The files that datasets came from, in the SQLite store. */
#include <stdlib.h>
#include <string.h>

#include "server/store/sqlite.h"

enum rejectd_status sqlite_part_insert(struct sqlite_connection *writer, const char *dataset,
                                       size_t number, const struct store_part *part,
                                       struct rejectd_error *error)
{
    struct query query;
    query_begin(&query, writer,
                "INSERT INTO parts (dataset, number, format, head_sha256, head_bytes, samples_at, "
                "n_epochs, samples_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                error);
    query_bind_text(&query, dataset);
    query_bind_integer(&query, (int64_t)number);
    query_bind_text(&query, part->format);
    query_bind_text(&query, part->head_sha256);
    query_bind_integer(&query, (int64_t)part->head_bytes);
    query_bind_integer(&query, (int64_t)part->samples_at);
    query_bind_integer(&query, (int64_t)part->n_epochs);
    query_bind_text(&query, part->samples_sha256);
    return query_execute(&query, NULL);
}

/* The dataset awaits a part, and this many are there. */
static enum rejectd_status check_awaits(struct sqlite_connection *writer, const char *id,
                                        size_t n_parts, struct rejectd_error *error)
{
    int64_t awaits = 0;
    int64_t count = 0;
    enum rejectd_status status = sqlite_lookup(
        writer, "SELECT 1 FROM datasets WHERE id = ? AND sha256 IS NULL AND next_part IS NOT NULL",
        id, &awaits, error);
    if (status == REJECTD_OK) {
        status = sqlite_lookup(writer, "SELECT count(*) FROM parts WHERE dataset = ?", id, &count,
                               error);
    }
    if (status == REJECTD_OK && (awaits == 0 || count != (int64_t)n_parts)) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "",
                              "dataset %.40s does not await part %zu (any more)", id, n_parts + 1);
    }
    return status;
}

static enum rejectd_status update_dataset(struct sqlite_connection *writer,
                                          const struct dataset_view *dataset,
                                          struct rejectd_error *error)
{
    struct query query;
    query_begin(&query, writer,
                "UPDATE datasets SET description = ?, bytes = ?, sha256 = ?, next_part = ? "
                "WHERE id = ?",
                error);
    query_bind_text(&query, dataset->description_json);
    query_bind_integer(&query, (int64_t)dataset->bytes);
    query_bind_text(&query, dataset->sha256);
    query_bind_text(&query, dataset->next_part);
    query_bind_text(&query, dataset->id);
    return query_execute(&query, NULL);
}

enum rejectd_status sqlite_dataset_add_part(struct store *store, const struct dataset_view *dataset,
                                            size_t n_parts, const struct store_part *part,
                                            uint64_t most, struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status = check_awaits(writer, dataset->id, n_parts, error);
    }
    if (status == REJECTD_OK) {
        status = sqlite_check_room(writer, dataset, most, error);
    }
    if (status == REJECTD_OK) {
        status = sqlite_part_insert(writer, dataset->id, n_parts, part, error);
    }
    if (status == REJECTD_OK) {
        status = update_dataset(writer, dataset, error);
    }
    if (status == REJECTD_OK && dataset->sha256[0] != '\0') {
        struct query query;
        query_begin(&query, writer, "UPDATE parts SET samples_sha256 = NULL WHERE dataset = ?",
                    error);
        query_bind_text(&query, dataset->id);
        status = query_execute(&query, NULL);
    }
    return transaction_end(writer, status, error);
}

static void read_part(struct query *query, void *item)
{
    struct store_part *part = item;
    *part = (struct store_part){0};
    query_read_text(query, part->format, sizeof part->format);
    query_read_text(query, part->head_sha256, sizeof part->head_sha256);
    part->head_bytes = (uint64_t)query_read_integer(query);
    part->samples_at = (uint64_t)query_read_integer(query);
    part->n_epochs = (size_t)query_read_integer(query);
    query_read_text(query, part->samples_sha256, sizeof part->samples_sha256);
}

static const struct query_items part_items = {sizeof(struct store_part), read_part, NULL};

enum rejectd_status sqlite_dataset_parts(struct store *store, const char *id,
                                         struct store_part **parts, size_t *n_parts,
                                         struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    void *list = NULL;
    struct query query;
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader,
                "SELECT format, head_sha256, head_bytes, samples_at, n_epochs, samples_sha256 "
                "FROM parts WHERE dataset = ? ORDER BY number",
                error);
    query_bind_text(&query, id);
    const enum rejectd_status status = query_end_list(&query, &part_items, &list, n_parts);
    pthread_mutex_unlock(&reader->lock);
    *parts = list;
    return status;
}
