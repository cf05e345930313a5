#define _XOPEN_SOURCE 700 /* nftw() */
#include "server/converter/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/write_all.h"

enum { OPEN_FOLDERS = 8 }; /* of nftw() */

static enum rejectd_status fail(const char *what, int number, struct rejectd_error *error)
{
    const bool full = number == ENOSPC || number == EDQUOT;
    return REJECTD_FAIL(error, full ? REJECTD_STORAGE_FULL : REJECTD_STORAGE, "",
                        "a temporary file cannot be %s: %s", what, strerror(number));
}

struct scratch_path scratch_file(const struct scratch *scratch, const char *name)
{
    struct scratch_path path;
    /* Names are this program's own, and short. */
    snprintf(path.text, sizeof path.text, "%s/%s", scratch->path, name);
    return path;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    (void)remove(path);
    return 0;
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}

enum rejectd_status scratch_sweep(const char *directory, struct rejectd_error *error)
{
    remove_tree(directory);
    return mkdir(directory, 0700) == 0 || errno == EEXIST ? REJECTD_OK : fail("made", errno, error);
}

enum rejectd_status scratch_make(const char *directory, struct scratch *scratch,
                                 struct rejectd_error *error)
{
    const int length = snprintf(scratch->path, sizeof scratch->path, "%s/XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof scratch->path) {
        scratch->path[0] = '\0';
        return fail("made", ENAMETOOLONG, error);
    }
    if (mkdtemp(scratch->path) == NULL) {
        const int number = errno;
        scratch->path[0] = '\0';
        return fail("made", number, error);
    }
    return REJECTD_OK;
}

void scratch_remove(struct scratch *scratch)
{
    if (scratch->path[0] != '\0') {
        remove_tree(scratch->path);
        scratch->path[0] = '\0';
    }
}

enum rejectd_status scratch_create(const struct scratch *scratch, const char *name, int *fd,
                                   struct rejectd_error *error)
{
    const struct scratch_path path = scratch_file(scratch, name);
    *fd = open(path.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return *fd >= 0 ? REJECTD_OK : fail("made", errno, error);
}

enum rejectd_status scratch_write(int fd, const void *bytes, size_t count,
                                  struct rejectd_error *error)
{
    return write_all(fd, bytes, count) ? REJECTD_OK : fail("written", errno, error);
}

enum rejectd_status scratch_put(const struct scratch *scratch, const char *name, const void *bytes,
                                size_t count, struct rejectd_error *error)
{
    int fd;
    enum rejectd_status status = scratch_create(scratch, name, &fd, error);
    if (status != REJECTD_OK) {
        return status;
    }
    status = scratch_write(fd, bytes, count, error);
    if (close(fd) != 0 && status == REJECTD_OK) {
        status = fail("written", errno, error);
    }
    return status;
}

enum rejectd_status scratch_open(const struct scratch *scratch, const char *name, int *fd,
                                 uint64_t *size, struct rejectd_error *error)
{
    const struct scratch_path path = scratch_file(scratch, name);
    struct stat status;
    /* Not blocking, in case that it is a pipe. */
    *fd = open(path.text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd >= 0 && fstat(*fd, &status) == 0 && S_ISREG(status.st_mode)) {
        *size = (uint64_t)status.st_size;
        return REJECTD_OK;
    }
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "a converted file has no %s", name);
}

/* A sink of scratch_pump() in memory. */
static enum rejectd_status take_text(void *context, const void *bytes, size_t count,
                                     struct rejectd_error *error)
{
    char **end = context;
    (void)error;
    memcpy(*end, bytes, count);
    *end += count;
    return REJECTD_OK;
}

enum rejectd_status scratch_read(const struct scratch *scratch, const char *name, size_t most,
                                 char **text, size_t *length, struct rejectd_error *error)
{
    int fd;
    uint64_t size = 0;
    *text = NULL;
    *length = 0;
    enum rejectd_status status = scratch_open(scratch, name, &fd, &size, error);
    if (status != REJECTD_OK) {
        return status;
    }
    if (size > most) {
        status = REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                              "what the file says beside its samples takes %llu bytes; accepted "
                              "are at most %zu",
                              (unsigned long long)size, most);
    } else {
        *text = malloc((size_t)size + 1);
        char *end = *text;
        status = *text == NULL ? REJECTD_FAIL_MEMORY(error, size)
                               : scratch_pump(fd, size, take_text, &end, error);
    }
    close(fd);
    if (status != REJECTD_OK) {
        free(*text);
        *text = NULL;
        return status;
    }
    *length = (size_t)size;
    (*text)[size] = '\0';
    return REJECTD_OK;
}

enum rejectd_status scratch_pump(int fd, uint64_t size,
                                 enum rejectd_status (*take)(void *context, const void *bytes,
                                                             size_t count,
                                                             struct rejectd_error *error),
                                 void *context, struct rejectd_error *error)
{
    enum { PIECE = 256 << 10 };
    char *piece = malloc(PIECE);
    enum rejectd_status status = piece != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(error, PIECE);
    for (uint64_t at = 0; at < size && status == REJECTD_OK;) {
        const size_t wanted = size - at < PIECE ? (size_t)(size - at) : PIECE;
        const ssize_t n = pread(fd, piece, wanted, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            status = REJECTD_FAIL(error, REJECTD_INTERNAL, "", "a converted file is too short");
        } else {
            at += (uint64_t)n;
            status = take(context, piece, (size_t)n, error);
        }
    }
    free(piece);
    return status;
}
