#include "client/ctl/transfer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl/bar.h"

/* How to go on with what breaks off; the handler of SIGINT says it, too. */
static char advice[512];

/* At once, whatever the server does. */
static void on_interrupt(int number)
{
    const ssize_t ignored = write(STDERR_FILENO, advice, strlen(advice));
    (void)ignored;
    signal(number, SIG_DFL);
    raise(number);
}

static void advise(const char *path, const char *id)
{
    snprintf(advice, sizeof advice,
             "\nrejectctl: dataset %s keeps what has come; rejectctl upload %.300s --into %s goes "
             "on.\n",
             id, path, id);
    signal(SIGINT, on_interrupt);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

struct upload_bar {
    struct bar bar;
    char what[32];
};

static bool show_upload(void *context, uint64_t done, uint64_t total)
{
    struct upload_bar *shown = context;
    bar_update(&shown->bar, shown->what, (double)done / (double)total);
    return true;
}

static int send_dataset(struct rejectd_client *client, const char *path, char id[REJECTD_ID_SIZE])
{
    size_t length;
    struct rejectd_error error;
    char *text = ctl_read_file(path, &length);
    if (text == NULL)
        return CTL_USAGE;
    enum rejectd_status status = rejectd_client_create_dataset(client, text, length, id, &error);
    free(text);
    return status == REJECTD_OK ? CTL_OK : ctl_failure_of(path, &error);
}

/* Sends metadata, then samples; a dataset whose samples are refused is of no use, and deleted. */
static int send_pair(struct ctl *ctl, struct rejectd_client *client,
                     const struct transfer_source *source, const char *metadata,
                     const char *samples, char id[REJECTD_ID_SIZE])
{
    int code = CTL_OK;
    if (source->into != NULL)
        snprintf(id, REJECTD_ID_SIZE, "%s", source->into);
    else
        code = send_dataset(client, metadata, id);
    if (code != CTL_OK)
        return code;
    const bool may_go_on = !source->no_resume && !source->compress;
    if (may_go_on)
        advise(source->path, id);
    struct rejectd_error error;
    struct upload_bar shown = {.what = "uploading"};
    bar_begin(&shown.bar, ctl->bar);
    const double retry =
        source->retry_seconds > 0 ? (double)source->retry_seconds : CTL_RETRY_SECONDS;
    const struct rejectd_transfer transfer = {
        .report = show_upload,
        .context = &shown,
        .retry_seconds = source->no_resume ? 0.0 : retry,
        .compress = source->compress,
        .goes_on = source->into != NULL,
    };
    enum rejectd_status status =
        rejectd_client_upload_samples(client, id, samples, &transfer, &error);
    signal(SIGINT, SIG_DFL);
    bar_end(&shown.bar);
    if (status == REJECTD_OK)
        return CTL_OK;
    struct rejectd_error ignored;
    code = ctl_failure_of(samples, &error);
    if (may_go_on && (status == REJECTD_IO || status == REJECTD_UNAVAILABLE))
        fputs(advice + 1, stderr);
    else if (source->into == NULL)
        rejectd_client_delete_dataset(client, id, &ignored);
    return code;
}

/* ---- files that are sent as they are ---- */

/* FIF, gzip, zip (.npz), MAT and HDF5 (.set) files, by name or first bytes; what is in them the
 * server finds out. */
static bool is_whole_file(const char *path)
{
    static const char *const ends[] = {".fif", ".fif.gz", ".npz", ".set"};
    static const struct {
        const char *bytes;
        size_t length;
    } starts[] = {
        {"\0\0\0\x64", 4}, {"\x1f\x8b", 2}, {"PK\x03\x04", 4}, {"MATL", 4}, {"\x89HDF", 4}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (ends_with(path, ends[i]))
            return true;
    char first[4] = "";
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    const size_t n = fread(first, 1, sizeof first, file);
    fclose(file);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (n >= starts[i].length && memcmp(first, starts[i].bytes, starts[i].length) == 0)
            return true;
    return false;
}

/* A .set that was renamed has its .fdt, which was renamed with it, under its own name. */
static bool find_fdt(const char *before, char *next, size_t size, struct stat *about)
{
    char renamed[4096];
    if (!ends_with(next, ".fdt") || !ends_with(before, ".set") ||
        (size_t)snprintf(renamed, sizeof renamed, "%.*s.fdt", (int)strlen(before) - 4, before) >=
            size ||
        stat(renamed, about) != 0)
        return false;
    memcpy(next, renamed, strlen(renamed) + 1);
    return true;
}

/* The file that must follow, in the folder of the one before it. The name comes from inside a file
 * that someone else may have made: folders in it are dropped. False after a message. */
static bool find_next_part(const char *before, const char *named, char *next, size_t size)
{
    const char *name = named, *slash = strrchr(before, '/');
    for (const char *at = named; *at != '\0'; at++)
        if (*at == '/' || *at == '\\')
            name = at + 1;
    const int folder = slash == NULL ? 0 : (int)(slash + 1 - before);
    struct stat about;
    if (name[0] == '\0' || (size_t)snprintf(next, size, "%.*s%s", folder, before, name) >= size) {
        ctl_usage("%s: names \"%s\" as its next part, which is no file name", before, named);
        return false;
    }
    if ((stat(next, &about) != 0 && !find_fdt(before, next, size, &about)) ||
        !S_ISREG(about.st_mode)) {
        ctl_usage("%s: the next part of the recording, named by %s, is not there", next, before);
        return false;
    }
    return true;
}

/* Posts a file and all that it says must follow. A dataset that stays incomplete is deleted. */
static int send_files(struct ctl *ctl, struct rejectd_client *client,
                      const struct transfer_source *source, char id[REJECTD_ID_SIZE])
{
    char path[4096];
    struct rejectd_error error;
    struct rejectd_uploaded uploaded = {0};
    if ((size_t)snprintf(path, sizeof path, "%s", source->path) >= sizeof path)
        return ctl_usage("%s: the name is too long", source->path);
    int code = CTL_OK;
    for (size_t part = 1;; part++) {
        struct upload_bar shown = {.what = "uploading"};
        if (part > 1)
            snprintf(shown.what, sizeof shown.what, "part %zu", part);
        bar_begin(&shown.bar, ctl->bar);
        const struct rejectd_transfer transfer = {
            .report = show_upload, .context = &shown, .compress = source->compress};
        const bool first = part == 1;
        enum rejectd_status status =
            rejectd_client_upload_file(client, first ? NULL : id, first ? source->name : NULL, path,
                                       &transfer, &uploaded, &error);
        bar_end(&shown.bar);
        if (status != REJECTD_OK)
            code = ctl_failure_of(path, &error);
        else if (first)
            memcpy(id, uploaded.id, sizeof uploaded.id);
        if (code != CTL_OK || uploaded.next_part[0] == '\0')
            break;
        char next[sizeof path];
        if (!find_next_part(path, uploaded.next_part, next, sizeof next)) {
            code = CTL_USAGE;
            break;
        }
        memcpy(path, next, sizeof path);
    }
    if (code != CTL_OK && uploaded.id[0] != '\0')
        rejectd_client_delete_dataset(client, id, &error);
    return code;
}

int transfer_upload(struct ctl *ctl, struct rejectd_client *client,
                    const struct transfer_source *source, char id[REJECTD_ID_SIZE])
{
    struct stat about;
    const char *path = source->path, *metadata = source->metadata;
    const bool from_stdin = strcmp(path, "-") == 0;
    if (!from_stdin && stat(path, &about) != 0)
        return ctl_usage("%s: %s", path, strerror(errno));
    const bool is_folder = !from_stdin && S_ISDIR(about.st_mode);
    const bool is_npy = !is_folder && ends_with(path, ".npy");
    if (!from_stdin && S_ISREG(about.st_mode) && !is_npy && is_whole_file(path)) {
        if (metadata != NULL)
            return ctl_usage("%s: --metadata is for .npy files and folders only", path);
        if (source->into != NULL)
            return ctl_usage("%s: --into is for .npy files and folders only", path);
        return send_files(ctl, client, source, id);
    }
    if (source->name != NULL)
        return ctl_usage("%s: --name is for FIF, .set and .npz files only; JSON has a \"name\"",
                         path);
    if (is_folder) {
        char json[1024], npy[1024];
        snprintf(json, sizeof json, "%s/dataset.json", path);
        snprintf(npy, sizeof npy, "%s/epochs.npy", path);
        return send_pair(ctl, client, source, metadata != NULL ? metadata : json, npy, id);
    }
    if (is_npy) {
        if (metadata == NULL && source->into == NULL)
            return ctl_usage("%s needs --metadata FILE: a JSON file with sfreq and channels", path);
        return send_pair(ctl, client, source, metadata, path, id);
    }
    if (source->into != NULL)
        return ctl_usage("%s: --into is for .npy files and folders only", path);
    return send_dataset(client, path, id);
}

int transfer_upload_model(struct ctl *ctl, struct rejectd_client *client, const char *path,
                          char id[REJECTD_ID_SIZE])
{
    struct rejectd_error error;
    struct upload_bar shown = {.what = "uploading"};
    bar_begin(&shown.bar, ctl->bar);
    const struct rejectd_transfer transfer = {.report = show_upload, .context = &shown};
    enum rejectd_status status = rejectd_client_upload_model(client, path, &transfer, id, &error);
    bar_end(&shown.bar);
    return status == REJECTD_OK ? CTL_OK : ctl_failure_of(path, &error);
}

/* ---- following a job ---- */

static void show_status(struct bar *bar, const struct rejectd_job_status *status)
{
    char note[64];
    if (status->state == REJECTD_JOB_QUEUED && status->position > 0) {
        snprintf(note, sizeof note, "queued, %ld before it", status->position);
        bar_note(bar, note);
    } else if (status->state == REJECTD_JOB_RUNNING) {
        bar_update(bar, status->stage[0] != '\0' ? status->stage : "starting", status->fraction);
    }
}

static int ended(const char *id, const struct rejectd_job_status *status)
{
    switch (status->state) {
    case REJECTD_JOB_SUCCEEDED:
        return CTL_OK;
    case REJECTD_JOB_CANCELLED:
        fprintf(stderr, "rejectctl: job %s was cancelled\n", id);
        return CTL_JOB_FAILED;
    default:
        fprintf(stderr, "rejectctl: job %s failed: %s\n", id, status->error.message);
        return CTL_JOB_FAILED;
    }
}

static bool goes_on(const struct rejectd_job_status *status)
{
    return status->state == REJECTD_JOB_QUEUED || status->state == REJECTD_JOB_RUNNING;
}

/* Looks at the job until it has ended; a server that stops, and is started anew, has it still. */
static enum rejectd_status wait_for(const struct ctl *ctl, struct rejectd_client *client,
                                    const char *id, bool answered, struct bar *bar,
                                    struct rejectd_job_status *status, struct rejectd_error *error)
{
    /* With a bar the wait is short, so that it moves; without, as long as the server allows. */
    const double patience = ctl->bar ? 0.2 : 30.0;
    int tries_left = answered ? CTL_RETRY_SECONDS : 0;
    for (;;) {
        const enum rejectd_status result = rejectd_client_wait(client, id, patience, status, error);
        const bool may_pass = result == REJECTD_IO || result == REJECTD_UNAVAILABLE;
        if (result != REJECTD_OK && (!may_pass || tries_left == 0))
            return result;
        if (result == REJECTD_OK && !goes_on(status))
            return REJECTD_OK;
        if (result == REJECTD_OK) {
            show_status(bar, status);
            tries_left = CTL_RETRY_SECONDS;
        } else {
            bar_note(bar, "waiting for the server");
            sleep(1);
            tries_left--;
        }
    }
}

int transfer_follow(struct ctl *ctl, struct rejectd_client *client, const char *id, bool answered)
{
    struct rejectd_job_status status = {0};
    struct rejectd_error error;
    struct bar bar;
    snprintf(advice, sizeof advice,
             "%srejectctl: stopped waiting; job %s goes on. rejectctl watch %s waits again, "
             "rejectctl cancel %s ends it.\n",
             ctl->bar ? "\n" : "", id, id, id);
    signal(SIGINT, on_interrupt);
    bar_begin(&bar, ctl->bar);
    const enum rejectd_status result = wait_for(ctl, client, id, answered, &bar, &status, &error);
    bar_end(&bar);
    signal(SIGINT, SIG_DFL);
    if (result == REJECTD_OK)
        return ended(id, &status);
    const int code = ctl_failure(&error);
    if (code == CTL_UNREACHABLE)
        fprintf(stderr, "rejectctl: job %s stays; rejectctl watch %s waits for it.\n", id, id);
    return code;
}
