#include "server/commands/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/blobs/blobs.h"
#include "server/config.h"
#include "server/data_dir.h"
#include "server/store/sqlite.h"

static const char usage[] =
    "usage: rejectd check [--data-dir DIR]\n"
    "\n"
    "Reads everything that the store refers to, compares it with its digest, and lists what is\n"
    "missing or damaged; the exit status is 1 then. Changes nothing. The daemon must not run.\n"
    "--data-dir, --config and $REJECTD_DATA_DIR say which data, as for rejectd.\n";

struct check {
    struct blobs *blobs;
    char last[SHA256_TEXT_SIZE]; /* references to the same blob follow each other */
    struct rejectd_error last_error;
    enum rejectd_status last_status;
    size_t n_blobs;
    size_t n_references;
    size_t n_bad; /* references */
};

static void look_at(void *context, const char *sha256, const char *holder)
{
    struct check *check = context;
    if (strcmp(check->last, sha256) != 0) {
        snprintf(check->last, sizeof check->last, "%s", sha256);
        check->last_status = blobs_check(check->blobs, sha256, &check->last_error);
        check->n_blobs++;
    }
    check->n_references++;
    if (check->last_status != REJECTD_OK) {
        check->n_bad++;
        printf("%s: %s\n", holder, check->last_error.message);
    }
}

static enum rejectd_status check_directory(const char *data_dir, struct rejectd_error *error)
{
    char path[CONFIG_TEXT_SIZE + 32];
    struct store *store = NULL;
    struct check check = {0};
    struct stat found;
    int lock = -1;
    if (stat(data_dir, &found) != 0) {
        return REJECTD_FAIL(error, REJECTD_STORAGE, "data-dir", "data-dir %.200s: %s", data_dir,
                            strerror(errno));
    }
    enum rejectd_status status = data_dir_become_owner(data_dir, error);
    if (status == REJECTD_OK) {
        status = data_dir_take(data_dir, &lock, error);
    }
    if (status == REJECTD_OK) {
        status = data_dir_open_store(data_dir, &store, error);
    }
    if (status == REJECTD_OK) {
        snprintf(path, sizeof path, "%s/blobs", data_dir);
        status = blobs_open(path, &check.blobs, error);
    }
    if (status == REJECTD_OK) {
        status = store->functions->blob_visit(store, look_at, &check, error);
    }
    if (status == REJECTD_OK) {
        printf("%zu files, %zu references, %zu damaged\n", check.n_blobs, check.n_references,
               check.n_bad);
    }
    if (status == REJECTD_OK && check.n_bad > 0) {
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "", "data in %.200s are damaged", data_dir);
    }
    blobs_close(check.blobs);
    if (store != NULL) {
        store->functions->close(store);
    }
    if (lock >= 0) {
        close(lock);
    }
    return status;
}

enum rejectd_status check_command(int argc, char **argv, char *const *environment,
                                  struct rejectd_error *error)
{
    struct config config;
    enum config_action action = CONFIG_RUN;
    const enum rejectd_status status =
        config_load(argc, argv, environment, &config, &action, error);
    if (status != REJECTD_OK) {
        return status;
    }
    if (action == CONFIG_HELP) {
        fputs(usage, stdout);
        return REJECTD_OK;
    }
    return check_directory(config.data_dir, error);
}
