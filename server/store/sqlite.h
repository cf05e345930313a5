/* The pieces of the SQLite store. Internal to it. */
#ifndef SERVER_STORE_SQLITE_H
#define SERVER_STORE_SQLITE_H

#include "server/store/sqlite_query.h"
#include "server/store/store.h"

/* Readers never wait for a writer's fsync: write-ahead logging lets them go on beside it. */
struct sqlite_store {
    struct store store; /* first, so that a store is one of these */
    struct sqlite_connection writer;
    struct sqlite_connection reader;
    bool remembers; /* the log may have what was deleted; under the writer's lock */
};

/* sqlite_migrations[v] brings a file of version v to v + 1. */
extern const char *const sqlite_migrations[];
extern const size_t sqlite_n_migrations;

struct sqlite_store *sqlite_store_of(struct store *store);

/* One integer of a statement with one text parameter, or none when text is NULL; 0 without a row.
 * Under the lock. */
enum rejectd_status sqlite_lookup(struct sqlite_connection *connection, const char *sql,
                                  const char *text, int64_t *number, struct rejectd_error *error);

/* Runs a statement with one text parameter and without rows; n_changed may be NULL. Under the
 * lock. */
enum rejectd_status sqlite_execute_for(struct sqlite_connection *connection, const char *sql,
                                       const char *text, int *n_changed,
                                       struct rejectd_error *error);

/* Reads ids, one a row, at most `capacity`, and ends the query. */
enum rejectd_status query_end_ids(struct query *query, char (*ids)[RESOURCE_ID_SIZE],
                                  size_t capacity, size_t *n_ids);

/* Reads a time in milliseconds as text, "" for NULL. */
void query_read_time(struct query *query, char out[RESOURCE_TIME_SIZE]);

enum rejectd_status sqlite_dataset_insert(struct store *store, struct dataset_view *dataset,
                                          const struct store_part *part, uint64_t most,
                                          struct rejectd_error *error);
enum rejectd_status sqlite_dataset_add_part(struct store *store, const struct dataset_view *dataset,
                                            size_t n_parts, const struct store_part *part,
                                            uint64_t most, struct rejectd_error *error);
enum rejectd_status sqlite_dataset_parts(struct store *store, const char *id,
                                         struct store_part **parts, size_t *n_parts,
                                         struct rejectd_error *error);
/* Within a transaction. */
enum rejectd_status sqlite_part_insert(struct sqlite_connection *writer, const char *dataset,
                                       size_t number, const struct store_part *part,
                                       struct rejectd_error *error);
enum rejectd_status sqlite_dataset_set_samples(struct store *store, const char *id,
                                               const char *sha256, struct rejectd_error *error);
enum rejectd_status sqlite_dataset_get(struct store *store, const char *id,
                                       struct dataset_view *dataset, struct rejectd_error *error);
enum rejectd_status sqlite_dataset_list(struct store *store, const struct store_viewer *viewer,
                                        size_t limit, struct dataset_view **datasets,
                                        size_t *n_datasets, struct rejectd_error *error);
enum rejectd_status sqlite_dataset_delete(struct store *store, const char *id, int64_t unused_since,
                                          struct store_removed *removed,
                                          struct rejectd_error *error);
enum rejectd_status sqlite_dataset_unused(struct store *store, int64_t before,
                                          char (*ids)[RESOURCE_ID_SIZE], size_t capacity,
                                          size_t *n_ids, struct rejectd_error *error);
void sqlite_forget(struct store *store);
enum rejectd_status sqlite_partial_get(struct store *store, const char *dataset,
                                       struct store_partial *partial, struct rejectd_error *error);
enum rejectd_status sqlite_partial_put(struct store *store, const struct store_partial *partial,
                                       struct rejectd_error *error);
enum rejectd_status sqlite_partial_delete(struct store *store, const char *dataset,
                                          struct rejectd_error *error);
enum rejectd_status sqlite_partial_expired(struct store *store, int64_t before,
                                           char (*ids)[RESOURCE_ID_SIZE], size_t capacity,
                                           size_t *n_ids, struct rejectd_error *error);
enum rejectd_status sqlite_model_insert(struct store *store, struct model_view *model,
                                        struct rejectd_error *error);
enum rejectd_status sqlite_model_get(struct store *store, const char *id, struct model_view *model,
                                     struct rejectd_error *error);
enum rejectd_status sqlite_model_list(struct store *store, const struct store_viewer *viewer,
                                      size_t limit, struct model_view **models, size_t *n_models,
                                      struct rejectd_error *error);
enum rejectd_status sqlite_model_delete(struct store *store, const char *id,
                                        struct rejectd_error *error);

enum rejectd_status sqlite_answer_find(struct store *store, const char *fingerprint,
                                       const struct store_viewer *viewer,
                                       char job[RESOURCE_ID_SIZE], struct rejectd_error *error);
/* Within a transaction: ends a job that was inserted just now with the result of `answer`, if that
 * is there still. */
enum rejectd_status sqlite_answer_copy(struct sqlite_connection *writer, const char *job,
                                       const char *answer, struct rejectd_error *error);
enum rejectd_status sqlite_job_earlier(struct store *store, const char *owner,
                                       const struct store_submission *submission,
                                       char job[RESOURCE_ID_SIZE], struct rejectd_error *error);
enum rejectd_status sqlite_job_insert(struct store *store,
                                      const struct store_submission *submission,
                                      struct job_view *job, struct rejectd_error *error);
enum rejectd_status sqlite_job_get(struct store *store, const char *id, struct job_view *job,
                                   struct rejectd_error *error);
enum rejectd_status sqlite_job_list(struct store *store, const struct store_viewer *viewer,
                                    size_t limit, struct job_view **jobs, size_t *n_jobs,
                                    struct rejectd_error *error);
enum rejectd_status sqlite_job_cancel(struct store *store, const char *id, struct job_view *job,
                                      struct rejectd_error *error);
enum rejectd_status sqlite_job_result(struct store *store, const char *id,
                                      struct store_result *result, struct rejectd_error *error);

enum rejectd_status sqlite_result_delete(struct store *store, const char *job,
                                         struct store_removed *removed,
                                         struct rejectd_error *error);
enum rejectd_status sqlite_result_old(struct store *store, int64_t before,
                                      char (*ids)[RESOURCE_ID_SIZE], size_t capacity, size_t *n_ids,
                                      struct rejectd_error *error);

enum rejectd_status sqlite_job_claim(struct store *store, const struct store_taker *taker,
                                     bool *found, struct store_claim *claim,
                                     struct rejectd_error *error);
enum rejectd_status sqlite_queue_list(struct store *store, const struct store_viewer *viewer,
                                      size_t limit, struct job_view **jobs, size_t *n_jobs,
                                      struct rejectd_error *error);
enum rejectd_status sqlite_queue_look(struct store *store, struct store_queue *queue,
                                      struct rejectd_error *error);
enum rejectd_status sqlite_job_retry(struct store *store, const char *id, int64_t fence,
                                     const struct store_retry *retry, enum job_state *state,
                                     struct rejectd_error *error);
enum rejectd_status sqlite_job_release(struct store *store, const char *id, int64_t fence,
                                       struct rejectd_error *error);
enum rejectd_status sqlite_job_finish(struct store *store, const char *id, int64_t fence,
                                      const struct store_outcome *outcome,
                                      struct rejectd_error *error);
enum rejectd_status sqlite_rate_put(struct sqlite_connection *writer, const struct store_rate *rate,
                                    struct rejectd_error *error);
enum rejectd_status sqlite_rate_list(struct store *store, struct store_rate **rates,
                                     size_t *n_rates, struct rejectd_error *error);
enum rejectd_status sqlite_recover(struct store *store, struct store_recovery *recovery,
                                   struct rejectd_error *error);

/* What the owner takes up beside one dataset (NULL: all of them). Under the lock. */
enum rejectd_status sqlite_usage_beside(struct sqlite_connection *connection, const char *owner,
                                        const char *dataset, struct store_usage *usage,
                                        struct rejectd_error *error);
/* The dataset has room among those of its owner: quota_check_bytes(). Within a transaction. */
enum rejectd_status sqlite_check_room(struct sqlite_connection *writer,
                                      const struct dataset_view *dataset, uint64_t most,
                                      struct rejectd_error *error);
enum rejectd_status sqlite_usage_get(struct store *store, const char *owner,
                                     struct store_usage *usage, struct rejectd_error *error);
enum rejectd_status sqlite_ownership_get(struct store *store, const struct store_viewer *viewer,
                                         const char *id, struct ownership *ownership,
                                         struct rejectd_error *error);
enum rejectd_status sqlite_ownership_change(struct store *store, const char *id,
                                            const struct ownership_change *change,
                                            struct rejectd_error *error);
enum rejectd_status sqlite_token_insert(struct store *store, const struct store_token *token,
                                        struct rejectd_error *error);
enum rejectd_status sqlite_token_get(struct store *store, const char *id, struct store_token *token,
                                     struct rejectd_error *error);
enum rejectd_status sqlite_token_list(struct store *store, struct store_token **tokens,
                                      size_t *n_tokens, struct rejectd_error *error);
enum rejectd_status sqlite_token_revoke(struct store *store, const char *id, int64_t now,
                                        struct rejectd_error *error);
enum rejectd_status sqlite_token_any(struct store *store, bool *any, struct rejectd_error *error);

/* Of one dataset: a literal, so that it is prepared once. */
#define SQLITE_DELETE_PARTIAL "DELETE FROM partials WHERE dataset = ?"

/* What a viewer sees: a condition over `owner` and `visibility` with two parameters, for
 * query_bind_viewer(). */
#define SQLITE_VISIBLE "(? OR owner = ? OR visibility = 'lab')"
void query_bind_viewer(struct query *query, const struct store_viewer *viewer);

/* The columns of struct job_needs, in its order. */
#define SQLITE_NEEDS "host_bytes, gpu_host_bytes, work, gpu_work, kind"
void query_read_needs(struct query *query, struct job_needs *needs);
void query_bind_needs(struct query *query, const struct job_needs *needs);

/* The columns owner and visibility, in this order. */
void query_read_ownership(struct query *query, struct ownership *ownership);
void query_bind_ownership(struct query *query, const struct ownership *ownership);

#endif
