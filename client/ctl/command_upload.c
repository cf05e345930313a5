#include <stdio.h>

#include "client/ctl/transfer.h"

enum { METADATA = CTL_OPTION_OWN };

static const struct option options[] = {{"metadata", required_argument, NULL, METADATA},
                                        CTL_COMMON_OPTIONS};

static int run_upload(struct ctl *ctl, int argc, char **argv)
{
    const char *metadata = NULL;
    int option, code;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!ctl_common_option(ctl, &ctl_upload, option, &code))
            metadata = optarg;
        else if (code >= 0)
            return code;
    }
    if (optind + 1 != argc)
        return ctl_usage("upload needs one file or folder; see rejectctl upload --help");
    struct rejectd_client *client;
    struct rejectd_error error;
    if (rejectd_client_open(ctl->server, &client, &error) != REJECTD_OK)
        return ctl_failure(&error);
    char id[REJECTD_ID_SIZE];
    code = transfer_upload(ctl, client, argv[optind], metadata, id);
    if (code == CTL_OK)
        printf(ctl->json ? "{\"dataset\": \"%s\"}\n" : "%s\n", id);
    rejectd_client_close(client);
    return code;
}

const struct ctl_command ctl_upload = {
    .name = "upload",
    .summary = "send epochs to the server",
    .help = "usage: rejectctl upload SOURCE [--metadata FILE]\n\n"
            "SOURCE is a folder with dataset.json and epochs.npy (as simulate makes), a .npy file\n"
            "(then --metadata names the JSON with sfreq and channels), a JSON file with the\n"
            "samples inline, or - for such JSON on standard input. Prints the dataset's id.\n\n"
            "examples:\n"
            "  rejectctl upload demo\n"
            "  rejectctl upload sub-01.npy --metadata sub-01.json\n",
    .run = run_upload,
};
