/*
 * Makes one file operation of a process fail, as a broken or a full disk would, or the last one
 * before the power fails: LD_PRELOAD.
 *
 * $FAULT_AT is its number, counted from 1 over all operations below $FAULT_FOLDER that change
 * something, open a file or map one; $FAULT_ERRNO is the error, or "before" or "after": the process
 * is killed at that moment. Which operation it was is written to $FAULT_REPORT. Or, while there is
 * a file $FAULT_WHEN, all operations that change something fail. With $FAULT_SHADOW what the disk
 * has for sure is recorded there (fault_shadow.h).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault_shadow.h"

static atomic_long n_done;
static _Thread_local bool doomed; /* the operation of this thread is the last one */

__attribute__((constructor)) static void begin(void)
{
    const char *shadow = getenv("FAULT_SHADOW");
    const char *folder = getenv("FAULT_FOLDER");
    if (shadow != NULL && folder != NULL) {
        unsetenv("FAULT_SHADOW"); /* of this process, not of those that it starts */
        shadow_begin(folder, shadow);
    }
}

static bool is_below(const char *path)
{
    const char *folder = getenv("FAULT_FOLDER");
    return folder != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static void path_of(int fd, char *out, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, out, size - 1);
    out[length < 0 ? 0 : length] = '\0';
}

static bool is_below_fd(int fd)
{
    char path[4096];
    const int before = errno;
    path_of(fd, path, sizeof path);
    errno = before;
    return is_below(path);
}

static void tell(const char *operation, const char *path)
{
    char text[4352];
    const char *report = getenv("FAULT_REPORT");
    const int length = snprintf(text, sizeof text, "%s %s\n", operation, path);
    const int fd = report == NULL ? -1
                                  : (int)syscall(SYS_openat, AT_FDCWD, report,
                                                 O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0 && length > 0) {
        syscall(SYS_write, fd, text, (size_t)length);
        syscall(SYS_close, fd);
    }
}

static bool fails_now(const char *path)
{
    const char *when = getenv("FAULT_WHEN");
    const char *number = getenv("FAULT_ERRNO");
    const int before = errno;
    const bool now = when != NULL && number != NULL && is_below(path) && access(when, F_OK) == 0;
    errno = now ? (int)strtol(number, NULL, 10) : before;
    return now;
}

/* True when this operation is to fail; errno is set then. */
static bool fails_at(const char *operation, const char *path, bool changes)
{
    const char *at = getenv("FAULT_AT");
    const char *number = getenv("FAULT_ERRNO");
    if (changes && fails_now(path)) {
        return true;
    }
    if (at == NULL || number == NULL || !is_below(path) ||
        atomic_fetch_add(&n_done, 1) + 1 != strtol(at, NULL, 10)) {
        return false;
    }
    tell(operation, path);
    doomed = strcmp(number, "after") == 0;
    if (strcmp(number, "before") == 0) {
        raise(SIGKILL);
    }
    errno = doomed ? errno : (int)strtol(number, NULL, 10);
    return !doomed;
}

static void done(void)
{
    if (doomed) {
        raise(SIGKILL);
    }
}

static bool fails(const char *operation, int directory, const char *path, bool changes)
{
    char full[4096];
    if (path[0] == '/') {
        return fails_at(operation, path, changes);
    }
    path_of(directory, full, sizeof full);
    const size_t length = strlen(full);
    snprintf(full + length, sizeof full - length, "/%s", path);
    return fails_at(operation, full, changes);
}

static bool fails_fd(const char *operation, int fd, bool changes)
{
    char path[4096];
    const int before = errno;
    path_of(fd, path, sizeof path);
    errno = before;
    return fails_at(operation, path, changes);
}

/* The functions are called from elsewhere; the system's headers declare them. */
#define ON_FD(type, name, parameters, fd, arguments)                                               \
    type name parameters                                                                           \
    {                                                                                              \
        type(*next) parameters = (type(*) parameters)dlsym(RTLD_NEXT, #name);                      \
        if (fails_fd(#name, fd, true)) {                                                           \
            return -1;                                                                             \
        }                                                                                          \
        const type result = next arguments;                                                        \
        done();                                                                                    \
        return result;                                                                             \
    }
#define SYNCING(name)                                                                              \
    int name(int fd)                                                                               \
    {                                                                                              \
        int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, #name);                                  \
        if (fails_fd(#name, fd, true)) {                                                           \
            return -1;                                                                             \
        }                                                                                          \
        const int result = next(fd);                                                               \
        if (result == 0 && is_below_fd(fd)) {                                                      \
            shadow_synced(fd);                                                                     \
        }                                                                                          \
        done();                                                                                    \
        return result;                                                                             \
    }
#define MAPPING(name, offset)                                                                      \
    void *name(void *address, size_t size, int protection, int flags, int fd, offset at)           \
    {                                                                                              \
        return fd >= 0 && fails_fd(#name, fd, false)                                               \
                   ? MAP_FAILED                                                                    \
                   : (void *)syscall(SYS_mmap, address, size, protection, flags, fd, at);          \
    }
#define ON_PATH(name, parameters, directory, path, arguments)                                      \
    int name parameters                                                                            \
    {                                                                                              \
        int(*next) parameters = (int(*) parameters)dlsym(RTLD_NEXT, #name);                        \
        if (fails(#name, directory, path, true)) {                                                 \
            return -1;                                                                             \
        }                                                                                          \
        const int result = next arguments;                                                         \
        done();                                                                                    \
        return result;                                                                             \
    }
#define OPENING(name, first, directory)                                                            \
    int name(first const char *path, int flags, ...)                                               \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        const bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;             \
        const mode_t mode = makes ? va_arg(rest, mode_t) : 0;                                      \
        va_end(rest);                                                                              \
        if (fails(#name, directory, path, (flags & O_ACCMODE) != O_RDONLY)) {                      \
            return -1;                                                                             \
        }                                                                                          \
        const int result = (int)syscall(SYS_openat, directory, path, flags, mode);                 \
        done();                                                                                    \
        return result;                                                                             \
    }

ON_FD(ssize_t, write, (int fd, const void *bytes, size_t count), fd, (fd, bytes, count))
ON_FD(ssize_t, pwrite, (int fd, const void *bytes, size_t count, off_t at), fd,
      (fd, bytes, count, at))
ON_FD(ssize_t, pwrite64, (int fd, const void *bytes, size_t count, off64_t at), fd,
      (fd, bytes, count, at))
SYNCING(fsync)
SYNCING(fdatasync)
ON_FD(int, ftruncate, (int fd, off_t size), fd, (fd, size))
ON_FD(int, ftruncate64, (int fd, off64_t size), fd, (fd, size))
ON_FD(int, fallocate, (int fd, int mode, off_t at, off_t size), fd, (fd, mode, at, size))
ON_FD(int, fallocate64, (int fd, int mode, off64_t at, off64_t size), fd, (fd, mode, at, size))
MAPPING(mmap, off_t)
MAPPING(mmap64, off64_t)
ON_PATH(unlink, (const char *path), AT_FDCWD, path, (path))
ON_PATH(unlinkat, (int directory, const char *path, int flags), directory, path,
        (directory, path, flags))
ON_PATH(mkdir, (const char *path, mode_t mode), AT_FDCWD, path, (path, mode))
ON_PATH(mkdirat, (int directory, const char *path, mode_t mode), directory, path,
        (directory, path, mode))
ON_PATH(linkat, (int directory, const char *path, int there, const char *to, int flags), directory,
        path, (directory, path, there, to, flags))
ON_PATH(rename, (const char *path, const char *to), AT_FDCWD, path, (path, to))
ON_PATH(renameat, (int directory, const char *path, int there, const char *to), directory, path,
        (directory, path, there, to))
#define DIRECTORY int directory,
#define NO_DIRECTORY
OPENING(open, NO_DIRECTORY, AT_FDCWD)
OPENING(open64, NO_DIRECTORY, AT_FDCWD)
OPENING(openat, DIRECTORY, directory)
OPENING(openat64, DIRECTORY, directory)
