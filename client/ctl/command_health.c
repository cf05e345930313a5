/* health: does the daemon answer? For what watches it: containers, scripts that wait for it. */
#include <stdio.h>
#include <stdlib.h>

#include "client/ctl/ctl.h"

static int run_health(struct ctl *ctl, int argc, char **argv)
{
    int code = ctl_take_common(ctl, &ctl_health, argc, argv, 0, 0);
    if (code >= 0)
        return code;
    char *text = NULL;
    size_t length;
    code = ctl_get(ctl, "/healthz", &text, &length);
    if (code != CTL_OK)
        return code;
    printf("%s\n", text);
    free(text);
    return CTL_OK;
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
