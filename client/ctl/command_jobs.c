/* status and cancel. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "protocol/resource_json.h"

static void print_job(const struct job_view *job)
{
    printf("%s  %-17s %-10s %3.0f %%  dataset %s", job->id, job_type_name(job->type),
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

static int run_status(struct ctl *ctl, int argc, char **argv)
{
    int code = ctl_take_common(ctl, &ctl_status, argc, argv, 0, 1);
    if (code >= 0)
        return code;
    const char *id = optind < argc ? argv[optind] : NULL;
    char path[128] = "/v1/jobs";
    if (id != NULL && !ctl_resource_path(id, path))
        return CTL_USAGE;
    struct rejectd_client *client;
    struct rejectd_error error;
    char *text = NULL;
    size_t length;
    enum rejectd_status status = ctl_open_client(ctl, &client, &error);
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

const struct ctl_command ctl_cancel = {
    .name = "cancel",
    .summary = "cancel a queued or running job",
    .help = "usage: rejectctl cancel JOB\n\n"
            "example:\n"
            "  rejectctl cancel jb_abc\n",
    .run = run_cancel,
};
