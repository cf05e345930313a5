#include "server/jobs/split.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"

enum share_state { SHARE_OPEN, SHARE_OUT, SHARE_FOUND };

struct share {
    enum share_state state;
    bool for_leader; /* somebody else has failed at it */
    double progress;
    char device[32]; /* who found it */
};

struct split {
    pthread_mutex_t lock; /* for all that follows */
    pthread_cond_t changed;
    bool ended;
    struct rejectd_thresholds found; /* its arrays are owned */
    size_t n;
    struct share shares[];
};

enum rejectd_status split_open(size_t n_shares, size_t n_channels, struct split **split,
                               struct rejectd_error *error)
{
    const size_t bytes = sizeof(struct split) + n_shares * sizeof(struct share);
    struct split *made = calloc(1, bytes);
    *split = NULL;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, bytes);
    }
    made->n = n_shares;
    made->found = (struct rejectd_thresholds){
        .n_channels = n_channels,
        .thresholds = malloc(n_channels * sizeof(double)),
        .losses = malloc(n_channels * sizeof(double)),
    };
    if (made->found.thresholds == NULL || made->found.losses == NULL) {
        free(made->found.thresholds);
        free(made->found.losses);
        free(made);
        return REJECTD_FAIL_MEMORY(error, 2 * n_channels * sizeof(double));
    }
    for (size_t c = 0; c < n_channels; c++) {
        made->found.thresholds[c] = made->found.losses[c] = NAN;
    }
    pthread_mutex_init(&made->lock, NULL);
    clock_condition_init(&made->changed);
    *split = made;
    return REJECTD_OK;
}

void split_free(struct split *split)
{
    if (split != NULL) {
        pthread_cond_destroy(&split->changed);
        pthread_mutex_destroy(&split->lock);
        free(split->found.thresholds);
        free(split->found.losses);
        free(split);
    }
}

void split_end(struct split *split)
{
    pthread_mutex_lock(&split->lock);
    split->ended = true;
    pthread_mutex_unlock(&split->lock);
}

bool split_has_ended(struct split *split)
{
    pthread_mutex_lock(&split->lock);
    const bool ended = split->ended;
    pthread_mutex_unlock(&split->lock);
    return ended;
}

/* ---- shares ---- */

bool split_take(struct split *split, size_t preferred, bool leads, struct rejectd_share *share)
{
    bool taken = false;
    pthread_mutex_lock(&split->lock);
    for (size_t i = 0; i < split->n && !taken && !split->ended; i++) {
        const size_t index = (preferred + i) % split->n;
        struct share *next = &split->shares[index];
        taken = next->state == SHARE_OPEN && (leads || !next->for_leader);
        if (taken) {
            next->state = SHARE_OUT;
            *share = (struct rejectd_share){index, split->n};
        }
    }
    pthread_mutex_unlock(&split->lock);
    return taken;
}

void split_give(struct split *split, size_t index, const char *device,
                const struct rejectd_thresholds *found)
{
    struct share *share = &split->shares[index];
    pthread_mutex_lock(&split->lock);
    share->state = SHARE_FOUND;
    share->progress = 1.0;
    snprintf(share->device, sizeof share->device, "%s", device);
    for (size_t c = 0; c < split->found.n_channels; c++) {
        if (!isnan(found->thresholds[c])) {
            split->found.thresholds[c] = found->thresholds[c];
            split->found.losses[c] = found->losses[c];
        }
    }
    pthread_cond_broadcast(&split->changed);
    pthread_mutex_unlock(&split->lock);
}

void split_give_back(struct split *split, size_t index)
{
    struct share *share = &split->shares[index];
    pthread_mutex_lock(&split->lock);
    share->state = SHARE_OPEN;
    share->for_leader = true;
    share->progress = 0.0;
    pthread_cond_broadcast(&split->changed);
    pthread_mutex_unlock(&split->lock);
}

/* ---- progress ---- */

void split_set_progress(struct split *split, size_t index, double fraction)
{
    pthread_mutex_lock(&split->lock);
    split->shares[index].progress = fraction;
    pthread_mutex_unlock(&split->lock);
}

double split_progress(struct split *split)
{
    double sum = 0.0;
    pthread_mutex_lock(&split->lock);
    for (size_t i = 0; i < split->n; i++) {
        sum += split->shares[i].progress;
    }
    pthread_mutex_unlock(&split->lock);
    return sum / (double)split->n;
}

/* ---- the whole ---- */

/* Under the lock. */
static size_t count_in(const struct split *split, enum share_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < split->n; i++) {
        n += split->shares[i].state == state;
    }
    return n;
}

bool split_wait(struct split *split, double seconds)
{
    const struct timespec end = clock_from_now(seconds);
    int failed = 0;
    pthread_mutex_lock(&split->lock);
    while (count_in(split, SHARE_OPEN) == 0 && count_in(split, SHARE_OUT) > 0 && failed == 0) {
        failed = pthread_cond_timedwait(&split->changed, &split->lock, &end);
    }
    const bool all = count_in(split, SHARE_FOUND) == split->n;
    pthread_mutex_unlock(&split->lock);
    return all;
}

const struct rejectd_thresholds *split_found(struct split *split)
{
    return &split->found;
}

void split_devices(struct split *split, char devices[SPLIT_DEVICES_SIZE])
{
    size_t length = 0;
    devices[0] = '\0';
    pthread_mutex_lock(&split->lock);
    for (size_t i = 0; i < split->n; i++) {
        const char *device = split->shares[i].device;
        bool known = device[0] == '\0';
        for (size_t k = 0; k < i; k++) {
            known |= strcmp(split->shares[k].device, device) == 0;
        }
        if (!known && length + strlen(device) + 2 <= SPLIT_DEVICES_SIZE) {
            length += (size_t)snprintf(devices + length, SPLIT_DEVICES_SIZE - length, "%s%s",
                                       length > 0 ? " " : "", device);
        }
    }
    pthread_mutex_unlock(&split->lock);
}
