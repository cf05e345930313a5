/* Datasets and models of the SQLite store. */
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/store/quota.h"
#include "server/store/sqlite.h"

#define DATASET_COLUMNS "id, sha256, created_at, bytes, description, next_part, owner, visibility"
#define DATASET_COLUMNS_READ DATASET_COLUMNS ", used_at"
#define MODEL_COLUMNS "id, job, dataset, created_at, model, owner, visibility"

static void read_dataset(struct query *query, void *item)
{
    struct dataset_view *dataset = item;
    *dataset = (struct dataset_view){0};
    query_read_text(query, dataset->id, sizeof dataset->id);
    query_read_text(query, dataset->sha256, sizeof dataset->sha256);
    query_read_time(query, dataset->created_at);
    dataset->bytes = (uint64_t)query_read_integer(query);
    dataset->description_json = query_read_copy(query);
    query_read_text(query, dataset->next_part, sizeof dataset->next_part);
    query_read_ownership(query, &dataset->ownership);
    dataset->used_at = query_read_integer(query);
    dataset->state = dataset->sha256[0] == '\0' ? DATASET_AWAITING_SAMPLES : DATASET_READY;
}

static void clear_dataset(void *item)
{
    dataset_view_clear(item);
}

static const struct query_items dataset_items = {sizeof(struct dataset_view), read_dataset,
                                                 clear_dataset};

enum rejectd_status sqlite_check_room(struct sqlite_connection *writer,
                                      const struct dataset_view *dataset, uint64_t most,
                                      struct rejectd_error *error)
{
    struct store_usage usage = {0};
    if (most == 0) {
        return REJECTD_OK;
    }
    const enum rejectd_status status =
        sqlite_usage_beside(writer, dataset->ownership.owner, dataset->id, &usage, error);
    return status == REJECTD_OK ? quota_check_bytes(&usage, dataset->bytes, most, error) : status;
}

enum rejectd_status sqlite_dataset_insert(struct store *store, struct dataset_view *dataset,
                                          const struct store_part *part, uint64_t most,
                                          struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    const int64_t now = clock_milliseconds();
    struct query query;
    store_new_id("ds_", dataset->id);
    clock_text(now, dataset->created_at);
    dataset->used_at = now;
    dataset->state = dataset->sha256[0] == '\0' ? DATASET_AWAITING_SAMPLES : DATASET_READY;

    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status = sqlite_check_room(writer, dataset, most, error);
    }
    if (status == REJECTD_OK) {
        query_begin(&query, writer,
                    "INSERT INTO datasets (" DATASET_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    error);
        query_bind_text(&query, dataset->id);
        query_bind_text(&query, dataset->sha256);
        query_bind_integer(&query, now);
        query_bind_integer(&query, (int64_t)dataset->bytes);
        query_bind_text(&query, dataset->description_json);
        query_bind_text(&query, dataset->next_part);
        query_bind_ownership(&query, &dataset->ownership);
        status = query_execute(&query, NULL);
    }
    if (status == REJECTD_OK && part != NULL) {
        status = sqlite_part_insert(writer, dataset->id, 0, part, error);
    }
    return transaction_end(writer, status, error);
}

static enum rejectd_status get_dataset(struct sqlite_connection *connection, const char *id,
                                       struct dataset_view *dataset, struct rejectd_error *error)
{
    struct query query;
    *dataset = (struct dataset_view){0};
    query_begin(&query, connection, "SELECT " DATASET_COLUMNS_READ " FROM datasets WHERE id = ?",
                error);
    query_bind_text(&query, id);
    const bool found = query_next(&query);
    if (found) {
        read_dataset(&query, dataset);
    }
    enum rejectd_status status = query_end(&query);
    if (status == REJECTD_OK && !found) {
        status = REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is no dataset %.40s", id);
    }
    if (status != REJECTD_OK) {
        dataset_view_clear(dataset);
    }
    return status;
}

enum rejectd_status sqlite_dataset_get(struct store *store, const char *id,
                                       struct dataset_view *dataset, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    pthread_mutex_lock(&reader->lock);
    const enum rejectd_status status = get_dataset(reader, id, dataset, error);
    pthread_mutex_unlock(&reader->lock);
    return status;
}

enum rejectd_status sqlite_dataset_set_samples(struct store *store, const char *id,
                                               const char *sha256, struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    enum rejectd_status status = transaction_begin(writer, error);
    struct dataset_view dataset = {0};
    if (status == REJECTD_OK) {
        status = get_dataset(writer, id, &dataset, error);
    }
    if (status == REJECTD_OK && dataset.state != DATASET_AWAITING_SAMPLES) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "", "dataset %s has its samples already",
                              dataset.id);
    }
    if (status == REJECTD_OK && dataset.next_part[0] != '\0') {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "", "dataset %s awaits the file %.200s",
                              dataset.id, dataset.next_part);
    }
    if (status == REJECTD_OK) {
        struct query query;
        query_begin(&query, writer, "UPDATE datasets SET sha256 = ?, used_at = ? WHERE id = ?",
                    error);
        query_bind_text(&query, sha256);
        query_bind_integer(&query, clock_milliseconds());
        query_bind_text(&query, id);
        status = query_execute(&query, NULL);
    }
    if (status == REJECTD_OK) {
        status = sqlite_execute_for(writer, SQLITE_DELETE_PARTIAL, id, NULL, error);
    }
    dataset_view_clear(&dataset);
    return transaction_end(writer, status, error);
}

enum rejectd_status sqlite_dataset_list(struct store *store, const struct store_viewer *viewer,
                                        size_t limit, struct dataset_view **datasets,
                                        size_t *n_datasets, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    void *list = NULL;
    struct query query;
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader,
                "SELECT " DATASET_COLUMNS_READ " FROM datasets WHERE " SQLITE_VISIBLE
                " ORDER BY seq DESC LIMIT ?",
                error);
    query_bind_viewer(&query, viewer);
    query_bind_integer(&query, (int64_t)limit);
    const enum rejectd_status status = query_end_list(&query, &dataset_items, &list, n_datasets);
    pthread_mutex_unlock(&reader->lock);
    *datasets = list;
    return status;
}

static void read_model(struct query *query, void *item)
{
    struct model_view *model = item;
    *model = (struct model_view){0};
    query_read_text(query, model->id, sizeof model->id);
    query_read_text(query, model->job, sizeof model->job);
    query_read_text(query, model->dataset, sizeof model->dataset);
    query_read_time(query, model->created_at);
    model->model_json = query_read_copy(query);
    query_read_ownership(query, &model->ownership);
}

static void clear_model(void *item)
{
    model_view_clear(item);
}

static const struct query_items model_items = {sizeof(struct model_view), read_model, clear_model};

enum rejectd_status sqlite_model_insert(struct store *store, struct model_view *model,
                                        struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    const int64_t now = clock_milliseconds();
    store_new_id("md_", model->id);
    clock_text(now, model->created_at);
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        struct query query;
        query_begin(&query, writer,
                    "INSERT INTO models (" MODEL_COLUMNS ") "
                    "VALUES (?, coalesce(?, ''), coalesce(?, ''), ?, ?, ?, ?)",
                    error);
        query_bind_text(&query, model->id);
        query_bind_text(&query, model->job);
        query_bind_text(&query, model->dataset);
        query_bind_integer(&query, now);
        query_bind_text(&query, model->model_json);
        query_bind_ownership(&query, &model->ownership);
        status = query_execute(&query, NULL);
    }
    return transaction_end(writer, status, error);
}

enum rejectd_status sqlite_model_get(struct store *store, const char *id, struct model_view *model,
                                     struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    struct query query;
    *model = (struct model_view){0};
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader, "SELECT " MODEL_COLUMNS " FROM models WHERE id = ?", error);
    query_bind_text(&query, id);
    const bool found = query_next(&query);
    if (found) {
        read_model(&query, model);
    }
    enum rejectd_status status = query_end(&query);
    pthread_mutex_unlock(&reader->lock);
    if (status == REJECTD_OK && !found) {
        status = REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is no model %.40s", id);
    }
    if (status != REJECTD_OK) {
        model_view_clear(model);
    }
    return status;
}

enum rejectd_status sqlite_model_list(struct store *store, const struct store_viewer *viewer,
                                      size_t limit, struct model_view **models, size_t *n_models,
                                      struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    void *list = NULL;
    struct query query;
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader,
                "SELECT " MODEL_COLUMNS " FROM models WHERE " SQLITE_VISIBLE
                " ORDER BY seq DESC LIMIT ?",
                error);
    query_bind_viewer(&query, viewer);
    query_bind_integer(&query, (int64_t)limit);
    const enum rejectd_status status = query_end_list(&query, &model_items, &list, n_models);
    pthread_mutex_unlock(&reader->lock);
    *models = list;
    return status;
}

enum rejectd_status sqlite_model_delete(struct store *store, const char *id,
                                        struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    int64_t in_use = 0;
    int n_deleted = 0;
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status = sqlite_lookup(writer,
                               "SELECT EXISTS (SELECT 1 FROM jobs WHERE model = ? "
                               "AND state IN ('queued', 'running'))",
                               id, &in_use, error);
    }
    if (status == REJECTD_OK && in_use != 0) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "",
                              "model %.40s is used by a job that is queued or running", id);
    }
    if (status == REJECTD_OK) {
        status =
            sqlite_execute_for(writer, "DELETE FROM models WHERE id = ?", id, &n_deleted, error);
    }
    if (status == REJECTD_OK && n_deleted == 0) {
        status = REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is no model %.40s", id);
    }
    sqlite_store_of(store)->remembers = true;
    return transaction_end(writer, status, error);
}
