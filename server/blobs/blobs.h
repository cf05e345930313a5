/*
 * Files named by the SHA-256 of their content: samples and result arrays.
 *
 * A blob is written to a temporary name, hashed and checked on the way, made durable, and then
 * published by a rename; equal content is kept once. One that comes in pieces has a name of its
 * own ("partial-...") meanwhile, which outlives its writers and the daemon. Which blobs are still
 * needed is known by the store alone: blobs_sweep() and blobs_remove() are told.
 *
 * All functions may be called by several threads at once, except that a writer belongs to one
 * thread at a time.
 */
#ifndef SERVER_BLOBS_BLOBS_H
#define SERVER_BLOBS_BLOBS_H

#include <rejectd/error.h>
#include <rejectd/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/blobs/sha256.h"

struct blobs;

/* Opens the directory, making it when it isn't there. *blobs is owned by the caller. */
enum rejectd_status blobs_open(const char *directory, struct blobs **blobs,
                               struct rejectd_error *error);
void blobs_close(struct blobs *blobs); /* NULL is allowed */

struct blob_writer;

/* How much of a partial file has been hashed. */
struct blob_progress {
    uint64_t bytes;
    struct sha256 hash;
};

enum { BLOBS_PARTIAL_NAME_SIZE = 64 };

struct blob_writer_options {
    uint64_t expected_bytes; /* reserved on the disk at once; 0: not known */
    bool check_finite;       /* refuse NaN and infinity */
    enum rejectd_dtype dtype;
    /* Told by the writer's own thread, possibly at once, that there is room again, once for each
     * time that blob_writer_has_room() was false; may be NULL. */
    void (*on_room)(void *context);
    void *context;

    /* Goes on with the file that belongs to this id, after its first `partial_bytes`, and makes it
     * when it isn't there; NULL: a temporary file. */
    const char *partial;
    uint64_t partial_bytes;
    const struct blob_progress *progress; /* of those; NULL: they are read and hashed again */
    /* Told by a thread of the writer, now and then, how much of a partial file is on the disk for
     * good; may be NULL. */
    void (*on_durable)(void *context, uint64_t bytes);
    void *durable_context;
};

/* *writer is owned by the caller: blob_writer_close(), which removes what was not published, unless
 * it is partial. */
enum rejectd_status blob_writer_open(struct blobs *blobs, const struct blob_writer_options *options,
                                     struct blob_writer **writer, struct rejectd_error *error);
void blob_writer_close(struct blob_writer *writer); /* NULL is allowed */

/* True when blob_writer_write() takes `count` bytes (at most 1 MiB) without waiting; false:
 * on_room() follows. */
bool blob_writer_has_room(struct blob_writer *writer, size_t count);

/* Appends; waits for the disk where it must. After an error the writer may only be closed. */
enum rejectd_status blob_writer_write(struct blob_writer *writer, const void *bytes, size_t count,
                                      struct rejectd_error *error);

/*
 * Ends the content: waits until all of it is on the disk for good. sha256 is its name to be. With
 * check_finite, INVALID_SAMPLES and *bad_sample (may be NULL) the index of the first sample that
 * is not finite.
 */
enum rejectd_status blob_writer_finish(struct blob_writer *writer, char sha256[SHA256_TEXT_SIZE],
                                       size_t *bad_sample, struct rejectd_error *error);

/*
 * Ends a piece of a partial file: waits until all that was written is on the disk for good. *bytes
 * is how long the file is now. INVALID_SAMPLES as above; after another failure the file is as long
 * as on_durable() told last.
 */
enum rejectd_status blob_writer_suspend(struct blob_writer *writer, uint64_t *bytes,
                                        struct blob_progress *progress, size_t *bad_sample,
                                        struct rejectd_error *error);

/* Feeds the finished content, behind what it was fed before, to `hash`. */
enum rejectd_status blob_writer_hash(struct blob_writer *writer, struct sha256 *hash,
                                     struct rejectd_error *error);

/* Gives the finished content its name; a partial file keeps its own beside it, until
 * blobs_partial_remove(). The directory is made durable by blobs_sync(), once for
 * several blobs. */
enum rejectd_status blob_writer_publish(struct blob_writer *writer, struct rejectd_error *error);
enum rejectd_status blobs_sync(struct blobs *blobs, struct rejectd_error *error);

/* A blob in memory, read only. */
struct blob_map {
    const void *data; /* NULL for an empty blob */
    size_t size;
};
/* Verifies it. STORAGE also when the blob hasn't exactly `size` bytes. */
enum rejectd_status blobs_map(struct blobs *blobs, const char *sha256, size_t size,
                              struct blob_map *map, struct rejectd_error *error);
void blobs_unmap(struct blob_map *map); /* all-zero is allowed */

/* A descriptor for reading, owned by the caller: close(). Who sends what is in it has it verified
 * before. */
enum rejectd_status blobs_open_file(struct blobs *blobs, const char *sha256, int *fd,
                                    uint64_t *size, struct rejectd_error *error);

/* Reads the blob and compares it with its name; STORAGE when it is missing, unreadable or has
 * another content. Changes nothing. */
enum rejectd_status blobs_check(struct blobs *blobs, const char *sha256,
                                struct rejectd_error *error);

/*
 * Reads the blob and compares it with its name, unless that was done since blobs_open(), or it was
 * written since then. STORAGE when it is missing, unreadable or has another content; in the last
 * case it is moved to "quarantine" beside the directory. A large blob takes its time.
 */
enum rejectd_status blobs_verify(struct blobs *blobs, const char *sha256,
                                 struct rejectd_error *error);

/* Who is told of blobs that are moved to quarantine, on any thread. Before blobs are used. */
void blobs_tell_damaged(struct blobs *blobs, void (*damaged)(void *context, const char *sha256),
                        void *context);

/*
 * Keeps publication and removal apart: held from blob_writer_publish() until the record that
 * refers to the blob is committed, and from the commit that drops a reference until the blob is
 * removed. Else a blob could be removed that somebody else has just published again.
 */
void blobs_lock(struct blobs *blobs);
void blobs_unlock(struct blobs *blobs);

/* A file without a name, for reading and writing, that is gone when it is closed: for what must be
 * whole before it can be read. close(). */
enum rejectd_status blobs_open_scratch(struct blobs *blobs, int *fd, struct rejectd_error *error);

/* The name of the partial file of an id. */
void blobs_partial_name(const char *id, char out[BLOBS_PARTIAL_NAME_SIZE]);
/* The id of a partial file's name; NULL when it is none. Points into the name. */
const char *blobs_partial_id(const char *name);
/* True when it has at least so many bytes. */
bool blobs_partial_has(struct blobs *blobs, const char *id, uint64_t bytes);
void blobs_partial_remove(struct blobs *blobs, const char *id);

/* Removes a blob; it isn't an error when there is none. */
void blobs_remove(struct blobs *blobs, const char *sha256);

/* STORAGE_FULL when the disk has no room for so many bytes more; the last of it is kept for the
 * store. Who writes a blob is told so as well. */
enum rejectd_status blobs_check_room(const struct blobs *blobs, uint64_t needed,
                                     struct rejectd_error *error);

/* What the blobs take, and what the disk has left. The blobs are counted from blobs_sweep() on. */
struct blobs_usage {
    uint64_t bytes;
    uint64_t n_blobs;
    uint64_t n_errors; /* failures of the file system */
    bool has_disk;     /* else the rest isn't known */
    uint64_t disk_free;
    uint64_t disk_size;
};
void blobs_look(struct blobs *blobs, struct blobs_usage *usage);

/*
 * Notes that the blobs belong to the store with this identity (at most 64 bytes); STORAGE when they
 * belong to another one. Those of a directory without such a note belong to whoever needs one of
 * them. To be asked before blobs_sweep().
 */
enum rejectd_status blobs_claim(struct blobs *blobs, const char *identity,
                                bool (*needed)(void *context, const char *sha256), void *context,
                                struct rejectd_error *error);

/* Removes what was left unpublished by a crash, and every blob or partial file for whose name
 * `needed` is false. Must
 * not run beside writers. *n_removed may be NULL. */
enum rejectd_status blobs_sweep(struct blobs *blobs,
                                bool (*needed)(void *context, const char *sha256), void *context,
                                size_t *n_removed, struct rejectd_error *error);

#endif
