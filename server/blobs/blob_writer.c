/*
 * Writing a blob.
 *
 * The bytes go through a ring of chunks: the caller fills chunks, one thread of the writer checks
 * and hashes them and another one writes them, so that hashing costs no time beside a network, a
 * disk or a computation, and a slow disk is felt as a full ring. Chunks are filled to the brim
 * before they are handed over: samples never straddle two of them. The kernel is asked to start
 * writing early (sync_file_range), so that the fsync at the end finds little left to do.
 *
 * Content that fits into the first chunk never starts the threads.
 */
#define _GNU_SOURCE /* sync_file_range, fallocate */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "protocol/dataset_json.h"
#include "server/blobs/blob_writer_private.h"
#include "server/clock.h"

static void check_samples(struct stage *stage, const unsigned char *bytes, size_t count)
{
    struct blob_writer *writer = stage->writer;
    const size_t item = writer->options.dtype == REJECTD_FLOAT32 ? 4 : 8;
    size_t index;
    if (!samples_are_finite(bytes, writer->options.dtype, count / item, &index)) {
        writer->has_bad_sample = true;
        writer->bad_sample = (size_t)(stage->bytes / item) + index;
        stage->status = REJECTD_FAIL(&stage->error, REJECTD_INVALID_SAMPLES, "data",
                                     "sample %zu is not finite", writer->bad_sample);
    }
}

void blob_hash_bytes(struct stage *stage, const unsigned char *bytes, size_t count)
{
    if (stage->writer->options.check_finite) {
        check_samples(stage, bytes, count);
    }
    if (stage->status == REJECTD_OK) {
        sha256_update(&stage->writer->hash, bytes, count);
    }
}

static void hash_chunk(struct stage *stage, const unsigned char *bytes, size_t count)
{
    if (stage->writer->unhashed > 0) {
        blob_hash_earlier(stage);
    }
    if (stage->status == REJECTD_OK) {
        blob_hash_bytes(stage, bytes, count);
    }
}

enum rejectd_status blob_make_durable(struct blob_writer *writer, uint64_t bytes,
                                      struct rejectd_error *error)
{
    if (fdatasync(writer->fd) != 0) {
        return blobs_fail(writer->blobs, "the syncing", "", errno, error);
    }
    const enum rejectd_status status =
        writer->durable == 0 ? blobs_sync(writer->blobs, error) : REJECTD_OK;
    if (status == REJECTD_OK) {
        writer->durable = bytes;
    }
    return status;
}

static void write_chunk(struct stage *stage, const unsigned char *bytes, size_t count)
{
    struct blob_writer *writer = stage->writer;
    size_t done = 0;
    while (done < count) {
        const size_t piece = count - done < WRITE_BYTES ? count - done : WRITE_BYTES;
        const ssize_t n = pwrite(writer->fd, bytes + done, piece, (off_t)(stage->bytes + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            stage->status =
                blobs_fail(writer->blobs, "the writing", "", n < 0 ? errno : ENOSPC, &stage->error);
            return;
        }
        done += (size_t)n;
    }
    const uint64_t written = stage->bytes + count;
    if (written - writer->written_back >= WRITEBACK_BYTES) {
        sync_file_range(writer->fd, (off_t)writer->written_back,
                        (off_t)(written - writer->written_back), SYNC_FILE_RANGE_WRITE);
        writer->written_back = written;
    }
    if (writer->options.on_durable != NULL && written - writer->durable >= DURABLE_BYTES &&
        clock_monotonic() - writer->durable_at >= DURABLE_SECONDS) {
        writer->durable_at = clock_monotonic();
        stage->status = blob_make_durable(writer, written, &stage->error);
        if (stage->status == REJECTD_OK) {
            writer->options.on_durable(writer->options.durable_context, written);
        }
    }
}

/* After a failure chunks are taken and dropped, so that the caller never waits for ever. */
void blob_consume(struct stage *stage, const unsigned char *bytes, size_t count)
{
    if (stage->status == REJECTD_OK) {
        stage->consume(stage, bytes, count);
    }
    stage->bytes += count;
}

/* Chunks that no stage needs any more. Under the lock. */
static uint64_t chunks_done(const struct blob_writer *writer)
{
    const uint64_t hashed = writer->stages[HASHING].n_done;
    const uint64_t written = writer->stages[WRITING].n_done;
    return hashed < written ? hashed : written;
}

/* A chunk is done with. Under the lock, which is let go while the caller is told of room. */
static void advance(struct stage *stage)
{
    struct blob_writer *writer = stage->writer;
    const uint64_t before = chunks_done(writer);
    stage->n_done++;
    pthread_cond_broadcast(&writer->changed);
    if (chunks_done(writer) > before && writer->starved) {
        writer->starved = false;
        if (writer->options.on_room != NULL) {
            pthread_mutex_unlock(&writer->lock);
            writer->options.on_room(writer->options.context);
            pthread_mutex_lock(&writer->lock);
        }
    }
}

static void *stage_main(void *argument)
{
    struct stage *stage = argument;
    struct blob_writer *writer = stage->writer;
    pthread_mutex_lock(&writer->lock);
    for (;;) {
        while (stage->n_done == writer->n_ready && !writer->ending) {
            pthread_cond_wait(&writer->changed, &writer->lock);
        }
        if (stage->n_done == writer->n_ready) {
            break;
        }
        const unsigned char *chunk = writer->chunks[stage->n_done % N_CHUNKS];
        pthread_mutex_unlock(&writer->lock);
        blob_consume(stage, chunk, CHUNK_BYTES);
        pthread_mutex_lock(&writer->lock);
        advance(stage);
    }
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

static enum rejectd_status start_threads(struct blob_writer *writer, struct rejectd_error *error)
{
    for (size_t i = 0; i < N_STAGES; i++) {
        struct stage *stage = &writer->stages[i];
        const int failed =
            stage->has_thread ? 0 : pthread_create(&stage->thread, NULL, stage_main, stage);
        if (failed != 0) {
            return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "", "no thread for writing: %s",
                                strerror(failed));
        }
        stage->has_thread = true;
    }
    return REJECTD_OK;
}

void blob_join_threads(struct blob_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    writer->ending = true;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
    for (size_t i = 0; i < N_STAGES; i++) {
        if (writer->stages[i].has_thread) {
            pthread_join(writer->stages[i].thread, NULL);
            writer->stages[i].has_thread = false;
        }
    }
}

/* The last of the room is for the store: without it nobody could delete anything. */
enum rejectd_status blobs_check_room(const struct blobs *blobs, uint64_t needed,
                                     struct rejectd_error *error)
{
    enum { LARGEST_RESERVE = 64 << 20, PARTS = 50 };
    struct statvfs disk;
    if (fstatvfs(blobs->directory, &disk) != 0) {
        return REJECTD_OK; /* the disk will tell */
    }
    const uint64_t unit = disk.f_frsize;
    const uint64_t free_bytes = disk.f_bavail * unit;
    const uint64_t part = disk.f_blocks * unit / PARTS;
    const uint64_t reserve = part < LARGEST_RESERVE ? part : LARGEST_RESERVE;
    if (free_bytes < reserve || free_bytes - reserve < needed) {
        return REJECTD_FAIL(error, REJECTD_STORAGE_FULL, "",
                            "the disk has %llu bytes left, of which %llu are kept for the store; "
                            "%llu are needed",
                            (unsigned long long)free_bytes, (unsigned long long)reserve,
                            (unsigned long long)needed);
    }
    return REJECTD_OK;
}

void blob_temporary_name(char out[BLOBS_PARTIAL_NAME_SIZE])
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    enum { RANDOM_CHARACTERS = 26 };
    const size_t prefix = strlen(BLOBS_TEMPORARY_PREFIX);
    memcpy(out, BLOBS_TEMPORARY_PREFIX, prefix);
    for (size_t i = 0; i < RANDOM_CHARACTERS; i++) {
        out[prefix + i] = alphabet[randombytes_uniform(32)];
    }
    out[prefix + RANDOM_CHARACTERS] = '\0';
}

static enum rejectd_status create_file(struct blob_writer *writer, struct rejectd_error *error)
{
    blob_temporary_name(writer->name);
    writer->fd =
        openat(writer->blobs->directory, writer->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (writer->fd < 0) {
        const int number = errno;
        writer->name[0] = '\0';
        return blobs_fail(writer->blobs, "the creation", "", number, error);
    }
    return REJECTD_OK;
}

/* Only to know early that there is room; not every file system can reserve. */
static enum rejectd_status reserve(struct blob_writer *writer, struct rejectd_error *error)
{
    if (writer->options.expected_bytes > CHUNK_BYTES &&
        fallocate(writer->fd, FALLOC_FL_KEEP_SIZE, (off_t)writer->stages[WRITING].bytes,
                  (off_t)writer->options.expected_bytes) != 0 &&
        (errno == ENOSPC || errno == EDQUOT)) {
        return blobs_fail(writer->blobs, "the reservation", "", errno, error);
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
    made->stages[HASHING] = (struct stage){.writer = made, .consume = hash_chunk};
    made->stages[WRITING] = (struct stage){.writer = made, .consume = write_chunk};
    made->fd = -1;
    made->durable_at = clock_monotonic();
    enum rejectd_status status = blobs_check_room(blobs, options->expected_bytes, error);
    if (status == REJECTD_OK) {
        status =
            options->partial != NULL ? blob_open_partial(made, error) : create_file(made, error);
    }
    if (status == REJECTD_OK) {
        status = reserve(made, error);
    }
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
    blob_join_threads(writer);
    if (writer->fd >= 0) {
        close(writer->fd);
    }
    if (writer->name[0] != '\0' && writer->options.partial == NULL) {
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
    const uint64_t n_free = N_CHUNKS - (writer->n_ready - chunks_done(writer));
    const size_t room = n_free == 0 ? 0 : (size_t)n_free * CHUNK_BYTES - writer->filled;
    writer->starved = room < count;
    pthread_mutex_unlock(&writer->lock);
    return room >= count;
}

/* Hands over the chunk that is full and waits until the next one is free. */
static enum rejectd_status hand_over(struct blob_writer *writer, struct rejectd_error *error)
{
    const enum rejectd_status status = start_threads(writer, error);
    if (status != REJECTD_OK) {
        return status;
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
    while (writer->n_ready - chunks_done(writer) == N_CHUNKS) {
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

enum rejectd_status blob_stage_failure(const struct blob_writer *writer, size_t *bad_sample,
                                       struct rejectd_error *error)
{
    const struct stage *hashing = &writer->stages[HASHING];
    const struct stage *failed = hashing->status != REJECTD_OK ? hashing : &writer->stages[WRITING];
    if (failed->status != REJECTD_OK) {
        if (writer->has_bad_sample && bad_sample != NULL) {
            *bad_sample = writer->bad_sample;
        }
        if (error != NULL) {
            *error = failed->error;
        }
    }
    return failed->status;
}

enum rejectd_status blob_writer_finish(struct blob_writer *writer, char sha256[SHA256_TEXT_SIZE],
                                       size_t *bad_sample, struct rejectd_error *error)
{
    blob_join_threads(writer);
    struct stage *hashing = &writer->stages[HASHING], *writing = &writer->stages[WRITING];
    if (writer->filled > 0) {
        const unsigned char *chunk = writer->chunks[writer->n_filled % N_CHUNKS];
        blob_consume(hashing, chunk, writer->filled);
        blob_consume(writing, chunk, writer->filled);
        writer->filled = 0;
    }
    if (writer->unhashed > 0) {
        blob_consume(hashing, NULL, 0);
    }
    if (hashing->status == REJECTD_OK && writing->status == REJECTD_OK) {
        /* The reservation may have been larger than what came. */
        const bool synced =
            ftruncate(writer->fd, (off_t)writing->bytes) == 0 && fdatasync(writer->fd) == 0;
        if (!synced) {
            writing->status = blobs_fail(writer->blobs, "the syncing", "", errno, &writing->error);
        }
    }
    const enum rejectd_status status = blob_stage_failure(writer, bad_sample, error);
    if (status == REJECTD_OK) {
        sha256_final(&writer->hash, writer->sha256);
        memcpy(sha256, writer->sha256, SHA256_TEXT_SIZE);
    }
    return status;
}

enum rejectd_status blob_writer_publish(struct blob_writer *writer, struct rejectd_error *error)
{
    const int directory = writer->blobs->directory;
    struct stat status;
    const bool is_new =
        fstatat(directory, writer->sha256, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
    char name[BLOBS_PARTIAL_NAME_SIZE];
    memcpy(name, writer->name, sizeof name);
    if (writer->options.partial != NULL) {
        const enum rejectd_status linked = blob_link_partial(writer, name, error);
        if (linked != REJECTD_OK) {
            return linked;
        }
    }
    if (renameat(directory, name, directory, writer->sha256) != 0) {
        const int number = errno;
        unlinkat(directory, name, 0);
        return blobs_fail(writer->blobs, "the publication", writer->sha256, number, error);
    }
    if (writer->options.partial != NULL) {
        unlinkat(directory, name, 0); /* a rename to another name of the same file does nothing */
    }
    writer->name[0] = '\0';
    if (is_new) {
        atomic_fetch_add(&writer->blobs->bytes, (long long)writer->stages[WRITING].bytes);
        atomic_fetch_add(&writer->blobs->n_blobs, 1);
    }
    blobs_note_verified(writer->blobs, writer->sha256);
    return REJECTD_OK;
}
