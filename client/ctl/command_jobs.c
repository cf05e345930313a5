/* status, cancel and download. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/bar.h"
#include "client/ctl/ctl.h"
#include "protocol/resource_json.h"

/* Takes the options that every command has and checks the number of arguments. -1: go on. */
static int take_common(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv,
                       int least, int most)
{
    static const struct option options[] = {CTL_COMMON_OPTIONS};
    int option, code;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (ctl_common_option(ctl, command, option, &code) && code >= 0)
            return code;
    if (argc - optind < least || argc - optind > most)
        return ctl_usage("wrong number of arguments; see rejectctl %s --help", command->name);
    return -1;
}

static void print_job(const struct job_view *job)
{
    printf("%s  %-6s %-10s %3.0f %%  dataset %s", job->id, job_type_name(job->type),
           job_state_name(job->state), 100.0 * job->fraction, job->dataset);
    if (job->position >= 0)
        printf("  %ld before it", job->position);
    if (job->state == JOB_STATE_RUNNING && job->stage[0] != '\0')
        printf("  %s", job->stage);
    if (job->state == JOB_STATE_FAILED)
        printf("  %s", job->error.message);
    putchar('\n');
}

/* The text of a resource, or a list of jobs, as people read it; JSON where there is no better. */
static bool print_readable(const char *id, const char *text, size_t length)
{
    struct rejectd_error error;
    if (id == NULL) {
        struct job_view *jobs;
        size_t n;
        if (job_list_from_json(text, length, &jobs, &n, &error) != REJECTD_OK)
            return false;
        for (size_t i = 0; i < n; i++)
            print_job(&jobs[i]);
        if (n == 0)
            printf("no jobs\n");
        job_list_free(jobs, n);
        return true;
    }
    if (strncmp(id, "jb_", 3) != 0)
        return false;
    struct job_view job = {0};
    if (job_view_from_json(text, length, &job, &error) != REJECTD_OK)
        return false;
    print_job(&job);
    job_view_clear(&job);
    return true;
}

/* Path of the resource that an id names; false after a message. */
static bool resource_path(const char *id, char path[128])
{
    static const struct {
        const char *prefix, *collection;
    } kinds[] = {{"jb_", "jobs"}, {"ds_", "datasets"}, {"md_", "models"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncmp(id, kinds[i].prefix, 3) == 0 && strlen(id) < REJECTD_ID_SIZE &&
            strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(id)) {
            snprintf(path, 128, "/v1/%s/%s", kinds[i].collection, id);
            return true;
        }
    ctl_usage("\"%s\" is not an id: jb_..., ds_... or md_... is accepted", id);
    return false;
}

static int run_status(struct ctl *ctl, int argc, char **argv)
{
    int code = take_common(ctl, &ctl_status, argc, argv, 0, 1);
    if (code >= 0)
        return code;
    const char *id = optind < argc ? argv[optind] : NULL;
    char path[128] = "/v1/jobs";
    if (id != NULL && !resource_path(id, path))
        return CTL_USAGE;
    struct rejectd_client *client;
    struct rejectd_error error;
    char *text = NULL;
    size_t length;
    enum rejectd_status status = rejectd_client_open(ctl->server, &client, &error);
    if (status == REJECTD_OK)
        status = rejectd_client_get(client, path, &text, &length, &error);
    if (status == REJECTD_OK && (ctl->json || !print_readable(id, text, length)))
        printf("%s\n", text);
    free(text);
    rejectd_client_close(client);
    return status == REJECTD_OK ? CTL_OK : ctl_failure(&error);
}

static int run_cancel(struct ctl *ctl, int argc, char **argv)
{
    int code = take_common(ctl, &ctl_cancel, argc, argv, 1, 1);
    if (code >= 0)
        return code;
    struct rejectd_client *client;
    struct rejectd_error error;
    char path[128];
    if (strncmp(argv[optind], "jb_", 3) != 0 || !resource_path(argv[optind], path))
        return ctl_usage("cancel needs the id of a job, jb_...");
    enum rejectd_status status = rejectd_client_open(ctl->server, &client, &error);
    if (status == REJECTD_OK)
        status = rejectd_client_cancel(client, argv[optind], &error);
    rejectd_client_close(client);
    if (status != REJECTD_OK)
        return ctl_failure(&error);
    printf(ctl->json ? "{\"job\": \"%s\", \"cancelled\": true}\n" : "%s is being cancelled\n",
           argv[optind]);
    return CTL_OK;
}

static bool show_download(void *context, uint64_t done, uint64_t total)
{
    bar_update(context, "downloading", (double)done / (double)total);
    return true;
}

/* Downloads into a temporary file beside the target and renames it: no half file is ever seen. */
static int download_to(const struct ctl *ctl, struct rejectd_client *client, const char *path,
                       const char *target)
{
    struct rejectd_error error;
    struct bar bar;
    char temporary[1024];
    const bool to_stdout = strcmp(target, "-") == 0;
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.part", target) >= sizeof temporary)
        return ctl_usage("%s: the name is too long", target);
    int file =
        to_stdout ? STDOUT_FILENO : open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0)
        return ctl_usage("%s: %s", temporary, strerror(errno));
    bar_begin(&bar, ctl->bar && !to_stdout);
    const struct rejectd_transfer transfer = {show_download, &bar};
    enum rejectd_status status =
        rejectd_client_download(client, path, file, &transfer, NULL, &error);
    bar_end(&bar);
    if (to_stdout)
        return status == REJECTD_OK ? CTL_OK : ctl_failure(&error);
    const bool closed = close(file) == 0;
    if (status != REJECTD_OK) {
        unlink(temporary);
        return ctl_failure(&error);
    }
    if (!closed || rename(temporary, target) != 0)
        return ctl_usage("%s: %s", target, strerror(errno));
    return CTL_OK;
}

static int run_download(struct ctl *ctl, int argc, char **argv)
{
    static const struct {
        const char *what, *path;
    } files[] = {
        {"result", "result"}, {"labels", "result/labels.npy"}, {"cleaned", "result/cleaned.npy"}};
    int code = take_common(ctl, &ctl_download, argc, argv, 3, 3);
    if (code >= 0)
        return code;
    const char *id = argv[optind], *what = argv[optind + 1], *target = argv[optind + 2];
    char resource[128], path[192] = "";
    if (strncmp(id, "jb_", 3) != 0 || !resource_path(id, resource))
        return ctl_usage("download needs the id of a job, jb_...");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(what, files[i].what) == 0)
            snprintf(path, sizeof path, "%s/%s", resource, files[i].path);
    if (path[0] == '\0')
        return ctl_usage("\"%s\" cannot be downloaded; result, labels or cleaned can", what);
    struct rejectd_client *client;
    struct rejectd_error error;
    if (rejectd_client_open(ctl->server, &client, &error) != REJECTD_OK)
        return ctl_failure(&error);
    code = download_to(ctl, client, path, target);
    rejectd_client_close(client);
    return code;
}

const struct ctl_command ctl_status = {
    .name = "status",
    .summary = "show a job, dataset or model, or all jobs",
    .help = "usage: rejectctl status [ID]\n\n"
            "Without an id: the jobs, newest first. --json prints what the server says.\n\n"
            "example:\n"
            "  rejectctl status jb_abc\n",
    .run = run_status,
};

const struct ctl_command ctl_cancel = {
    .name = "cancel",
    .summary = "cancel a queued or running job",
    .help = "usage: rejectctl cancel JOB\n\n"
            "example:\n"
            "  rejectctl cancel jb_abc\n",
    .run = run_cancel,
};

const struct ctl_command ctl_download = {
    .name = "download",
    .summary = "save a job's result, labels or cleaned epochs",
    .help = "usage: rejectctl download JOB result|labels|cleaned FILE\n\n"
            "result is JSON, labels and cleaned are .npy. FILE - is standard output. The file\n"
            "appears under its name only when it is complete.\n\n"
            "examples:\n"
            "  rejectctl download jb_abc cleaned sub-01-cleaned.npy\n"
            "  rejectctl download jb_abc result - | jq .bad_epochs\n",
    .run = run_download,
};
