#include <stdio.h>
#include <string.h>

#include "client/ctl/transfer.h"

enum { METADATA = CTL_OPTION_OWN, NAME, NO_RESUME, RETRY, COMPRESS, INTO };

static const struct option options[] = {{"metadata", required_argument, NULL, METADATA},
                                        {"name", required_argument, NULL, NAME},
                                        {"no-resume", no_argument, NULL, NO_RESUME},
                                        {"retry", required_argument, NULL, RETRY},
                                        {"compress", no_argument, NULL, COMPRESS},
                                        {"into", required_argument, NULL, INTO},
                                        CTL_COMMON_OPTIONS};

static bool is_h5(const char *path)
{
    const size_t length = strlen(path);
    return length > 3 && strcmp(path + length - 3, ".h5") == 0;
}

/* False after a message. */
static bool take_option(struct transfer_source *source, int option)
{
    switch (option) {
    case NAME:
        source->name = optarg;
        return true;
    case NO_RESUME:
        source->no_resume = true;
        return true;
    case COMPRESS:
        source->compress = true;
        return true;
    case INTO:
        source->into = optarg;
        return true;
    case RETRY:
        return ctl_parse_count("--retry", optarg, 1, CTL_MOST_RETRY_SECONDS,
                               &source->retry_seconds);
    default:
        source->metadata = optarg;
        return true;
    }
}

static int run_upload(struct ctl *ctl, int argc, char **argv)
{
    struct transfer_source source = {0};
    int option, code;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (ctl_common_option(ctl, &ctl_upload, option, &code)) {
            if (code >= 0)
                return code;
        } else if (!take_option(&source, option)) {
            return CTL_USAGE;
        }
    }
    if (optind + 1 != argc)
        return ctl_usage("upload needs one file or folder; see rejectctl upload --help");
    source.path = argv[optind];
    char path[128];
    if (source.into != NULL && (source.no_resume || source.compress || is_h5(source.path)))
        return ctl_usage("--into goes on with samples, which --no-resume, --compress and models "
                         "don't");
    if (source.into != NULL &&
        (strncmp(source.into, "ds_", 3) != 0 || !ctl_resource_path(source.into, path)))
        return ctl_usage("--into needs the id of a dataset, ds_...");
    struct rejectd_client *client;
    struct rejectd_error error;
    if (ctl_open_client(ctl, &client, &error) != REJECTD_OK)
        return ctl_failure(&error);
    char id[REJECTD_ID_SIZE];
    const bool is_model = is_h5(source.path);
    code = is_model ? transfer_upload_model(ctl, client, source.path, id)
                    : transfer_upload(ctl, client, &source, id);
    if (code == CTL_OK && ctl->json)
        printf("{\"%s\": \"%s\"}\n", is_model ? "model" : "dataset", id);
    else if (code == CTL_OK)
        printf("%s\n", id);
    rejectd_client_close(client);
    return code;
}

const struct ctl_command ctl_upload = {
    .name = "upload",
    .summary = "send epochs, or a model, to the server",
    .help = "usage: rejectctl upload SOURCE [OPTION]...\n\n"
            "SOURCE is one of\n"
            "  -epo.fif, -epo.fif.gz  epochs as MNE-Python saves them; the further parts of a\n"
            "                         divided recording are found beside the first one\n"
            "  .set                   of EEGLAB; its .fdt is found beside it\n"
            "  .npz                   data, ch_names, ch_types, sfreq and so on\n"
            "  a folder               with dataset.json and epochs.npy (as simulate makes)\n"
            "  .npy                   then --metadata names the JSON with sfreq and channels\n"
            "  a JSON file, or -      the samples inline; - is standard input\n"
            "  .h5                    no epochs, but a model that AutoReject.save() wrote\n"
            "Prints the id of the dataset, or of the model.\n\n"
            "  --name TEXT            name of the dataset, for FIF, .set and .npz files\n"
            "  --metadata FILE        JSON for a .npy SOURCE\n"
            "  --retry SECONDS        samples of a folder or .npy that break off go on where they\n"
            "                         were, until nothing more came across for so long (120)\n"
            "  --no-resume            they don't\n"
            "  --into DATASET         goes on with the same samples where an earlier call ended,\n"
            "                         interrupted or out of patience\n"
            "  --compress             send files compressed (zstd); samples then can't go on\n"
            "  --json                 print JSON\n\n"
            "examples:\n"
            "  rejectctl upload sub-01-epo.fif --name sub-01\n"
            "  rejectctl upload demo\n"
            "  rejectctl upload sub-01.npy --metadata sub-01.json\n"
            "  rejectctl upload sub-01.npy --into ds_abc\n",
    .run = run_upload,
};
