/* status, watch and cancel. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/transfer.h"
#include "protocol/resource_json.h"

static void print_job(const struct job_view *job)
{
    printf("%s  %-17s %-10s %3.0f %%  dataset %s", job->id, job_type_name(job->type),
           job_state_name(job->state), 100.0 * job->fraction, job->dataset);
    if (job->position >= 0)
        printf("  %ld before it", job->position);
    if (job->estimated_start[0] != '\0')
        printf("  starts about %s", job->estimated_start);
    if (job->state == JOB_STATE_RUNNING && job->stage[0] != '\0')
        printf("  %s", job->stage);
    if (job->seconds_left > 0.0)
        printf("  %.0f s left", job->seconds_left);
    if (job->answered_from[0] != '\0')
        printf("  answered from %s", job->answered_from);
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

/* id NULL: all jobs. */
static int print_resource(const struct ctl *ctl, const char *id, const char *path)
{
    char *text = NULL;
    size_t length;
    const int code = ctl_get(ctl, path, &text, &length);
    if (code != CTL_OK)
        return code;
    if (ctl->json || !print_readable(id, text, length))
        printf("%s\n", text);
    free(text);
    return CTL_OK;
}

static int run_status(struct ctl *ctl, int argc, char **argv)
{
    const int code = ctl_take_common(ctl, &ctl_status, argc, argv, 0, 1);
    if (code >= 0)
        return code;
    const char *id = optind < argc ? argv[optind] : NULL;
    char path[128] = "/v1/jobs";
    if (id != NULL && !ctl_resource_path(id, path))
        return CTL_USAGE;
    return print_resource(ctl, id, path);
}

static int run_watch(struct ctl *ctl, int argc, char **argv)
{
    int code = ctl_take_common(ctl, &ctl_watch, argc, argv, 1, 1);
    if (code >= 0)
        return code;
    struct rejectd_client *client;
    struct rejectd_error error;
    const char *id = argv[optind];
    char path[128];
    if (strncmp(id, "jb_", 3) != 0 || !ctl_resource_path(id, path))
        return ctl_usage("watch needs the id of a job, jb_...");
    if (ctl_open_client(ctl, &client, &error) != REJECTD_OK)
        return ctl_failure(&error);
    code = transfer_follow(ctl, client, id, false);
    rejectd_client_close(client);
    return code == CTL_OK ? print_resource(ctl, id, path) : code;
}

static int run_cancel(struct ctl *ctl, int argc, char **argv)
{
    int code = ctl_take_common(ctl, &ctl_cancel, argc, argv, 1, 1);
    if (code >= 0)
        return code;
    struct rejectd_client *client;
    struct rejectd_error error;
    char path[128];
    if (strncmp(argv[optind], "jb_", 3) != 0 || !ctl_resource_path(argv[optind], path))
        return ctl_usage("cancel needs the id of a job, jb_...");
    enum rejectd_status status = ctl_open_client(ctl, &client, &error);
    if (status == REJECTD_OK)
        status = rejectd_client_cancel(client, argv[optind], &error);
    rejectd_client_close(client);
    if (status != REJECTD_OK)
        return ctl_failure(&error);
    printf(ctl->json ? "{\"job\": \"%s\", \"cancelled\": true}\n" : "%s is being cancelled\n",
           argv[optind]);
    return CTL_OK;
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

const struct ctl_command ctl_watch = {
    .name = "watch",
    .summary = "follow a job until it has ended",
    .help = "usage: rejectctl watch JOB\n\n"
            "Shows how far it is, on a terminal. Interrupted, it leaves the job alone.\n\n"
            "example:\n"
            "  rejectctl watch jb_abc\n",
    .run = run_watch,
};

const struct ctl_command ctl_cancel = {
    .name = "cancel",
    .summary = "cancel a queued or running job",
    .help = "usage: rejectctl cancel JOB\n\n"
            "example:\n"
            "  rejectctl cancel jb_abc\n",
    .run = run_cancel,
};
