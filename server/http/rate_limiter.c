#include "server/http/rate_limiter.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/resource_json.h"

/* More users than this at once share the oldest one's place, whose bucket is then full again. */
enum { MOST_USERS = 1024 };

static const double bucket_seconds = 2.0;

struct bucket {
    char user[RESOURCE_USER_SIZE];
    double tokens;
    double seen; /* when `tokens` was right */
};

struct rate_limiter {
    pthread_mutex_t lock;
    size_t n;
    struct bucket buckets[MOST_USERS];
};

enum rejectd_status rate_limiter_open(struct rate_limiter **limiter, struct rejectd_error *error)
{
    *limiter = calloc(1, sizeof **limiter);
    if (*limiter == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof **limiter);
    }
    pthread_mutex_init(&(*limiter)->lock, NULL);
    return REJECTD_OK;
}

void rate_limiter_close(struct rate_limiter *limiter)
{
    if (limiter != NULL) {
        pthread_mutex_destroy(&limiter->lock);
        free(limiter);
    }
}

static struct bucket *bucket_of(struct rate_limiter *limiter, const char *user, double full,
                                double now)
{
    struct bucket *oldest = &limiter->buckets[0];
    for (size_t i = 0; i < limiter->n; i++) {
        struct bucket *bucket = &limiter->buckets[i];
        if (strcmp(bucket->user, user) == 0) {
            return bucket;
        }
        if (bucket->seen < oldest->seen) {
            oldest = bucket;
        }
    }
    struct bucket *made = limiter->n < MOST_USERS ? &limiter->buckets[limiter->n++] : oldest;
    *made = (struct bucket){.tokens = full, .seen = now};
    strncpy(made->user, user, sizeof made->user - 1);
    return made;
}

bool rate_limiter_take(struct rate_limiter *limiter, const char *user, double per_second,
                       double now, double *wait)
{
    const double full = per_second * bucket_seconds;
    pthread_mutex_lock(&limiter->lock);
    struct bucket *bucket = bucket_of(limiter, user, full, now);
    bucket->tokens += per_second * (now - bucket->seen);
    bucket->tokens = bucket->tokens < full ? bucket->tokens : full;
    bucket->seen = now;
    const bool taken = bucket->tokens >= 1.0;
    if (taken) {
        bucket->tokens -= 1.0;
    }
    *wait = taken ? 0.0 : (1.0 - bucket->tokens) / per_second;
    pthread_mutex_unlock(&limiter->lock);
    return taken;
}
