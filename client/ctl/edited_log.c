#include "client/ctl/edited_log.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "protocol/reject_log_npz.h"

int edited_log_read(const char *path, struct edited_log *log)
{
    struct rejectd_error error;
    size_t length;
    *log = (struct edited_log){.path = path};
    char *bytes = ctl_read_file(path, &length);
    if (bytes == NULL)
        return CTL_USAGE;
    enum rejectd_status status = reject_log_from_npz(bytes, length, &log->log, &log->names, &error);
    free(bytes);
    if (status == REJECTD_OK)
        return CTL_OK;
    ctl_failure_of(path, &error);
    return CTL_USAGE; /* it is the local file that is wrong, whatever the status */
}

void edited_log_clear(struct edited_log *log)
{
    reject_log_npz_clear(&log->log);
    free(log->names);
    *log = (struct edited_log){0};
}

/* Where the log has a channel of that name, or n_channels. */
static size_t find(const struct edited_log *log, const char *name)
{
    size_t i = 0;
    while (i < log->log.n_channels && strcmp(log->names[i], name) != 0)
        i++;
    return i;
}

/* columns[c] is the dataset's channel c in the log. Names are unique on both sides, so that equal
 * numbers and finding each one means the same channels. */
static int match_channels(const struct edited_log *log, const char *id, const json_t *channels,
                          size_t *columns)
{
    const size_t n = log->log.n_channels;
    for (size_t c = 0; c < json_array_size(channels); c++) {
        const char *name = json_string_value(json_object_get(json_array_get(channels, c), "name"));
        const size_t column = name == NULL ? n : find(log, name);
        if (column == n)
            return ctl_usage("%s: has no channel \"%s\", which dataset %s has", log->path,
                             name == NULL ? "" : name, id);
        if (c < n)
            columns[c] = column;
    }
    if (json_array_size(channels) != n)
        return ctl_usage("%s: has %zu channels, more than the %zu of dataset %s", log->path, n,
                         json_array_size(channels), id);
    return CTL_OK;
}

static void append_log(const struct rejectd_reject_log *log, const size_t *columns,
                       struct buffer *out)
{
    buffer_append_text(out, "{\"labels\": [");
    for (size_t e = 0; e < log->n_epochs; e++) {
        const int8_t *row = log->labels + e * log->n_channels;
        buffer_append_text(out, e == 0 ? "[" : ",[");
        for (size_t c = 0; c < log->n_channels; c++)
            buffer_append_format(out, "%s%d", c == 0 ? "" : ",", row[columns[c]]);
        buffer_append_text(out, "]");
    }
    buffer_append_text(out, "], \"bad_epochs\": [");
    size_t n_bad = 0;
    for (size_t e = 0; e < log->n_epochs; e++)
        if (log->bad_epochs[e] != 0)
            buffer_append_format(out, "%s%zu", n_bad++ == 0 ? "" : ",", e);
    buffer_append_text(out, "]}");
}

int edited_log_append(const struct edited_log *log, const char *id, const char *description,
                      size_t length, struct buffer *out)
{
    json_t *root = json_loadb(description, length, 0, NULL);
    size_t *columns = calloc(log->log.n_channels + 1, sizeof *columns);
    const json_int_t n_epochs = json_integer_value(json_object_get(root, "n_epochs"));
    int code;
    if (columns == NULL)
        code = ctl_usage("%s: no memory for its labels", log->path);
    else
        code = match_channels(log, id, json_object_get(root, "channels"), columns);
    if (code == CTL_OK && (n_epochs < 0 || (size_t)n_epochs != log->log.n_epochs))
        code = ctl_usage("%s: has %zu epochs, and dataset %s has %lld", log->path,
                         log->log.n_epochs, id, (long long)n_epochs);
    if (code == CTL_OK)
        append_log(&log->log, columns, out);
    json_decref(root);
    free(columns);
    return code;
}
