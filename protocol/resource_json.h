/*
 * Resources as the server shows them: datasets, jobs and models with their envelope (id, state,
 * times), as plain structs with a to_json for the server and a from_json for clients.
 *
 * Every to_json returns NUL-terminated text to free(), or NULL without memory. Every from_json
 * ignores fields it doesn't know, so that an older client can talk to a newer server; on failure
 * the view is cleared. A view that is all zero may be cleared. Nothing here is shared between
 * threads.
 *
 * Times are ISO 8601 UTC with milliseconds ("2024-05-01T12:00:00.000Z"); "" stands for null.
 */
#ifndef PROTOCOL_RESOURCE_JSON_H
#define PROTOCOL_RESOURCE_JSON_H

#include <rejectd/error.h>
#include <rejectd/types.h>

#include "protocol/job_json.h"

enum {
    RESOURCE_ID_SIZE = JOB_ID_SIZE,
    RESOURCE_TIME_SIZE = 32,
    RESOURCE_SHA256_SIZE = 65, /* hex and NUL */
    RESOURCE_STAGE_SIZE = 32,
    RESOURCE_REQUEST_SIZE = 65, /* the id of a request, and NUL */
    RESOURCE_USER_SIZE = 65,
    RESOURCE_MAX_LIST = 1000, /* entries of a list */
};

/* X(symbol, name on the wire) */
#define DATASET_STATE_LIST(X)                                                                      \
    X(AWAITING_SAMPLES, "awaiting_samples")                                                        \
    X(READY, "ready")

enum dataset_state {
#define DATASET_STATE_ENUM(symbol, name) DATASET_##symbol,
    DATASET_STATE_LIST(DATASET_STATE_ENUM)
#undef DATASET_STATE_ENUM
        DATASET_STATE_COUNT
};

/* X(symbol, name on the wire, no later state follows) */
#define JOB_STATE_LIST(X)                                                                          \
    X(QUEUED, "queued", false)                                                                     \
    X(RUNNING, "running", false)                                                                   \
    X(SUCCEEDED, "succeeded", true)                                                                \
    X(FAILED, "failed", true)                                                                      \
    X(CANCELLED, "cancelled", true)

enum job_state {
#define JOB_STATE_ENUM(symbol, name, final) JOB_STATE_##symbol,
    JOB_STATE_LIST(JOB_STATE_ENUM)
#undef JOB_STATE_ENUM
        JOB_STATE_COUNT
};

/* X(symbol, name below /result/): the arrays that jobs leave behind, as .npy files */
#define ARTIFACT_LIST(X)                                                                           \
    X(LABELS, "labels.npy")                                                                        \
    X(CLEANED, "cleaned.npy")                                                                      \
    X(CORRELATIONS, "correlations.npy")

enum artifact {
#define ARTIFACT_ENUM(symbol, name) ARTIFACT_##symbol,
    ARTIFACT_LIST(ARTIFACT_ENUM)
#undef ARTIFACT_ENUM
        ARTIFACT_COUNT
};

/* X(symbol, name on the wire): who but its owner sees a resource */
#define VISIBILITY_LIST(X)                                                                         \
    X(PRIVATE, "private")                                                                          \
    X(LAB, "lab")

enum visibility {
#define VISIBILITY_ENUM(symbol, name) VISIBILITY_##symbol,
    VISIBILITY_LIST(VISIBILITY_ENUM)
#undef VISIBILITY_ENUM
        VISIBILITY_COUNT
};

/* Whose a resource is. Part of every view, as "owner" and "visibility". */
struct ownership {
    char owner[RESOURCE_USER_SIZE]; /* "" (null): made while there were no users */
    enum visibility visibility;
};

/* Static storage; valid for every value of the enums. */
const char *artifact_name(enum artifact artifact);
const char *dataset_state_name(enum dataset_state state);
const char *job_state_name(enum job_state state);
const char *job_type_name(enum job_type type);
const char *visibility_name(enum visibility visibility);
bool job_state_is_final(enum job_state state);
/* False when there is no such name; *state is then unchanged. */
bool dataset_state_from_name(const char *name, enum dataset_state *state);
bool job_state_from_name(const char *name, enum job_state *state);
bool artifact_from_name(const char *name, enum artifact *artifact);
bool visibility_from_name(const char *name, enum visibility *visibility);
bool job_type_from_name(const char *name, enum job_type *type);

/* What PATCH changes: absent fields stay. */
struct ownership_change {
    bool has_owner;
    bool has_visibility;
    struct ownership to;
};
enum rejectd_status ownership_change_from_json(const char *text, size_t length,
                                               struct ownership_change *change,
                                               struct rejectd_error *error);
/* A name that an owner may have. */
#define USER_NAME_ACCEPTED "1 to 64 of a-z, 0-9, and . _ @ -"
bool user_name_is_valid(const char *name);

/* A dataset: GET /v1/datasets/{id}. */
struct dataset_view {
    char id[RESOURCE_ID_SIZE]; /* "ds_..." */
    struct ownership ownership;
    enum dataset_state state;
    char sha256[RESOURCE_SHA256_SIZE]; /* of the samples, hex; "" (null) while they are awaited */
    char created_at[RESOURCE_TIME_SIZE];
    int64_t used_at;                     /* last: milliseconds since 1970; not in JSON */
    char expires_at[RESOURCE_TIME_SIZE]; /* unless it is used before; "" (null): never */
    uint64_t bytes;                      /* of the samples */
    char next_part[256];    /* name of the file that must follow before it is ready; "" (null) */
    char *description_json; /* owned; a JSON object as dataset_to_json() writes it, which
                               dataset_from_json() reads back (but in lists, a summary of it) */
};

void dataset_view_clear(struct dataset_view *view);
char *dataset_view_to_json(const struct dataset_view *view);
enum rejectd_status dataset_view_from_json(const char *text, size_t length,
                                           struct dataset_view *view, struct rejectd_error *error);
/* {"datasets": [...]} in the order given, as summaries: without channels, events, event_id and
 * device_to_head. */
char *dataset_list_to_json(const struct dataset_view *views, size_t n_views);
/* *views is owned by the caller: dataset_list_free(). */
enum rejectd_status dataset_list_from_json(const char *text, size_t length,
                                           struct dataset_view **views, size_t *n_views,
                                           struct rejectd_error *error);
void dataset_list_free(struct dataset_view *views, size_t n_views);

/* What a job is foretold to need; all zero: nothing was foretold. Not on the wire. */
struct job_needs {
    int64_t host_bytes;     /* on the processor */
    int64_t gpu_host_bytes; /* when a GPU computes; 0: nothing was foretold */
    int64_t work;           /* ns, as worker/needs.h counts it */
    int64_t gpu_work;
    char kind[32]; /* of work that is comparable */
};

/* A job: GET /v1/jobs/{id}. "result" is the path of the result once it succeeded, else null. */
struct job_view {
    char id[RESOURCE_ID_SIZE]; /* "jb_..." */
    struct ownership ownership;
    enum job_type type;
    char dataset[RESOURCE_ID_SIZE]; /* "ds_..." */
    char model[RESOURCE_ID_SIZE];   /* "md_..." that is applied; "" (null) for a fit */
    char device[32];
    int priority;
    char *parameters_json; /* owned; a JSON object; NULL means {} */
    enum job_state state;
    long position;                   /* jobs that run before it; -1 (null) unless queued */
    char stage[RESOURCE_STAGE_SIZE]; /* "thresholds", ...; "" (null) before it runs */
    double fraction;                 /* done, 0..1 */
    double seconds_left;             /* that it will run; 0 (null): unknown */
    int attempt;                     /* 0 before it ran, 1 in its first run */
    char created_at[RESOURCE_TIME_SIZE];
    char started_at[RESOURCE_TIME_SIZE];
    char finished_at[RESOURCE_TIME_SIZE];
    int64_t result_since; /* milliseconds since 1970; 0: it has no result; not in JSON */
    char result_removed_at[RESOURCE_TIME_SIZE]; /* "" (null): it was not */
    char expires_at[RESOURCE_TIME_SIZE];        /* of the result; "" (null): never */
    char answered_from[RESOURCE_ID_SIZE];   /* the job whose result it has; "" (null): its own */
    struct rejectd_error error;             /* why it failed; status REJECTD_OK: null */
    char request_id[RESOURCE_REQUEST_SIZE]; /* of the request that made it; "" (null): not known */
    struct job_needs needs;
    char estimated_start[RESOURCE_TIME_SIZE]; /* "" (null) unless queued, or where it isn't known */
};

void job_view_clear(struct job_view *view);
/* {"stage": ..., "fraction": ..., "seconds_left": ...}, as in a job. */
char *job_progress_to_json(const char *stage, double fraction, double seconds_left);
char *job_view_to_json(const struct job_view *view);
/* The same without "parameters". */
char *job_summary_to_json(const struct job_view *view);
/* What changes of a job within its state: {"id": ..., "position": ...} when it has a position, else
 * {"id": ..., "progress": {...}}. */
char *job_change_to_json(const struct job_view *view);
enum rejectd_status job_view_from_json(const char *text, size_t length, struct job_view *view,
                                       struct rejectd_error *error);
/* {"jobs": [...]} in the order given. */
char *job_list_to_json(const struct job_view *views, size_t n_views);
enum rejectd_status job_list_from_json(const char *text, size_t length, struct job_view **views,
                                       size_t *n_views, struct rejectd_error *error);
void job_list_free(struct job_view *views, size_t n_views);

/* The queue as a whole: {"queued": ..., "running": ..., "jobs": [summaries]}. */
struct queue_view {
    size_t n_queued;
    size_t n_running;
    const struct job_view *jobs; /* NULL: aren't told */
    size_t n_jobs;
};
char *queue_to_json(const struct queue_view *view);

/* A fitted model: GET /v1/models/{id}. */
struct model_view {
    char id[RESOURCE_ID_SIZE]; /* "md_..." */
    struct ownership ownership;
    char job[RESOURCE_ID_SIZE];     /* the fit that made it */
    char dataset[RESOURCE_ID_SIZE]; /* that it was fitted to */
    char created_at[RESOURCE_TIME_SIZE];
    char *model_json; /* owned; as model_to_json() writes it, which model_from_json() reads */
};

void model_view_clear(struct model_view *view);
char *model_view_to_json(const struct model_view *view);
enum rejectd_status model_view_from_json(const char *text, size_t length, struct model_view *view,
                                         struct rejectd_error *error);
/* {"models": [...]} in the order given. */
char *model_list_to_json(const struct model_view *views, size_t n_views);
enum rejectd_status model_list_from_json(const char *text, size_t length, struct model_view **views,
                                         size_t *n_views, struct rejectd_error *error);
void model_list_free(struct model_view *views, size_t n_views);

#endif
