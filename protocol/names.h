/* The names on the wire of the enums of <rejectd/types.h>, of jobs and of datasets. */
#ifndef PROTOCOL_NAMES_H
#define PROTOCOL_NAMES_H

#include <rejectd/types.h>

#include "protocol/resource_json.h"

extern const char *const visibility_names[VISIBILITY_COUNT];
extern const char *const channel_type_names[REJECTD_CHANNEL_TYPE_COUNT];
enum { DTYPES_OF_SAMPLES = 2, DTYPES = 4 }; /* the rest is for arithmetic alone */
extern const char *const dtype_names[DTYPES];
extern const char *const threshold_method_names[REJECTD_THRESHOLD_METHOD_COUNT];
extern const char *const meg_legendre_names[REJECTD_MEG_LEGENDRE_COUNT];
extern const char *const job_type_names[JOB_TYPE_COUNT];
extern const char *const job_state_names[JOB_STATE_COUNT];
extern const char *const dataset_state_names[DATASET_STATE_COUNT];

/* False when there is no such type; *type is then unchanged. */
bool channel_type_from_name(const char *name, enum rejectd_channel_type *type);
/* True for channels that are analysed when no picks are given, unless they are marked bad. */
bool channel_type_is_analysed(enum rejectd_channel_type type);

#endif
