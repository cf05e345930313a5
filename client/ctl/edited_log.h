/* A reject log that a person has edited, for apply --reject-log. */
#ifndef CLIENT_CTL_EDITED_LOG_H
#define CLIENT_CTL_EDITED_LOG_H

#include <rejectd/types.h>

#include "base/buffer.h"

struct edited_log {
    const char *path; /* borrowed */
    struct rejectd_reject_log log;
    char (*names)[REJECTD_NAME_SIZE]; /* [log.n_channels], NULL when none was read */
};

/* Reads the .npz that autoreject's RejectLog.save() writes. An exit code. */
int edited_log_read(const char *path, struct edited_log *log);
void edited_log_clear(struct edited_log *log); /* all-zero is allowed */

/*
 * Appends it as a JSON object for a job, the labels in the order of the dataset's channels. The
 * channels must be the same, their order may differ. description: JSON of the dataset `id`. An exit
 * code.
 */
int edited_log_append(const struct edited_log *log, const char *id, const char *description,
                      size_t length, struct buffer *out);

#endif
