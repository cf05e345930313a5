#include "server/commands/arguments.h"

#include <string.h>

static void drop(int *argc, char **argv, int at, int count)
{
    memmove(argv + at, argv + at + count, (size_t)(*argc - at - count) * sizeof *argv);
    *argc -= count;
}

const char *arguments_take(int *argc, char **argv, const char *name)
{
    const size_t length = strlen(name);
    for (int i = 1; i < *argc; i++) {
        if (strncmp(argv[i], name, length) != 0) {
            continue;
        }
        if (argv[i][length] == '=') {
            const char *value = argv[i] + length + 1;
            drop(argc, argv, i, 1);
            return value;
        }
        if (argv[i][length] == '\0' && i + 1 < *argc) {
            const char *value = argv[i + 1];
            drop(argc, argv, i, 2);
            return value;
        }
    }
    return NULL;
}

bool arguments_take_flag(int *argc, char **argv, const char *name)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            drop(argc, argv, i, 1);
            return true;
        }
    }
    return false;
}
