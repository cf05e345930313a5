/* What a backup has: manifest.json, written last, so that a folder without it is none. */
#ifndef SERVER_COMMANDS_MANIFEST_H
#define SERVER_COMMANDS_MANIFEST_H

#include <stddef.h>

#include "server/commands/files.h"

#define MANIFEST_NAME "manifest.json"

struct manifest {
    struct file_digest store;  /* store.sqlite */
    struct file_digest *blobs; /* [n_blobs], owned; each is the file blobs/<sha256> */
    size_t n_blobs;
    size_t n_lacking; /* blobs that the store refers to and that could not be had */
};
void manifest_clear(struct manifest *manifest); /* all-zero is allowed */

/* Adds a blob; false without memory. */
bool manifest_add(struct manifest *manifest, const struct file_digest *blob);

enum rejectd_status manifest_write(const struct manifest *manifest, int directory,
                                   struct rejectd_error *error);
/* INVALID_VALUE when it is none, or of a later format. What it names are digests for sure, not
 * paths. manifest_clear() in any case. */
enum rejectd_status manifest_read(int directory, struct manifest *manifest,
                                  struct rejectd_error *error);
/* The same of its text. */
enum rejectd_status manifest_parse(const char *text, size_t length, struct manifest *manifest,
                                   struct rejectd_error *error);

#endif
