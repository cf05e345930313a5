#include "server/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 4352, LINE_SIZE = 4096 };

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Of a file that has a number alone; UINT64_MAX when it has none ("max"), or isn't there. */
static uint64_t read_number(const char *path)
{
    char line[LINE_SIZE];
    char *end = line;
    uint64_t number = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (file != NULL && fgets(line, sizeof line, file) != NULL) {
        number = strtoull(line, &end, 10);
    }
    if (file != NULL) {
        fclose(file);
    }
    return end == line ? UINT64_MAX : number;
}

static uint64_t installed(const char *root)
{
    static const char key[] = "MemTotal:";
    char path[PATH_SIZE];
    char line[LINE_SIZE];
    uint64_t bytes = UINT64_MAX;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && bytes == UINT64_MAX && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            bytes = 1024 * (uint64_t)strtoull(line + strlen(key), NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

/* The least limit of a group and those above it. In a container the path may be that of the host,
 * where there is nothing; the group itself is then the root. */
static uint64_t limit_of_group(const char *root, const char *mount, const char *group,
                               const char *name)
{
    char path[PATH_SIZE];
    char above[LINE_SIZE];
    uint64_t least = UINT64_MAX;
    snprintf(above, sizeof above, "%s", group);
    for (;;) {
        if (snprintf(path, sizeof path, "%s%s%s/%s", root, mount, above, name) < (int)sizeof path) {
            least = lesser(least, read_number(path));
        }
        char *slash = strrchr(above, '/');
        if (slash == NULL) {
            return least;
        }
        *slash = '\0';
    }
}

static uint64_t limit_of_groups(const char *root)
{
    char path[PATH_SIZE];
    char line[LINE_SIZE];
    uint64_t least = UINT64_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        /* "0::/a/b" of the unified hierarchy, "7:memory:/a/b" of the old one. */
        line[strcspn(line, "\n")] = '\0';
        const char *controllers = strchr(line, ':');
        const char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (group == NULL) {
            continue;
        }
        if (strncmp(line, "0::", 3) == 0) {
            least = lesser(least, limit_of_group(root, "/sys/fs/cgroup", group + 1, "memory.max"));
        } else if (strncmp(controllers, ":memory:", 8) == 0) {
            least = lesser(least, limit_of_group(root, "/sys/fs/cgroup/memory", group + 1,
                                                 "memory.limit_in_bytes"));
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return least;
}

uint64_t memory_of_machine(const char *root)
{
    const uint64_t bytes = lesser(installed(root), limit_of_groups(root));
    return bytes == UINT64_MAX ? 0 : bytes;
}
