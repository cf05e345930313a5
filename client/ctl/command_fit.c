/* fit and apply: upload if need be, submit, follow, and show the result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buffer.h"
#include "client/ctl/summary.h"
#include "client/ctl/transfer.h"
#include "protocol/json_text.h"

struct settings {
    const struct ctl_command *command;
    const char *source; /* dataset id, file or folder */
    const char *metadata;
    const char *model; /* of apply */
    const char *truth;
    bool wait;
    uint64_t priority;
    struct buffer parameters; /* members of the "parameters" object, comma-separated */
};

enum {
    METADATA = CTL_OPTION_OWN,
    CONSENSUS,
    N_INTERPOLATE,
    CV,
    METHOD,
    RANDOM_STATE,
    PICKS,
    PRECISION,
    THRESHOLDS,
    MODEL,
    TRUTH,
    PRIORITY,
    NO_WAIT,
};

static const struct option fit_options[] = {
    {"metadata", required_argument, NULL, METADATA},
    {"consensus", required_argument, NULL, CONSENSUS},
    {"n-interpolate", required_argument, NULL, N_INTERPOLATE},
    {"cv", required_argument, NULL, CV},
    {"thresh-method", required_argument, NULL, METHOD},
    {"random-state", required_argument, NULL, RANDOM_STATE},
    {"picks", required_argument, NULL, PICKS},
    {"precision", required_argument, NULL, PRECISION},
    {"thresholds", required_argument, NULL, THRESHOLDS},
    {"truth", required_argument, NULL, TRUTH},
    {"priority", required_argument, NULL, PRIORITY},
    {"no-wait", no_argument, NULL, NO_WAIT},
    CTL_COMMON_OPTIONS};

static const struct option apply_options[] = {{"metadata", required_argument, NULL, METADATA},
                                              {"model", required_argument, NULL, MODEL},
                                              {"truth", required_argument, NULL, TRUTH},
                                              {"priority", required_argument, NULL, PRIORITY},
                                              {"no-wait", no_argument, NULL, NO_WAIT},
                                              CTL_COMMON_OPTIONS};

static void begin_member(struct settings *s, const char *name)
{
    if (s->parameters.length > 0)
        buffer_append_text(&s->parameters, ", ");
    json_append_string(&s->parameters, name);
    buffer_append_text(&s->parameters, ": ");
}

/* "a,b,c" as a JSON array of numbers or strings; false after a message. */
static bool append_list(struct settings *s, const char *option, const char *name, const char *text,
                        bool numbers)
{
    begin_member(s, name);
    buffer_append_text(&s->parameters, "[");
    for (const char *at = text;;) {
        size_t n = strcspn(at, ",");
        char item[128];
        if (n == 0 || n >= sizeof item) {
            ctl_usage("%s: \"%s\" is not a list like a,b,c", option, text);
            return false;
        }
        snprintf(item, sizeof item, "%.*s", (int)n, at);
        double value;
        if (numbers && !ctl_parse_real(option, item, &value))
            return false;
        if (numbers)
            buffer_append_text(&s->parameters, item);
        else
            json_append_string(&s->parameters, item);
        if (at[n] == '\0')
            break;
        buffer_append_text(&s->parameters, ", ");
        at += n + 1;
    }
    buffer_append_text(&s->parameters, "]");
    return true;
}

static bool append_count(struct settings *s, const char *option, const char *name, const char *text)
{
    uint64_t value;
    if (!ctl_parse_count(option, text, 0, UINT32_MAX, &value))
        return false;
    begin_member(s, name);
    buffer_append_format(&s->parameters, "%llu", (unsigned long long)value);
    return true;
}

static void append_text(struct settings *s, const char *name, const char *text)
{
    begin_member(s, name);
    json_append_string(&s->parameters, text);
}

static bool append_file(struct settings *s, const char *name, const char *path)
{
    size_t length;
    char *text = ctl_read_file(path, &length);
    if (text == NULL)
        return false;
    begin_member(s, name);
    buffer_append(&s->parameters, text, length);
    free(text);
    return true;
}

/* One option of fit or apply; false after a message. */
static bool take_option(struct settings *s, int option)
{
    switch (option) {
    case CONSENSUS:
        return append_list(s, "--consensus", "consensus", optarg, true);
    case N_INTERPOLATE:
        return append_list(s, "--n-interpolate", "n_interpolate", optarg, true);
    case CV:
        return append_count(s, "--cv", "cv", optarg);
    case METHOD:
        append_text(s, "thresh_method", optarg);
        return true;
    case RANDOM_STATE:
        return append_count(s, "--random-state", "random_state", optarg);
    case PICKS:
        return append_list(s, "--picks", "picks", optarg, false);
    case PRECISION:
        append_text(s, "precision", optarg);
        return true;
    case THRESHOLDS:
        return append_file(s, "thresholds", optarg);
    case METADATA:
        s->metadata = optarg;
        return true;
    case MODEL:
        s->model = optarg;
        return true;
    case TRUTH:
        s->truth = optarg;
        return true;
    case PRIORITY:
        return ctl_parse_count("--priority", optarg, 0, 100, &s->priority);
    default:
        s->wait = false;
        return true;
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int submit(const struct settings *s, struct rejectd_client *client, const char *dataset,
                  char job[REJECTD_ID_SIZE])
{
    struct buffer request;
    struct rejectd_error error;
    buffer_init(&request, (size_t)64 << 20);
    buffer_append_text(&request, "{\"type\": ");
    json_append_string(&request, s->command->name);
    buffer_append_text(&request, ", \"dataset\": ");
    json_append_string(&request, dataset);
    if (s->model != NULL) {
        buffer_append_text(&request, ", \"model\": ");
        json_append_string(&request, s->model);
    }
    buffer_append_format(&request, ", \"priority\": %llu, \"parameters\": {",
                         (unsigned long long)s->priority);
    if (s->parameters.length > 0)
        buffer_append(&request, s->parameters.data, s->parameters.length);
    buffer_append_text(&request, "}}");
    enum rejectd_status status =
        request.failed ? REJECTD_FAIL_MEMORY(&error, request.maximum)
                       : rejectd_client_submit(client, request.data, request.length, job, &error);
    buffer_free(&request);
    return status == REJECTD_OK ? CTL_OK : ctl_failure(&error);
}

static int show_result(const struct ctl *ctl, const struct settings *s,
                       struct rejectd_client *client, const char *dataset, const char *job,
                       double seconds)
{
    struct rejectd_error error;
    char path[128], *result = NULL, *description = NULL;
    size_t length = 0, description_length = 0;
    snprintf(path, sizeof path, "/v1/jobs/%s/result", job);
    enum rejectd_status status = rejectd_client_get(client, path, &result, &length, &error);
    snprintf(path, sizeof path, "/v1/datasets/%s", dataset);
    if (status == REJECTD_OK)
        status = rejectd_client_get(client, path, &description, &description_length, &error);
    int code = status == REJECTD_OK ? CTL_OK : ctl_failure(&error);
    if (code == CTL_OK && ctl->json)
        printf("{\"dataset\": \"%s\", \"job\": \"%s\", \"result\": %s}\n", dataset, job, result);
    else if (code == CTL_OK) {
        printf("dataset %s, job %s\n", dataset, job);
        if (!summary_print(result, length, description, description_length, s->truth, seconds))
            code = CTL_USAGE;
    }
    free(result);
    free(description);
    return code;
}

static int run_job(struct ctl *ctl, const struct settings *s)
{
    struct rejectd_client *client;
    struct rejectd_error error;
    char dataset[REJECTD_ID_SIZE], job[REJECTD_ID_SIZE];
    const double start = now();
    if (rejectd_client_open(ctl->server, &client, &error) != REJECTD_OK)
        return ctl_failure(&error);
    int code = CTL_OK;
    if (strncmp(s->source, "ds_", 3) == 0)
        snprintf(dataset, sizeof dataset, "%s", s->source);
    else
        code = transfer_upload(ctl, client, &(struct transfer_source){s->source, s->metadata, NULL},
                               dataset);
    if (code == CTL_OK)
        code = submit(s, client, dataset, job);
    if (code == CTL_OK && !s->wait) {
        printf(ctl->json ? "{\"dataset\": \"%s\", \"job\": \"%s\"}\n" : "dataset %s, job %s\n",
               dataset, job);
    } else if (code == CTL_OK) {
        code = transfer_follow(ctl, client, job);
        if (code == CTL_OK)
            code = show_result(ctl, s, client, dataset, job, now() - start);
    }
    rejectd_client_close(client);
    return code;
}

static int run_command(const struct ctl_command *command, const struct option *options,
                       struct ctl *ctl, int argc, char **argv)
{
    struct settings s = {.command = command, .wait = true};
    int option, code = -1;
    buffer_init(&s.parameters, (size_t)32 << 20);
    while (code < 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!ctl_common_option(ctl, command, option, &code) && !take_option(&s, option))
            code = CTL_USAGE;
    if (code < 0 && optind + 1 != argc)
        code = ctl_usage("%s needs one dataset id, file or folder; see rejectctl %s --help",
                         command->name, command->name);
    if (code < 0 && command == &ctl_apply && s.model == NULL)
        code = ctl_usage("apply needs --model md_...; a fit's result names its model");
    if (code < 0) {
        s.source = argv[optind];
        code = run_job(ctl, &s);
    }
    buffer_free(&s.parameters);
    return code;
}

static int run_fit(struct ctl *ctl, int argc, char **argv)
{
    return run_command(&ctl_fit, fit_options, ctl, argc, argv);
}

static int run_apply(struct ctl *ctl, int argc, char **argv)
{
    return run_command(&ctl_apply, apply_options, ctl, argc, argv);
}

const struct ctl_command ctl_fit = {
    .name = "fit",
    .summary = "fit autoreject to a dataset",
    .help = "usage: rejectctl fit DATASET|SOURCE [OPTION]...\n\n"
            "DATASET is an id (ds_...); a SOURCE is uploaded first, as by rejectctl upload.\n"
            "Parameters that are left out are autoreject's.\n\n"
            "  --consensus LIST        shares of bad sensors, as 0.1,0.2,0.5\n"
            "  --n-interpolate LIST    sensors to repair per epoch, as 1,4,32\n"
            "  --cv N                  folds (10)\n"
            "  --thresh-method NAME    bayesian_optimization, random_search or exact\n"
            "  --random-state N        seed (42)\n"
            "  --picks LIST            channel names or types, as eeg or Fp1,Fz,Cz\n"
            "  --precision TYPE        arithmetic: float64 or float32\n"
            "  --thresholds FILE       JSON object of thresholds by channel: no search\n"
            "  --metadata FILE         JSON for a .npy SOURCE\n"
            "  --truth FILE            planted artefacts (from simulate) to look for\n"
            "  --priority N            0 to 100, larger runs earlier\n"
            "  --no-wait               only submit\n"
            "  --json                  print ids and result as JSON\n\n"
            "examples:\n"
            "  rejectctl fit demo --truth demo/truth.json\n"
            "  rejectctl fit ds_abc --cv 5 --consensus 0.2,0.4,0.6 --json > result.json\n",
    .run = run_fit,
};

const struct ctl_command ctl_apply = {
    .name = "apply",
    .summary = "apply a fitted model to another dataset",
    .help = "usage: rejectctl apply DATASET|SOURCE --model md_... [OPTION]...\n\n"
            "  --model ID         the model, as named by a fit's result\n"
            "  --metadata FILE    JSON for a .npy SOURCE\n"
            "  --truth FILE       planted artefacts (from simulate) to look for\n"
            "  --priority N       0 to 100, larger runs earlier\n"
            "  --no-wait          only submit\n"
            "  --json             print ids and result as JSON\n\n"
            "example:\n"
            "  rejectctl apply session2 --model md_abc\n",
    .run = run_apply,
};
