/* Shared by blobs.c and blob_writer.c alone. */
#ifndef SERVER_BLOBS_BLOBS_PRIVATE_H
#define SERVER_BLOBS_BLOBS_PRIVATE_H

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/blobs/blobs.h"

#define BLOBS_TEMPORARY_PREFIX "tmp-"
#define BLOBS_PARTIAL_PREFIX "partial-"

/* So many blobs are remembered as good; of more than these, some are read again. */
enum { BLOBS_MOST_VERIFIED = 4096 };

struct blobs {
    int directory;
    pthread_mutex_t lock; /* blobs_lock() */
    atomic_llong bytes;   /* of all blobs */
    atomic_llong n_blobs;
    atomic_uint_least64_t n_errors;

    void (*damaged)(void *context, const char *sha256); /* NULL: nobody is told */
    void *context;

    pthread_mutex_t verified_lock;
    char verified[BLOBS_MOST_VERIFIED][SHA256_TEXT_SIZE]; /* "": none */
    size_t next_verified;                                 /* the oldest, which is replaced */
};

/* The blob is known to be what its name says. */
void blobs_note_verified(struct blobs *blobs, const char *sha256);

/* The directory's entries from the first on; closedir(*directory). */
enum rejectd_status blobs_list(struct blobs *blobs, DIR **directory, struct rejectd_error *error);

/* STORAGE_FULL or STORAGE for an errno; counts it. */
enum rejectd_status blobs_fail(struct blobs *blobs, const char *what, const char *name, int number,
                               struct rejectd_error *error);

#endif
