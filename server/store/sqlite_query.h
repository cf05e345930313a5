/* SQLite in the terms of this daemon: a connection with its lock, and statements whose failures
 * are collected instead of checked one by one. Internal to the SQLite store. */
#ifndef SERVER_STORE_SQLITE_QUERY_H
#define SERVER_STORE_SQLITE_QUERY_H

#include <pthread.h>
#include <rejectd/error.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A statement that was prepared once, for all that run it later. */
struct sqlite_prepared {
    const char *sql;
    sqlite3_stmt *statement;
    bool busy;
};

enum {
    SQLITE_PREPARED = 128, /* places, a power of two; there are fewer statements */
    SQLITE_BUSY_MILLISECONDS = 10000,
};

struct sqlite_connection {
    sqlite3 *database;
    struct sqlite_prepared prepared[SQLITE_PREPARED]; /* hashed by the address of the text */
    pthread_mutex_t lock;                             /* held by whoever runs statements */
    atomic_uint_least64_t *n_errors;                  /* counts failures; NULL: nobody does */
    bool uncertain; /* a commit failed, and may be there all the same after a crash */
};

enum rejectd_status sqlite_connect(struct sqlite_connection *connection, const char *path,
                                   struct rejectd_error *error);
void sqlite_disconnect(struct sqlite_connection *connection); /* all-zero is allowed */

/* STORAGE or STORAGE_FULL for the last failure of the connection. */
enum rejectd_status sqlite_fail(struct sqlite_connection *connection, struct rejectd_error *error);

/* Runs statements without parameters or rows. */
enum rejectd_status sqlite_run(struct sqlite_connection *connection, const char *sql,
                               struct rejectd_error *error);

/* Takes the lock and begins a writing transaction; ends it by commit (status REJECTD_OK) or
 * rollback and gives the lock back. transaction_end() must follow also a failed begin. */
enum rejectd_status transaction_begin(struct sqlite_connection *connection,
                                      struct rejectd_error *error);
enum rejectd_status transaction_end(struct sqlite_connection *connection,
                                    enum rejectd_status status, struct rejectd_error *error);

/*
 * Sees to it that a commit that failed doesn't come back: its pages may have reached the log before
 * the disk failed, and would be taken for good after a crash. Another commit takes their place.
 * Fails when that isn't possible now. Without a failed commit it does nothing.
 */
enum rejectd_status transaction_settle(struct sqlite_connection *connection,
                                       struct rejectd_error *error);

/*
 * One statement, of text that stays as it is: a literal. Parameters are bound in their order (text
 * is borrowed until query_end(); NULL and
 * "" bind as NULL); after a failure everything does nothing, query_next() is false, and query_end()
 * tells it. Used under the lock.
 */
struct query {
    struct sqlite_connection *connection;
    sqlite3_stmt *statement;
    struct sqlite_prepared *prepared; /* NULL: the statement is of this query alone */
    int n_bound;
    int n_read;
    enum rejectd_status status;
    struct rejectd_error *error;
};

void query_begin(struct query *query, struct sqlite_connection *connection, const char *sql,
                 struct rejectd_error *error);
void query_bind_text(struct query *query, const char *text);
/* The same, but "" binds as "". */
void query_bind_string(struct query *query, const char *text);
void query_bind_blob(struct query *query, const void *bytes, size_t count);
void query_bind_integer(struct query *query, int64_t number);
/* Steps to the next row. */
bool query_next(struct query *query);
/* The columns of the row in their order; NULL reads as "", NULL or 0. */
void query_read_text(struct query *query, char *out, size_t size); /* cut when it's longer */
char *query_read_copy(struct query *query);                        /* free() it */
/* Exactly `count` bytes, or false. */
bool query_read_blob(struct query *query, void *out, size_t count);
int64_t query_read_integer(struct query *query);
enum rejectd_status query_end(struct query *query);

/* What the rows of a list become. */
struct query_items {
    size_t size;
    void (*read)(struct query *query, void *item);
    void (*clear)(void *item); /* what an item owns; NULL: nothing */
};
/* Reads all rows, and ends. *list, of *n items, is owned by the caller: free(), after clearing
 * them; NULL and 0 after a failure. */
enum rejectd_status query_end_list(struct query *query, const struct query_items *items,
                                   void **list, size_t *n);

/* Steps once for statements without rows, and ends. *n_changed (may be NULL): rows changed. */
enum rejectd_status query_execute(struct query *query, int *n_changed);

#endif
