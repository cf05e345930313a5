/* Files of a backup: copied or linked, and read whole in any case, so that their digests are known.
 * Internal to the commands. */
#ifndef SERVER_COMMANDS_FILES_H
#define SERVER_COMMANDS_FILES_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <sys/types.h>

#include "server/blobs/sha256.h"

struct file_digest {
    char sha256[SHA256_TEXT_SIZE];
    uint64_t bytes;
};

/* To whom a file is given that root makes for another one. */
struct file_owner {
    uid_t user;
    gid_t group;
};

/* Directories are open descriptors, names are relative to them. NOT_FOUND when there is no such
 * file, STORAGE_FULL or STORAGE for what else the disk says. */

/* Reads a file. */
enum rejectd_status file_digest_read(int directory, const char *name, struct file_digest *digest,
                                     struct rejectd_error *error);

/* Makes a durable copy, of which nothing is left after an error. CONFLICT when the target is there.
 * The directory is not synced. owner: NULL keeps the caller's. */
enum rejectd_status file_copy(int from, const char *name, int to, const char *target,
                              const struct file_owner *owner, struct file_digest *digest,
                              struct rejectd_error *error);

/* The same by a second name for the same file, where the file system can do that. */
enum rejectd_status file_link(int from, const char *name, int to, const char *target,
                              struct file_digest *digest, struct rejectd_error *error);

/* A durable file of these bytes. */
enum rejectd_status file_put(int directory, const char *name, const void *bytes, size_t count,
                             struct rejectd_error *error);

/* Opens a directory below another one (AT_FDCWD for paths), first making it if `make`. Below
 * another one a symbolic link is none: whoever owns that one could point it anywhere. */
enum rejectd_status folder_open(int parent, const char *name, bool make, int *directory,
                                struct rejectd_error *error);
/* *empty is also true when there is no such directory. */
enum rejectd_status folder_is_empty(const char *path, bool *empty, struct rejectd_error *error);
enum rejectd_status folder_sync(int directory, struct rejectd_error *error);

#endif
