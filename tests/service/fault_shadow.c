#define _GNU_SOURCE
#include "fault_shadow.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_KNOWN = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int shadow_fd = -1;
static ino_t known[MOST_KNOWN];
static size_t n_known;

/* Holds on to an inode, so that its number stays its own. Such a descriptor has no locks that its
 * closing could drop. */
static void keep(int directory, const char *name, ino_t inode)
{
    for (size_t i = 0; i < n_known; i++) {
        if (known[i] == inode) {
            return;
        }
    }
    const int held = (int)syscall(SYS_openat, directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (held >= 0 && n_known < MOST_KNOWN) {
        known[n_known++] = inode;
    }
}

static void keep_fd(int fd, ino_t inode)
{
    char link[64];
    char path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    keep(AT_FDCWD, path, inode);
}

static int begin_entry(void)
{
    return (int)syscall(SYS_openat, shadow_fd, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                        0600);
}

/* Whole or not at all: the process may be killed at any moment. */
static void end_entry(int entry, const char *kind, ino_t inode)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%llu", kind, (unsigned long long)inode);
    syscall(SYS_close, entry);
    syscall(SYS_renameat, shadow_fd, "new", shadow_fd, name);
}

static void record_file(int fd, ino_t inode)
{
    static char piece[1 << 16];
    const int entry = begin_entry();
    off_t at = 0;
    ssize_t n;
    int from = fd;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        from = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    }
    while ((n = syscall(SYS_pread64, from, piece, sizeof piece, at)) > 0) {
        syscall(SYS_write, entry, piece, (size_t)n);
        at += n;
    }
    if (from != fd) {
        syscall(SYS_close, from);
    }
    end_entry(entry, "file", inode);
}

static void record_directory(int fd, ino_t inode)
{
    const int entry = begin_entry();
    const int again = (int)syscall(SYS_openat, fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *directory = again < 0 ? NULL : fdopendir(again);
    const struct dirent *found;
    while (directory != NULL && (found = readdir(directory)) != NULL) {
        char line[320];
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) {
            continue;
        }
        keep(fd, found->d_name, found->d_ino);
        const int length = snprintf(line, sizeof line, "%llu %s\n",
                                    (unsigned long long)found->d_ino, found->d_name);
        syscall(SYS_write, entry, line, (size_t)length);
    }
    if (directory != NULL) {
        closedir(directory);
    }
    end_entry(entry, "dir", inode);
}

static bool record(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return false;
    }
    keep_fd(fd, status.st_ino);
    if (S_ISDIR(status.st_mode)) {
        record_directory(fd, status.st_ino);
        return true;
    }
    record_file(fd, status.st_ino);
    return false;
}

/* All that is there already, which nobody has locked yet. */
static void record_tree(int parent, const char *name)
{
    const int fd = (int)syscall(SYS_openat, parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd >= 0 && record(fd)) {
        const int again = (int)syscall(SYS_openat, fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        DIR *directory = again < 0 ? NULL : fdopendir(again);
        const struct dirent *found;
        while (directory != NULL && (found = readdir(directory)) != NULL) {
            if (found->d_name[0] != '.') {
                record_tree(fd, found->d_name);
            }
        }
        if (directory != NULL) {
            closedir(directory);
        }
    }
    if (fd >= 0) {
        syscall(SYS_close, fd);
    }
}

void shadow_begin(const char *folder, const char *shadow)
{
    struct stat status;
    char text[32];
    shadow_fd = (int)syscall(SYS_openat, AT_FDCWD, shadow, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (shadow_fd < 0 || stat(folder, &status) != 0) {
        return;
    }
    const int root =
        (int)syscall(SYS_openat, shadow_fd, "root", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const int length = snprintf(text, sizeof text, "%llu", (unsigned long long)status.st_ino);
    syscall(SYS_write, root, text, (size_t)length);
    syscall(SYS_close, root);
    record_tree(AT_FDCWD, folder);
}

void shadow_synced(int fd)
{
    const int before = errno;
    if (shadow_fd >= 0) {
        pthread_mutex_lock(&lock);
        record(fd);
        pthread_mutex_unlock(&lock);
    }
    errno = before;
}
