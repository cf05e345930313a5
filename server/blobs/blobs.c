/*
 * The directory of blobs: <sha256 in hex> for what is published, tmp-<random> for what is being
 * written, partial-<id> for what comes in pieces (blob_writer.c). A crash leaves temporary files
 * and, between the publication of a blob and the commit that refers to it, unreferenced ones; both
 * are swept at the next start.
 */
#define _GNU_SOURCE /* O_TMPFILE */
#include "server/blobs/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "server/blobs/blobs_private.h"

enum rejectd_status blobs_fail(struct blobs *blobs, const char *what, const char *name, int number,
                               struct rejectd_error *error)
{
    atomic_fetch_add_explicit(&blobs->n_errors, 1, memory_order_relaxed);
    const bool full = number == ENOSPC || number == EDQUOT;
    return REJECTD_FAIL(error, full ? REJECTD_STORAGE_FULL : REJECTD_STORAGE, "",
                        "%s of blob %.80s failed: %s", what, name, strerror(number));
}

enum rejectd_status blobs_open(const char *directory, struct blobs **blobs,
                               struct rejectd_error *error)
{
    *blobs = NULL;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "%.200s cannot be made: %s", directory,
                            strerror(errno));
    }
    struct blobs *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (made->directory < 0) {
        const int number = errno;
        free(made);
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "%.200s cannot be opened: %s", directory,
                            strerror(number));
    }
    pthread_mutex_init(&made->lock, NULL);
    pthread_mutex_init(&made->verified_lock, NULL);
    *blobs = made;
    return REJECTD_OK;
}

void blobs_close(struct blobs *blobs)
{
    if (blobs != NULL) {
        close(blobs->directory);
        pthread_mutex_destroy(&blobs->lock);
        pthread_mutex_destroy(&blobs->verified_lock);
        free(blobs);
    }
}

void blobs_lock(struct blobs *blobs)
{
    pthread_mutex_lock(&blobs->lock);
}

void blobs_unlock(struct blobs *blobs)
{
    pthread_mutex_unlock(&blobs->lock);
}

enum rejectd_status blobs_sync(struct blobs *blobs, struct rejectd_error *error)
{
    if (fsync(blobs->directory) != 0) {
        return blobs_fail(blobs, "the directory", "", errno, error);
    }
    return REJECTD_OK;
}

enum rejectd_status blobs_open_scratch(struct blobs *blobs, int *fd, struct rejectd_error *error)
{
    *fd = openat(blobs->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return *fd >= 0 ? REJECTD_OK : blobs_fail(blobs, "the making", "", errno, error);
}

enum rejectd_status blobs_open_file(struct blobs *blobs, const char *sha256, int *fd,
                                    uint64_t *size, struct rejectd_error *error)
{
    struct stat status;
    /* The store of a backup may say anything. */
    if (!sha256_is_text(sha256)) {
        *fd = -1;
        return blobs_fail(blobs, "the opening", sha256, EINVAL, error);
    }
    *fd = openat(blobs->directory, sha256, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0) {
        return blobs_fail(blobs, "the opening", sha256, errno, error);
    }
    if (fstat(*fd, &status) != 0) {
        const int number = errno;
        close(*fd);
        *fd = -1;
        return blobs_fail(blobs, "the reading", sha256, number, error);
    }
    *size = (uint64_t)status.st_size;
    return REJECTD_OK;
}

enum rejectd_status blobs_map(struct blobs *blobs, const char *sha256, size_t size,
                              struct blob_map *map, struct rejectd_error *error)
{
    int fd;
    uint64_t found;
    *map = (struct blob_map){0};
    enum rejectd_status status = blobs_verify(blobs, sha256, error);
    if (status == REJECTD_OK) {
        status = blobs_open_file(blobs, sha256, &fd, &found, error);
    }
    if (status != REJECTD_OK) {
        return status;
    }
    if (found != size) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "", "blob %s has %llu bytes instead of %zu",
                              sha256, (unsigned long long)found, size);
    } else if (size > 0) {
        void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            status = blobs_fail(blobs, "the mapping", sha256, errno, error);
        } else {
            map->data = data;
            map->size = size;
        }
    }
    close(fd);
    return status;
}

void blobs_unmap(struct blob_map *map)
{
    if (map->data != NULL) {
        /* munmap() takes what mmap() gave; the const is the promise to readers. */
        union {
            const void *constant;
            void *plain;
        } address = {.constant = map->data};
        munmap(address.plain, map->size);
    }
    *map = (struct blob_map){0};
}

void blobs_remove(struct blobs *blobs, const char *sha256)
{
    struct stat status;
    const bool known = sha256_is_text(sha256) &&
                       fstatat(blobs->directory, sha256, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (known && unlinkat(blobs->directory, sha256, 0) == 0) {
        atomic_fetch_sub(&blobs->bytes, (long long)status.st_size);
        atomic_fetch_sub(&blobs->n_blobs, 1);
    }
}

static void count_blob(struct blobs *blobs, const char *sha256)
{
    struct stat status;
    if (fstatat(blobs->directory, sha256, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        atomic_fetch_add(&blobs->bytes, (long long)status.st_size);
        atomic_fetch_add(&blobs->n_blobs, 1);
    }
}

void blobs_look(struct blobs *blobs, struct blobs_usage *usage)
{
    struct statvfs disk;
    *usage = (struct blobs_usage){
        .n_errors = atomic_load(&blobs->n_errors),
        .bytes = (uint64_t)atomic_load(&blobs->bytes),
        .n_blobs = (uint64_t)atomic_load(&blobs->n_blobs),
        .has_disk = fstatvfs(blobs->directory, &disk) == 0,
    };
    if (usage->has_disk) {
        usage->disk_free = (uint64_t)disk.f_bavail * disk.f_frsize;
        usage->disk_size = (uint64_t)disk.f_blocks * disk.f_frsize;
    }
}

void blobs_partial_name(const char *id, char out[BLOBS_PARTIAL_NAME_SIZE])
{
    snprintf(out, BLOBS_PARTIAL_NAME_SIZE, BLOBS_PARTIAL_PREFIX "%s", id);
}

const char *blobs_partial_id(const char *name)
{
    const size_t prefix = strlen(BLOBS_PARTIAL_PREFIX);
    return strncmp(name, BLOBS_PARTIAL_PREFIX, prefix) == 0 ? name + prefix : NULL;
}

bool blobs_partial_has(struct blobs *blobs, const char *id, uint64_t bytes)
{
    struct stat status;
    char name[BLOBS_PARTIAL_NAME_SIZE];
    blobs_partial_name(id, name);
    return fstatat(blobs->directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(status.st_mode) && (uint64_t)status.st_size >= bytes;
}

void blobs_partial_remove(struct blobs *blobs, const char *id)
{
    char name[BLOBS_PARTIAL_NAME_SIZE];
    blobs_partial_name(id, name);
    unlinkat(blobs->directory, name, 0);
}

enum rejectd_status blobs_list(struct blobs *blobs, DIR **directory, struct rejectd_error *error)
{
    const int fd = openat(blobs->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *directory = fd < 0 ? NULL : fdopendir(fd);
    if (*directory == NULL) {
        const int number = errno;
        if (fd >= 0) {
            close(fd);
        }
        return blobs_fail(blobs, "the listing", "", number, error);
    }
    return REJECTD_OK;
}

enum rejectd_status blobs_sweep(struct blobs *blobs,
                                bool (*needed)(void *context, const char *sha256), void *context,
                                size_t *n_removed, struct rejectd_error *error)
{
    size_t count = 0;
    DIR *directory;
    const enum rejectd_status status = blobs_list(blobs, &directory, error);
    if (status != REJECTD_OK) {
        return status;
    }
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        const char *name = entry->d_name;
        const bool temporary =
            strncmp(name, BLOBS_TEMPORARY_PREFIX, strlen(BLOBS_TEMPORARY_PREFIX)) == 0;
        /* Files that are none of ours are left alone. */
        const bool named = sha256_is_text(name) || blobs_partial_id(name) != NULL;
        if (temporary || (named && !needed(context, name))) {
            count += unlinkat(blobs->directory, name, 0) == 0;
        } else if (sha256_is_text(name)) {
            count_blob(blobs, name);
        }
    }
    closedir(directory);
    if (n_removed != NULL) {
        *n_removed = count;
    }
    return REJECTD_OK;
}
