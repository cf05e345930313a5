/*
 * A data directory from a backup. The blobs come first and the store last, by a rename: what an
 * interruption leaves is blobs without a store, which the daemon refuses to start on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/commands/arguments.h"
#include "server/commands/backup.h"
#include "server/commands/manifest.h"
#include "server/config.h"
#include "server/data_dir.h"

static const char usage[] =
    "usage: rejectd restore --from FOLDER [--data-dir DIR]\n"
    "\n"
    "Makes a data directory of a backup. The directory must not be there, or be empty. Everything\n"
    "is compared with the digests of the backup; where something does not fit, nothing is left.\n"
    "\n"
    "--data-dir, --config and $REJECTD_DATA_DIR say where to, as for rejectd.\n";

static const char store_name[] = "store.sqlite", unready_name[] = "store.sqlite.restoring";

struct restore {
    const char *from_path;
    int from; /* -1: not open, as all of these */
    int blobs_from;
    int target;
    int blobs_to;
    bool gives_away; /* what root makes to the owner of the target */
    struct file_owner owner;
    size_t n_copied; /* blobs */
    struct manifest manifest;
};

/* One file, which must be what the manifest says. */
static enum rejectd_status copy(const struct restore *restore, int from, const char *name, int to,
                                const char *target, const struct file_digest *wanted,
                                struct rejectd_error *error)
{
    struct file_digest found;
    enum rejectd_status status = file_copy(
        from, name, to, target, restore->gives_away ? &restore->owner : NULL, &found, error);
    if (status == REJECTD_OK &&
        (found.bytes != wanted->bytes || strcmp(found.sha256, wanted->sha256) != 0)) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "",
                              "the backup is damaged: %.80s does not fit its digest", name);
    }
    return status;
}

static enum rejectd_status copy_all(struct restore *restore, struct rejectd_error *error)
{
    const struct manifest *manifest = &restore->manifest;
    enum rejectd_status status = REJECTD_OK;
    for (size_t i = 0; i < manifest->n_blobs && status == REJECTD_OK; i++) {
        const struct file_digest *blob = &manifest->blobs[i];
        restore->n_copied++;
        status = copy(restore, restore->blobs_from, blob->sha256, restore->blobs_to, blob->sha256,
                      blob, error);
    }
    if (status == REJECTD_OK) {
        status = copy(restore, restore->from, store_name, restore->target, unready_name,
                      &manifest->store, error);
    }
    if (status == REJECTD_OK) {
        status = folder_sync(restore->blobs_to, error);
    }
    if (status == REJECTD_OK && restore->gives_away &&
        fchown(restore->blobs_to, restore->owner.user, restore->owner.group) != 0) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "", "blobs cannot be given away: %s",
                              strerror(errno));
    }
    if (status == REJECTD_OK &&
        renameat(restore->target, unready_name, restore->target, store_name) != 0) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "", "the store cannot be renamed: %s",
                              strerror(errno));
    }
    return status == REJECTD_OK ? folder_sync(restore->target, error) : status;
}

/* What copy_all() made; the directory itself was there, or is left empty. */
static void undo(const struct restore *restore)
{
    for (size_t i = 0; i < restore->n_copied; i++) {
        unlinkat(restore->blobs_to, restore->manifest.blobs[i].sha256, 0);
    }
    if (restore->target >= 0) {
        unlinkat(restore->target, unready_name, 0);
        unlinkat(restore->target, store_name, 0);
        unlinkat(restore->target, "blobs", AT_REMOVEDIR);
    }
}

static enum rejectd_status open_backup(struct restore *restore, struct rejectd_error *error)
{
    enum rejectd_status status =
        folder_open(AT_FDCWD, restore->from_path, false, &restore->from, error);
    if (status == REJECTD_OK) {
        status = manifest_read(restore->from, &restore->manifest, error);
    }
    return status == REJECTD_OK
               ? folder_open(restore->from, "blobs", false, &restore->blobs_from, error)
               : status;
}

static enum rejectd_status open_target(struct restore *restore, const char *data_dir,
                                       struct rejectd_error *error)
{
    bool empty = false;
    struct stat target;
    enum rejectd_status status = folder_is_empty(data_dir, &empty, error);
    if (status == REJECTD_OK && !empty) {
        status =
            REJECTD_FAIL(error, REJECTD_CONFLICT, "data-dir",
                         "data-dir %.200s is there, and not empty; move it away first", data_dir);
    }
    if (status == REJECTD_OK) {
        status = data_dir_take(data_dir, &restore->target, error);
    }
    if (status == REJECTD_OK && fstat(restore->target, &target) != 0) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "data-dir", "data-dir %.200s: %s", data_dir,
                              strerror(errno));
    }
    if (status == REJECTD_OK) {
        restore->owner = (struct file_owner){target.st_uid, target.st_gid};
        restore->gives_away = geteuid() == 0 && target.st_uid != 0;
        status = folder_open(restore->target, "blobs", true, &restore->blobs_to, error);
    }
    return status;
}

static void restore_close(struct restore *restore)
{
    const int folders[] = {restore->from, restore->blobs_from, restore->blobs_to, restore->target};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (folders[i] >= 0) {
            close(folders[i]);
        }
    }
    manifest_clear(&restore->manifest);
}

static enum rejectd_status make(struct restore *restore, const char *data_dir,
                                struct rejectd_error *error)
{
    enum rejectd_status status = open_backup(restore, error);
    if (status == REJECTD_OK) {
        status = open_target(restore, data_dir, error);
        if (status == REJECTD_OK) {
            status = copy_all(restore, error);
        }
        if (status != REJECTD_OK && restore->blobs_to >= 0) {
            undo(restore);
        }
    }
    if (status == REJECTD_OK) {
        printf("%zu files of samples and results are in %s\n", restore->manifest.n_blobs, data_dir);
        if (restore->manifest.n_lacking > 0) {
            printf("%zu that were missing or damaged when the backup was made are not\n",
                   restore->manifest.n_lacking);
        }
    }
    return status;
}

enum rejectd_status restore_command(int argc, char **argv, char *const *environment,
                                    struct rejectd_error *error)
{
    struct config config;
    enum config_action action = CONFIG_RUN;
    struct restore restore = {.from = -1, .blobs_from = -1, .target = -1, .blobs_to = -1};
    restore.from_path = arguments_take(&argc, argv, "--from");
    enum rejectd_status status = config_load(argc, argv, environment, &config, &action, error);
    if (status == REJECTD_OK && action == CONFIG_HELP) {
        fputs(usage, stdout);
        return REJECTD_OK;
    }
    if (status == REJECTD_OK && restore.from_path == NULL) {
        status = REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "from",
                              "rejectd restore needs --from FOLDER");
    }
    if (status == REJECTD_OK) {
        status = make(&restore, config.data_dir, error);
    }
    restore_close(&restore);
    return status;
}
