#include "protocol/npz_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/channel_index.h"

static enum rejectd_status check_unique(const struct npz_array *array,
                                        char (*names)[REJECTD_NAME_SIZE],
                                        struct rejectd_error *error)
{
    struct rejectd_channel *channels = calloc(array->count + 1, sizeof *channels);
    struct channel_index index = {0};
    size_t first, second;
    char field[64];
    if (channels == NULL)
        return REJECTD_FAIL_MEMORY(error, array->count * sizeof *channels);
    for (size_t i = 0; i < array->count; i++)
        memcpy(channels[i].name, names[i], sizeof names[i]);
    enum rejectd_status status = channel_index_init(&index, channels, array->count, error);
    if (status == REJECTD_OK && channel_index_duplicate(&index, &first, &second)) {
        snprintf(field, sizeof field, "%s[%zu]", array->name, second);
        status = REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                              "\"%s\" is already the name of channel %zu; names must be unique",
                              names[second], first);
    }
    channel_index_free(&index);
    free(channels);
    return status;
}

enum rejectd_status npz_names(const struct npz_array *array, char (*names)[REJECTD_NAME_SIZE],
                              struct rejectd_error *error)
{
    for (size_t i = 0; i < array->count; i++) {
        char field[64];
        snprintf(field, sizeof field, "%s[%zu]", array->name, i);
        if (!npz_array_text(array, i, names[i], sizeof names[i]))
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                                "is not a name of at most %d bytes of UTF-8",
                                REJECTD_NAME_SIZE - 1);
        enum rejectd_status status = channel_name_check(names[i], field, error);
        if (status != REJECTD_OK)
            return status;
    }
    return check_unique(array, names, error);
}
