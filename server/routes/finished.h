/* A job that succeeded, and the dataset it worked on: what files are made from. */
#ifndef SERVER_ROUTES_FINISHED_H
#define SERVER_ROUTES_FINISHED_H

#include "protocol/dataset_json.h"
#include "protocol/result_json.h"
#include "server/store/store.h"

struct finished {
    struct job_view job;
    struct store_result result;
    struct dataset_description description;
    struct result_view view; /* of a fit or apply; else all-zero */
};

/* Opens a job that has the artifact (NOT_FOUND, CONFLICT before it succeeded); `file` is what was
 * asked for. finished_clear() in any case. */
enum rejectd_status finished_open(struct store *store, const char *job, enum artifact needed,
                                  const char *file, struct finished *finished,
                                  struct rejectd_error *error);
void finished_clear(struct finished *finished); /* all-zero is allowed */

/* Which epochs of the dataset are in cleaned.npy, [n_epochs]. free() it; NULL without memory. */
unsigned char *finished_kept(const struct finished *finished);

#endif
