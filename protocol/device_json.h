/*
 * Devices as the server shows them: GET /v1/devices and GET /readyz.
 *
 * to_json returns NUL-terminated text to free(), or NULL without memory.
 */
#ifndef PROTOCOL_DEVICE_JSON_H
#define PROTOCOL_DEVICE_JSON_H

#include "protocol/resource_json.h"

enum {
    DEVICE_MAX_RESIDENTS = 64, /* that are shown */
    RESIDENT_MAX_DATASETS = 8,
    DEVICE_REASON_SIZE = 256,
    DEVICE_NOTE_SIZE = 256,
};

/* X(symbol, name on the wire, jobs can run on it) */
#define DEVICE_STATE_LIST(X)                                                                       \
    X(OPENING, "opening", false)                                                                   \
    X(READY, "ready", true)                                                                        \
    X(BUSY, "busy", true)                                                                          \
    X(RESTARTING, "restarting", false)                                                             \
    X(FAILED, "failed", false)

enum device_state {
#define DEVICE_STATE_ENUM(symbol, name, usable) DEVICE_##symbol,
    DEVICE_STATE_LIST(DEVICE_STATE_ENUM)
#undef DEVICE_STATE_ENUM
        DEVICE_STATE_COUNT
};

/* Valid for every value of the enum. */
const char *device_state_name(enum device_state state);
bool device_state_is_usable(enum device_state state);

/* Of the kind of a device. */
bool device_kind_is_gpu(const char *kind);

/* Samples that a device keeps from job to job. */
struct resident_view {
    char sha256[RESOURCE_SHA256_SIZE];
    uint64_t bytes;
    uint64_t table_bytes; /* of what was computed from them */
    bool in_use;
    uint64_t n_uses; /* not shown */
    uint64_t serial; /* likewise */
    size_t n_datasets;
    /* Whose jobs have used them there, the latest last. */
    char datasets[RESIDENT_MAX_DATASETS][RESOURCE_ID_SIZE];
};

struct device_view {
    char id[32];   /* "cpu", "cuda:0" */
    char name[96]; /* "NVIDIA H200" */
    char kind[16]; /* "cpu", "cuda" */
    enum device_state state;
    char reason[DEVICE_REASON_SIZE]; /* why it can't be used; "" (null) when it can */
    uint64_t memory_total;           /* bytes of its own; 0 (null) for the processor */
    uint64_t memory_budget;          /* of which it uses at most */
    uint64_t memory_free;
    char job[RESOURCE_ID_SIZE]; /* that runs on it; "" (null) for none */
    uint64_t jobs_done;         /* that succeeded; since the daemon started, as all counts here */
    uint64_t restarts;
    uint64_t evictions; /* datasets that it dropped for others; not shown */
    size_t n_held;      /* datasets that it keeps, those that are not listed included */
    uint64_t held_bytes;
    bool hides_held; /* shown as null: not all of them are for whoever asks */
    size_t n_residents;
    struct resident_view residents[DEVICE_MAX_RESIDENTS];
};

/* {"devices": [...], "cuda": note}. */
char *device_list_to_json(const struct device_view *views, size_t n_views, const char *cuda_note);

/* {"status": "ok", "devices": {"cpu": "ready", ...}}. status: "ok", "not ready" or "draining". */
char *readiness_to_json(const struct device_view *views, size_t n_views, const char *status);

#endif
