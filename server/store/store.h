/*
 * What must survive a crash: datasets, jobs, models.
 *
 * A store is a const table of functions over some database. The queue *is* the table of jobs;
 * there is no second truth in memory. Every change is durable when its function returns, except
 * where it says otherwise. All functions may be called by several threads at once.
 *
 * Records are the views of the protocol. Ids and times of what is inserted are given by the store.
 * Unknown ids are NOT_FOUND; what the state of a record forbids is CONFLICT; a broken database is
 * STORAGE, a full one STORAGE_FULL.
 *
 * A claim is a lease with a fencing number. A running job whose daemon died is queued again by
 * recover() with the next attempt; whoever comes with an older number is refused. A job that was
 * lost STORE_MAX_ATTEMPTS times, by daemons that died or devices that failed, has failed.
 */
#ifndef SERVER_STORE_STORE_H
#define SERVER_STORE_STORE_H

#include <stdatomic.h>

#include "protocol/resource_json.h"

enum {
    STORE_MAX_ATTEMPTS = 3,
    STORE_IDENTITY_SIZE = 33, /* hex and NUL */
};

/* Who looks: lists show what is theirs or the lab's. NULL stands for the daemon and for
 * administrators, who see all. */
struct store_viewer {
    const char *user;
};

enum { STORE_TOKEN_ID_SIZE = 17, STORE_TOKEN_HASH_BYTES = 32 };

/* What lets a client in (identity/token.h). Times are milliseconds since 1970; 0: never. */
struct store_token {
    char id[STORE_TOKEN_ID_SIZE];
    char user[RESOURCE_USER_SIZE];
    bool admin;
    unsigned char hash[STORE_TOKEN_HASH_BYTES]; /* of its secret */
    int64_t created_at;
    int64_t expires_at;
    int64_t revoked_at;
};

/*
 * Which of the queued jobs a device takes. A job wishes for what was posted as its "device", until
 * it is moved (store_retry). Lists are words between blanks: " auto cuda cuda:0 ".
 */
struct store_taker {
    const char *device; /* whose claim it is */
    const char *wishes; /* takes jobs that wish for one of these, */
    bool others;        /* or, if this is set, jobs that wish for anything else */
    const char *gpus;   /* that have jobs of their own: one that wishes for another GPU by name, or
                           for the one that has lost it, counts as one for "cuda". NULL: none does */
    /* And of those that do not wish for `device` by name: */
    bool avoids_lost;        /* not the ones that it was the last to lose */
    const char *elsewhere;   /* nor those on datasets with one of these SHA-256, unless they were
                                lost before: who has the dataset may avoid them. NULL: none */
    struct store_room *room; /* NULL: any job has room */
};

/* How the seconds that jobs took compare with the work that was foretold: for one device, kind and
 * size (the doublings of their work, in halves). */
struct store_rate {
    char device[32];
    char kind[32];
    int size;
    int64_t micro_log; /* 1e6 times the mean of log(seconds per second of work) */
    int64_t n;         /* jobs that it is learnt from */
};

/* How much memory of the host a claimed job may need. */
struct store_room {
    bool on_gpu;            /* of what is foretold, the GPU's part counts */
    int64_t most;           /* bytes; negative: none at all */
    const char *first;      /* a job that comes before all others when it is taken; NULL: none */
    int64_t most_for_first; /* bytes for it */
    /* Told: the first job in order that needs more, "" when there is none before the claimed one.
     */
    char passed[RESOURCE_ID_SIZE];
    int64_t passed_bytes;
    bool first_is_there; /* `first` is among the jobs that the device takes */
};

struct store_claim {
    char job[RESOURCE_ID_SIZE];
    char owner[RESOURCE_USER_SIZE];
    int64_t fence;
    int attempt;                    /* 1 for the first */
    char wish[32];                  /* "device" as it was posted */
    char lost_on[32];               /* the device that was the last to lose it; "": none */
    struct rejectd_warning warning; /* for its result; code "": none */
    enum job_type type;
    char dataset[RESOURCE_ID_SIZE];
    char model[RESOURCE_ID_SIZE]; /* that is applied; "" for other types */
    char *parameters_json;        /* owned: store_claim_clear() */
    double seconds_queued;
    int priority;
    char request_id[RESOURCE_REQUEST_SIZE]; /* of who made the job; "": not known */
    struct job_needs needs;
};
void store_claim_clear(struct store_claim *claim); /* all-zero is allowed */

/* How a job was asked for. */
struct store_submission {
    const char *key;    /* with it, its sender may send it again without doing it twice; or NULL */
    const char *sha256; /* of the request, hex; with key */
    const char *fingerprint; /* jobs with the same one have the same result; or NULL */
    const char *answer;      /* the job whose result is to be its, if it is there still; or NULL */
    uint64_t most_queued;    /* of its owner's jobs, this one included; 0: any number */
};

/* What an owner takes up. */
struct store_usage {
    uint64_t queued_jobs;
    uint64_t stored_bytes; /* of the samples of their datasets, those to come included */
};

/* Why a claim is handed back though its job ran. */
struct store_retry {
    const char *device;                    /* that had it */
    const struct rejectd_error *error;     /* why */
    bool lost;                             /* counts as a loss: the last one fails the job */
    const char *moved_to;                  /* the device that it wishes for now; NULL: as before */
    const struct rejectd_warning *warning; /* that its result is to have then; NULL: none */
};

/* How a job ended. */
struct store_outcome {
    enum job_state state;              /* SUCCEEDED, FAILED or CANCELLED */
    const struct rejectd_error *error; /* of FAILED */
    /* Of SUCCEEDED: */
    const char *result_json;
    const char *artifacts[ARTIFACT_COUNT]; /* SHA-256 of blobs; NULL: the job has no such array */
    const char *model_id;   /* store_new_id(), named by the result; NULL when none was made */
    const char *model_json; /* with model_id */
    const struct store_rate *rate; /* to be kept with it; NULL: none */
    bool answers_none; /* not what its fingerprint promises: no later job is answered by it */
};

/* A file that a dataset came from, or a part of one, as far as it is kept. */
struct store_part {
    char format[16];                        /* "fif" */
    char head_sha256[RESOURCE_SHA256_SIZE]; /* blob: the file without its samples; "": none */
    uint64_t head_bytes;
    uint64_t samples_at; /* where in the head the samples were */
    size_t n_epochs;
    /* Blob: the samples of this part alone; "" once the dataset has them all. */
    char samples_sha256[RESOURCE_SHA256_SIZE];
};

enum { STORE_PARTIAL_HEADER = 4096 };

/* An upload of samples that comes in pieces, as far as it is durable. The samples are in the
 * partial file of the dataset (blobs/blobs.h). */
struct store_partial {
    char dataset[RESOURCE_ID_SIZE];
    uint64_t total; /* bytes of the whole body */
    bool is_npy;    /* it was said to be .npy */
    bool in_header; /* the samples haven't begun */
    size_t header_bytes;
    unsigned char header[STORE_PARTIAL_HEADER]; /* of a .npy file, as far as it has come */
    uint64_t sample_bytes;
    int64_t touched_at; /* when the last piece came: milliseconds since 1970 */
};

struct store_result {
    char *json;                                           /* owned: free() */
    char artifacts[ARTIFACT_COUNT][RESOURCE_SHA256_SIZE]; /* "": there is no such array */
};

#define STORE_WHENEVER_USED INT64_MAX /* for dataset_delete() */

/* What isn't referred to any more by what was removed; by others it may be. */
struct store_removed {
    char (*sha256)[RESOURCE_SHA256_SIZE]; /* [n] blobs; owned */
    size_t n;
    size_t n_results; /* of jobs */
};
void store_removed_clear(struct store_removed *removed);

struct store_recovery {
    size_t n_requeued;
    size_t n_failed;
    size_t n_cancelled;
};

/* What waits and runs. */
enum { STORE_PRIORITIES = 2 * JOB_MAX_PRIORITY + 1 };
struct store_queue {
    size_t n_running;
    size_t n; /* priorities with jobs that wait, the highest first */
    struct {
        int priority;
        size_t n_queued;
        int64_t oldest; /* when the first of them was made: milliseconds since 1970 */
    } by_priority[STORE_PRIORITIES];
};

/* How many jobs wait, of all priorities. */
size_t store_queue_n_queued(const struct store_queue *queue);

struct store;

struct store_functions {
    void (*close)(struct store *store);

    /* Fails when the store cannot answer now. */
    enum rejectd_status (*check)(struct store *store, struct rejectd_error *error);

    /* What it was given when it was made. */
    enum rejectd_status (*identity)(struct store *store, char out[STORE_IDENTITY_SIZE],
                                    struct rejectd_error *error);

    /* Fills id and created_at; its ownership is given. A dataset with a sha256 is READY, one
     * without awaits samples: those of next_part, or those that are PUT. part, its first one, is
     * NULL when it is no file. TOO_LARGE when its owner's datasets would have more than `most`
     * bytes together (0: any). */
    enum rejectd_status (*dataset_insert)(struct store *store, struct dataset_view *dataset,
                                          const struct store_part *part, uint64_t most,
                                          struct rejectd_error *error);
    /* Adds the next part, number n_parts (from 0), to a dataset that awaits it (else CONFLICT) and
     * gives the dataset description, bytes, sha256 and next_part of `dataset`. With a sha256 the
     * samples of the single parts are forgotten. TOO_LARGE as above. */
    enum rejectd_status (*dataset_add_part)(struct store *store, const struct dataset_view *dataset,
                                            size_t n_parts, const struct store_part *part,
                                            uint64_t most, struct rejectd_error *error);
    /* The parts in their order; free() *parts. None for a dataset that is no file. */
    enum rejectd_status (*dataset_parts)(struct store *store, const char *id,
                                         struct store_part **parts, size_t *n_parts,
                                         struct rejectd_error *error);
    /* Awaiting samples by PUT -> ready, which ends an upload in pieces; CONFLICT when it is ready
     * already, or awaits a part. */
    enum rejectd_status (*dataset_set_samples)(struct store *store, const char *id,
                                               const char *sha256, struct rejectd_error *error);
    enum rejectd_status (*dataset_get)(struct store *store, const char *id,
                                       struct dataset_view *dataset, struct rejectd_error *error);
    /* Newest first, at most `limit`. dataset_list_free(). */
    enum rejectd_status (*dataset_list)(struct store *store, const struct store_viewer *viewer,
                                        size_t limit, struct dataset_view **datasets,
                                        size_t *n_datasets, struct rejectd_error *error);
    /* With the results of the jobs on it. CONFLICT while a queued or running job uses it, and when
     * it was used at or after unused_since. store_removed_clear(). */
    enum rejectd_status (*dataset_delete)(struct store *store, const char *id, int64_t unused_since,
                                          struct store_removed *removed,
                                          struct rejectd_error *error);
    /* The ids of datasets that were last used before then, the longest unused first. */
    enum rejectd_status (*dataset_unused)(struct store *store, int64_t before,
                                          char (*ids)[RESOURCE_ID_SIZE], size_t capacity,
                                          size_t *n_ids, struct rejectd_error *error);

    /* NOT_FOUND when none was begun. */
    enum rejectd_status (*partial_get)(struct store *store, const char *dataset,
                                       struct store_partial *partial, struct rejectd_error *error);
    /* Inserts or replaces; gives touched_at. CONFLICT unless the dataset awaits samples. */
    enum rejectd_status (*partial_put)(struct store *store, const struct store_partial *partial,
                                       struct rejectd_error *error);
    /* It isn't an error when there is none. */
    enum rejectd_status (*partial_delete)(struct store *store, const char *dataset,
                                          struct rejectd_error *error);
    /* The datasets of those that were not touched since `before`, at most `capacity`. */
    enum rejectd_status (*partial_expired)(struct store *store, int64_t before,
                                           char (*ids)[RESOURCE_ID_SIZE], size_t capacity,
                                           size_t *n_ids, struct rejectd_error *error);

    /* The latest job with this fingerprint that the viewer sees, and that has its result and its
     * model; "" when there is none. */
    enum rejectd_status (*answer_find)(struct store *store, const char *fingerprint,
                                       const struct store_viewer *viewer,
                                       char job[RESOURCE_ID_SIZE], struct rejectd_error *error);
    /* The job that this submission, which has a key, of the owner made before; "" when it made
     * none. CONFLICT when the key came with another request. */
    enum rejectd_status (*job_earlier)(struct store *store, const char *owner,
                                       const struct store_submission *submission,
                                       char job[RESOURCE_ID_SIZE], struct rejectd_error *error);
    /* Queues a job, its ownership given; fills id, created_at, state and position. Its dataset must
     * be ready (CONFLICT), and its model there. A submission (may be NULL) that its owner made
     * before makes no other job: *job is that one; CONFLICT when it was of another request. With an
     * answer it has succeeded at once, with the same result, blobs and a copy of the model.
     * TOO_MANY_REQUESTS when it would be one too many. */
    enum rejectd_status (*job_insert)(struct store *store,
                                      const struct store_submission *submission,
                                      struct job_view *job, struct rejectd_error *error);
    enum rejectd_status (*job_get)(struct store *store, const char *id, struct job_view *job,
                                   struct rejectd_error *error);
    enum rejectd_status (*job_list)(struct store *store, const struct store_viewer *viewer,
                                    size_t limit, struct job_view **jobs, size_t *n_jobs,
                                    struct rejectd_error *error);
    /* A queued job is cancelled at once; a running one is marked, and its worker is to be told by
     * the caller. CONFLICT when it is final. *job is the job after it. */
    enum rejectd_status (*job_cancel)(struct store *store, const char *id, struct job_view *job,
                                      struct rejectd_error *error);

    /* Claims the next job that the device takes: users take turns, and each one's jobs come in
     * order of priority, then age. *found is false when there is none. A power failure (not a crash
     * of the daemon) may forget the claim, which is then queued. */
    enum rejectd_status (*job_claim)(struct store *store, const struct store_taker *taker,
                                     bool *found, struct store_claim *claim,
                                     struct rejectd_error *error);
    /* Hands a claim back: queued again, and not counted as a loss. CONFLICT for an old fence. */
    enum rejectd_status (*job_release)(struct store *store, const char *id, int64_t fence,
                                       struct rejectd_error *error);
    /* Hands a claim back for another try: *state (may be NULL) is QUEUED, FAILED after the last
     * loss, or CANCELLED. CONFLICT for an old fence. */
    enum rejectd_status (*job_retry)(struct store *store, const char *id, int64_t fence,
                                     const struct store_retry *retry, enum job_state *state,
                                     struct rejectd_error *error);
    /* Ends a claim, with result and model, all or nothing. CONFLICT for an old fence. A job that
     * was cancelled meanwhile stays cancelled if the outcome isn't success. */
    enum rejectd_status (*job_finish)(struct store *store, const char *id, int64_t fence,
                                      const struct store_outcome *outcome,
                                      struct rejectd_error *error);
    enum rejectd_status (*queue_look)(struct store *store, struct store_queue *queue,
                                      struct rejectd_error *error);
    /* The jobs that run, then those that are queued, the next first; at most `limit`, without their
     * parameters. job_list_free(). */
    enum rejectd_status (*queue_list)(struct store *store, const struct store_viewer *viewer,
                                      size_t limit, struct job_view **jobs, size_t *n_jobs,
                                      struct rejectd_error *error);
    /* CONFLICT unless it succeeded; NOT_FOUND when the result was removed. */
    enum rejectd_status (*job_result)(struct store *store, const char *id,
                                      struct store_result *result, struct rejectd_error *error);
    /* The job stays, without its result; so does a model that it made. NOT_FOUND when it has none.
     * store_removed_clear(). */
    enum rejectd_status (*result_delete)(struct store *store, const char *job,
                                         struct store_removed *removed,
                                         struct rejectd_error *error);
    /* The ids of jobs with results that ended before then, the oldest first. */
    enum rejectd_status (*result_old)(struct store *store, int64_t before,
                                      char (*ids)[RESOURCE_ID_SIZE], size_t capacity, size_t *n_ids,
                                      struct rejectd_error *error);

    /* All that are kept; free() *rates. */
    enum rejectd_status (*rate_list)(struct store *store, struct store_rate **rates,
                                     size_t *n_rates, struct rejectd_error *error);

    /* For the start, when no worker runs: deals with jobs that were running. */
    enum rejectd_status (*recover)(struct store *store, struct store_recovery *recovery,
                                   struct rejectd_error *error);

    /* A model that no job made: fills id and created_at; job and dataset are "". */
    enum rejectd_status (*model_insert)(struct store *store, struct model_view *model,
                                        struct rejectd_error *error);
    enum rejectd_status (*model_get)(struct store *store, const char *id, struct model_view *model,
                                     struct rejectd_error *error);
    enum rejectd_status (*model_list)(struct store *store, const struct store_viewer *viewer,
                                      size_t limit, struct model_view **models, size_t *n_models,
                                      struct rejectd_error *error);
    /* CONFLICT while a queued or running job uses it. */
    enum rejectd_status (*model_delete)(struct store *store, const char *id,
                                        struct rejectd_error *error);

    enum rejectd_status (*usage_get)(struct store *store, const char *owner,
                                     struct store_usage *usage, struct rejectd_error *error);

    /* Of a dataset, job or model, which its id tells. NOT_FOUND, in the same words, for what is not
     * there and for what the viewer does not see. */
    enum rejectd_status (*ownership_get)(struct store *store, const struct store_viewer *viewer,
                                         const char *id, struct ownership *ownership,
                                         struct rejectd_error *error);
    enum rejectd_status (*ownership_change)(struct store *store, const char *id,
                                            const struct ownership_change *change,
                                            struct rejectd_error *error);

    /* The id is the caller's; CONFLICT when it is there already. */
    enum rejectd_status (*token_insert)(struct store *store, const struct store_token *token,
                                        struct rejectd_error *error);
    /* NOT_FOUND for unknown ones; finds also what has expired or was revoked. */
    enum rejectd_status (*token_get)(struct store *store, const char *id, struct store_token *token,
                                     struct rejectd_error *error);
    /* Oldest first, all of them. free() *tokens. */
    enum rejectd_status (*token_list)(struct store *store, struct store_token **tokens,
                                      size_t *n_tokens, struct rejectd_error *error);
    /* CONFLICT when it was revoked already. */
    enum rejectd_status (*token_revoke)(struct store *store, const char *id, int64_t now,
                                        struct rejectd_error *error);
    /* Whether a token was ever made. */
    enum rejectd_status (*token_any)(struct store *store, bool *any, struct rejectd_error *error);

    /* Tells of every reference to a blob, and what has it ("dataset ds_..."). */
    enum rejectd_status (*blob_visit)(struct store *store,
                                      void (*visit)(void *context, const char *sha256,
                                                    const char *holder),
                                      void *context, struct rejectd_error *error);
    /* True when a record refers to the blob, and when that cannot be told: because the store
     * fails, or because a commit failed that may yet be there after a crash. */
    bool (*blob_is_needed)(struct store *store, const char *sha256);

    /* Takes what was deleted since the last time, or before the store was opened, out of the files,
     * too. When somebody is in the way the next call tries again; without need it does nothing. */
    void (*forget)(struct store *store);
};

/* The head of every store. */
struct store {
    const struct store_functions *functions;
    atomic_uint_least64_t n_errors; /* failures of the database so far */
};

/* "ds_", "jb_" or "md_" and 22 random characters of [a-z0-9]. */
void store_new_id(const char *prefix, char out[RESOURCE_ID_SIZE]);

/* Opens (and makes, and brings up to date) the database file. *store is owned by the caller:
 * functions->close(). */
enum rejectd_status store_sqlite_open(const char *path, struct store **store,
                                      struct rejectd_error *error);

/*
 * Makes the database file anew when it is of an earlier version, whose pages had no checksums;
 * *added tells. When it fails the file is as it was. The only process that has it open may call it.
 */
enum rejectd_status store_sqlite_add_sums(struct store *store, bool *added,
                                          struct rejectd_error *error);

/* Copies a database file, as it is at one moment, into a new one. Others may use it meanwhile, in
 * other processes as well. */
enum rejectd_status store_sqlite_copy(const char *from, const char *to,
                                      struct rejectd_error *error);

#endif
