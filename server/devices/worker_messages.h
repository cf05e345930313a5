/*
 * What the daemon and a worker process say to each other.
 *
 * Both are the same program, so structs go as they are. What a worker says is checked where it is
 * received: lengths by worker_message_fits(), texts and numbers by the functions below.
 *
 *   daemon                           worker
 *                              <-    OPENED           once the device is open, or can't be
 *   PING, FORGET               ->
 *                              <-    STATUS           after each of them, and after each job
 *   JOB (with the samples' fd) ->
 *   CANCEL                     ->
 *                              <-    PROGRESS ...
 *                              <-    CLEANED_OPEN, CLEANED ...       of jobs that clean
 *                              <-    RESULT, MODEL, LABELS, CORRELATIONS  as far as there are any
 *                              <-    FOUND                           of a share, instead of all
 * that
 *                              <-    DONE
 *
 * A worker has one job at a time; it answers pings meanwhile. It ends when the channel does. One
 * that was started without a device says LISTED and ends.
 */
#ifndef SERVER_DEVICES_WORKER_MESSAGES_H
#define SERVER_DEVICES_WORKER_MESSAGES_H

#include <rejectd/devices.h>

#include "server/devices/device_list.h"
#include "server/devices/forget_list.h"
#include "server/devices/worker_channel.h"
#include "server/jobs/scheduler.h"
#include "server/jobs/split.h"

enum worker_message {
    WORKER_JOB = 1,
    WORKER_CANCEL,
    WORKER_PING,
    WORKER_FORGET,
    WORKER_OPENED,
    WORKER_STATUS,
    WORKER_PROGRESS,
    WORKER_CLEANED_OPEN,
    WORKER_CLEANED,
    WORKER_RESULT,
    WORKER_MODEL,
    WORKER_LABELS,
    WORKER_CORRELATIONS,
    WORKER_FOUND,
    WORKER_DONE,
    WORKER_LISTED,
};

enum { WORKER_MAX_CLEANED = 1 << 20 }; /* bytes of one CLEANED */

/* OPENED, DONE: status REJECTD_OK for success. */
struct worker_outcome {
    uint32_t status;
    char field[96];
    char message[384];
};

struct worker_resident {
    char content[REJECTD_CONTENT_SIZE];
    uint8_t in_use;
    uint64_t bytes;
    uint64_t table_bytes;
    uint64_t n_uses;
    uint64_t serial;
};

struct worker_status {
    uint64_t free_bytes;
    uint64_t budget;
    uint64_t evictions; /* since the process started */
    uint64_t n_held;    /* in all; the latest used are listed */
    uint64_t held_bytes;
    uint32_t n_residents;
    struct worker_resident residents[DEVICE_MAX_RESIDENTS];
};

struct worker_progress {
    char stage[RESOURCE_STAGE_SIZE];
    double fraction;
};

/* JOB; three texts follow, without NULs: description, parameters, model (empty: none); then what
 * was found by the shares of its search, as FOUND, if anything was searched. */
struct worker_job {
    uint32_t type; /* enum job_type */
    char dataset_sha256[RESOURCE_SHA256_SIZE];
    char model_id[RESOURCE_ID_SIZE]; /* for the result */
    struct rejectd_warning warning;  /* for the result; code "": none */
    double seconds_queued;
    uint64_t lengths[3];
    uint64_t share_index; /* of the search for thresholds, of n_shares: all that is asked for */
    uint64_t n_shares;    /* 0: the whole job is */
    uint64_t n_found;     /* channels of what was found; 0: nothing was searched */
    double seconds_searched;
    char devices[SPLIT_DEVICES_SIZE]; /* who found it, for the result */
};

/* FORGET: up to FORGET_MOST contents, of REJECTD_CONTENT_SIZE each; none: everything. */

/* CLEANED_OPEN is a uint64_t: n_kept. FOUND: a threshold for each channel of the dataset, then a
 * loss for each, as doubles. LABELS and CORRELATIONS: their items follow. */
struct worker_array {
    uint64_t shape[2];
};

/* False when a message of that type never has this length. */
bool worker_message_fits(const struct worker_header *header);

void worker_outcome_pack(enum rejectd_status status, const struct rejectd_error *error,
                         struct worker_outcome *outcome);
/* Fills *error unless the status is REJECTD_OK. False when it makes no sense. */
bool worker_outcome_unpack(struct worker_outcome *outcome, enum rejectd_status *status,
                           struct rejectd_error *error);

void worker_status_pack(const struct rejectd_device *device, struct worker_status *status);
/* Fills memory and residents of the view. False when it makes no sense. */
bool worker_status_unpack(struct worker_status *status, struct device_view *contents);

/* Ends the texts of the list. False when it makes no sense. */
bool worker_list_check(struct device_list *list);

/* False when it makes no sense. */
bool worker_progress_check(struct worker_progress *progress);

#endif
