/*
 * Disks forget and lie: a blob is read whole and compared with its name before it is first used.
 * It is read, not mapped: an error of the disk is then an error, not a signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/blobs/blobs_private.h"

enum { READ_BYTES = 1 << 20 };

static bool is_verified(struct blobs *blobs, const char *sha256)
{
    bool found = false;
    pthread_mutex_lock(&blobs->verified_lock);
    for (size_t i = 0; i < BLOBS_MOST_VERIFIED && !found; i++) {
        found = memcmp(blobs->verified[i], sha256, SHA256_TEXT_SIZE) == 0;
    }
    pthread_mutex_unlock(&blobs->verified_lock);
    return found;
}

void blobs_note_verified(struct blobs *blobs, const char *sha256)
{
    if (is_verified(blobs, sha256)) {
        return;
    }
    pthread_mutex_lock(&blobs->verified_lock);
    memcpy(blobs->verified[blobs->next_verified], sha256, SHA256_TEXT_SIZE);
    blobs->next_verified = (blobs->next_verified + 1) % BLOBS_MOST_VERIFIED;
    pthread_mutex_unlock(&blobs->verified_lock);
}

static enum rejectd_status hash_file(struct blobs *blobs, int fd, const char *name,
                                     char sha256[SHA256_TEXT_SIZE], struct rejectd_error *error)
{
    struct sha256 hash;
    unsigned char *bytes = malloc(READ_BYTES);
    ssize_t n;
    int number = 0;
    if (bytes == NULL) {
        return REJECTD_FAIL_MEMORY(error, READ_BYTES);
    }
    sha256_init(&hash);
    do {
        n = read(fd, bytes, READ_BYTES);
        if (n > 0) {
            sha256_update(&hash, bytes, (size_t)n);
        } else if (n < 0 && errno != EINTR) {
            number = errno;
        }
    } while (n > 0 || (n < 0 && number == 0));
    sha256_final(&hash, sha256);
    free(bytes);
    return number == 0 ? REJECTD_OK : blobs_fail(blobs, "the reading", name, number, error);
}

/* Unless the name has another file by now, published since this one was opened. */
static enum rejectd_status quarantine(struct blobs *blobs, const char *sha256, int fd,
                                      struct rejectd_error *error)
{
    static const char folder[] = "../quarantine/";
    char target[sizeof folder + SHA256_TEXT_SIZE];
    struct stat opened;
    struct stat named;
    int number = 0;
    memcpy(target, folder, sizeof folder - 1);
    memcpy(target + sizeof folder - 1, sha256, SHA256_TEXT_SIZE);
    blobs_lock(blobs);
    if (fstat(fd, &opened) == 0 && fstatat(blobs->directory, sha256, &named, 0) == 0 &&
        opened.st_ino == named.st_ino) {
        mkdirat(blobs->directory, "../quarantine", 0700);
        number = renameat(blobs->directory, sha256, blobs->directory, target) == 0 ? 0 : errno;
        if (number == 0) {
            atomic_fetch_sub(&blobs->bytes, (long long)named.st_size);
            atomic_fetch_sub(&blobs->n_blobs, 1);
        }
    }
    blobs_unlock(blobs);
    atomic_fetch_add(&blobs->n_errors, 1);
    return REJECTD_FAIL(error, REJECTD_STORAGE, "", "blob %.64s has another content; %s%s", sha256,
                        number == 0 ? "it is in quarantine now"
                                    : "it cannot be moved to quarantine: ",
                        number == 0 ? "" : strerror(number));
}

enum rejectd_status blobs_check(struct blobs *blobs, const char *sha256,
                                struct rejectd_error *error)
{
    int fd;
    uint64_t size;
    char found[SHA256_TEXT_SIZE];
    enum rejectd_status status = blobs_open_file(blobs, sha256, &fd, &size, error);
    if (status != REJECTD_OK) {
        return status;
    }
    status = hash_file(blobs, fd, sha256, found, error);
    if (status == REJECTD_OK && memcmp(found, sha256, SHA256_TEXT_SIZE) != 0) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "", "blob %.64s has another content", sha256);
    }
    close(fd);
    return status;
}

enum rejectd_status blobs_verify(struct blobs *blobs, const char *sha256,
                                 struct rejectd_error *error)
{
    int fd;
    uint64_t size;
    char found[SHA256_TEXT_SIZE];
    if (is_verified(blobs, sha256)) {
        return REJECTD_OK;
    }
    enum rejectd_status status = blobs_open_file(blobs, sha256, &fd, &size, error);
    if (status != REJECTD_OK) {
        return status;
    }
    status = hash_file(blobs, fd, sha256, found, error);
    if (status == REJECTD_OK && memcmp(found, sha256, SHA256_TEXT_SIZE) != 0) {
        status = quarantine(blobs, sha256, fd, error);
    } else if (status == REJECTD_OK) {
        blobs_note_verified(blobs, sha256);
    }
    close(fd);
    return status;
}
