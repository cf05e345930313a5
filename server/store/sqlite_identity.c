/* Whose things are, and tokens, in the SQLite store. */
#include <stdlib.h>
#include <string.h>

#include "server/store/sqlite.h"

/* ---- ownership ---- */

void query_bind_viewer(struct query *query, const struct store_viewer *viewer)
{
    query_bind_integer(query, viewer == NULL);
    query_bind_string(query, viewer == NULL ? "" : viewer->user);
}

void query_read_ownership(struct query *query, struct ownership *ownership)
{
    char name[16];
    query_read_text(query, ownership->owner, sizeof ownership->owner);
    query_read_text(query, name, sizeof name);
    ownership->visibility = VISIBILITY_PRIVATE;
    visibility_from_name(name, &ownership->visibility);
}

void query_bind_ownership(struct query *query, const struct ownership *ownership)
{
    query_bind_string(query, ownership->owner);
    query_bind_string(query, visibility_name(ownership->visibility));
}

/* What the prefix of an id stands for; static text. */
struct kind {
    const char *prefix;
    const char *name;
    const char *sql_get;
    const char *sql_change;
};

static const struct kind *kind_of(const char *id)
{
/* more: what else is set. */
#define KIND(prefix, name, table, more)                                                            \
    {                                                                                              \
        prefix, name, "SELECT owner, visibility FROM " table " WHERE id = ? AND " SQLITE_VISIBLE,  \
            "UPDATE " table " SET owner = CASE WHEN ?1 THEN ?2 ELSE owner END, " more              \
            "visibility = CASE WHEN ?3 THEN ?4 ELSE visibility END WHERE id = ?5"                  \
    }
/* The key was the former owner's, and the next one may have the same. */
#define FORGET_KEY "idempotency_key = CASE WHEN ?1 THEN NULL ELSE idempotency_key END, "
    static const struct kind kinds[] = {
        KIND("ds_", "dataset", "datasets", ""),
        KIND("jb_", "job", "jobs", FORGET_KEY),
        KIND("md_", "model", "models", ""),
    };
#undef FORGET_KEY
#undef KIND
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strncmp(id, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

static enum rejectd_status fail_unknown(const struct kind *kind, const char *id,
                                        struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is no %s %.40s",
                        kind == NULL ? "resource" : kind->name, id);
}

enum rejectd_status sqlite_ownership_get(struct store *store, const struct store_viewer *viewer,
                                         const char *id, struct ownership *ownership,
                                         struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    const struct kind *kind = kind_of(id);
    struct query query;
    *ownership = (struct ownership){0};
    if (kind == NULL) {
        return fail_unknown(NULL, id, error);
    }
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader, kind->sql_get, error);
    query_bind_text(&query, id);
    query_bind_viewer(&query, viewer);
    const bool found = query_next(&query);
    if (found) {
        query_read_ownership(&query, ownership);
    }
    const enum rejectd_status status = query_end(&query);
    pthread_mutex_unlock(&reader->lock);
    return status == REJECTD_OK && !found ? fail_unknown(kind, id, error) : status;
}

enum rejectd_status sqlite_ownership_change(struct store *store, const char *id,
                                            const struct ownership_change *change,
                                            struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    const struct kind *kind = kind_of(id);
    struct query query;
    int n_changed = 0;
    if (kind == NULL) {
        return fail_unknown(NULL, id, error);
    }
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        query_begin(&query, writer, kind->sql_change, error);
        query_bind_integer(&query, change->has_owner);
        query_bind_string(&query, change->to.owner);
        query_bind_integer(&query, change->has_visibility);
        query_bind_string(&query, visibility_name(change->to.visibility));
        query_bind_text(&query, id);
        status = query_execute(&query, &n_changed);
    }
    if (status == REJECTD_OK && n_changed == 0) {
        status = fail_unknown(kind, id, error);
    }
    return transaction_end(writer, status, error);
}

/* ---- tokens ---- */

#define TOKEN_COLUMNS "id, user, role, hash, created_at, expires_at, revoked_at"

static void read_token(struct query *query, void *item)
{
    struct store_token *token = item;
    char role[16];
    *token = (struct store_token){0};
    query_read_text(query, token->id, sizeof token->id);
    query_read_text(query, token->user, sizeof token->user);
    query_read_text(query, role, sizeof role);
    token->admin = strcmp(role, "admin") == 0;
    if (!query_read_blob(query, token->hash, sizeof token->hash) && query->status == REJECTD_OK) {
        query->status = REJECTD_FAIL(query->error, REJECTD_STORAGE, "",
                                     "the store failed: token %s has no hash", token->id);
    }
    token->created_at = query_read_integer(query);
    token->expires_at = query_read_integer(query);
    token->revoked_at = query_read_integer(query);
}

static const struct query_items token_items = {sizeof(struct store_token), read_token, NULL};

static enum rejectd_status get_token(struct sqlite_connection *connection, const char *id,
                                     struct store_token *token, struct rejectd_error *error)
{
    struct query query;
    *token = (struct store_token){0};
    query_begin(&query, connection, "SELECT " TOKEN_COLUMNS " FROM tokens WHERE id = ?", error);
    query_bind_text(&query, id);
    const bool found = query_next(&query);
    if (found) {
        read_token(&query, token);
    }
    const enum rejectd_status status = query_end(&query);
    return status == REJECTD_OK && !found
               ? REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is no token %.20s", id)
               : status;
}

enum rejectd_status sqlite_token_get(struct store *store, const char *id, struct store_token *token,
                                     struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    pthread_mutex_lock(&reader->lock);
    const enum rejectd_status status = get_token(reader, id, token, error);
    pthread_mutex_unlock(&reader->lock);
    return status;
}

static void bind_moment(struct query *query, int64_t time)
{
    if (time == 0) {
        query_bind_text(query, NULL);
    } else {
        query_bind_integer(query, time);
    }
}

enum rejectd_status sqlite_token_insert(struct store *store, const struct store_token *token,
                                        struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    struct query query;
    int64_t taken = 0;
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status =
            sqlite_lookup(writer, "SELECT 1 FROM tokens WHERE id = ?", token->id, &taken, error);
    }
    if (status == REJECTD_OK && taken != 0) {
        status =
            REJECTD_FAIL(error, REJECTD_CONFLICT, "", "there is a token %s already", token->id);
    }
    if (status == REJECTD_OK) {
        query_begin(&query, writer,
                    "INSERT INTO tokens (" TOKEN_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?)", error);
        query_bind_text(&query, token->id);
        query_bind_text(&query, token->user);
        query_bind_text(&query, token->admin ? "admin" : "user");
        query_bind_blob(&query, token->hash, sizeof token->hash);
        query_bind_integer(&query, token->created_at);
        bind_moment(&query, token->expires_at);
        bind_moment(&query, token->revoked_at);
        status = query_execute(&query, NULL);
    }
    return transaction_end(writer, status, error);
}

enum rejectd_status sqlite_token_list(struct store *store, struct store_token **tokens,
                                      size_t *n_tokens, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    struct query query;
    void *list = NULL;
    pthread_mutex_lock(&reader->lock);
    query_begin(&query, reader, "SELECT " TOKEN_COLUMNS " FROM tokens ORDER BY created_at, id",
                error);
    const enum rejectd_status status = query_end_list(&query, &token_items, &list, n_tokens);
    pthread_mutex_unlock(&reader->lock);
    *tokens = list;
    return status;
}

enum rejectd_status sqlite_token_revoke(struct store *store, const char *id, int64_t now,
                                        struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    struct store_token token;
    struct query query;
    enum rejectd_status status = transaction_begin(writer, error);
    if (status == REJECTD_OK) {
        status = get_token(writer, id, &token, error);
    }
    if (status == REJECTD_OK && token.revoked_at != 0) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "", "token %s was revoked before", token.id);
    }
    if (status == REJECTD_OK) {
        query_begin(&query, writer, "UPDATE tokens SET revoked_at = ? WHERE id = ?", error);
        query_bind_integer(&query, now);
        query_bind_text(&query, id);
        status = query_execute(&query, NULL);
    }
    return transaction_end(writer, status, error);
}

enum rejectd_status sqlite_token_any(struct store *store, bool *any, struct rejectd_error *error)
{
    struct sqlite_connection *reader = &sqlite_store_of(store)->reader;
    int64_t found = 1;
    pthread_mutex_lock(&reader->lock);
    const enum rejectd_status status =
        sqlite_lookup(reader, "SELECT EXISTS (SELECT 1 FROM tokens)", NULL, &found, error);
    pthread_mutex_unlock(&reader->lock);
    *any = status != REJECTD_OK || found != 0;
    return status;
}
