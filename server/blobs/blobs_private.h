/* Shared by blobs.c and blob_writer.c alone. */
#ifndef SERVER_BLOBS_BLOBS_PRIVATE_H
#define SERVER_BLOBS_BLOBS_PRIVATE_H

#include <pthread.h>

#include "server/blobs/blobs.h"

#define BLOBS_TEMPORARY_PREFIX "tmp-"

struct blobs {
    int directory;
    pthread_mutex_t lock; /* blobs_lock() */
};

/* STORAGE_FULL or STORAGE for an errno. */
enum rejectd_status blobs_fail(const char *what, const char *name, int number,
                               struct rejectd_error *error);

#endif
