#include "server/uploads/partials.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/chore.h"
#include "server/clock.h"

enum { MOST_KEPT = 256, MOST_EXPIRED = 64 };

/* Of a dataset with an upload, or with a file that is hashed in part. */
struct entry {
    struct entry *next;
    char dataset[RESOURCE_ID_SIZE];
    bool busy;
    bool has_progress;
    struct blob_progress progress;
};

struct partials {
    struct service *service;
    pthread_mutex_t lock;
    struct entry *entries; /* the latest first */

    struct chore expiry;
};

void partials_close(struct partials *partials)
{
    if (partials == NULL) {
        return;
    }
    while (partials->entries != NULL) {
        struct entry *next = partials->entries->next;
        free(partials->entries);
        partials->entries = next;
    }
    pthread_mutex_destroy(&partials->lock);
    free(partials);
}

/* ---- entries; under the lock ---- */

/* Where the entry is linked, or would be at the end. */
static struct entry **find(struct partials *partials, const char *dataset)
{
    struct entry **link = &partials->entries;
    while (*link != NULL && strcmp((*link)->dataset, dataset) != 0) {
        link = &(*link)->next;
    }
    return link;
}

static void drop(struct entry **link)
{
    struct entry *entry = *link;
    *link = entry->next;
    free(entry);
}

/* Forgets the oldest hashes beyond those that are kept. */
static void trim(struct partials *partials)
{
    size_t n = 0;
    for (struct entry **link = &partials->entries; *link != NULL;) {
        n += !(*link)->busy;
        if (!(*link)->busy && n > MOST_KEPT) {
            drop(link);
        } else {
            link = &(*link)->next;
        }
    }
}

static struct entry *add(struct partials *partials, const char *dataset)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry != NULL) {
        memcpy(entry->dataset, dataset, strlen(dataset) + 1);
        entry->next = partials->entries;
        partials->entries = entry;
    }
    return entry;
}

/* ---- who uploads ---- */

enum rejectd_status partials_enter(struct partials *partials, const char *dataset,
                                   struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    pthread_mutex_lock(&partials->lock);
    struct entry *entry = *find(partials, dataset);
    if (entry == NULL) {
        entry = add(partials, dataset);
    }
    if (entry == NULL) {
        status = REJECTD_FAIL_MEMORY(error, sizeof *entry);
    } else if (entry->busy) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "",
                              "another upload to dataset %.40s is going on", dataset);
    } else {
        entry->busy = true;
    }
    pthread_mutex_unlock(&partials->lock);
    return status;
}

void partials_leave(struct partials *partials, const char *dataset)
{
    pthread_mutex_lock(&partials->lock);
    struct entry **link = find(partials, dataset);
    (*link)->busy = false;
    if (!(*link)->has_progress) {
        drop(link);
    } else {
        trim(partials);
    }
    pthread_mutex_unlock(&partials->lock);
}

bool partials_is_busy(struct partials *partials, const char *dataset)
{
    pthread_mutex_lock(&partials->lock);
    const struct entry *entry = *find(partials, dataset);
    const bool busy = entry != NULL && entry->busy;
    pthread_mutex_unlock(&partials->lock);
    return busy;
}

void partials_keep(struct partials *partials, const char *dataset,
                   const struct blob_progress *progress)
{
    pthread_mutex_lock(&partials->lock);
    struct entry *entry = *find(partials, dataset);
    entry->has_progress = true;
    entry->progress = *progress;
    pthread_mutex_unlock(&partials->lock);
}

bool partials_recall(struct partials *partials, const char *dataset, struct blob_progress *progress)
{
    pthread_mutex_lock(&partials->lock);
    const struct entry *entry = *find(partials, dataset);
    const bool known = entry != NULL && entry->has_progress;
    if (known) {
        *progress = entry->progress;
    }
    pthread_mutex_unlock(&partials->lock);
    return known;
}

/* ---- what is left ---- */

static void forget(struct partials *partials, const char *dataset)
{
    pthread_mutex_lock(&partials->lock);
    struct entry *entry = *find(partials, dataset);
    if (entry != NULL) {
        entry->has_progress = false;
    }
    pthread_mutex_unlock(&partials->lock);
}

void partials_discard(struct partials *partials, const char *dataset)
{
    struct service *service = partials->service;
    struct rejectd_error error;
    forget(partials, dataset);
    /* The record first: without it, the file is swept at the latest at the next start. */
    if (service->store->functions->partial_delete(service->store, dataset, &error) == REJECTD_OK) {
        blobs_partial_remove(service->blobs, dataset);
    }
}

void partials_dataset_deleted(struct partials *partials, const char *dataset)
{
    pthread_mutex_lock(&partials->lock);
    struct entry **link = find(partials, dataset);
    const bool busy = *link != NULL && (*link)->busy;
    if (*link != NULL && !busy) {
        drop(link);
    }
    pthread_mutex_unlock(&partials->lock);
    if (!busy) {
        blobs_partial_remove(partials->service->blobs, dataset);
    }
}

uint64_t partials_offset(const struct store_partial *partial)
{
    return partial->header_bytes + (partial->in_header ? 0 : partial->sample_bytes);
}

enum rejectd_status partials_get(struct partials *partials, const char *dataset,
                                 struct store_partial *partial, struct rejectd_error *error)
{
    struct service *service = partials->service;
    const enum rejectd_status status =
        service->store->functions->partial_get(service->store, dataset, partial, error);
    if (status == REJECTD_NOT_FOUND ||
        (status == REJECTD_OK &&
         !blobs_partial_has(service->blobs, dataset, partial->sample_bytes))) {
        *partial = (struct store_partial){0};
        return REJECTD_OK;
    }
    /* All was there, and not committed: the last piece does that, and no piece is empty. */
    if (status == REJECTD_OK && partial->sample_bytes > 0 &&
        partials_offset(partial) >= partial->total) {
        partial->sample_bytes--;
    }
    return status;
}

enum rejectd_status partials_look(struct partials *partials, const char *dataset,
                                  struct http_place *place, struct rejectd_error *error)
{
    struct store_partial partial = {0};
    const enum rejectd_status status = partials_get(partials, dataset, &partial, error);
    *place = (struct http_place){.known = true};
    if (status == REJECTD_OK) {
        place->offset = partials_offset(&partial);
        place->length = partial.total;
    }
    return status;
}

/* ---- expiry ---- */

/* Unless somebody goes on with it now, or has just done so. */
static bool expire(struct partials *partials, const char *dataset, int64_t before)
{
    struct store *store = partials->service->store;
    struct store_partial partial;
    struct rejectd_error error;
    if (partials_enter(partials, dataset, &error) != REJECTD_OK) {
        return false;
    }
    const bool expired =
        store->functions->partial_get(store, dataset, &partial, &error) == REJECTD_OK &&
        partial.touched_at < before;
    if (expired) {
        partials_discard(partials, dataset);
    }
    partials_leave(partials, dataset);
    return expired;
}

static void expire_all(void *context)
{
    struct partials *partials = context;
    struct service *service = partials->service;
    const int64_t before = clock_milliseconds() - 1000 * service->config->unfinished_upload_seconds;
    char ids[MOST_EXPIRED][RESOURCE_ID_SIZE];
    struct rejectd_error error;
    size_t n = 0;
    size_t n_removed = 0;
    if (service->store->functions->partial_expired(service->store, before, ids, MOST_EXPIRED, &n,
                                                   &error) == REJECTD_OK) {
        for (size_t i = 0; i < n; i++) {
            n_removed += expire(partials, ids[i], before);
        }
    }
    if (n_removed > 0) {
        log_write(service->log, LOG_LEVEL_INFO, "uploads-expired",
                  "%zu unfinished uploads were removed: nobody went on with them", n_removed);
    }
}

enum rejectd_status partials_open(struct service *service, struct partials **partials,
                                  struct rejectd_error *error)
{
    struct partials *made = calloc(1, sizeof *made);
    *partials = NULL;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->service = service;
    made->expiry = (struct chore){.run = expire_all, .context = made};
    pthread_mutex_init(&made->lock, NULL);
    *partials = made;
    return REJECTD_OK;
}

void partials_tick(struct partials *partials, double now)
{
    const double seconds = (double)partials->service->config->unfinished_upload_seconds;
    chore_tick(&partials->expiry, partials->service->commits, now,
               seconds < 120.0 ? seconds / 4.0 : 30.0);
}
