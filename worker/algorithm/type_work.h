/* The picks of one channel type on their way through a job: what fits and threshold jobs share. */
#ifndef WORKER_ALGORITHM_TYPE_WORK_H
#define WORKER_ALGORITHM_TYPE_WORK_H

#include "worker/algorithm/interpolation.h"

struct type_work {
    const struct backend *backend; /* set by the caller, the rest zero */
    struct backend_samples samples;
    struct backend_session *session;
    int n_threads;
    double *ptp;                        /* [E][C] */
    struct interpolation interpolation; /* after type_work_interpolate() */
    double *thresholds;                 /* [C] */
    double *losses;                     /* [C] at the thresholds; NaN where they were given */
    uint8_t *is_test; /* the folds of the search, where they were drawn for a device, or NULL */
};

/* What a job is about to do, for a device that begins before it is asked. */
struct type_outlook {
    bool searches;  /* for thresholds; then of all picks */
    uint32_t seed;  /* of the search */
    size_t n_folds; /* of the cross-validation; 0: none */
};

/* Takes the picks [n_picks], which stay the caller's. type_work_close() in any case. */
enum rejectd_status type_work_begin(struct type_work *work, const struct rejectd_epochs *epochs,
                                    const size_t *picks, size_t n_picks,
                                    const struct rejectd_compute_options *options,
                                    struct rejectd_error *error);
void type_work_close(struct type_work *work);

/* Prepares interpolation among the picks, which passed checks_sensors(). */
enum rejectd_status type_work_interpolate(struct type_work *work,
                                          const struct rejectd_epochs *epochs,
                                          enum rejectd_meg_legendre legendre,
                                          struct rejectd_error *error);

/* Opens a session and measures the peak-to-peak amplitudes. */
enum rejectd_status type_work_open(struct type_work *work, enum rejectd_dtype precision,
                                   const struct type_outlook *outlook,
                                   const struct rejectd_compute_options *options,
                                   struct progress *progress, struct rejectd_error *error);

/* Takes thresholds [n_channels] as they are. */
void type_work_give_thresholds(struct type_work *work, const double *thresholds);

/* Takes what was found elsewhere. INTERNAL where it lacks a pick. */
enum rejectd_status type_work_take_found(struct type_work *work,
                                         const struct rejectd_channel *channels,
                                         const struct rejectd_thresholds *found,
                                         struct rejectd_error *error);

/* Searches them, among the epochs and, where interpolation was prepared, their predictions: those
 * of the share that the options tell; the others are not touched. */
enum rejectd_status type_work_search(struct type_work *work, const struct rejectd_channel *channels,
                                     enum rejectd_threshold_method method, uint32_t seed,
                                     const struct rejectd_compute_options *options,
                                     struct progress *progress, struct rejectd_error *error);

#endif
