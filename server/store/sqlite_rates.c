/* What jobs are foretold to need, and what was learnt of the time they take. */
#include <stdlib.h>

#include "server/store/sqlite.h"

void query_read_needs(struct query *query, struct job_needs *needs)
{
    needs->host_bytes = query_read_integer(query);
    needs->gpu_host_bytes = query_read_integer(query);
    needs->work = query_read_integer(query);
    needs->gpu_work = query_read_integer(query);
    query_read_text(query, needs->kind, sizeof needs->kind);
}

void query_bind_needs(struct query *query, const struct job_needs *needs)
{
    query_bind_integer(query, needs->host_bytes);
    query_bind_integer(query, needs->gpu_host_bytes);
    query_bind_integer(query, needs->work);
    query_bind_integer(query, needs->gpu_work);
    query_bind_text(query, needs->kind);
}

enum rejectd_status sqlite_rate_put(struct sqlite_connection *writer, const struct store_rate *rate,
                                    struct rejectd_error *error)
{
    struct query query;
    query_begin(&query, writer,
                "INSERT OR REPLACE INTO rates (device, kind, size, micro_log, n) "
                "VALUES (?, ?, ?, ?, ?)",
                error);
    query_bind_text(&query, rate->device);
    query_bind_text(&query, rate->kind);
    query_bind_integer(&query, rate->size);
    query_bind_integer(&query, rate->micro_log);
    query_bind_integer(&query, rate->n);
    return query_execute(&query, NULL);
}

static void read_rate(struct query *query, void *item)
{
    struct store_rate *rate = item;
    query_read_text(query, rate->device, sizeof rate->device);
    query_read_text(query, rate->kind, sizeof rate->kind);
    rate->size = (int)query_read_integer(query);
    rate->micro_log = query_read_integer(query);
    rate->n = query_read_integer(query);
}

static const struct query_items rate_items = {sizeof(struct store_rate), read_rate, NULL};

enum rejectd_status sqlite_rate_list(struct store *store, struct store_rate **rates,
                                     size_t *n_rates, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    void *list = NULL;
    struct query query;
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader, "SELECT device, kind, size, micro_log, n FROM rates", error);
    const enum rejectd_status status = query_end_list(&query, &rate_items, &list, n_rates);
    pthread_mutex_unlock(&reader->lock);
    *rates = list;
    return status;
}
