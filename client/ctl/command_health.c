/* health: does the daemon answer? For what watches it: containers, scripts that wait for it. */
#include <stdio.h>
#include <stdlib.h>

#include "client/ctl/ctl.h"

static int run_health(struct ctl *ctl, int argc, char **argv)
{
    const int code = ctl_take_common(ctl, &ctl_health, argc, argv, 0, 0);
    if (code >= 0)
        return code;
    struct rejectd_client *client;
    struct rejectd_error error;
    char *text = NULL;
    size_t length;
    enum rejectd_status status = ctl_open_client(ctl, &client, &error);
    if (status == REJECTD_OK)
        status = rejectd_client_get(client, "/healthz", &text, &length, &error);
    if (status == REJECTD_OK)
        printf("%s\n", text);
    free(text);
    rejectd_client_close(client);
    return status == REJECTD_OK ? CTL_OK : ctl_failure(&error);
}

const struct ctl_command ctl_health = {
    .name = "health",
    .summary = "ask whether the server answers",
    .help = "usage: rejectctl health\n\n"
            "Prints what the server says and ends with 0; with 4 when it can't be reached or\n"
            "fails. Needs no token.\n\n"
            "example:\n"
            "  until rejectctl health; do sleep 1; done\n",
    .run = run_health,
};
