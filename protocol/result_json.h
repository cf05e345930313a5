/* Reading the result of a fit or apply, for clients. The server writes it with job_json.h. */
#ifndef PROTOCOL_RESULT_JSON_H
#define PROTOCOL_RESULT_JSON_H

#include <rejectd/error.h>
#include <rejectd/types.h>

#include "protocol/job_json.h"

struct result_type {
    enum rejectd_channel_type type;
    double consensus;
    int n_interpolate;
};

struct result_threshold {
    char name[REJECTD_NAME_SIZE];
    double threshold; /* peak-to-peak, SI unit of the channel */
};

struct result_view {
    char model[JOB_ID_SIZE]; /* "" when none was stored */
    char device[32];
    char backend[256];
    uint32_t random_state;
    double seconds_queued;
    double seconds_running;
    size_t n_thresholds;
    struct result_threshold *thresholds; /* of the picked channels, in their order */
    size_t n_types;
    struct result_type *types;
    struct rejectd_reject_log log; /* labels and bad_epochs owned by the view */
    size_t n_warnings;
    struct rejectd_warning *warnings;
};

/* Fields that it doesn't know are ignored. On failure the view is cleared. */
enum rejectd_status result_view_from_json(const char *text, size_t length, struct result_view *view,
                                          struct rejectd_error *error);
void result_view_clear(struct result_view *view); /* all-zero is allowed */

#endif
