/*
 * The search for thresholds of one job, shared out to several GPUs ("cuda:all").
 *
 * The device that claimed the job leads: it computes the job, and before that takes shares of the
 * search, one after another. So does every other GPU that is free, before it looks for a job. A
 * share that one of these failed at is left to the leader. All functions may be called by several
 * threads at once.
 */
#ifndef SERVER_JOBS_SPLIT_H
#define SERVER_JOBS_SPLIT_H

#include <rejectd/compute.h>

enum { SPLIT_DEVICES_SIZE = 640 };

struct split;

/* n_shares >= 1; of a dataset with n_channels. *split is owned by the caller: split_free(). */
enum rejectd_status split_open(size_t n_shares, size_t n_channels, struct split **split,
                               struct rejectd_error *error);
/* When no share is out. NULL is allowed. */
void split_free(struct split *split);

/* From now on no share is handed out, and those that are out are no longer wanted. */
void split_end(struct split *split);
bool split_has_ended(struct split *split);

/* Takes a share that nobody has, number `preferred` if possible. False: there is none for it. Who
 * has taken one gives what it found, or gives the share back. */
bool split_take(struct split *split, size_t preferred, bool leads, struct rejectd_share *share);
/* found: of this share, NaN elsewhere. device: who found it. */
void split_give(struct split *split, size_t index, const char *device,
                const struct rejectd_thresholds *found);
void split_give_back(struct split *split, size_t index);

/* How far a share that is out is: 0..1. */
void split_set_progress(struct split *split, size_t index, double fraction);
/* The same of the whole search. */
double split_progress(struct split *split);

/* Waits until all shares are found or one can be taken by the leader, for up to `seconds`. True
 * when all are found. */
bool split_wait(struct split *split, double seconds);
/* What was found, all shares joined, once split_wait() has said so; as long as the split. */
const struct rejectd_thresholds *split_found(struct split *split);
/* Who found it: "cuda:0 cuda:1", in the order of the first share of each. */
void split_devices(struct split *split, char devices[SPLIT_DEVICES_SIZE]);

#endif
