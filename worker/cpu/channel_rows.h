/* The rows of one channel on their way into the cache: its epochs, then any predictions. */
#ifndef WORKER_CPU_CHANNEL_ROWS_H
#define WORKER_CPU_CHANNEL_ROWS_H

#include "worker/cpu/session.h"

/* One thread's scratch for channels of n_rows rows. */
struct channel_rows {
    const struct backend_session *session;
    size_t n_rows;
    size_t strip;               /* samples that are loaded at a time */
    struct row_source *sources; /* [E]; owned, as the next two */
    void *groups;               /* one strip: [groups][n_rows][group] */
    int16_t *keys;              /* [2][n_rows][group]: scratch for medians() */
};

/* False without memory. channel_rows_free(). */
bool channel_rows_init(struct channel_rows *rows, const struct backend_session *session,
                       size_t n_rows);
void channel_rows_free(struct channel_rows *rows);
double channel_rows_bytes(const struct backend_session *session, double n_rows);

/* Loads the epochs of a pick, less `offset`: samples start .. start + strip - 1, or up to the last;
 * start is a multiple of the strip. Returns how many samples that are. */
size_t channel_rows_load(struct channel_rows *rows, size_t pick, double offset, size_t start);

/* The group of the strip that begins at sample `at`: the epochs and, where there are more rows than
 * those, the predictions of the pick. */
const void *channel_rows_group(struct channel_rows *rows, size_t pick, size_t at);

/* What is taken off the predictions of a pick of the last predict(), and so off its epochs. */
double channel_rows_offset(const struct backend_session *session, size_t pick);

#endif
