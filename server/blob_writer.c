/*
 * Writing a blob.
 *
 * The bytes go through a ring of chunks: the caller fills chunks, a thread of the writer hashes,
 * checks and writes them, so that hashing costs no time beside a network or a computation, and a
 * slow disk is felt as a full ring. Chunks are filled to the brim before they are handed over:
 * samples never straddle two of them. The kernel is asked to start writing early
 * (sync_file_range), so that the fsync at the end finds little left to do.
 *
 * Content that fits into the first chunk never starts the thread.
 */
#define _GNU_SOURCE /* sync_file_range, fallocate */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/dataset_json.h"
#include "server/blobs_private.h"

enum {
    CHUNK_BYTES = 1 << 20, /* a multiple of every sample size */
    N_CHUNKS = 4,
    WRITEBACK_BYTES = 8 << 20,
};

struct blob_writer {
    struct blobs *blobs;
    struct blob_writer_options options;
    int fd;
    char name[64]; /* temporary; "" once it is published */

    /* Of the caller. */
    unsigned char *chunks[N_CHUNKS]; /* allocated when first used */
    size_t filled;                   /* bytes in the chunk that is being filled */
    uint64_t n_filled;               /* chunks handed over so far */

    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t n_ready; /* = n_filled */
    uint64_t n_done;  /* chunks consumed */
    bool ending;
    bool starved; /* the caller was told that there is no room */

    pthread_t thread;
    bool has_thread;

    /* Of the thread, until it ended. */
    struct sha256 hash;
    uint64_t written;
    uint64_t written_back;
    enum rejectd_status status;
    struct rejectd_error error;
    bool has_bad_sample;
    size_t bad_sample;
    char sha256[SHA256_TEXT_SIZE];
};

static void check_samples(struct blob_writer *writer, const unsigned char *bytes, size_t count)
{
    const size_t item = writer->options.dtype == REJECTD_FLOAT32 ? 4 : 8;
    size_t index;
    if (!samples_are_finite(bytes, writer->options.dtype, count / item, &index)) {
        writer->has_bad_sample = true;
        writer->bad_sample = (size_t)(writer->written / item) + index;
        writer->status = REJECTD_FAIL(&writer->error, REJECTD_INVALID_SAMPLES, "data",
                                      "sample %zu is not finite", writer->bad_sample);
    }
}

static void write_chunk(struct blob_writer *writer, const unsigned char *bytes, size_t count)
{
    size_t done = 0;
    while (done < count) {
        const ssize_t n =
            pwrite(writer->fd, bytes + done, count - done, (off_t)(writer->written + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            writer->status = blobs_fail("the writing", "", n < 0 ? errno : ENOSPC, &writer->error);
            return;
        }
        done += (size_t)n;
    }
    writer->written += count;
    if (writer->written - writer->written_back >= WRITEBACK_BYTES) {
        sync_file_range(writer->fd, (off_t)writer->written_back,
                        (off_t)(writer->written - writer->written_back), SYNC_FILE_RANGE_WRITE);
        writer->written_back = writer->written;
    }
}

/* After a failure chunks are taken and dropped, so that the caller never waits for ever. */
static void consume(struct blob_writer *writer, const unsigned char *bytes, size_t count)
{
    if (writer->status == REJECTD_OK && writer->options.check_finite) {
        check_samples(writer, bytes, count);
    }
    if (writer->status == REJECTD_OK) {
        sha256_update(&writer->hash, bytes, count);
        write_chunk(writer, bytes, count);
    }
}

static void *writer_main(void *argument)
{
    struct blob_writer *writer = argument;
    pthread_mutex_lock(&writer->lock);
    for (;;) {
        while (writer->n_done == writer->n_ready && !writer->ending) {
            pthread_cond_wait(&writer->changed, &writer->lock);
        }
        if (writer->n_done == writer->n_ready) {
            break;
        }
        const unsigned char *chunk = writer->chunks[writer->n_done % N_CHUNKS];
        pthread_mutex_unlock(&writer->lock);
        consume(writer, chunk, CHUNK_BYTES);
        pthread_mutex_lock(&writer->lock);
        writer->n_done++;
        const bool tell = writer->starved;
        writer->starved = false;
        pthread_cond_broadcast(&writer->changed);
        if (tell && writer->options.on_room != NULL) {
            pthread_mutex_unlock(&writer->lock);
            writer->options.on_room(writer->options.context);
            pthread_mutex_lock(&writer->lock);
        }
    }
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

/* Ends the thread; what it had been given is consumed. */
static void join_thread(struct blob_writer *writer)
{
    if (writer->has_thread) {
        pthread_mutex_lock(&writer->lock);
        writer->ending = true;
        pthread_cond_broadcast(&writer->changed);
        pthread_mutex_unlock(&writer->lock);
        pthread_join(writer->thread, NULL);
        writer->has_thread = false;
    }
}

static enum rejectd_status create_file(struct blob_writer *writer, struct rejectd_error *error)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    const size_t prefix = strlen(BLOBS_TEMPORARY_PREFIX);
    memcpy(writer->name, BLOBS_TEMPORARY_PREFIX, prefix);
    for (size_t i = 0; i < 26; i++) {
        writer->name[prefix + i] = alphabet[randombytes_uniform(32)];
    }
    writer->fd =
        openat(writer->blobs->directory, writer->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (writer->fd < 0) {
        const int number = errno;
        writer->name[0] = '\0';
        return blobs_fail("the creation", "", number, error);
    }
    /* Only to know early that there is room; not every file system can reserve. */
    if (writer->options.expected_bytes > CHUNK_BYTES &&
        fallocate(writer->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)writer->options.expected_bytes) != 0 &&
        (errno == ENOSPC || errno == EDQUOT)) {
        return blobs_fail("the reservation", "", errno, error);
    }
    return REJECTD_OK;
}

enum rejectd_status blob_writer_open(struct blobs *blobs, const struct blob_writer_options *options,
                                     struct blob_writer **writer, struct rejectd_error *error)
{
    struct blob_writer *made = calloc(1, sizeof *made);
    *writer = NULL;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->blobs = blobs;
    made->options = *options;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    sha256_init(&made->hash);
    const enum rejectd_status status = create_file(made, error);
    if (status != REJECTD_OK) {
        blob_writer_close(made);
        return status;
    }
    *writer = made;
    return REJECTD_OK;
}

void blob_writer_close(struct blob_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    join_thread(writer);
    if (writer->fd >= 0) {
        close(writer->fd);
    }
    if (writer->name[0] != '\0') {
        unlinkat(writer->blobs->directory, writer->name, 0);
    }
    for (size_t i = 0; i < N_CHUNKS; i++) {
        free(writer->chunks[i]);
    }
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

bool blob_writer_has_room(struct blob_writer *writer, size_t count)
{
    pthread_mutex_lock(&writer->lock);
    const uint64_t n_free = N_CHUNKS - (writer->n_ready - writer->n_done);
    const size_t room = n_free == 0 ? 0 : (size_t)n_free * CHUNK_BYTES - writer->filled;
    writer->starved = room < count;
    pthread_mutex_unlock(&writer->lock);
    return room >= count;
}

/* Hands over the chunk that is full and waits until the next one is free. */
static enum rejectd_status hand_over(struct blob_writer *writer, struct rejectd_error *error)
{
    if (!writer->has_thread) {
        const int failed = pthread_create(&writer->thread, NULL, writer_main, writer);
        if (failed != 0) {
            return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "", "no thread for writing: %s",
                                strerror(failed));
        }
        writer->has_thread = true;
    }
    pthread_mutex_lock(&writer->lock);
    writer->n_ready = ++writer->n_filled;
    writer->filled = 0;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
    return REJECTD_OK;
}

static enum rejectd_status next_chunk(struct blob_writer *writer, struct rejectd_error *error)
{
    pthread_mutex_lock(&writer->lock);
    while (writer->n_ready - writer->n_done == N_CHUNKS) {
        pthread_cond_wait(&writer->changed, &writer->lock);
    }
    pthread_mutex_unlock(&writer->lock);
    unsigned char **chunk = &writer->chunks[writer->n_filled % N_CHUNKS];
    if (*chunk == NULL) {
        *chunk = malloc(CHUNK_BYTES);
    }
    return *chunk == NULL ? REJECTD_FAIL_MEMORY(error, CHUNK_BYTES) : REJECTD_OK;
}

enum rejectd_status blob_writer_write(struct blob_writer *writer, const void *bytes, size_t count,
                                      struct rejectd_error *error)
{
    const unsigned char *from = bytes;
    while (count > 0) {
        if (writer->filled == 0) {
            const enum rejectd_status status = next_chunk(writer, error);
            if (status != REJECTD_OK) {
                return status;
            }
        }
        const size_t space = CHUNK_BYTES - writer->filled;
        const size_t taken = count < space ? count : space;
        memcpy(writer->chunks[writer->n_filled % N_CHUNKS] + writer->filled, from, taken);
        writer->filled += taken;
        from += taken;
        count -= taken;
        if (writer->filled == CHUNK_BYTES) {
            const enum rejectd_status status = hand_over(writer, error);
            if (status != REJECTD_OK) {
                return status;
            }
        }
    }
    return REJECTD_OK;
}

enum rejectd_status blob_writer_finish(struct blob_writer *writer, char sha256[SHA256_TEXT_SIZE],
                                       size_t *bad_sample, struct rejectd_error *error)
{
    join_thread(writer);
    if (writer->filled > 0) {
        consume(writer, writer->chunks[writer->n_filled % N_CHUNKS], writer->filled);
        writer->filled = 0;
    }
    if (writer->status == REJECTD_OK) {
        /* The reservation may have been larger than what came. */
        const bool synced =
            ftruncate(writer->fd, (off_t)writer->written) == 0 && fdatasync(writer->fd) == 0;
        if (!synced) {
            writer->status = blobs_fail("the syncing", "", errno, &writer->error);
        }
    }
    if (writer->status != REJECTD_OK) {
        if (writer->has_bad_sample && bad_sample != NULL) {
            *bad_sample = writer->bad_sample;
        }
        if (error != NULL) {
            *error = writer->error;
        }
        return writer->status;
    }
    sha256_final(&writer->hash, writer->sha256);
    memcpy(sha256, writer->sha256, SHA256_TEXT_SIZE);
    return REJECTD_OK;
}

enum rejectd_status blob_writer_publish(struct blob_writer *writer, struct rejectd_error *error)
{
    const int directory = writer->blobs->directory;
    if (renameat(directory, writer->name, directory, writer->sha256) != 0) {
        return blobs_fail("the publication", writer->sha256, errno, error);
    }
    writer->name[0] = '\0';
    return REJECTD_OK;
}
