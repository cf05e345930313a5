#include "worker/algorithm/checks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    bool analysed;
} types[REJECTD_CHANNEL_TYPE_COUNT] = {
#define TYPE_PROPERTIES(symbol, name, analysed) {name, analysed},
    REJECTD_CHANNEL_TYPE_LIST(TYPE_PROPERTIES)
#undef TYPE_PROPERTIES
};

const char *checks_type_name(enum rejectd_channel_type type)
{
    return types[type].name;
}

bool checks_is_analysed(enum rejectd_channel_type type)
{
    return types[type].analysed;
}

size_t checks_picks_of_type(const struct rejectd_epochs *epochs, const size_t *picks,
                            size_t n_picks, enum rejectd_channel_type type, size_t *of_type)
{
    size_t n = 0;
    for (size_t i = 0; i < n_picks; i++)
        if (epochs->channels[picks[i]].type == type)
            of_type[n++] = picks[i];
    return n;
}

enum rejectd_status checks_shape(const struct rejectd_epochs *epochs, size_t least_epochs,
                                 struct rejectd_error *error)
{
    if (epochs->n_epochs < least_epochs || epochs->n_epochs > REJECTD_MAX_EPOCHS)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "n_epochs",
                            "%zu to %d epochs are needed here; the dataset has %zu", least_epochs,
                            REJECTD_MAX_EPOCHS, epochs->n_epochs);
    if (epochs->n_channels < 1 || epochs->n_channels > REJECTD_MAX_CHANNELS)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "channels",
                            "a dataset has 1 to %d channels, this one %zu", REJECTD_MAX_CHANNELS,
                            epochs->n_channels);
    if (epochs->n_times < 1 || epochs->n_times > REJECTD_MAX_TIMES)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "n_times",
                            "a dataset has 1 to %d time samples, this one %zu", REJECTD_MAX_TIMES,
                            epochs->n_times);
    return REJECTD_OK;
}

enum rejectd_status checks_picks(const struct rejectd_epochs *epochs, const size_t *picks,
                                 size_t n_picks, struct rejectd_error *error)
{
    for (size_t i = 0; picks != NULL && i < n_picks; i++) {
        char field[48];
        snprintf(field, sizeof field, "parameters.picks[%zu]", i);
        if (picks[i] >= epochs->n_channels)
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                                "channel %zu does not exist; the dataset has %zu channels",
                                picks[i], epochs->n_channels);
        if (i > 0 && picks[i] <= picks[i - 1])
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                                "picks must be ascending and without repeats");
    }
    return REJECTD_OK;
}

enum rejectd_status checks_resolve_copy(const struct rejectd_epochs *epochs, const size_t *given,
                                        size_t n_given, size_t **picks, size_t *n_picks,
                                        struct rejectd_error *error)
{
    *picks = malloc(epochs->n_channels * sizeof **picks);
    *n_picks = 0;
    if (*picks == NULL)
        return REJECTD_FAIL_MEMORY(error, epochs->n_channels * sizeof **picks);
    for (size_t i = 0; given != NULL && i < n_given; i++)
        (*picks)[(*n_picks)++] = given[i];
    for (size_t c = 0; given == NULL && c < epochs->n_channels; c++)
        if (types[epochs->channels[c].type].analysed && !epochs->channels[c].bad)
            (*picks)[(*n_picks)++] = c;
    return REJECTD_OK;
}

enum rejectd_status checks_cv(const struct rejectd_epochs *epochs, size_t cv,
                              struct rejectd_error *error)
{
    if (cv < 2 || cv > REJECTD_MAX_FOLDS)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.cv",
                            "cv is %zu; 2 to %d folds are accepted", cv, REJECTD_MAX_FOLDS);
    if (cv > epochs->n_epochs)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.cv",
                            "cannot have %zu folds with %zu epochs; cv may be 2 to %zu here", cv,
                            epochs->n_epochs, epochs->n_epochs);
    return REJECTD_OK;
}

static enum rejectd_status check_consensus(const struct rejectd_fit_parameters *parameters,
                                           struct rejectd_error *error)
{
    if (parameters->consensus == NULL)
        return REJECTD_OK;
    if (parameters->n_consensus < 1 || parameters->n_consensus > REJECTD_MAX_GRID)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.consensus",
                            "1 to %d values are accepted, not %zu", REJECTD_MAX_GRID,
                            parameters->n_consensus);
    for (size_t i = 0; i < parameters->n_consensus; i++)
        if (!(parameters->consensus[i] >= 0.0 && parameters->consensus[i] <= 1.0)) {
            char field[48];
            snprintf(field, sizeof field, "parameters.consensus[%zu]", i);
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                                "%g is outside [0, 1]: consensus is a share of the sensors",
                                parameters->consensus[i]);
        }
    return REJECTD_OK;
}

static enum rejectd_status check_n_interpolate(const struct rejectd_fit_parameters *parameters,
                                               size_t n_picks, struct rejectd_error *error)
{
    if (parameters->n_interpolate == NULL) {
        if (n_picks < 4)
            return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "parameters.n_interpolate",
                                "too few channels: %zu are picked, and the default n_interpolate "
                                "needs 4; pick more channels or give n_interpolate",
                                n_picks);
        return REJECTD_OK;
    }
    if (parameters->n_n_interpolate < 1 || parameters->n_n_interpolate > REJECTD_MAX_GRID)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.n_interpolate",
                            "1 to %d values are accepted, not %zu", REJECTD_MAX_GRID,
                            parameters->n_n_interpolate);
    for (size_t i = 0; i < parameters->n_n_interpolate; i++) {
        int value = parameters->n_interpolate[i];
        if (value < 0 || (size_t)value >= n_picks) {
            char field[48];
            snprintf(field, sizeof field, "parameters.n_interpolate[%zu]", i);
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                                "%d sensors cannot be interpolated from the others; with %zu "
                                "picked channels 0 to %zu are accepted",
                                value, n_picks, n_picks - 1);
        }
    }
    return REJECTD_OK;
}

static enum rejectd_status check_thresholds(const struct rejectd_epochs *epochs,
                                            const struct rejectd_fit_parameters *parameters,
                                            const size_t *picks, size_t n_picks,
                                            struct rejectd_error *error)
{
    for (size_t i = 0; parameters->thresholds != NULL && i < n_picks; i++) {
        double value = parameters->thresholds[picks[i]];
        if (isnan(value))
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.thresholds",
                                "channel \"%s\" is picked but has no threshold",
                                epochs->channels[picks[i]].name);
        if (!(value >= 0.0) || isinf(value))
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters.thresholds",
                                "the threshold of channel \"%s\" is %g; a finite peak-to-peak "
                                "amplitude >= 0 is accepted",
                                epochs->channels[picks[i]].name, value);
    }
    return REJECTD_OK;
}

static enum rejectd_status check_cells(const struct rejectd_fit_parameters *parameters, size_t cv,
                                       struct rejectd_error *error)
{
    size_t n_consensus = parameters->consensus != NULL ? parameters->n_consensus : 11;
    size_t n_values = parameters->n_interpolate != NULL ? parameters->n_n_interpolate : 3;
    if (n_consensus * n_values * cv > CHECKS_MAX_CELLS)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "parameters",
                            "the grid has %zu cells (consensus x n_interpolate x cv); at most %d "
                            "are accepted",
                            n_consensus * n_values * cv, CHECKS_MAX_CELLS);
    return REJECTD_OK;
}

enum rejectd_status checks_fit(const struct rejectd_epochs *epochs,
                               const struct rejectd_fit_parameters *parameters,
                               struct rejectd_error *error)
{
    const size_t cv = parameters->cv != 0 ? parameters->cv : 10;
    enum rejectd_status status = checks_shape(epochs, 3, error);
    if (status == REJECTD_OK)
        status = checks_picks(epochs, parameters->picks, parameters->n_picks, error);
    if (status == REJECTD_OK)
        status = checks_cv(epochs, cv, error);
    if (status == REJECTD_OK)
        status = check_consensus(parameters, error);
    if (status != REJECTD_OK)
        return status;
    size_t n_picks, *picks;
    status = checks_resolve_copy(epochs, parameters->picks, parameters->n_picks, &picks, &n_picks,
                                 error);
    if (status != REJECTD_OK)
        return status;
    if (n_picks < 2)
        status = REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "parameters.picks",
                              "%zu channels are picked; a fit needs at least 2 that are not marked "
                              "bad, of type %s",
                              n_picks, CHECKS_ANALYSED_TYPES);
    if (status == REJECTD_OK)
        status = check_n_interpolate(parameters, n_picks, error);
    if (status == REJECTD_OK)
        status = checks_sensors(epochs, picks, n_picks, error);
    if (status == REJECTD_OK)
        status = check_thresholds(epochs, parameters, picks, n_picks, error);
    if (status == REJECTD_OK)
        status = check_cells(parameters, cv, error);
    free(picks);
    return status;
}
