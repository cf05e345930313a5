#define _GNU_SOURCE /* AT_EACCESS */
#include "server/data_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/blobs/sha256.h"

static enum rejectd_status fail(const char *path, const char *what, int number,
                                struct rejectd_error *error)
{
    const bool full = number == ENOSPC || number == EDQUOT;
    return REJECTD_FAIL(error, full ? REJECTD_STORAGE_FULL : REJECTD_STORAGE, "data-dir",
                        "data-dir %.200s cannot be %s: %s", path, what, strerror(number));
}

/* Makes a name durable that was just made in the directory above it. One that may be written to
 * without being readable is left to the file system. */
static enum rejectd_status sync_above(const char *path, struct rejectd_error *error)
{
    char above[1024 + 1];
    const char *slash = strrchr(path, '/');
    const size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    memcpy(above, path, length);
    above[length] = '\0';
    if (length == 0) {
        memcpy(above, slash == NULL ? "." : "/", 2);
    }
    const int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = fd < 0 || fsync(fd) == 0 || errno == EINVAL;
    const int number = errno;
    if (fd >= 0) {
        close(fd);
    }
    return synced ? REJECTD_OK : fail(path, "synced", number, error);
}

enum rejectd_status data_dir_make(const char *path, struct rejectd_error *error)
{
    char partial[1024 + 1];
    const size_t length = strlen(path);
    if (length >= sizeof partial) {
        return fail(path, "made", ENAMETOOLONG, error);
    }
    for (size_t i = 1; i <= length; i++) {
        if (path[i] == '/' || path[i] == '\0') {
            memcpy(partial, path, i);
            partial[i] = '\0';
            const bool made = mkdir(partial, 0700) == 0;
            if (!made && errno != EEXIST) {
                return fail(path, "made", errno, error);
            }
            const enum rejectd_status status = made ? sync_above(partial, error) : REJECTD_OK;
            if (status != REJECTD_OK) {
                return status;
            }
        }
    }
    return REJECTD_OK;
}

enum rejectd_status data_dir_take(const char *path, int *lock, struct rejectd_error *error)
{
    *lock = -1;
    enum rejectd_status status = data_dir_make(path, error);
    if (status != REJECTD_OK) {
        return status;
    }
    /* The directory itself is locked: nothing to leave behind, nothing to be removed by hand. */
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fail(path, "opened", errno, error);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const int number = errno;
        close(fd);
        return number == EWOULDBLOCK
                   ? REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "data-dir",
                                  "data-dir %.200s is used by another rejectd", path)
                   : fail(path, "locked", number, error);
    }
    if (faccessat(fd, ".", W_OK, AT_EACCESS) != 0) {
        const int number = errno;
        close(fd);
        return fail(path, "written to", number, error);
    }
    *lock = fd;
    return REJECTD_OK;
}

enum rejectd_status data_dir_sync(const char *path, int lock, struct rejectd_error *error)
{
    return fsync(lock) == 0 ? REJECTD_OK : fail(path, "synced", errno, error);
}

static bool has_blobs(const char *path)
{
    bool found = false;
    DIR *directory = opendir(path);
    const struct dirent *entry;
    while (directory != NULL && !found && (entry = readdir(directory)) != NULL) {
        found = sha256_is_text(entry->d_name);
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return found;
}

enum rejectd_status data_dir_check_store(const char *path, struct rejectd_error *error)
{
    char name[1024 + 32];
    struct stat status;
    snprintf(name, sizeof name, "%s/store.sqlite", path);
    /* What is empty is as good as missing to SQLite. */
    if (stat(name, &status) == 0 && status.st_size > 0) {
        return REJECTD_OK;
    }
    snprintf(name, sizeof name, "%s/blobs", path);
    if (!has_blobs(name)) {
        return REJECTD_OK;
    }
    return REJECTD_FAIL(error, REJECTD_STORAGE, "data-dir",
                        "%.150s/store.sqlite is missing or empty, but there are blobs, which a "
                        "new store would know nothing of; restore it from a backup, or move the "
                        "whole data directory away to start with an empty one",
                        path);
}

enum rejectd_status data_dir_open_store(const char *path, struct store **store,
                                        struct rejectd_error *error)
{
    char name[1024 + 32];
    const enum rejectd_status status = data_dir_check_store(path, error);
    snprintf(name, sizeof name, "%s/store.sqlite", path);
    return status == REJECTD_OK ? store_sqlite_open(name, store, error) : status;
}

enum rejectd_status data_dir_become_owner(const char *path, struct rejectd_error *error)
{
    struct stat status;
    if (geteuid() != 0 || stat(path, &status) != 0 || status.st_uid == 0) {
        return REJECTD_OK;
    }
    if (setgroups(0, NULL) != 0 || setgid(status.st_gid) != 0 || setuid(status.st_uid) != 0) {
        return REJECTD_FAIL(error, REJECTD_STORAGE, "data-dir",
                            "becoming the user that data-dir %.200s belongs to failed: %s", path,
                            strerror(errno));
    }
    return REJECTD_OK;
}
