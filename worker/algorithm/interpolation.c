#include "worker/algorithm/interpolation.h"

#include <stdlib.h>
#include <string.h>

#include "worker/algorithm/repair_sets.h"
#include "worker/algorithm/spline.h"
#include "worker/meg/field_map.h"

enum interpolation_kind interpolation_kind_of(enum rejectd_channel_type type)
{
    switch (type) {
    case REJECTD_CHANNEL_EEG:
        return INTERPOLATION_SPLINE;
    case REJECTD_CHANNEL_MAG:
    case REJECTD_CHANNEL_GRAD:
        return INTERPOLATION_FIELD_MAP;
    default:
        return INTERPOLATION_NONE;
    }
}

static enum rejectd_status open_spline(const struct rejectd_epochs *epochs, const size_t *picks,
                                       struct interpolation *interpolation,
                                       struct rejectd_error *error)
{
    const size_t n = interpolation->n;
    interpolation->positions = malloc(n * sizeof *interpolation->positions);
    if (interpolation->positions == NULL)
        return REJECTD_FAIL_MEMORY(error, n * sizeof *interpolation->positions);
    for (size_t i = 0; i < n; i++)
        memcpy(interpolation->positions[i], epochs->channels[picks[i]].position,
               sizeof *interpolation->positions);
    return REJECTD_OK;
}

enum rejectd_status interpolation_open(const struct rejectd_epochs *epochs, const size_t *picks,
                                       size_t n, enum rejectd_meg_legendre legendre, int n_threads,
                                       struct interpolation *interpolation,
                                       struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    *interpolation = (struct interpolation){
        .kind = interpolation_kind_of(epochs->channels[picks[0]].type),
        .n = n,
        .n_threads = n_threads,
    };
    if (interpolation->kind == INTERPOLATION_SPLINE)
        status = open_spline(epochs, picks, interpolation, error);
    else if (interpolation->kind == INTERPOLATION_FIELD_MAP)
        status =
            field_map_open(epochs, picks, n, legendre, n_threads, &interpolation->field, error);
    if (status != REJECTD_OK)
        interpolation_close(interpolation);
    return status;
}

void interpolation_close(struct interpolation *interpolation)
{
    free(interpolation->leave_one_out);
    free(interpolation->positions);
    free(interpolation->precision);
    field_map_close(interpolation->field);
    *interpolation = (struct interpolation){0};
}

enum rejectd_status interpolation_prepare(struct interpolation *interpolation, int n_threads,
                                          struct rejectd_error *error)
{
    const size_t n = interpolation->n;
    if (interpolation->kind != INTERPOLATION_SPLINE || interpolation->precision != NULL)
        return REJECTD_OK;
    double *made = malloc(n * n * sizeof *made);
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, n * n * sizeof *made);
    enum rejectd_status status =
        spline_precision((const double(*)[3])interpolation->positions, n, n_threads, made, error);
    if (status == REJECTD_OK)
        interpolation->precision = made;
    else
        free(made);
    return status;
}

enum rejectd_status interpolation_leave_one_out(struct interpolation *interpolation,
                                                const double **weights, struct rejectd_error *error)
{
    const size_t n = interpolation->n;
    enum rejectd_status status =
        interpolation_prepare(interpolation, interpolation->n_threads, error);
    if (status == REJECTD_OK && interpolation->leave_one_out == NULL) {
        double *made = calloc(n * n, sizeof *made);
        if (made == NULL)
            return REJECTD_FAIL_MEMORY(error, n * n * sizeof *made);
        if (interpolation->kind == INTERPOLATION_SPLINE)
            spline_leave_one_out(interpolation->precision, n, made);
        else if (interpolation->kind == INTERPOLATION_FIELD_MAP)
            status = field_map_leave_one_out(interpolation->field, interpolation->n_threads, made,
                                             error);
        else
            for (size_t i = 0; i < n; i++)
                made[i * n + i] = 1.0;
        if (status != REJECTD_OK) {
            free(made);
            return status;
        }
        interpolation->leave_one_out = made;
    }
    *weights = interpolation->leave_one_out;
    return status;
}

/* Repairs nothing, for as many values of n_interpolate. */
static enum rejectd_status repair_nothing(const struct backend *backend,
                                          struct backend_session *session,
                                          const struct backend_repairs *repairs,
                                          struct rejectd_error *error)
{
    uint16_t *prefix = calloc(repairs->n_values * repairs->n_epochs + 1, sizeof *prefix);
    if (prefix == NULL)
        return REJECTD_FAIL_MEMORY(error, repairs->n_epochs * sizeof *prefix);
    struct backend_repairs none = *repairs;
    none.prefix = prefix;
    enum rejectd_status status = backend->interpolate_epochs(session, NULL, &none, error);
    free(prefix);
    return status;
}

enum rejectd_status interpolation_repair(struct interpolation *interpolation,
                                         const struct backend *backend,
                                         struct backend_session *session,
                                         const struct backend_repairs *repairs,
                                         struct progress *progress, struct rejectd_error *error)
{
    if (interpolation->kind == INTERPOLATION_NONE)
        return repair_nothing(backend, session, repairs, error);
    enum rejectd_status status =
        interpolation_prepare(interpolation, interpolation->n_threads, error);
    if (status != REJECTD_OK)
        return status;
    if (interpolation->kind == INTERPOLATION_SPLINE)
        return backend->interpolate_epochs(session, interpolation->precision, repairs, error);
    struct repair_sets sets;
    status = repair_sets_make(interpolation, backend, session, repairs, progress, &sets, error);
    if (status == REJECTD_OK)
        status = backend->weigh_epochs(session, &sets.weights, repairs, error);
    repair_sets_free(&sets);
    return status;
}
