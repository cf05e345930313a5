/*
 * A backup beside the running daemon.
 *
 * The store is copied as it is at one moment; then every blob that the copy refers to is linked (or
 * copied) and read. A blob may be gone by then, because its dataset was deleted after that moment:
 * then the store is copied again, and only what is new in it has to be fetched. What two copies
 * refer to and neither finds is really missing.
 *
 * A link costs no room, and is safe from the daemon, which never writes into a blob that has its
 * name. It is not safe from the disk: both are the same bytes.
 */
#include "server/commands/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/commands/arguments.h"
#include "server/commands/manifest.h"
#include "server/config.h"
#include "server/data_dir.h"
#include "server/store/store.h"

static const char usage[] =
    "usage: rejectd backup --to FOLDER [--copy] [--data-dir DIR]\n"
    "\n"
    "Puts all datasets, jobs, results, models and tokens, as they are at one moment, into a new\n"
    "folder. The daemon may go on meanwhile. Everything is read and compared with its digest; "
    "what\n"
    "is missing or damaged is listed, left out, and makes the exit status 1.\n"
    "\n"
    "  --to FOLDER   where; must not be there, or be empty\n"
    "  --copy        copies samples and results also where they could be linked, on the same disk\n"
    "\n"
    "--data-dir, --config and $REJECTD_DATA_DIR say which data, as for rejectd.\n";

enum {
    MOST_ROUNDS = 100,
    PATH_SIZE = CONFIG_TEXT_SIZE + 32,
};

struct backup {
    const char *data_dir;
    const char *to;
    bool copies;
    int target;     /* the folder; -1: not open, as all of these */
    int blobs_from; /* of the data directory */
    int blobs_to;
    struct manifest manifest;
    char last[SHA256_TEXT_SIZE]; /* references to the same blob follow each other */
    size_t n_missing;            /* in this round */
    size_t n_lost;               /* of them, those that were missing in the round before */
    struct missing {
        char sha256[SHA256_TEXT_SIZE];
        bool damaged;
    } * missing; /* [n_missing_before] of the round before, sorted; owned */
    size_t n_missing_before;
    struct missing *now; /* [n_missing], owned */
    enum rejectd_status status;
    struct rejectd_error *error;
};

static int compare_missing(const void *one, const void *two)
{
    return strcmp(((const struct missing *)one)->sha256, ((const struct missing *)two)->sha256);
}

static int compare_digests(const void *one, const void *two)
{
    return strcmp(((const struct file_digest *)one)->sha256,
                  ((const struct file_digest *)two)->sha256);
}

static void note_missing(struct backup *backup, const char *sha256, bool damaged)
{
    struct missing key = {.damaged = damaged};
    memcpy(key.sha256, sha256, sizeof key.sha256);
    struct missing *grown = realloc(backup->now, (backup->n_missing + 1) * sizeof *backup->now);
    if (grown == NULL) {
        backup->status = REJECTD_FAIL_MEMORY(backup->error, sizeof key);
        return;
    }
    backup->now = grown;
    backup->now[backup->n_missing++] = key;
    const bool before =
        backup->n_missing_before > 0 && bsearch(&key, backup->missing, backup->n_missing_before,
                                                sizeof key, compare_missing) != NULL;
    backup->n_lost += before || damaged;
}

/* The blob is in the folder afterwards, or noted as missing. */
static void fetch(struct backup *backup, const char *sha256, const char *holder)
{
    struct file_digest digest;
    struct rejectd_error error = {0};
    if (!sha256_is_text(sha256)) {
        printf("%s: its content is named by no digest\n", holder);
        note_missing(backup, sha256, true);
        return;
    }
    enum rejectd_status status =
        backup->copies
            ? file_copy(backup->blobs_from, sha256, backup->blobs_to, sha256, NULL, &digest, &error)
            : file_link(backup->blobs_from, sha256, backup->blobs_to, sha256, &digest, &error);
    if (status == REJECTD_CONFLICT) { /* of the round before */
        return;
    }
    if (status == REJECTD_STORAGE_FULL || status == REJECTD_OUT_OF_MEMORY) {
        *backup->error = error;
        backup->status = status;
        return;
    }
    const bool damaged = status == REJECTD_OK && strcmp(digest.sha256, sha256) != 0;
    if (status == REJECTD_OK && !damaged) {
        if (!manifest_add(&backup->manifest, &digest)) {
            backup->status = REJECTD_FAIL_MEMORY(backup->error, sizeof digest);
        }
        return;
    }
    unlinkat(backup->blobs_to, sha256, 0);
    if (status != REJECTD_NOT_FOUND) {
        printf("%s: %s\n", holder, damaged ? "its content does not fit its digest" : error.message);
    }
    note_missing(backup, sha256, status != REJECTD_NOT_FOUND);
}

static void visit(void *context, const char *sha256, const char *holder)
{
    struct backup *backup = context;
    if (backup->status == REJECTD_OK && strcmp(backup->last, sha256) != 0) {
        snprintf(backup->last, sizeof backup->last, "%s", sha256);
        fetch(backup, sha256, holder);
    }
}

static enum rejectd_status copy_store(struct backup *backup, const char *path,
                                      struct rejectd_error *error)
{
    char from[PATH_SIZE];
    snprintf(from, sizeof from, "%s/store.sqlite", backup->data_dir);
    if (unlinkat(backup->target, "store.sqlite", 0) != 0 && errno != ENOENT) {
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "%.200s cannot be replaced: %s", path,
                            strerror(errno));
    }
    return store_sqlite_copy(from, path, error);
}

/* Copies the store and fetches what it refers to; *whole is false when another round is needed. */
static enum rejectd_status make_round(struct backup *backup, bool *whole,
                                      struct rejectd_error *error)
{
    char path[PATH_SIZE];
    struct store *store = NULL;
    snprintf(path, sizeof path, "%s/store.sqlite", backup->to);
    free(backup->missing);
    backup->missing = backup->now;
    backup->n_missing_before = backup->n_missing;
    if (backup->n_missing_before > 0) {
        qsort(backup->missing, backup->n_missing_before, sizeof *backup->missing, compare_missing);
    }
    backup->now = NULL;
    backup->n_missing = backup->n_lost = 0;
    backup->last[0] = '\0';
    enum rejectd_status status = copy_store(backup, path, error);
    if (status == REJECTD_OK) {
        status = store_sqlite_open(path, &store, error);
    }
    if (status == REJECTD_OK) {
        status = store->functions->blob_visit(store, visit, backup, error);
        store->functions->close(store);
    }
    if (status == REJECTD_OK) {
        status = backup->status;
    }
    *whole = backup->n_missing == backup->n_lost;
    return status;
}

/* Blobs of earlier rounds that the last one does not refer to any more. */
static enum rejectd_status drop_unneeded(struct backup *backup, struct rejectd_error *error)
{
    char path[PATH_SIZE];
    struct store *store = NULL;
    struct manifest *manifest = &backup->manifest;
    size_t n_kept = 0;
    snprintf(path, sizeof path, "%s/store.sqlite", backup->to);
    const enum rejectd_status status = store_sqlite_open(path, &store, error);
    if (status != REJECTD_OK) {
        return status;
    }
    for (size_t i = 0; i < manifest->n_blobs; i++) {
        if (store->functions->blob_is_needed(store, manifest->blobs[i].sha256)) {
            manifest->blobs[n_kept++] = manifest->blobs[i];
        } else {
            unlinkat(backup->blobs_to, manifest->blobs[i].sha256, 0);
        }
    }
    manifest->n_blobs = n_kept;
    store->functions->close(store);
    return REJECTD_OK;
}

static enum rejectd_status finish(struct backup *backup, struct rejectd_error *error)
{
    struct manifest *manifest = &backup->manifest;
    uint64_t bytes = 0;
    enum rejectd_status status = drop_unneeded(backup, error);
    if (status == REJECTD_OK) {
        status = file_digest_read(backup->target, "store.sqlite", &manifest->store, error);
    }
    if (status == REJECTD_OK) {
        status = folder_sync(backup->blobs_to, error);
    }
    if (status == REJECTD_OK) {
        status = folder_sync(backup->target, error);
    }
    if (status == REJECTD_OK) {
        manifest->n_lacking = backup->n_lost;
        if (manifest->n_blobs > 0) {
            qsort(manifest->blobs, manifest->n_blobs, sizeof *manifest->blobs, compare_digests);
        }
        status = manifest_write(manifest, backup->target, error);
    }
    if (status == REJECTD_OK) {
        status = folder_sync(backup->target, error);
    }
    for (size_t i = 0; i < manifest->n_blobs; i++) {
        bytes += manifest->blobs[i].bytes;
    }
    if (status == REJECTD_OK) {
        printf("%zu files of samples and results, %llu bytes, are in %s\n", manifest->n_blobs,
               (unsigned long long)bytes, backup->to);
    }
    if (status == REJECTD_OK && backup->n_lost > 0) {
        status =
            REJECTD_FAIL(error, REJECTD_STORAGE, "",
                         "the backup is made, but lacks %zu files that are missing or damaged; "
                         "rejectd check tells whose they are",
                         backup->n_lost);
    }
    return status;
}

static enum rejectd_status open_folders(struct backup *backup, struct rejectd_error *error)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/blobs", backup->data_dir);
    enum rejectd_status status = folder_open(AT_FDCWD, path, false, &backup->blobs_from, error);
    if (status == REJECTD_OK) {
        status = folder_open(AT_FDCWD, backup->to, true, &backup->target, error);
    }
    if (status == REJECTD_OK) {
        status = folder_open(backup->target, "blobs", true, &backup->blobs_to, error);
    }
    return status;
}

/* Root makes the folder for the user whose data it gets, and then becomes that user. */
static enum rejectd_status make_target(const struct backup *backup, struct rejectd_error *error)
{
    struct stat owner;
    bool empty = false;
    enum rejectd_status status = folder_is_empty(backup->to, &empty, error);
    if (status == REJECTD_OK && !empty) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "to", "%.200s is there, and not empty",
                              backup->to);
    }
    if (status == REJECTD_OK && stat(backup->data_dir, &owner) != 0) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "data-dir", "data-dir %.200s: %s",
                              backup->data_dir, strerror(errno));
    }
    if (status == REJECTD_OK && mkdir(backup->to, 0700) != 0 && errno != EEXIST) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "to", "%.200s cannot be made: %s", backup->to,
                              strerror(errno));
    }
    if (status == REJECTD_OK && geteuid() == 0 &&
        chown(backup->to, owner.st_uid, owner.st_gid) != 0) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "to", "%.200s cannot be given away: %s",
                              backup->to, strerror(errno));
    }
    return status == REJECTD_OK ? data_dir_become_owner(backup->data_dir, error) : status;
}

static enum rejectd_status make(struct backup *backup, struct rejectd_error *error)
{
    bool whole = false;
    enum rejectd_status status = make_target(backup, error);
    if (status == REJECTD_OK) {
        status = data_dir_check_store(backup->data_dir, error);
    }
    if (status == REJECTD_OK) {
        status = open_folders(backup, error);
    }
    for (int i = 0; i < MOST_ROUNDS && status == REJECTD_OK && !whole; i++) {
        status = make_round(backup, &whole, error);
    }
    if (status == REJECTD_OK && !whole) {
        status =
            REJECTD_FAIL(error, REJECTD_STORAGE, "",
                         "datasets are deleted faster than they can be saved; try again later");
    }
    return status == REJECTD_OK ? finish(backup, error) : status;
}

enum rejectd_status backup_command(int argc, char **argv, char *const *environment,
                                   struct rejectd_error *error)
{
    struct config config;
    enum config_action action = CONFIG_RUN;
    struct backup backup = {.target = -1, .blobs_from = -1, .blobs_to = -1, .error = error};
    backup.to = arguments_take(&argc, argv, "--to");
    backup.copies = arguments_take_flag(&argc, argv, "--copy");
    enum rejectd_status status = config_load(argc, argv, environment, &config, &action, error);
    if (status == REJECTD_OK && action == CONFIG_HELP) {
        fputs(usage, stdout);
        return REJECTD_OK;
    }
    if (status == REJECTD_OK && (backup.to == NULL || strlen(backup.to) >= CONFIG_TEXT_SIZE)) {
        status = REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "to",
                              "rejectd backup needs --to FOLDER, of less than %d bytes",
                              CONFIG_TEXT_SIZE);
    }
    if (status == REJECTD_OK) {
        backup.data_dir = config.data_dir;
        status = make(&backup, error);
    }
    const int folders[] = {backup.target, backup.blobs_from, backup.blobs_to};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (folders[i] >= 0) {
            close(folders[i]);
        }
    }
    free(backup.missing);
    free(backup.now);
    manifest_clear(&backup.manifest);
    return status;
}
