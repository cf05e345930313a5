#include "client/ctl/job_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/ctl/edited_log.h"
#include "client/ctl/transfer.h"
#include "protocol/json_text.h"
#include "protocol/resource_json.h"

enum { MAX_OPTIONS = 32 };

static const struct job_option common_options[] = {
    {"--metadata", NULL, JOB_METADATA}, {"--name", NULL, JOB_NAME},
    {"--device", NULL, JOB_DEVICE},     {"--priority", NULL, JOB_PRIORITY},
    {"--no-wait", NULL, JOB_NO_WAIT},   {"--fresh", NULL, JOB_FRESH},
};

/* ---- options ---- */

static void begin_member(struct buffer *members, const char *name)
{
    if (members->length > 0)
        buffer_append_text(members, ", ");
    json_append_string(members, name);
    buffer_append_text(members, ": ");
}

/* Whole numbers stay whole: some parameters are. JSON has fewer ways to write the others. */
static void append_number(struct buffer *out, const char *text, double value)
{
    char *end;
    errno = 0;
    const long long whole = strtoll(text, &end, 10);
    if (*end == '\0' && errno == 0)
        buffer_append_format(out, "%lld", whole);
    else
        json_append_double(out, value);
}

/* "a,b,c" as a JSON array; false after a message. */
static bool append_list(struct buffer *out, const struct job_option *option, const char *text)
{
    buffer_append_text(out, "[");
    for (const char *at = text;;) {
        size_t n = strcspn(at, ",");
        char item[128];
        if (n == 0 || n >= sizeof item) {
            ctl_usage("%s: \"%s\" is not a list like a,b,c", option->option, text);
            return false;
        }
        snprintf(item, sizeof item, "%.*s", (int)n, at);
        double value;
        if (option->form == JOB_TEXTS)
            json_append_string(out, item);
        else if (ctl_parse_real(option->option, item, &value))
            append_number(out, item, value);
        else
            return false;
        if (at[n] == '\0')
            break;
        buffer_append_text(out, ", ");
        at += n + 1;
    }
    buffer_append_text(out, "]");
    return true;
}

static bool append_count(struct buffer *out, const struct job_option *option, const char *text)
{
    uint64_t value;
    if (!ctl_parse_count(option->option, text, 0, UINT32_MAX, &value))
        return false;
    buffer_append_format(out, "%llu", (unsigned long long)value);
    return true;
}

static bool append_real(struct buffer *out, const struct job_option *option, const char *text)
{
    double value;
    if (!ctl_parse_real(option->option, text, &value))
        return false;
    json_append_double(out, value);
    return true;
}

static bool append_bool(struct buffer *out, const struct job_option *option, const char *text)
{
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        ctl_usage("%s is \"%s\"; true or false is accepted", option->option, text);
        return false;
    }
    buffer_append_text(out, text);
    return true;
}

static bool append_file(struct buffer *out, const char *path)
{
    size_t length;
    char *text = ctl_read_json(path, &length);
    if (text == NULL)
        return false;
    buffer_append(out, text, length);
    free(text);
    return true;
}

/* A channel in all epochs, or NAME=3,5. The last "=" counts, since names may have one; NAME=all is
 * how to name such a channel in all epochs. */
static bool append_channel(struct job_settings *s, const struct job_option *option,
                           const char *text)
{
    const char *equals = strrchr(text, '=');
    const size_t n = equals == NULL ? strlen(text) : (size_t)(equals - text);
    char name[REJECTD_NAME_SIZE];
    if (n == 0 || n >= sizeof name) {
        ctl_usage("%s: \"%s\" is not a channel like Fz or Fz=3,5", option->option, text);
        return false;
    }
    snprintf(name, sizeof name, "%.*s", (int)n, text);
    begin_member(&s->channels, name);
    if (equals != NULL && strcmp(equals, "=all") != 0)
        return append_list(&s->channels, option, equals + 1);
    json_append_string(&s->channels, "all");
    return true;
}

/* A member of "parameters"; false after a message. */
static bool take_parameter(struct job_settings *s, const struct job_option *option)
{
    begin_member(&s->parameters, option->member);
    switch (option->form) {
    case JOB_NUMBERS:
    case JOB_TEXTS:
        return append_list(&s->parameters, option, optarg);
    case JOB_COUNT:
        return append_count(&s->parameters, option, optarg);
    case JOB_REAL:
        return append_real(&s->parameters, option, optarg);
    case JOB_BOOL:
        return append_bool(&s->parameters, option, optarg);
    case JOB_JSON_FILE:
        return append_file(&s->parameters, optarg);
    default:
        json_append_string(&s->parameters, optarg);
        return true;
    }
}

static bool take_option(struct job_settings *s, const struct job_option *option)
{
    switch (option->form) {
    case JOB_CHANNEL:
        return append_channel(s, option, optarg);
    case JOB_EACH:
        s->each = true;
        return true;
    case JOB_REJECT_LOG:
        s->reject_log = optarg;
        return true;
    case JOB_MODEL:
        s->model = optarg;
        return true;
    case JOB_METADATA:
        s->metadata = optarg;
        return true;
    case JOB_NAME:
        s->name = optarg;
        return true;
    case JOB_TRUTH:
        s->truth = optarg;
        return true;
    case JOB_DEVICE:
        s->device = optarg;
        return true;
    case JOB_PRIORITY:
        return ctl_parse_count(option->option, optarg, 0, 100, &s->priority);
    case JOB_NO_WAIT:
        s->wait = false;
        return true;
    case JOB_FRESH:
        s->fresh = true;
        return true;
    default:
        return take_parameter(s, option);
    }
}

static bool has_value(enum job_form form)
{
    return form != JOB_NO_WAIT && form != JOB_FRESH && form != JOB_EACH;
}

/* All options of the command, its own ones first; a value says which. */
static void fill_options(const struct job_command *job, struct option options[MAX_OPTIONS],
                         const struct job_option *all[MAX_OPTIONS])
{
    static const struct option common[] = {CTL_COMMON_OPTIONS};
    const size_t n_common = sizeof common_options / sizeof common_options[0];
    size_t n = 0;
    for (size_t i = 0; i < job->n_options + n_common; i++, n++) {
        all[n] = i < job->n_options ? &job->options[i] : &common_options[i - job->n_options];
        options[n] = (struct option){
            .name = all[n]->option + strlen("--"),
            .has_arg = has_value(all[n]->form) ? required_argument : no_argument,
            .val = CTL_OPTION_OWN + (int)n,
        };
    }
    memcpy(&options[n], common, sizeof common);
}

/* -1: go on. */
static int take_options(const struct job_command *job, struct ctl *ctl, struct job_settings *s,
                        int argc, char **argv)
{
    struct option options[MAX_OPTIONS] = {{0}};
    const struct job_option *all[MAX_OPTIONS];
    int option, code = -1;
    fill_options(job, options, all);
    while (code < 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!ctl_common_option(ctl, job->command, option, &code) &&
            !take_option(s, all[option - CTL_OPTION_OWN]))
            code = CTL_USAGE;
    if (code < 0 && optind + 1 != argc)
        code = ctl_usage("%s needs one dataset id, file or folder; see rejectctl %s --help",
                         job->command->name, job->command->name);
    if (code < 0 && job->check != NULL && job->check(s) != CTL_OK)
        code = CTL_USAGE;
    s->source = code < 0 ? argv[optind] : NULL;
    return code;
}

/* ---- the job ---- */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int get(struct rejectd_client *client, const char *folder, const char *id, const char *file,
               char **text, size_t *length)
{
    struct buffer path;
    struct rejectd_error error;
    buffer_init(&path, 256);
    buffer_append_format(&path, "%s%s%s", folder, id, file);
    enum rejectd_status status =
        path.failed ? REJECTD_FAIL(&error, REJECTD_INVALID_REQUEST, "", "\"%s\" is no id", id)
                    : rejectd_client_get(client, path.data, text, length, &error);
    buffer_free(&path);
    return status == REJECTD_OK ? CTL_OK : ctl_failure(&error);
}

static int submit(const struct job_command *job, const struct job_settings *s,
                  struct rejectd_client *client, const char *dataset, char id[REJECTD_ID_SIZE])
{
    struct buffer request;
    struct rejectd_error error;
    buffer_init(&request, s->parameters.maximum + s->channels.maximum);
    buffer_append_text(&request, "{\"type\": ");
    json_append_string(&request, job->type);
    buffer_append_text(&request, ", \"dataset\": ");
    json_append_string(&request, dataset);
    if (s->model != NULL) {
        buffer_append_text(&request, ", \"model\": ");
        json_append_string(&request, s->model);
    }
    if (s->device != NULL) {
        buffer_append_text(&request, ", \"device\": ");
        json_append_string(&request, s->device);
    }
    if (s->fresh)
        buffer_append_text(&request, ", \"reuse\": false");
    buffer_append_format(&request, ", \"priority\": %llu, \"parameters\": {",
                         (unsigned long long)s->priority);
    if (s->parameters.length > 0)
        buffer_append(&request, s->parameters.data, s->parameters.length);
    buffer_append_text(&request, "}");
    if (s->each)
        buffer_append_text(&request, ", \"channels\": \"each\"");
    if (s->channels.length > 0) {
        buffer_append_text(&request, ", \"channels\": {");
        buffer_append(&request, s->channels.data, s->channels.length);
        buffer_append_text(&request, "}");
    }
    buffer_append_text(&request, "}");
    enum rejectd_status status =
        request.failed || s->parameters.failed || s->channels.failed
            ? REJECTD_FAIL_MEMORY(&error, request.maximum)
            : rejectd_client_submit(client, request.data, request.length, id, &error);
    buffer_free(&request);
    return status == REJECTD_OK ? CTL_OK : ctl_failure(&error);
}

/* The earlier job whose result it has; "" when it was computed. */
static int find_answer(struct rejectd_client *client, const char *id, char answer[RESOURCE_ID_SIZE])
{
    char *text = NULL;
    size_t length;
    struct job_view job = {0};
    struct rejectd_error error;
    int code = get(client, "/v1/jobs/", id, "", &text, &length);
    if (code == CTL_OK && job_view_from_json(text, length, &job, &error) != REJECTD_OK)
        code = ctl_failure(&error);
    memcpy(answer, job.answered_from, RESOURCE_ID_SIZE);
    job_view_clear(&job);
    free(text);
    return code;
}

static int show_result(const struct ctl *ctl, const struct job_command *job,
                       const struct job_settings *s, struct rejectd_client *client,
                       const char *dataset, const char *id, double seconds)
{
    char *result = NULL, *description = NULL;
    struct job_outcome outcome = {.settings = s, .seconds = seconds};
    char answer[RESOURCE_ID_SIZE] = "";
    int code = find_answer(client, id, answer);
    const bool answered = answer[0] != '\0';
    if (code == CTL_OK)
        code = get(client, "/v1/jobs/", id, "/result", &result, &outcome.result_length);
    if (code == CTL_OK && ctl->json) {
        printf(
            "{\"dataset\": \"%s\", \"job\": \"%s\", \"answered_from\": %s%s%s, \"result\": %s}\n",
            dataset, id, answered ? "\"" : "", answered ? answer : "null", answered ? "\"" : "",
            result);
    } else if (code == CTL_OK) {
        code = get(client, "/v1/datasets/", dataset, "", &description, &outcome.dataset_length);
        outcome.result = result;
        outcome.dataset = description;
        if (code == CTL_OK) {
            printf("dataset %s, job %s%s%s\n\n", dataset, id, answered ? ", answered from " : "",
                   answer);
            code = job->show(&outcome) ? CTL_OK : CTL_USAGE;
        }
    }
    free(result);
    free(description);
    return code;
}

/* Adds the reject log to the parameters, in the order of the dataset's channels. */
static int add_log(struct job_settings *s, struct rejectd_client *client,
                   const struct edited_log *log, const char *dataset)
{
    char *description = NULL;
    size_t length;
    int code = get(client, "/v1/datasets/", dataset, "", &description, &length);
    if (code == CTL_OK) {
        begin_member(&s->parameters, "reject_log");
        code = edited_log_append(log, dataset, description, length, &s->parameters);
    }
    free(description);
    return code;
}

static int run_on_server(const struct job_command *job, struct ctl *ctl, struct job_settings *s,
                         struct rejectd_client *client, const struct edited_log *log)
{
    char dataset[REJECTD_ID_SIZE], id[REJECTD_ID_SIZE];
    const double start = now();
    const struct transfer_source source = {
        .path = s->source, .metadata = s->metadata, .name = s->name};
    const bool is_there = ctl_is_id("ds_", s->source);
    int code = CTL_OK;
    if (is_there)
        snprintf(dataset, sizeof dataset, "%s", s->source);
    else
        code = transfer_upload(ctl, client, &source, dataset);
    if (code != CTL_OK)
        return code;
    if (log->names != NULL)
        code = add_log(s, client, log, dataset);
    if (code == CTL_OK)
        code = submit(job, s, client, dataset, id);
    if (code != CTL_OK && !is_there)
        fprintf(stderr, "rejectctl: %s is there as dataset %s, which rejectctl %s takes, too.\n",
                s->source, dataset, job->command->name);
    if (code == CTL_OK && !s->wait) {
        printf(ctl->json ? "{\"dataset\": \"%s\", \"job\": \"%s\"}\n" : "dataset %s, job %s\n",
               dataset, id);
        return CTL_OK;
    }
    if (code == CTL_OK)
        code = transfer_follow(ctl, client, id, true);
    return code == CTL_OK ? show_result(ctl, job, s, client, dataset, id, now() - start) : code;
}

int job_run(const struct job_command *job, struct ctl *ctl, int argc, char **argv)
{
    struct job_settings s = {.wait = true};
    struct edited_log log = {0};
    struct rejectd_client *client = NULL;
    struct rejectd_error error;
    buffer_init(&s.parameters, (size_t)1 << 30);
    buffer_init(&s.channels, (size_t)32 << 20);
    int code = take_options(job, ctl, &s, argc, argv);
    if (code < 0) {
        /* A log that cannot be read is known before anything is uploaded. */
        code = s.reject_log != NULL ? edited_log_read(s.reject_log, &log) : CTL_OK;
        if (code == CTL_OK && ctl_open_client(ctl, &client, &error) != REJECTD_OK)
            code = ctl_failure(&error);
        if (code == CTL_OK)
            code = run_on_server(job, ctl, &s, client, &log);
    }
    rejectd_client_close(client);
    edited_log_clear(&log);
    buffer_free(&s.parameters);
    buffer_free(&s.channels);
    return code;
}
