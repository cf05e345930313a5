/*
 * Partial files: blobs that come in pieces, each by a writer of its own.
 *
 * One is gone on with at a whole sample: the bytes of one that was cut in two are read
 * back into the first chunk, and written again. What is in the file already has been hashed by the
 * writer before, or else is read and hashed again by the hashing thread, beside the writing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/blobs/blob_writer_private.h"

/* At most `count` bytes at `at`, less only at the end of the file; negative on errors. */
static ssize_t read_at(int fd, unsigned char *out, size_t count, uint64_t at)
{
    size_t done = 0;
    while (done < count) {
        const ssize_t n = pread(fd, out + done, count - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? n : (ssize_t)done;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

void blob_hash_earlier(struct stage *stage)
{
    struct blob_writer *writer = stage->writer;
    unsigned char *block = malloc(CHUNK_BYTES);
    if (block == NULL) {
        stage->status = REJECTD_FAIL_MEMORY(&stage->error, (size_t)CHUNK_BYTES);
    }
    while (stage->status == REJECTD_OK && stage->bytes < writer->unhashed) {
        const uint64_t left = writer->unhashed - stage->bytes;
        const size_t count = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        const ssize_t n = read_at(writer->fd, block, count, stage->bytes);
        if (n != (ssize_t)count) {
            stage->status = blobs_fail(writer->blobs, "the reading", writer->name,
                                       n < 0 ? errno : EIO, &stage->error);
        } else {
            blob_hash_bytes(stage, block, count);
            stage->bytes += count;
        }
    }
    writer->unhashed = 0;
    free(block);
}

enum rejectd_status blob_open_partial(struct blob_writer *writer, struct rejectd_error *error)
{
    struct stat status;
    const uint64_t bytes = writer->options.partial_bytes;
    const size_t torn = (size_t)(bytes % SAMPLE_BYTES);
    const struct blob_progress *progress = writer->options.progress;
    blobs_partial_name(writer->options.partial, writer->name);
    writer->fd = openat(writer->blobs->directory, writer->name,
                        O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (writer->fd < 0 || fstat(writer->fd, &status) != 0 ||
        ((uint64_t)status.st_size > bytes && ftruncate(writer->fd, (off_t)bytes) != 0)) {
        return blobs_fail(writer->blobs, "the opening", writer->name, errno, error);
    }
    if ((uint64_t)status.st_size < bytes) {
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "%.80s has lost bytes", writer->name);
    }
    if (torn > 0) {
        writer->chunks[0] = malloc(CHUNK_BYTES);
        if (writer->chunks[0] == NULL) {
            return REJECTD_FAIL_MEMORY(error, (size_t)CHUNK_BYTES);
        }
        if (read_at(writer->fd, writer->chunks[0], torn, bytes - torn) != (ssize_t)torn) {
            return blobs_fail(writer->blobs, "the reading", writer->name, errno, error);
        }
        writer->filled = torn;
    }
    writer->stages[WRITING].bytes = bytes - torn;
    writer->written_back = bytes - torn;
    writer->durable = bytes - torn;
    if (progress != NULL && progress->bytes == bytes - torn) {
        writer->stages[HASHING].bytes = bytes - torn;
        writer->hash = progress->hash;
    } else {
        writer->unhashed = bytes - torn;
    }
    return REJECTD_OK;
}

enum rejectd_status blob_writer_suspend(struct blob_writer *writer, uint64_t *bytes,
                                        struct blob_progress *progress, size_t *bad_sample,
                                        struct rejectd_error *error)
{
    blob_join_threads(writer);
    struct stage *hashing = &writer->stages[HASHING], *writing = &writer->stages[WRITING];
    if (writer->filled > 0) {
        const unsigned char *chunk = writer->chunks[writer->n_filled % N_CHUNKS];
        /* A sample of which only a part has come is checked and hashed when it is whole. */
        blob_consume(hashing, chunk, writer->filled - writer->filled % SAMPLE_BYTES);
        blob_consume(writing, chunk, writer->filled);
        writer->filled = 0;
    }
    if (hashing->status == REJECTD_OK && writing->status == REJECTD_OK) {
        if (ftruncate(writer->fd, (off_t)writing->bytes) != 0) {
            writing->status = blobs_fail(writer->blobs, "the cutting", "", errno, &writing->error);
        } else {
            writing->status = blob_make_durable(writer, writing->bytes, &writing->error);
        }
    }
    const enum rejectd_status status = blob_stage_failure(writer, bad_sample, error);
    if (status == REJECTD_OK) {
        *bytes = writing->bytes;
        *progress = (struct blob_progress){hashing->bytes, writer->hash};
    }
    return status;
}

enum rejectd_status blob_writer_hash(struct blob_writer *writer, struct sha256 *hash,
                                     struct rejectd_error *error)
{
    const uint64_t bytes = writer->stages[WRITING].bytes;
    unsigned char *block = malloc(CHUNK_BYTES);
    enum rejectd_status status =
        block == NULL ? REJECTD_FAIL_MEMORY(error, (size_t)CHUNK_BYTES) : REJECTD_OK;
    for (uint64_t at = 0; status == REJECTD_OK && at < bytes;) {
        const ssize_t n = read_at(writer->fd, block, CHUNK_BYTES, at);
        if (n <= 0) {
            status =
                blobs_fail(writer->blobs, "the reading", writer->name, n < 0 ? errno : EIO, error);
        } else {
            sha256_update(hash, block, (size_t)n);
            at += (uint64_t)n;
        }
    }
    free(block);
    return status;
}

enum rejectd_status blob_link_partial(struct blob_writer *writer,
                                      char name[BLOBS_PARTIAL_NAME_SIZE],
                                      struct rejectd_error *error)
{
    const int directory = writer->blobs->directory;
    blob_temporary_name(name);
    if (linkat(directory, writer->name, directory, name, 0) != 0) {
        return blobs_fail(writer->blobs, "the linking", writer->name, errno, error);
    }
    return REJECTD_OK;
}
