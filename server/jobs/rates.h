/*
 * How long work takes on each device, learnt from jobs that ended.
 *
 * What a job needs is counted as work in nanoseconds of some machine (worker/needs.h). For each
 * device, kind of job and size (doublings of the work, in halves) the mean of the logarithm of
 * seconds per second of work is kept; small jobs, which mostly cost their opening and their disk,
 * so have a rate of their own. It is moderate in its memory: jobs long past count little. Between
 * sizes that are known it goes gradually; of a kind that isn't known the device's other kinds tell,
 * and of a device that isn't known a first guess, on the slow side.
 *
 * All functions may be called by several threads at once.
 */
#ifndef SERVER_JOBS_RATES_H
#define SERVER_JOBS_RATES_H

#include "server/store/store.h"

struct rates;

/* How a number of seconds is known. */
enum rate_basis {
    RATE_MEASURED, /* from jobs of this kind on this device */
    RATE_SIMILAR,  /* from other kinds, or a measurement at the start */
    RATE_ASSUMED,  /* from nothing but the count of work */
};
const char *rate_basis_name(enum rate_basis basis); /* on the wire; static storage */

/* Begins with what the store keeps. *rates is owned by the caller: rates_close(). */
enum rejectd_status rates_open(struct store *store, struct rates **rates,
                               struct rejectd_error *error);
void rates_close(struct rates *rates); /* NULL is allowed */

/* A trial of the device took so long: it counts until the first job does. */
void rates_try(struct rates *rates, const char *device, double work, double seconds);

/* A job took so long. *rate (may be NULL) is what is to be kept in the store; false: nothing can
 * be learnt from it. */
bool rates_learn(struct rates *rates, const char *device, const char *kind, double work,
                 double seconds, struct store_rate *rate);
/* Whether anything is known of the device. */
bool rates_know(struct rates *rates, const char *device);

/* How long it will take. work > 0; basis may be NULL. */
double rates_seconds(struct rates *rates, const char *device, const char *kind, double work,
                     enum rate_basis *basis);

#endif
