/* What the files of worker/needs.h share: a task as far as its sizes go. */
#ifndef WORKER_NEEDS_PRIVATE_H
#define WORKER_NEEDS_PRIVATE_H

#include "worker/algorithm/interpolation.h"
#include "worker/needs.h"

static inline double greater(double a, double b)
{
    return a > b ? a : b;
}

static inline double lesser(double a, double b)
{
    return a < b ? a : b;
}

/* Picks that are worked on together: those of a type, or what is repaired together. */
struct needs_part {
    enum interpolation_kind kind;
    size_t *picks; /* [n] ascending; within needs_shape.storage */
    size_t n;
};

struct needs_shape {
    const struct task *task;
    enum rejectd_dtype precision;
    int n_threads;
    bool reference; /* the backend that keeps copies of everything */
    struct needs_part parts[REJECTD_CHANNEL_TYPE_COUNT];
    size_t n_parts;
    size_t *storage; /* owned */

    bool searches; /* thresholds */
    bool augments; /* with predictions of every pick */
    enum rejectd_threshold_method method;
    bool validates;    /* by local cross-validation */
    const int *values; /* [n_values] of n_interpolate */
    size_t n_values;
    size_t n_consensus, n_folds;
    bool cleans;         /* writes epochs, */
    double most_cleaned; /* with so many repaired sensors at most */
    size_t n_resample;   /* of RANSAC; 0: none */
    size_t n_samples;
    size_t decim; /* of global thresholds */
    bool wants_train;
};

enum rejectd_status needs_shape_read(const struct task *task, const struct needs_site *site,
                                     struct needs_shape *shape, struct rejectd_error *error);
void needs_shape_clear(struct needs_shape *shape);

/* The samples of a part, as a backend is given them. */
struct backend_samples needs_samples(const struct needs_shape *shape,
                                     const struct needs_part *part);
/* Of the samples: bytes of one. */
double needs_item(const struct needs_shape *shape);

/* Sensors of a part that are repaired together, at most, and its repaired rows of an epoch, all
 * values of n_interpolate together: values that repair no more than those before them share rows.
 */
double needs_most_set(const struct needs_shape *shape, const struct needs_part *part);
double needs_most_rows(const struct needs_shape *shape, const struct needs_part *part);

/* Interpolation among the sensors of a part, with the weights of `rows` repairs. */
double needs_interpolation(const struct needs_shape *shape, const struct needs_part *part,
                           double rows);

/* Sets device_bytes, device_least and in_pieces. */
void needs_count_device(const struct needs_shape *shape, double budget, struct task_needs *needs);
/* Sets work and kind. */
void needs_count_work(const struct needs_shape *shape, bool gpu, struct task_needs *needs);

#endif
