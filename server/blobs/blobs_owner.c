/*
 * Blobs and the store that knows them say that they belong together: the store has an identity,
 * and the directory a file with it. Beside any other store, a new one above all, every blob would
 * be one that nobody refers to, and be swept.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "server/blobs/blobs_private.h"

static const char owner_name[] = "store-id", new_name[] = BLOBS_TEMPORARY_PREFIX "store-id";

enum { MOST_IDENTITY = 64 };

/* "" when there is no such file, or nothing in it. */
static enum rejectd_status read_owner(struct blobs *blobs, char owner[MOST_IDENTITY + 1],
                                      struct rejectd_error *error)
{
    owner[0] = '\0';
    const int fd = openat(blobs->directory, owner_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? REJECTD_OK : blobs_fail(blobs, "the owner", "", errno, error);
    }
    const ssize_t n = read(fd, owner, MOST_IDENTITY);
    const int number = errno;
    close(fd);
    if (n < 0) {
        owner[0] = '\0';
        return blobs_fail(blobs, "the owner", "", number, error);
    }
    owner[n] = '\0';
    return REJECTD_OK;
}

static enum rejectd_status write_owner(struct blobs *blobs, const char *identity,
                                       struct rejectd_error *error)
{
    const int fd =
        openat(blobs->directory, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const ssize_t length = (ssize_t)strlen(identity);
    const bool written = fd >= 0 && write(fd, identity, (size_t)length) == length && fsync(fd) == 0;
    const int number = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (!written) {
        return blobs_fail(blobs, "the noting of the owner", "", number, error);
    }
    if (renameat(blobs->directory, new_name, blobs->directory, owner_name) != 0) {
        return blobs_fail(blobs, "the noting of the owner", "", errno, error);
    }
    return blobs_sync(blobs, error);
}

/* What a directory without owner, of an older version or a restored backup, has. */
static enum rejectd_status look_at_blobs(struct blobs *blobs,
                                         bool (*needed)(void *context, const char *sha256),
                                         void *context, bool *any, bool *any_needed,
                                         struct rejectd_error *error)
{
    DIR *directory;
    const enum rejectd_status status = blobs_list(blobs, &directory, error);
    if (status != REJECTD_OK) {
        return status;
    }
    const struct dirent *entry;
    *any = *any_needed = false;
    while (!*any_needed && (entry = readdir(directory)) != NULL) {
        if (sha256_is_text(entry->d_name)) {
            *any = true;
            *any_needed = needed(context, entry->d_name);
        }
    }
    closedir(directory);
    return REJECTD_OK;
}

enum rejectd_status blobs_claim(struct blobs *blobs, const char *identity,
                                bool (*needed)(void *context, const char *sha256), void *context,
                                struct rejectd_error *error)
{
    char owner[MOST_IDENTITY + 1];
    bool any = false, any_needed = false;
    enum rejectd_status status = read_owner(blobs, owner, error);
    if (status != REJECTD_OK || strcmp(owner, identity) == 0) {
        return status;
    }
    if (owner[0] == '\0') {
        status = look_at_blobs(blobs, needed, context, &any, &any_needed, error);
        if (status != REJECTD_OK || any_needed || !any) {
            return status == REJECTD_OK ? write_owner(blobs, identity, error) : status;
        }
    }
    return REJECTD_FAIL(error, REJECTD_STORAGE, "data-dir",
                        "the samples and results in blobs belong to another store than "
                        "store.sqlite, which would have them removed; restore the store that "
                        "belongs to them from a backup");
}
