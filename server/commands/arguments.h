/* Flags of a command beside the settings. Internal to the commands. */
#ifndef SERVER_COMMANDS_ARGUMENTS_H
#define SERVER_COMMANDS_ARGUMENTS_H

#include <stdbool.h>

/* Takes "NAME=VALUE" or "NAME VALUE" out of the arguments and returns the value, borrowed; NULL
 * when it isn't there. */
const char *arguments_take(int *argc, char **argv, const char *name);
/* The same for a flag without value. */
bool arguments_take_flag(int *argc, char **argv, const char *name);

#endif
