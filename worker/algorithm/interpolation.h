/*
 * Sensors predicted from other sensors, each type as autoreject does it: EEG by spherical splines
 * (spline.h), magnetometers and gradiometers by field maps (worker/meg/field_map.h). ECoG, SEEG and
 * fNIRS channels are not interpolated at all: a prediction of one is the channel itself, and a
 * repair leaves it as it is.
 */
#ifndef WORKER_ALGORITHM_INTERPOLATION_H
#define WORKER_ALGORITHM_INTERPOLATION_H

#include "worker/algorithm/progress.h"
#include "worker/backend.h"

enum interpolation_kind {
    INTERPOLATION_NONE,
    INTERPOLATION_SPLINE,
    INTERPOLATION_FIELD_MAP,
};

/* How channels of a type are interpolated. */
enum interpolation_kind interpolation_kind_of(enum rejectd_channel_type type);

/* Interpolation among n picks of one kind. */
struct interpolation {
    enum interpolation_kind kind;
    size_t n;
    int n_threads;
    double *leave_one_out;   /* [n][n], made when it is asked for; owned */
    double (*positions)[3];  /* [n] of a spline; owned */
    double *precision;       /* [n][n] of a spline, made when it is needed; owned */
    struct field_map *field; /* of a field map; owned */
};

/* Prepares interpolation among picks [n], which passed checks_interpolation(). The interpolation
 * is all-zero on failure. interpolation_close(). */
enum rejectd_status interpolation_open(const struct rejectd_epochs *epochs, const size_t *picks,
                                       size_t n, enum rejectd_meg_legendre legendre, int n_threads,
                                       struct interpolation *interpolation,
                                       struct rejectd_error *error);
void interpolation_close(struct interpolation *interpolation);

/* Makes now what takes long and is needed in any case, on so many threads; otherwise it is made
 * when it is needed. */
enum rejectd_status interpolation_prepare(struct interpolation *interpolation, int n_threads,
                                          struct rejectd_error *error);

/* *weights [n][n]: row b predicts pick b from all others. As long as the interpolation. */
enum rejectd_status interpolation_leave_one_out(struct interpolation *interpolation,
                                                const double **weights,
                                                struct rejectd_error *error);

/* Repairs on the session, whose picks are those of the interpolation: backend.interpolate_epochs()
 * or weigh_epochs(). The current step of the progress is that of the whole call. */
enum rejectd_status interpolation_repair(struct interpolation *interpolation,
                                         const struct backend *backend,
                                         struct backend_session *session,
                                         const struct backend_repairs *repairs,
                                         struct progress *progress, struct rejectd_error *error);

#endif
