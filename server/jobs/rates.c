#include "server/jobs/rates.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RATES = 4096 };

/* What a job counts for: the mean of the first ones, then that of the last few. */
static const double least_weight = 0.2;

/* How much slower than the machine of the count a device is thought to be at first. */
static const double first_guess = 4.0;

/* What a job takes beside its work, in opening it and keeping its results, where no job has told.
 */
static const double beside_work = 0.01;

/* Seconds that no job undercuts, and no clock tells apart. */
static const double least_seconds = 1e-6;

struct rates {
    pthread_mutex_t lock;
    struct store_rate *all; /* [n] */
    size_t n;
};

const char *rate_basis_name(enum rate_basis basis)
{
    static const char *const names[] = {
        [RATE_MEASURED] = "measured",
        [RATE_SIMILAR] = "similar",
        [RATE_ASSUMED] = "assumed",
    };
    return names[basis];
}

enum rejectd_status rates_open(struct store *store, struct rates **rates,
                               struct rejectd_error *error)
{
    struct rates *made = calloc(1, sizeof *made);
    *rates = made;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    pthread_mutex_init(&made->lock, NULL);
    const enum rejectd_status status =
        store->functions->rate_list(store, &made->all, &made->n, error);
    struct store_rate *room = realloc(made->all, MOST_RATES * sizeof *room);
    if (room != NULL) {
        made->all = room;
    }
    if (status != REJECTD_OK || room == NULL) {
        rates_close(made);
        *rates = NULL;
        return status != REJECTD_OK ? status
                                    : REJECTD_FAIL_MEMORY(error, MOST_RATES * sizeof *room);
    }
    made->n = made->n < MOST_RATES ? made->n : MOST_RATES;
    return REJECTD_OK;
}

void rates_close(struct rates *rates)
{
    if (rates != NULL) {
        pthread_mutex_destroy(&rates->lock);
        free(rates->all);
        free(rates);
    }
}

/* Of work in ns. */
static double size_of(double work)
{
    return 2.0 * log2(work > 1.0 ? work : 1.0);
}

/* Under the lock, as all below. */
static struct store_rate *find(struct rates *rates, const char *device, const char *kind, int size)
{
    for (size_t i = 0; i < rates->n; i++) {
        struct store_rate *rate = &rates->all[i];
        if (rate->size == size && strcmp(rate->device, device) == 0 &&
            strcmp(rate->kind, kind) == 0) {
            return rate;
        }
    }
    return NULL;
}

static struct store_rate *find_or_add(struct rates *rates, const char *device, const char *kind,
                                      int size)
{
    struct store_rate *rate = find(rates, device, kind, size);
    if (rate != NULL || rates->n == MOST_RATES || strlen(device) >= sizeof rate->device ||
        strlen(kind) >= sizeof rate->kind) {
        return rate;
    }
    rate = &rates->all[rates->n++];
    *rate = (struct store_rate){.size = size};
    memcpy(rate->device, device, strlen(device));
    memcpy(rate->kind, kind, strlen(kind));
    return rate;
}

static const char trial[] = "trial";

/* What jobs tell is better. */
static void drop_trial(struct rates *rates, const char *device)
{
    for (size_t i = 0; i < rates->n; i++) {
        if (strcmp(rates->all[i].device, device) == 0 && strcmp(rates->all[i].kind, trial) == 0) {
            rates->all[i] = rates->all[--rates->n];
            return;
        }
    }
}

void rates_try(struct rates *rates, const char *device, double work, double seconds)
{
    rates_learn(rates, device, trial, work, seconds, NULL);
}

bool rates_learn(struct rates *rates, const char *device, const char *kind, double work,
                 double seconds, struct store_rate *rate)
{
    if (!(work > 0.0) || !isfinite(work) || !isfinite(seconds)) {
        return false;
    }
    const double taken = seconds > least_seconds ? seconds : least_seconds;
    pthread_mutex_lock(&rates->lock);
    if (strcmp(kind, trial) != 0) {
        drop_trial(rates, device);
    }
    struct store_rate *found = find_or_add(rates, device, kind, (int)lround(size_of(work)));
    if (found != NULL) {
        found->n++;
        const double share = 1.0 / (double)found->n;
        const double weight = share > least_weight ? share : least_weight;
        const double seen = 1e6 * log(taken / (1e-9 * work));
        found->micro_log += llround(weight * (seen - (double)found->micro_log));
        if (rate != NULL) {
            *rate = *found;
        }
    }
    pthread_mutex_unlock(&rates->lock);
    return found != NULL;
}

bool rates_know(struct rates *rates, const char *device)
{
    bool known = false;
    pthread_mutex_lock(&rates->lock);
    for (size_t i = 0; i < rates->n; i++) {
        known = known || strcmp(rates->all[i].device, device) == 0;
    }
    pthread_mutex_unlock(&rates->lock);
    return known;
}

/*
 * Between the nearest sizes below and above that are known of a device and a kind (NULL: of any).
 * Beyond the largest one that is known its rate goes on: larger jobs are no slower for their work.
 */
static bool between(const struct rates *rates, const char *device, const char *kind, double size,
                    double *micro_log)
{
    const struct store_rate *below = NULL, *above = NULL;
    for (size_t i = 0; i < rates->n; i++) {
        const struct store_rate *rate = &rates->all[i];
        if (strcmp(rate->device, device) != 0 || (kind != NULL && strcmp(rate->kind, kind) != 0)) {
            continue;
        }
        if ((double)rate->size <= size) {
            below = below == NULL || rate->size > below->size ? rate : below;
        } else {
            above = above == NULL || rate->size < above->size ? rate : above;
        }
    }
    if (below == NULL && above == NULL) {
        return false;
    }
    if (below == NULL || above == NULL) {
        *micro_log = (double)(below != NULL ? below : above)->micro_log;
        return true;
    }
    const double share = (size - below->size) / (double)(above->size - below->size);
    *micro_log = (1.0 - share) * (double)below->micro_log + share * (double)above->micro_log;
    return true;
}

double rates_seconds(struct rates *rates, const char *device, const char *kind, double work,
                     enum rate_basis *basis)
{
    double micro_log = 1e6 * log(first_guess);
    enum rate_basis known = RATE_MEASURED;
    pthread_mutex_lock(&rates->lock);
    if (!between(rates, device, kind, size_of(work), &micro_log)) {
        known =
            between(rates, device, NULL, size_of(work), &micro_log) ? RATE_SIMILAR : RATE_ASSUMED;
    }
    pthread_mutex_unlock(&rates->lock);
    if (basis != NULL) {
        *basis = known;
    }
    return exp(1e-6 * micro_log) * 1e-9 * work + (known == RATE_MEASURED ? 0.0 : beside_work);
}
