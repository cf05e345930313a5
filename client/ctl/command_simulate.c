#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/ctl/ctl.h"
#include "client/simulate/simulate.h"
#include "protocol/dataset_json.h"
#include "protocol/npy.h"

struct settings {
    struct simulate_request request;
    const char *output;
};

/* Opens DIR/name for writing; NULL after a message. */
static FILE *open_output(const char *folder, const char *name, char path[1024])
{
    snprintf(path, 1024, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        ctl_usage("%s: %s", path, strerror(errno));
    return file;
}

static bool finish_output(FILE *file, const char *path, bool ok)
{
    if (fclose(file) != 0)
        ok = false;
    if (!ok)
        ctl_usage("%s: cannot be written", path);
    return ok;
}

static bool write_samples(const struct settings *s, const struct simulated_epochs *simulated)
{
    char path[1024];
    FILE *file = open_output(s->output, "epochs.npy", path);
    if (file == NULL)
        return false;
    const struct rejectd_epochs *epochs = &simulated->epochs;
    const size_t shape[3] = {epochs->n_epochs, epochs->n_channels, epochs->n_times};
    unsigned char header[256];
    size_t header_bytes = npy_header_write(npy_descr(epochs->dtype), 3, shape, header);
    size_t item = epochs->dtype == REJECTD_FLOAT64 ? 8 : 4;
    size_t count = shape[0] * shape[1] * shape[2];
    bool ok = fwrite(header, 1, header_bytes, file) == header_bytes &&
              fwrite(epochs->samples, item, count, file) == count;
    return finish_output(file, path, ok);
}

static bool write_dataset(const struct settings *s, const struct simulated_epochs *simulated)
{
    struct dataset_description description = {
        .name = "simulated EEG",
        .sfreq = s->request.sfreq,
        .tmin = s->request.tmin,
        .n_epochs = s->request.n_epochs,
        .n_channels = s->request.n_channels,
        .n_times = s->request.n_times,
        .dtype = s->request.dtype,
        .channels = simulated->channels,
    };
    char path[1024], *text = dataset_to_json(&description);
    FILE *file = text != NULL ? open_output(s->output, "dataset.json", path) : NULL;
    bool ok = file != NULL && fputs(text, file) >= 0;
    free(text);
    return file != NULL && finish_output(file, path, ok);
}

static bool write_truth(const struct settings *s, const struct simulated_epochs *simulated)
{
    json_t *list = json_array();
    for (size_t i = 0; i < simulated->n_artefacts; i++) {
        const struct simulate_artefact *artefact = &simulated->artefacts[i];
        json_t *names = json_array();
        for (size_t c = 0; c < artefact->n_channels; c++)
            json_array_append_new(names,
                                  json_string(simulated->channels[artefact->channels[c]].name));
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:o}", "kind",
                                              simulate_artefact_name(artefact->kind), "first_epoch",
                                              (json_int_t)artefact->first_epoch, "last_epoch",
                                              (json_int_t)artefact->last_epoch, "channels", names));
    }
    json_t *root = json_pack("{s:o}", "artefacts", list);
    char path[1024];
    FILE *file = open_output(s->output, "truth.json", path);
    bool ok = file != NULL && json_dumpf(root, file, JSON_INDENT(1)) == 0;
    json_decref(root);
    return file != NULL && finish_output(file, path, ok);
}

enum { EPOCHS = CTL_OPTION_OWN, CHANNELS, TIMES, SFREQ, SEED, DTYPE, OUTPUT };

static const struct option options[] = {
    {"epochs", required_argument, NULL, EPOCHS}, {"channels", required_argument, NULL, CHANNELS},
    {"times", required_argument, NULL, TIMES},   {"sfreq", required_argument, NULL, SFREQ},
    {"seed", required_argument, NULL, SEED},     {"dtype", required_argument, NULL, DTYPE},
    {"output", required_argument, NULL, OUTPUT}, CTL_COMMON_OPTIONS};

/* One option of the command; false after a message. */
static bool take_option(struct settings *s, int option)
{
    uint64_t value;
    switch (option) {
    case EPOCHS:
        if (!ctl_parse_count("--epochs", optarg, 1, REJECTD_MAX_EPOCHS, &value))
            return false;
        s->request.n_epochs = value;
        return true;
    case CHANNELS:
        if (!ctl_parse_count("--channels", optarg, 8, 512, &value))
            return false;
        s->request.n_channels = value;
        return true;
    case TIMES:
        if (!ctl_parse_count("--times", optarg, 8, REJECTD_MAX_TIMES, &value))
            return false;
        s->request.n_times = value;
        return true;
    case SEED:
        return ctl_parse_count("--seed", optarg, 0, UINT64_MAX, &s->request.seed);
    case SFREQ:
        return ctl_parse_real("--sfreq", optarg, &s->request.sfreq);
    case DTYPE:
        if (strcmp(optarg, "float32") != 0 && strcmp(optarg, "float64") != 0) {
            ctl_usage("--dtype is \"%s\"; float32 or float64 is accepted", optarg);
            return false;
        }
        s->request.dtype = strcmp(optarg, "float32") == 0 ? REJECTD_FLOAT32 : REJECTD_FLOAT64;
        return true;
    default:
        s->output = optarg;
        return true;
    }
}

static void print_made(const struct ctl *ctl, const struct settings *s,
                       const struct simulated_epochs *simulated)
{
    if (ctl->json) {
        json_t *made =
            json_pack("{s:s, s:I, s:I, s:I, s:I}", "output", s->output, "n_epochs",
                      (json_int_t)s->request.n_epochs, "n_channels",
                      (json_int_t)s->request.n_channels, "n_times", (json_int_t)s->request.n_times,
                      "n_artefacts", (json_int_t)simulated->n_artefacts);
        json_dumpf(made, stdout, 0);
        putchar('\n');
        json_decref(made);
        return;
    }
    size_t counts[SIMULATE_ARTEFACT_COUNT] = {0};
    for (size_t i = 0; i < simulated->n_artefacts; i++)
        counts[simulated->artefacts[i].kind]++;
    printf("%zu epochs x %zu channels x %zu samples in %s (epochs.npy, dataset.json, truth.json)\n"
           "planted:",
           s->request.n_epochs, s->request.n_channels, s->request.n_times, s->output);
    for (int kind = 0; kind < SIMULATE_ARTEFACT_COUNT; kind++)
        printf("%s %zu %s", kind > 0 ? "," : "", counts[kind],
               simulate_artefact_name((enum simulate_artefact_kind)kind));
    putchar('\n');
}

static int run_simulate(struct ctl *ctl, int argc, char **argv)
{
    struct settings s = {.request = {.n_epochs = 100,
                                     .n_channels = 64,
                                     .n_times = 500,
                                     .sfreq = 250.0,
                                     .tmin = -0.2,
                                     .dtype = REJECTD_FLOAT64,
                                     .seed = 1}};
    int option, code;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (ctl_common_option(ctl, &ctl_simulate, option, &code)) {
            if (code >= 0)
                return code;
        } else if (!take_option(&s, option)) {
            return CTL_USAGE;
        }
    }
    if (s.output == NULL || optind != argc)
        return ctl_usage("simulate needs --output DIR and no other argument");
    if (mkdir(s.output, 0777) != 0 && errno != EEXIST)
        return ctl_usage("%s: %s", s.output, strerror(errno));
    struct simulated_epochs simulated;
    struct rejectd_error error;
    if (simulate_epochs(&s.request, &simulated, &error) != REJECTD_OK)
        return ctl_usage("%s: %s", error.field, error.message);
    bool ok = write_samples(&s, &simulated) && write_dataset(&s, &simulated) &&
              write_truth(&s, &simulated);
    if (ok)
        print_made(ctl, &s, &simulated);
    simulate_free(&simulated);
    return ok ? CTL_OK : CTL_USAGE;
}

const struct ctl_command ctl_simulate = {
    .name = "simulate",
    .summary = "make EEG epochs with known artefacts",
    .help = "usage: rejectctl simulate --output DIR [OPTION]...\n\n"
            "Writes DIR/epochs.npy, DIR/dataset.json (what upload needs) and DIR/truth.json\n"
            "(the planted artefacts). The same options give the same files.\n\n"
            "  --epochs N     (100)     --channels N (64, 8 to 512)\n"
            "  --times N      samples of an epoch (500)\n"
            "  --sfreq HZ     (250)\n"
            "  --seed N       (1)\n"
            "  --dtype TYPE   float64 (default) or float32\n"
            "  --json         print JSON\n\n"
            "example:\n"
            "  rejectctl simulate --epochs 200 --channels 32 --output demo\n"
            "  rejectctl fit demo --truth demo/truth.json\n",
    .run = run_simulate,
};
