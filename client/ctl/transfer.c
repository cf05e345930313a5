#include "client/ctl/transfer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/ctl/bar.h"

/* Set by the handler of SIGINT; the only thing it may touch. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool show_upload(void *context, uint64_t done, uint64_t total)
{
    bar_update(context, "uploading", (double)done / (double)total);
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
static int send_pair(struct ctl *ctl, struct rejectd_client *client, const char *metadata,
                     const char *samples, char id[REJECTD_ID_SIZE])
{
    int code = send_dataset(client, metadata, id);
    if (code != CTL_OK)
        return code;
    struct rejectd_error error;
    struct bar bar;
    bar_begin(&bar, ctl->bar);
    const struct rejectd_transfer transfer = {show_upload, &bar};
    enum rejectd_status status =
        rejectd_client_upload_samples(client, id, samples, &transfer, &error);
    bar_end(&bar);
    if (status == REJECTD_OK)
        return CTL_OK;
    struct rejectd_error ignored;
    rejectd_client_delete_dataset(client, id, &ignored);
    return ctl_failure_of(samples, &error);
}

int transfer_upload(struct ctl *ctl, struct rejectd_client *client, const char *source,
                    const char *metadata, char id[REJECTD_ID_SIZE])
{
    struct stat about;
    if (strcmp(source, "-") != 0 && stat(source, &about) != 0)
        return ctl_usage("%s: %s", source, strerror(errno));
    if (strcmp(source, "-") != 0 && S_ISDIR(about.st_mode)) {
        char json[1024], npy[1024];
        snprintf(json, sizeof json, "%s/dataset.json", source);
        snprintf(npy, sizeof npy, "%s/epochs.npy", source);
        return send_pair(ctl, client, metadata != NULL ? metadata : json, npy, id);
    }
    if (ends_with(source, ".npy")) {
        if (metadata == NULL)
            return ctl_usage("%s needs --metadata FILE: a JSON file with sfreq and channels",
                             source);
        return send_pair(ctl, client, metadata, source, id);
    }
    return send_dataset(client, source, id);
}

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

int transfer_follow(struct ctl *ctl, struct rejectd_client *client, const char *id)
{
    struct rejectd_job_status status = {0};
    struct rejectd_error error;
    struct bar bar;
    /* With a bar the wait is short, so that it moves; without, as long as the server allows. */
    const double patience = ctl->bar ? 0.2 : 30.0;
    signal(SIGINT, on_interrupt);
    bar_begin(&bar, ctl->bar);
    for (;;) {
        enum rejectd_status result = rejectd_client_wait(client, id, patience, &status, &error);
        if (interrupted) {
            bar_end(&bar);
            fprintf(stderr,
                    "rejectctl: stopped waiting; job %s goes on. rejectctl status %s tells how "
                    "far it is, rejectctl cancel %s ends it.\n",
                    id, id, id);
            return CTL_JOB_FAILED;
        }
        if (result != REJECTD_OK) {
            bar_end(&bar);
            return ctl_failure(&error);
        }
        if (status.state != REJECTD_JOB_QUEUED && status.state != REJECTD_JOB_RUNNING)
            break;
        show_status(&bar, &status);
    }
    bar_end(&bar);
    return ended(id, &status);
}
