/*
 * Votes of the sensors: which are bad in which epoch, in what order they are repaired, and which
 * epochs a consensus calls bad (Jas et al. 2017, section 2.3).
 *
 * Shapes: E epochs, C picks of one type.
 */
#ifndef WORKER_ALGORITHM_VOTES_H
#define WORKER_ALGORITHM_VOTES_H

#include <rejectd/error.h>
#include <rejectd/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bad sensors of each epoch, largest peak-to-peak first; on equal values the higher pick
 * comes first, as autoreject's reversed sort has it. */
struct votes {
    size_t n_epochs;
    size_t n_picks;
    size_t *offsets;    /* [E + 1]; epoch e has offsets[e + 1] - offsets[e] bad sensors */
    uint16_t *channels; /* pick positions */
};

/* A sensor is bad where ptp [E][C] > thresholds [C]. Fill once, then votes_free(). */
enum rejectd_status votes_init(struct votes *votes, const double *ptp, const double *thresholds,
                               size_t n_epochs, size_t n_picks, int n_threads,
                               struct rejectd_error *error);
void votes_free(struct votes *votes);

static inline size_t votes_count(const struct votes *votes, size_t epoch)
{
    return votes->offsets[epoch + 1] - votes->offsets[epoch];
}

/* An epoch is bad when its bad sensors are at least consensus * n_picks, reckoned in double. */
bool votes_epoch_is_bad(size_t n_bad, double consensus, size_t n_picks);

/*
 * How many of each epoch's bad sensors the local cross-validation repairs for each value of
 * n_interpolate, in the order given: autoreject carries repairs over from value to value, so the
 * numbers add up. prefix is [n_values][E]. Epochs with skip[e] are not repaired at all.
 */
void votes_cumulative_repairs(const struct votes *votes, const int *n_interpolate, size_t n_values,
                              const bool *skip, uint16_t *prefix);

/*
 * Enters the votes into a reject log: bad sensors get REJECTD_LABEL_BAD, the worst n_interpolate of
 * each epoch REJECTD_LABEL_INTERPOLATED, the other picks REJECTD_LABEL_GOOD; epochs that the
 * consensus calls bad are marked so, others are left as they are. picks are channel indices.
 */
void votes_fill_log(const struct votes *votes, const size_t *picks, double consensus,
                    int n_interpolate, int n_threads, struct rejectd_reject_log *log);

#endif
