/* Finding channels by name in logarithmic time. Internal to protocol/. */
#ifndef PROTOCOL_CHANNEL_INDEX_H
#define PROTOCOL_CHANNEL_INDEX_H

#include <rejectd/error.h>
#include <rejectd/types.h>

struct channel_index {
    const struct rejectd_channel *channels; /* borrowed; must outlive the index */
    size_t n_channels;
    size_t *order; /* owned; channel indices by name, equal names by index */
};

enum { CHANNEL_INDEX_NONE = -1 };

enum rejectd_status channel_index_init(struct channel_index *index,
                                       const struct rejectd_channel *channels, size_t n_channels,
                                       struct rejectd_error *error);
void channel_index_free(struct channel_index *index); /* all-zero is allowed */

/* The channel of that name, or CHANNEL_INDEX_NONE. */
long channel_index_find(const struct channel_index *index, const char *name);

/* True when two channels have the same name; *first and *second are then such a pair. */
bool channel_index_duplicate(const struct channel_index *index, size_t *first, size_t *second);

/*
 * Checks a name from outside: valid UTF-8, 1 to REJECTD_NAME_SIZE - 1 bytes, no control
 * characters. The failure is an INVALID_VALUE at `field`.
 */
enum rejectd_status channel_name_check(const char *name, const char *field,
                                       struct rejectd_error *error);

#endif
