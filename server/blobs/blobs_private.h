/* Shared by blobs.c and blob_writer.c alone. */
#ifndef SERVER_BLOBS_BLOBS_PRIVATE_H
#define SERVER_BLOBS_BLOBS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/blobs/blobs.h"

#define BLOBS_TEMPORARY_PREFIX "tmp-"

struct blobs {
    int directory;
    pthread_mutex_t lock; /* blobs_lock() */
    atomic_llong bytes;   /* of all blobs */
    atomic_llong n_blobs;
    atomic_uint_least64_t n_errors;
};

/* STORAGE_FULL or STORAGE for an errno; counts it. */
enum rejectd_status blobs_fail(struct blobs *blobs, const char *what, const char *name, int number,
                               struct rejectd_error *error);

#endif
