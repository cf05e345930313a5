/* A copy of a store that may be in use: one read transaction, which nobody waits for. And the one
 * in its own place, by which a store gets the sums of its pages. */
#include <unistd.h>

#include "server/store/page_sums.h"
#include "server/store/sqlite.h"

static enum rejectd_status fail(const char *path, sqlite3 *database, struct rejectd_error *error)
{
    const int code = sqlite3_errcode(database);
    const bool full = code == SQLITE_FULL;
    return REJECTD_FAIL(error, full ? REJECTD_STORAGE_FULL : REJECTD_STORAGE, "",
                        "the copying of the store %.200s failed: %s", path,
                        code == SQLITE_OK ? "it was in use all the time"
                                          : sqlite3_errmsg(database));
}

/* The target has room for the sums if the source has. Its first page, which tells of it, is written
 * before any other one is. */
static int prepare_target(sqlite3 *source, sqlite3 *target)
{
    int reserved = -1;
    int code = sqlite3_exec(source, "PRAGMA schema_version", NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_file_control(source, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_file_control(target, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
    }
    return code == SQLITE_OK ? sqlite3_exec(target, "PRAGMA user_version = 1", NULL, NULL, NULL)
                             : code;
}

static enum rejectd_status copy(sqlite3 *source, sqlite3 *target, const char *from,
                                struct rejectd_error *error)
{
    sqlite3_backup *backup = sqlite3_backup_init(target, "main", source, "main");
    if (backup == NULL) {
        return fail(from, target, error);
    }
    const int code = sqlite3_backup_step(backup, -1);
    const int end = sqlite3_backup_finish(backup);
    return code == SQLITE_DONE && end == SQLITE_OK ? REJECTD_OK : fail(from, target, error);
}

enum rejectd_status store_sqlite_copy(const char *from, const char *to, struct rejectd_error *error)
{
    sqlite3 *source = NULL;
    sqlite3 *target = NULL;
    enum rejectd_status status = REJECTD_OK;
    if (sqlite3_open_v2(from, &source, SQLITE_OPEN_READWRITE, page_sums_layer()) != SQLITE_OK ||
        sqlite3_busy_timeout(source, SQLITE_BUSY_MILLISECONDS) != SQLITE_OK) {
        status = fail(from, source, error);
    }
    if (status == REJECTD_OK &&
        sqlite3_open_v2(to, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                        page_sums_layer()) != SQLITE_OK) {
        status = fail(to, target, error);
    }
    if (status == REJECTD_OK && prepare_target(source, target) != SQLITE_OK) {
        status = sqlite3_errcode(source) != SQLITE_OK ? fail(from, source, error)
                                                      : fail(to, target, error);
    }
    if (status == REJECTD_OK) {
        status = copy(source, target, from, error);
    }
    sqlite3_close(target);
    sqlite3_close(source);
    if (status != REJECTD_OK) {
        (void)unlink(to);
    }
    return status;
}

enum rejectd_status store_sqlite_add_sums(struct store *store, bool *added,
                                          struct rejectd_error *error)
{
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    enum rejectd_status status = REJECTD_OK;
    pthread_mutex_lock(&writer->lock);
    *added = !page_sums_present(writer->database);
    if (*added) {
        status = sqlite_run(writer, "VACUUM", error);
        /* The log has grown by all of it, which is in the file now, or was for nothing. */
        const enum rejectd_status shrunk = sqlite_run(writer, "PRAGMA wal_checkpoint(TRUNCATE)",
                                                      status == REJECTD_OK ? error : NULL);
        status = status == REJECTD_OK ? shrunk : status;
    }
    pthread_mutex_unlock(&writer->lock);
    return status;
}
