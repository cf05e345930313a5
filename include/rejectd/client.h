/*
 * The client library: talks to a rejectd daemon over HTTP.
 *
 * A client belongs to one thread at a time. Refusals of the server come back as the error it gave
 * (status, field, message); when it cannot be reached, REJECTD_IO. Ids are "ds_...", "jb_...",
 * "md_..." in buffers of REJECTD_ID_SIZE bytes.
 */
#ifndef REJECTD_CLIENT_H
#define REJECTD_CLIENT_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { REJECTD_ID_SIZE = 40 };

struct rejectd_client;

/* How a file goes to the server, or comes from it. All-zero: once, and without a word. */
struct rejectd_transfer {
    /* Called now and then; returning false ends the transfer with REJECTD_CANCELLED. May be NULL.
     */
    bool (*report)(void *context, uint64_t done, uint64_t total);
    void *context;
    /* Of a download: told the ETag ("" for none) of what begins to be written. May be NULL. */
    void (*begun)(void *context, const char *etag);
    /* Samples and downloads that break off go on where they were, until nothing more came across
     * for so many seconds; 0: a failure is the end. */
    double retry_seconds;
    /* What the server has of the samples already isn't sent, and is compared with the file's: if it
     * is of another one, it is dropped, and the upload fails. Needs retry_seconds. */
    bool goes_on;
    bool compress; /* files are sent compressed; samples then can't go on where they broke off */
};

enum rejectd_job_state {
    REJECTD_JOB_QUEUED,
    REJECTD_JOB_RUNNING,
    REJECTD_JOB_SUCCEEDED,
    REJECTD_JOB_FAILED,
    REJECTD_JOB_CANCELLED,
};

struct rejectd_job_status {
    enum rejectd_job_state state;
    long position;              /* in the queue; -1 when not queued */
    char stage[32];             /* "" before it runs */
    double fraction;            /* 0..1 */
    struct rejectd_error error; /* of a failed job */
};

/* url as "http://127.0.0.1:8765". *client is the caller's: rejectd_client_close(). */
enum rejectd_status rejectd_client_open(const char *url, struct rejectd_client **client,
                                        struct rejectd_error *error);
/* Of an https:// server: only who has a certificate that one in this PEM file vouches for, or that
 * is in it, is talked to. Without it those that the system trusts count. */
enum rejectd_status rejectd_client_trust(struct rejectd_client *client, const char *path,
                                         struct rejectd_error *error);
/* Sends this token with every request: whoever has it asks in its user's name. */
enum rejectd_status rejectd_client_authorize(struct rejectd_client *client, const char *token,
                                             struct rejectd_error *error);
void rejectd_client_close(struct rejectd_client *client); /* NULL is allowed */

/* Creates a dataset from its JSON (POST /v1/datasets). */
enum rejectd_status rejectd_client_create_dataset(struct rejectd_client *client, const char *json,
                                                  size_t length, char id[REJECTD_ID_SIZE],
                                                  struct rejectd_error *error);

/* Streams a file, raw samples or .npy, into a dataset that awaits its samples. */
enum rejectd_status rejectd_client_upload_samples(struct rejectd_client *client, const char *id,
                                                  const char *path,
                                                  const struct rejectd_transfer *transfer,
                                                  struct rejectd_error *error);

/* A dataset after a file was sent to it. */
struct rejectd_uploaded {
    char id[REJECTD_ID_SIZE];
    char next_part[256]; /* name of the file that must follow before it is ready; "" when it is */
};

/*
 * Streams a file of epochs (-epo.fif, -epo.fif.gz, .set, .npz) as it is, which makes a dataset.
 *
 *   id    NULL; or the dataset that awaits the file: a further part of a divided recording, or
 *         the .fdt of a .set
 *   name  of the new dataset; NULL for none
 */
enum rejectd_status rejectd_client_upload_file(struct rejectd_client *client, const char *id,
                                               const char *name, const char *path,
                                               const struct rejectd_transfer *transfer,
                                               struct rejectd_uploaded *uploaded,
                                               struct rejectd_error *error);

/* Streams a file of AutoReject.save(), which makes a model. */
enum rejectd_status rejectd_client_upload_model(struct rejectd_client *client, const char *path,
                                                const struct rejectd_transfer *transfer,
                                                char id[REJECTD_ID_SIZE],
                                                struct rejectd_error *error);

enum rejectd_status rejectd_client_delete_dataset(struct rejectd_client *client, const char *id,
                                                  struct rejectd_error *error);

/* Submits a job (POST /v1/jobs) from its JSON. */
enum rejectd_status rejectd_client_submit(struct rejectd_client *client, const char *json,
                                          size_t length, char id[REJECTD_ID_SIZE],
                                          struct rejectd_error *error);

/* What a job would need and take (POST /v1/estimate): *text is the answer's JSON, NUL-terminated,
 * the caller's to free(). */
enum rejectd_status rejectd_client_estimate(struct rejectd_client *client, const char *json,
                                            size_t length, char **text, size_t *text_length,
                                            struct rejectd_error *error);

/* The job as it is now, or after it ended if that is within `seconds` (0..60). */
enum rejectd_status rejectd_client_wait(struct rejectd_client *client, const char *id,
                                        double seconds, struct rejectd_job_status *status,
                                        struct rejectd_error *error);

enum rejectd_status rejectd_client_cancel(struct rejectd_client *client, const char *id,
                                          struct rejectd_error *error);

/* GET of a path ("/v1/jobs/jb_.../result"): *text is NUL-terminated and the caller's to free(). */
enum rejectd_status rejectd_client_get(struct rejectd_client *client, const char *path, char **text,
                                       size_t *length, struct rejectd_error *error);

/* What the server says about a file it sent. */
struct rejectd_downloaded {
    char name[256]; /* without folders; "" when it gave none, or none that can be used */
    size_t n_parts; /* files that the recording is divided over; 1 for all but large ones */
    char etag[80];  /* "": what came last cannot be gone on with */
};

/*
 * GET of a path into an open file descriptor. Nothing is written when the server refuses.
 * *downloaded (may be NULL) is all-zero, or has the etag of what the file holds up to where it
 * stands: then that is gone on with, if the server has the same still, and else begun anew. Into a
 * pipe nothing is sent twice: what breaks off there ends with an error.
 */
enum rejectd_status rejectd_client_download(struct rejectd_client *client, const char *path,
                                            int file, const struct rejectd_transfer *transfer,
                                            struct rejectd_downloaded *downloaded,
                                            struct rejectd_error *error);

#ifdef __cplusplus
}
#endif

#endif
