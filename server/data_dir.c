#include "server/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum rejectd_status fail(const char *path, const char *what, int number,
                                struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_STORAGE, "data-dir", "data-dir %.200s cannot be %s: %s",
                        path, what, strerror(number));
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
            if (mkdir(partial, 0700) != 0 && errno != EEXIST) {
                return fail(path, "made", errno, error);
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
    *lock = fd;
    return REJECTD_OK;
}
