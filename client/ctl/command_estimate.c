/* estimate: what a job would need and take, on a dataset or on one that is yet to be sent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "client/ctl/ctl.h"
#include "protocol/estimate_json.h"
#include "protocol/json_text.h"

enum { LONGEST_REQUEST = 64 << 20 };

enum {
    OPTION_TYPE = CTL_OPTION_OWN,
    OPTION_DEVICE,
    OPTION_DTYPE,
    OPTION_CHANNEL_TYPES,
    OPTION_PARAMETERS,
    OPTION_MODEL,
};

struct estimate_settings {
    const char *source; /* dataset id, or a shape */
    const char *type;
    const char *device;
    const char *dtype;
    const char *channel_types;
    const char *model;
    char *parameters; /* JSON, owned; NULL: none */
};

/* "300x128x1000" as three numbers; false when it isn't that. */
static bool read_shape(const char *text, uint64_t sizes[3])
{
    for (int i = 0; i < 3; i++) {
        char *end;
        sizes[i] = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end != (i < 2 ? 'x' : '\0'))
            return false;
        text = end + 1;
    }
    return true;
}

/* "mag=102,grad=204" as members of an object; false after a message. */
static bool append_types(struct buffer *request, const char *text)
{
    for (const char *at = text;;) {
        const size_t n = strcspn(at, ","), name = strcspn(at, "=");
        char item[32], number[32];
        uint64_t count;
        if (name == 0 || name >= n || name >= sizeof item || n - name > sizeof number) {
            ctl_usage("--channel-types: \"%s\" is not a list like mag=102,grad=204", text);
            return false;
        }
        snprintf(item, sizeof item, "%.*s", (int)name, at);
        snprintf(number, sizeof number, "%.*s", (int)(n - name - 1), at + name + 1);
        if (!ctl_parse_count("--channel-types", number, 1, UINT32_MAX, &count))
            return false;
        json_append_string(request, item);
        buffer_append_format(request, ":%llu", (unsigned long long)count);
        if (at[n] == '\0')
            return true;
        buffer_append_text(request, ",");
        at += n + 1;
    }
}

static bool append_source(struct buffer *request, const struct estimate_settings *s)
{
    uint64_t sizes[3];
    if (!read_shape(s->source, sizes)) {
        buffer_append_text(request, ",\"dataset\":");
        json_append_string(request, s->source);
        return true;
    }
    buffer_append_format(
        request, ",\"shape\":{\"n_epochs\":%llu,\"n_channels\":%llu,\"n_times\":%llu",
        (unsigned long long)sizes[0], (unsigned long long)sizes[1], (unsigned long long)sizes[2]);
    if (s->dtype != NULL) {
        buffer_append_text(request, ",\"dtype\":");
        json_append_string(request, s->dtype);
    }
    if (s->channel_types != NULL) {
        buffer_append_text(request, ",\"channel_types\":{");
        if (!append_types(request, s->channel_types))
            return false;
        buffer_append_text(request, "}");
    }
    buffer_append_text(request, "}");
    return true;
}

static void append_text(struct buffer *request, const char *key, const char *value)
{
    if (value == NULL)
        return;
    buffer_append_format(request, ",\"%s\":", key);
    json_append_string(request, value);
}

/* False after a message. */
static bool make_request(struct buffer *request, const struct estimate_settings *s)
{
    buffer_append_text(request, "{\"type\":");
    json_append_string(request, s->type);
    if (!append_source(request, s))
        return false;
    append_text(request, "device", s->device);
    append_text(request, "model", s->model);
    if (s->parameters != NULL) {
        buffer_append_text(request, ",\"parameters\":");
        buffer_append_text(request, s->parameters);
    }
    buffer_append_text(request, "}");
    return true;
}

static void print_bytes(double bytes)
{
    if (bytes > 0.0)
        printf(" %10.4g MB", 1e-6 * bytes);
    else
        printf(" %13s", "-");
}

static bool print_readable(const char *text, size_t length)
{
    struct estimate_view view;
    struct rejectd_error error;
    if (estimate_view_from_json(text, length, &view, &error) != REJECTD_OK) {
        ctl_failure(&error);
        return false;
    }
    printf("%-10s %13s %13s %10s\n", "device", "host memory", "its own", "seconds");
    for (size_t i = 0; i < view.n; i++) {
        const struct estimate_device *device = &view.devices[i];
        printf("%-10s", device->device);
        print_bytes(device->host_bytes);
        print_bytes(device->device_bytes);
        printf(" %10.3g  %s%s%s\n", device->seconds, device->basis,
               device->reason[0] == '\0' ? "" : "; ", device->reason);
    }
    if (view.chosen[0] != '\0')
        printf("it would run on %s\n", view.chosen);
    else
        printf("it can't run here: jobs may use %.4g MB of the host's memory\n",
               1e-6 * (double)view.job_memory);
    estimate_view_clear(&view);
    return true;
}

/* -1: go on. */
static int take_options(struct ctl *ctl, struct estimate_settings *s, int argc, char **argv)
{
    static const struct option options[] = {
        {"type", required_argument, NULL, OPTION_TYPE},
        {"device", required_argument, NULL, OPTION_DEVICE},
        {"dtype", required_argument, NULL, OPTION_DTYPE},
        {"channel-types", required_argument, NULL, OPTION_CHANNEL_TYPES},
        {"parameters", required_argument, NULL, OPTION_PARAMETERS},
        {"model", required_argument, NULL, OPTION_MODEL},
        CTL_COMMON_OPTIONS,
    };
    int option, code = -1;
    while (code < 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        size_t length;
        if (ctl_common_option(ctl, &ctl_estimate, option, &code))
            continue;
        const char **texts[] = {&s->type,          &s->device, &s->dtype,
                                &s->channel_types, NULL,       &s->model};
        if (option != OPTION_PARAMETERS) {
            *texts[option - OPTION_TYPE] = optarg;
            continue;
        }
        free(s->parameters);
        s->parameters = ctl_read_json(optarg, &length);
        code = s->parameters == NULL ? CTL_USAGE : -1;
    }
    if (code < 0 && optind + 1 != argc)
        code =
            ctl_usage("estimate needs one dataset id, or a shape like 300x128x1000; see rejectctl "
                      "estimate --help");
    s->source = code < 0 ? argv[optind] : NULL;
    return code;
}

static int ask(const struct ctl *ctl, const struct buffer *request)
{
    struct rejectd_client *client = NULL;
    struct rejectd_error error;
    char *text = NULL;
    size_t length = 0;
    enum rejectd_status status = request->failed ? REJECTD_FAIL_MEMORY(&error, request->maximum)
                                                 : ctl_open_client(ctl, &client, &error);
    if (status == REJECTD_OK)
        status =
            rejectd_client_estimate(client, request->data, request->length, &text, &length, &error);
    rejectd_client_close(client);
    int code = status == REJECTD_OK ? CTL_OK : ctl_failure(&error);
    if (code == CTL_OK && ctl->json)
        printf("%s\n", text);
    else if (code == CTL_OK)
        code = print_readable(text, length) ? CTL_OK : CTL_UNREACHABLE;
    free(text);
    return code;
}

static int run_estimate(struct ctl *ctl, int argc, char **argv)
{
    struct estimate_settings s = {.type = "fit"};
    struct buffer request;
    buffer_init(&request, LONGEST_REQUEST);
    int code = take_options(ctl, &s, argc, argv);
    if (code < 0)
        code = make_request(&request, &s) ? ask(ctl, &request) : CTL_USAGE;
    buffer_free(&request);
    free(s.parameters);
    return code;
}

const struct ctl_command ctl_estimate = {
    .name = "estimate",
    .summary = "show what a job would need and take, before anything is sent",
    .help =
        "usage: rejectctl estimate DATASET|SHAPE [OPTION]...\n\n"
        "DATASET is an id (ds_...); a SHAPE is EPOCHSxCHANNELSxTIMES, as 300x128x1000.\n\n"
        "  --type NAME             of the job: fit (which it is by default), thresholds, ransac,\n"
        "                          global_thresholds, validation_curve, interpolate, apply\n"
        "  --channel-types LIST    of a SHAPE, as mag=102,grad=204 (all eeg)\n"
        "  --dtype TYPE            of a SHAPE: float64 or float32\n"
        "  --parameters FILE       of the job, as JSON (-: standard input)\n"
        "  --model ID              that an apply would apply\n"
        "  --device NAME           auto, cpu, cuda, cuda:0, ...\n"
        "  --json                  print what the server says\n\n"
        "example:\n"
        "  rejectctl estimate 300x306x1000 --channel-types mag=102,grad=204\n",
    .run = run_estimate,
};
