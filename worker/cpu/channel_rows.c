#include "worker/cpu/channel_rows.h"

#include <stdlib.h>
#include <string.h>

bool channel_rows_init(struct channel_rows *rows, const struct backend_session *session,
                       size_t n_rows)
{
    const size_t strip = session_strip(session, n_rows), group = session->kernels->group;
    *rows = (struct channel_rows){
        .session = session,
        .n_rows = n_rows,
        .strip = strip,
        .sources = scratch_alloc(session->samples.n_epochs * sizeof(struct row_source)),
        .groups = scratch_alloc(n_rows * strip * session->work_size),
        .keys = scratch_alloc(2 * n_rows * group * sizeof(int16_t)),
    };
    return rows->sources != NULL && rows->groups != NULL && rows->keys != NULL;
}

void channel_rows_free(struct channel_rows *rows)
{
    free(rows->sources);
    free(rows->groups);
    free(rows->keys);
}

double channel_rows_bytes(const struct backend_session *session, double n_rows)
{
    const double group = (double)session->kernels->group;
    return (double)session->samples.n_epochs * (double)sizeof(struct row_source) +
           session_strip_bytes(session, n_rows) + 2.0 * n_rows * group * (double)sizeof(int16_t);
}

double channel_rows_offset(const struct backend_session *session, size_t pick)
{
    const float *offsets = session->offsets;
    return offsets != NULL ? (double)offsets[pick - session->first] : 0.0;
}

size_t channel_rows_load(struct channel_rows *rows, size_t pick, double offset, size_t start)
{
    const struct backend_session *session = rows->session;
    const struct backend_samples *s = &session->samples;
    const size_t left = s->n_times - start, length = left < rows->strip ? left : rows->strip;
    for (size_t e = 0; e < s->n_epochs; e++)
        rows->sources[e] = session_row(session, e, s->picks[pick]);
    session->kernels->load(rows->groups, rows->n_rows, rows->sources, s->n_epochs, start, length,
                           offset);
    return length;
}

const void *channel_rows_group(struct channel_rows *rows, size_t pick, size_t at)
{
    const struct backend_session *session = rows->session;
    const size_t row_bytes = session->kernels->group * session->work_size;
    const size_t n_epochs = session->samples.n_epochs;
    const size_t number = at % rows->strip / session->kernels->group;
    char *group = (char *)rows->groups + number * rows->n_rows * row_bytes;
    if (rows->n_rows > n_epochs)
        memcpy(group + n_epochs * row_bytes, session_predictions(session, pick, at),
               n_epochs * row_bytes);
    return group;
}
