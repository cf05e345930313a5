#include "server/commands/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/write_all.h"

enum { PIECE_BYTES = 1 << 20 };

static enum rejectd_status fail(const char *what, const char *name, int number,
                                struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_STORAGE;
    if (number == ENOENT) {
        status = REJECTD_NOT_FOUND;
    } else if (number == EEXIST) {
        status = REJECTD_CONFLICT;
    } else if (number == ENOSPC || number == EDQUOT) {
        status = REJECTD_STORAGE_FULL;
    }
    return REJECTD_FAIL(error, status, "", "%.200s cannot be %s: %s", name, what, strerror(number));
}

static enum rejectd_status put(int fd, const char *name, const void *bytes, size_t count,
                               struct rejectd_error *error)
{
    return write_all(fd, bytes, count) ? REJECTD_OK : fail("written", name, errno, error);
}

/* Reads to the end; what was read goes to `to` as well, unless that is -1. */
static enum rejectd_status pump(int from, int to, const char *name, struct file_digest *digest,
                                struct rejectd_error *error)
{
    struct sha256 hash;
    enum rejectd_status status = REJECTD_OK;
    char *piece = malloc(PIECE_BYTES);
    ssize_t n = 1;
    if (piece == NULL) {
        return REJECTD_FAIL_MEMORY(error, PIECE_BYTES);
    }
    *digest = (struct file_digest){0};
    sha256_init(&hash);
    while (n != 0 && status == REJECTD_OK) {
        n = read(from, piece, PIECE_BYTES);
        if (n < 0 && errno != EINTR) {
            status = fail("read", name, errno, error);
        } else if (n > 0) {
            sha256_update(&hash, piece, (size_t)n);
            digest->bytes += (uint64_t)n;
            status = to < 0 ? REJECTD_OK : put(to, name, piece, (size_t)n, error);
        }
    }
    sha256_final(&hash, digest->sha256);
    free(piece);
    return status;
}

static enum rejectd_status open_to_read(int directory, const char *name, int *fd,
                                        struct rejectd_error *error)
{
    struct stat status;
    /* Not blocking, in case that it is a pipe. */
    *fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0) {
        return fail("opened", name, errno, error);
    }
    if (fstat(*fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(*fd);
        *fd = -1;
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "%.200s is no plain file", name);
    }
    return REJECTD_OK;
}

enum rejectd_status file_digest_read(int directory, const char *name, struct file_digest *digest,
                                     struct rejectd_error *error)
{
    int fd;
    enum rejectd_status status = open_to_read(directory, name, &fd, error);
    if (status == REJECTD_OK) {
        status = pump(fd, -1, name, digest, error);
        close(fd);
    }
    return status;
}

/* Closes a new file, after syncing it when all went well, else removing it. */
static enum rejectd_status end_file(int directory, const char *name, int fd,
                                    enum rejectd_status status, struct rejectd_error *error)
{
    if (status == REJECTD_OK && fsync(fd) != 0) {
        status = fail("synced", name, errno, error);
    }
    if (close(fd) != 0 && status == REJECTD_OK) {
        status = fail("written", name, errno, error);
    }
    if (status != REJECTD_OK) {
        unlinkat(directory, name, 0);
    }
    return status;
}

enum rejectd_status file_copy(int from, const char *name, int to, const char *target,
                              const struct file_owner *owner, struct file_digest *digest,
                              struct rejectd_error *error)
{
    int source;
    enum rejectd_status status = open_to_read(from, name, &source, error);
    if (status != REJECTD_OK) {
        return status;
    }
    const int copy = openat(to, target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (copy < 0) {
        status = fail("made", target, errno, error);
    } else {
        status = pump(source, copy, name, digest, error);
        /* By its descriptor: the name may be another file by now. */
        if (status == REJECTD_OK && owner != NULL && fchown(copy, owner->user, owner->group) != 0) {
            status = fail("given away", target, errno, error);
        }
        status = end_file(to, target, copy, status, error);
    }
    close(source);
    return status;
}

enum rejectd_status file_link(int from, const char *name, int to, const char *target,
                              struct file_digest *digest, struct rejectd_error *error)
{
    if (linkat(from, name, to, target, 0) == 0) {
        return file_digest_read(to, target, digest, error);
    }
    if (errno == ENOENT || errno == EEXIST) {
        return fail("linked", name, errno, error);
    }
    return file_copy(from, name, to, target, NULL, digest, error);
}

enum rejectd_status file_put(int directory, const char *name, const void *bytes, size_t count,
                             struct rejectd_error *error)
{
    const int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail("made", name, errno, error);
    }
    return end_file(directory, name, fd, put(fd, name, bytes, count, error), error);
}

enum rejectd_status folder_open(int parent, const char *name, bool make, int *directory,
                                struct rejectd_error *error)
{
    *directory = -1;
    if (make && mkdirat(parent, name, 0700) != 0 && errno != EEXIST) {
        return fail("made", name, errno, error);
    }
    *directory = openat(parent, name,
                        O_RDONLY | O_DIRECTORY | O_CLOEXEC | (parent == AT_FDCWD ? 0 : O_NOFOLLOW));
    return *directory >= 0 ? REJECTD_OK : fail("opened", name, errno, error);
}

enum rejectd_status folder_is_empty(const char *path, bool *empty, struct rejectd_error *error)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    *empty = true;
    if (directory == NULL) {
        return errno == ENOENT ? REJECTD_OK : fail("opened", path, errno, error);
    }
    while ((entry = readdir(directory)) != NULL && *empty) {
        *empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    closedir(directory);
    return REJECTD_OK;
}

enum rejectd_status folder_sync(int directory, struct rejectd_error *error)
{
    return fsync(directory) == 0 ? REJECTD_OK : fail("synced", "a folder", errno, error);
}
