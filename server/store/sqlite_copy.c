/* A copy of a store that may be in use: one read transaction, which nobody waits for. */
#include <unistd.h>

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
    if (sqlite3_open_v2(from, &source, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(source, SQLITE_BUSY_MILLISECONDS) != SQLITE_OK) {
        status = fail(from, source, error);
    }
    if (status == REJECTD_OK &&
        sqlite3_open_v2(to, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
            SQLITE_OK) {
        status = fail(to, target, error);
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
