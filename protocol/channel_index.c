#define _GNU_SOURCE /* qsort_r */

#include "protocol/channel_index.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/utf8.h"

static int compare(const void *a, const void *b, void *context)
{
    const struct rejectd_channel *channels = context;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    int by_name = strcmp(channels[i].name, channels[j].name);
    return by_name != 0 ? by_name : (i > j) - (i < j);
}

enum rejectd_status channel_index_init(struct channel_index *index,
                                       const struct rejectd_channel *channels, size_t n_channels,
                                       struct rejectd_error *error)
{
    *index = (struct channel_index){.channels = channels, .n_channels = n_channels};
    index->order = calloc(n_channels > 0 ? n_channels : 1, sizeof *index->order);
    if (index->order == NULL)
        return REJECTD_FAIL_MEMORY(error, n_channels * sizeof *index->order);
    for (size_t i = 0; i < n_channels; i++)
        index->order[i] = i;
    union {
        const void *borrowed;
        void *context;
    } names = {.borrowed = channels};
    qsort_r(index->order, n_channels, sizeof *index->order, compare, names.context);
    return REJECTD_OK;
}

void channel_index_free(struct channel_index *index)
{
    free(index->order);
    *index = (struct channel_index){0};
}

long channel_index_find(const struct channel_index *index, const char *name)
{
    size_t low = 0, high = index->n_channels;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(index->channels[index->order[middle]].name, name);
        if (order == 0)
            return (long)index->order[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return CHANNEL_INDEX_NONE;
}

bool channel_index_duplicate(const struct channel_index *index, size_t *first, size_t *second)
{
    for (size_t i = 1; i < index->n_channels; i++) {
        size_t a = index->order[i - 1], b = index->order[i];
        if (strcmp(index->channels[a].name, index->channels[b].name) == 0) {
            *first = a;
            *second = b;
            return true;
        }
    }
    return false;
}

enum rejectd_status channel_name_check(const char *name, const char *field,
                                       struct rejectd_error *error)
{
    size_t length = strlen(name);
    if (length == 0 || length >= REJECTD_NAME_SIZE)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                            "a channel name has 1 to %d bytes of UTF-8, this one has %zu",
                            REJECTD_NAME_SIZE - 1, length);
    if (!utf8_is_valid(name))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                            "a channel name must be valid UTF-8");
    if (!utf8_is_printable(name))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                            "a channel name must not hold control characters");
    return REJECTD_OK;
}
