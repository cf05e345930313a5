/* What the files of the reference backend share. */
#ifndef WORKER_REFERENCE_SESSION_H
#define WORKER_REFERENCE_SESSION_H

#include "worker/backend.h"

struct backend_session {
    size_t n_epochs, n_picks, n_times;
    double *samples;          /* [E][C][T], the picks alone; owned */
    size_t first, count;      /* picks that are predicted */
    double *predictions;      /* [E][count][T]; owned */
    size_t n_values;          /* of the last repairs */
    double **repaired;        /* [n_values] of [E][C][T]: all picks, repaired where listed; owned */
    uint16_t *repaired_lists; /* [E][C] the sensors of each epoch in order; owned */
    uint16_t *prefix;         /* [n_values][E]; owned */
    struct backend_progress progress;
};

/* Median of n values, which are put in order: the middle one, or the mean of the two middle ones.
 */
double reference_median(double *values, size_t n);

/* Tells how much of the call is done; CANCELLED when the caller wants to stop. */
enum rejectd_status reference_advance(const struct backend_session *session, size_t done,
                                      size_t total, struct rejectd_error *error);

void reference_forget_repairs(struct backend_session *session);

static inline double *reference_row(double *array, const struct backend_session *session,
                                    size_t epoch, size_t pick)
{
    return array + (epoch * session->n_picks + pick) * session->n_times;
}

enum rejectd_status reference_threshold_losses(struct backend_session *session,
                                               const struct backend_splits *splits,
                                               const uint32_t *order, const double *ptp,
                                               double *losses, struct rejectd_error *error);
enum rejectd_status reference_interpolate_epochs(struct backend_session *session,
                                                 const double *precision,
                                                 const struct backend_repairs *repairs,
                                                 struct rejectd_error *error);
enum rejectd_status reference_weigh_epochs(struct backend_session *session,
                                           const struct backend_weights *weights,
                                           const struct backend_repairs *repairs,
                                           struct rejectd_error *error);
enum rejectd_status reference_local_cv_losses(struct backend_session *session,
                                              const struct backend_local_cv *cv, double *losses,
                                              struct rejectd_error *error);
enum rejectd_status reference_ransac_correlations(struct backend_session *session,
                                                  const struct backend_mappings *mappings,
                                                  double *corr, struct rejectd_error *error);
enum rejectd_status reference_global_losses(struct backend_session *session,
                                            const struct backend_global *global,
                                            double *test_losses, double *train_losses,
                                            struct rejectd_error *error);

#endif
