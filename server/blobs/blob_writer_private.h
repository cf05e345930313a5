/* Shared by blob_writer.c and blob_partial.c alone. */
#ifndef SERVER_BLOBS_BLOB_WRITER_PRIVATE_H
#define SERVER_BLOBS_BLOB_WRITER_PRIVATE_H

#include "server/blobs/blobs_private.h"

enum {
    CHUNK_BYTES = 1 << 20, /* a multiple of every sample size */
    N_CHUNKS = 4,
    WRITEBACK_BYTES = 8 << 20,
    /* A crash costs as much of a partial file, or as much time, whichever is more. */
    DURABLE_BYTES = 64 << 20,
    DURABLE_SECONDS = 1,
    SAMPLE_BYTES = 8,        /* a multiple of every sample size */
    WRITE_BYTES = 128 << 10, /* the page cache has pages of this order at hand, as for cp */
};

/* One of the two things that are done with every chunk. */
struct stage {
    struct blob_writer *writer;
    void (*consume)(struct stage *stage, const unsigned char *bytes, size_t count);
    pthread_t thread;
    bool has_thread;
    uint64_t n_done; /* chunks; under the writer's lock */

    /* Of the thread, until it ended. */
    uint64_t bytes; /* so far */
    enum rejectd_status status;
    struct rejectd_error error;
};

enum { HASHING, WRITING, N_STAGES };

struct blob_writer {
    struct blobs *blobs;
    struct blob_writer_options options;
    int fd;
    char name[BLOBS_PARTIAL_NAME_SIZE]; /* temporary or partial; "" once it is published */
    uint64_t unhashed;                  /* bytes at the beginning that HASHING has to read first */

    /* Of the caller. */
    unsigned char *chunks[N_CHUNKS]; /* allocated when first used */
    size_t filled;                   /* bytes in the chunk that is being filled */
    uint64_t n_filled;               /* chunks handed over so far */

    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t n_ready; /* = n_filled */
    bool ending;
    bool starved; /* the caller was told that there is no room */

    struct stage stages[N_STAGES];
    struct sha256 hash; /* of HASHING */
    bool has_bad_sample;
    size_t bad_sample;
    uint64_t written_back; /* of WRITING */
    uint64_t durable;      /* likewise; told to on_durable() */
    double durable_at;     /* clock_monotonic() */
    char sha256[SHA256_TEXT_SIZE];
};

/* Of blob_writer.c: */

/* Checks and hashes bytes that begin with a whole sample; errors go to the stage. */
void blob_hash_bytes(struct stage *stage, const unsigned char *bytes, size_t count);
/* A stage takes bytes, or drops them after a failure. */
void blob_consume(struct stage *stage, const unsigned char *bytes, size_t count);
/* All that was written, for good; the file's name, too. */
enum rejectd_status blob_make_durable(struct blob_writer *writer, uint64_t bytes,
                                      struct rejectd_error *error);
/* Ends the threads; what they had been given is consumed. */
void blob_join_threads(struct blob_writer *writer);
/* The first failure of a stage, if any. */
enum rejectd_status blob_stage_failure(const struct blob_writer *writer, size_t *bad_sample,
                                       struct rejectd_error *error);
void blob_temporary_name(char out[BLOBS_PARTIAL_NAME_SIZE]);

/* Of blob_partial.c: */

/* Opens a partial file as it was left, without what was written but not told durable. */
enum rejectd_status blob_open_partial(struct blob_writer *writer, struct rejectd_error *error);
/* Hashes what an earlier writer wrote, whose hash is not known any more. */
void blob_hash_earlier(struct stage *stage);
/* Gives a partial file a second, temporary name. */
enum rejectd_status blob_link_partial(struct blob_writer *writer,
                                      char name[BLOBS_PARTIAL_NAME_SIZE],
                                      struct rejectd_error *error);

#endif
