#include "convert/files.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rejectd_status file_read(const char *path, const char *what, size_t most, char **bytes,
                              size_t *length, struct rejectd_error *error)
{
    *bytes = NULL;
    *length = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, what, "cannot be opened: %s",
                            strerror(errno));
    enum rejectd_status status = REJECTD_OK;
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (size < 0)
        status = REJECTD_FAIL(error, REJECTD_INVALID_VALUE, what, "has no size");
    else if ((size_t)size > most)
        status = REJECTD_FAIL(error, REJECTD_TOO_LARGE, what,
                              "has %ld bytes; at most %zu are accepted", size, most);
    else if ((*bytes = malloc((size_t)size + 1)) == NULL)
        status = REJECTD_FAIL_MEMORY(error, size + 1);
    if (status == REJECTD_OK) {
        rewind(file);
        *length = fread(*bytes, 1, (size_t)size, file);
        (*bytes)[*length] = 0;
    }
    fclose(file);
    return status;
}

enum rejectd_status file_write(const char *path, const void *bytes, size_t length,
                               struct rejectd_error *error)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "cannot create a file: %s",
                            strerror(errno));
    const bool written = fwrite(bytes, 1, length, file) == length;
    if (fclose(file) != 0 || !written)
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "cannot write a file: %s", strerror(errno));
    return REJECTD_OK;
}

char *path_join(const char *folder, const char *name)
{
    const size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path != NULL)
        snprintf(path, size, "%s/%s", folder, name);
    return path;
}
