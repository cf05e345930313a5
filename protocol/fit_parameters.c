/*
 * Fit parameters: JSON to numbers and channel indices.
 *
 * What can be said without numerics is checked here, with names prefixed "parameters."; what
 * depends on folds, neighbours and positions is rejectd_fit_check()'s.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/channel_index.h"
#include "protocol/job_json.h"
#include "protocol/json_reader.h"
#include "protocol/names.h"
#include "protocol/parameters.h"

void fit_parameters_clear(struct fit_parameters *parameters)
{
    free(parameters->n_interpolate);
    free(parameters->consensus);
    free(parameters->picks);
    free(parameters->thresholds);
    *parameters = (struct fit_parameters){0};
}

static enum rejectd_status read_n_interpolate(const struct json_object *root,
                                              struct fit_parameters *out)
{
    json_t *array;
    enum rejectd_status status =
        json_read_array(root, "n_interpolate", 1, REJECTD_MAX_GRID, &array);
    if (status != REJECTD_OK || array == NULL)
        return status;
    size_t n = json_array_size(array);
    out->n_interpolate = calloc(n, sizeof *out->n_interpolate);
    if (out->n_interpolate == NULL)
        return REJECTD_FAIL_MEMORY(root->error, n * sizeof *out->n_interpolate);
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(array, i);
        json_int_t number = json_integer_value(value);
        if (json_is_integer(value) && number >= 0 && number < REJECTD_MAX_CHANNELS) {
            out->n_interpolate[i] = (int)number;
            continue;
        }
        char key[48];
        snprintf(key, sizeof key, "n_interpolate[%zu]", i);
        return json_fail(root, key,
                         "must be an integer of at least 0 and less than the number of channels");
    }
    out->parameters.n_interpolate = out->n_interpolate;
    out->parameters.n_n_interpolate = n;
    return REJECTD_OK;
}

static enum rejectd_status read_consensus(const struct json_object *root,
                                          struct fit_parameters *out)
{
    json_t *array;
    enum rejectd_status status = json_read_array(root, "consensus", 1, REJECTD_MAX_GRID, &array);
    if (status != REJECTD_OK || array == NULL)
        return status;
    size_t n = json_array_size(array);
    out->consensus = calloc(n, sizeof *out->consensus);
    if (out->consensus == NULL)
        return REJECTD_FAIL_MEMORY(root->error, n * sizeof *out->consensus);
    out->parameters.consensus = out->consensus;
    out->parameters.n_consensus = n;
    return json_read_numbers(root, "consensus", array, 0, 1, out->consensus);
}

static enum rejectd_status read_plain_fields(const struct json_object *root,
                                             struct rejectd_fit_parameters *out)
{
    enum rejectd_status status;
    if ((status = json_read_size(root, "cv", 2, REJECTD_MAX_FOLDS, &out->cv)) != 0 ||
        (status = parameters_read_method(root, &out->thresh_method)) != 0 ||
        (status = parameters_read_random_state(root, &out->random_state)) != 0 ||
        (status = parameters_read_precision(root, &out->precision)) != 0)
        return status;
    return parameters_read_legendre(root, &out->meg_legendre);
}

/* ---- thresholds ---- */

static enum rejectd_status store_thresholds(const struct json_object *thresholds,
                                            const struct channel_index *index, double *out)
{
    const char *name;
    json_t *value;
    json_object_foreach(thresholds->value, name, value)
    {
        long channel = channel_index_find(index, name);
        if (channel == CHANNEL_INDEX_NONE)
            return json_fail(thresholds, name, "is no channel of the dataset");
        if (!json_is_number(value) || !(json_number_value(value) >= 0))
            return json_fail(thresholds, name,
                             "must be a peak-to-peak amplitude of at least 0 in the SI unit of "
                             "the channel");
        out[channel] = json_number_value(value);
    }
    return REJECTD_OK;
}

static enum rejectd_status read_thresholds(const struct json_object *root,
                                           const struct channel_index *index, const bool *picked,
                                           struct fit_parameters *out)
{
    json_t *value = json_field(root, "thresholds");
    if (value == NULL)
        return REJECTD_OK;
    struct json_object thresholds;
    enum rejectd_status status =
        json_object_open(value, "parameters.thresholds", &thresholds, root->error);
    if (status != REJECTD_OK)
        return status;
    size_t n = index->n_channels;
    out->thresholds = calloc(n, sizeof *out->thresholds);
    if (out->thresholds == NULL)
        return REJECTD_FAIL_MEMORY(root->error, n * sizeof *out->thresholds);
    for (size_t c = 0; c < n; c++)
        out->thresholds[c] = NAN;
    if ((status = store_thresholds(&thresholds, index, out->thresholds)) != REJECTD_OK)
        return status;
    for (size_t c = 0; c < n; c++)
        if (picked[c] && isnan(out->thresholds[c]))
            return json_fail(root, "thresholds",
                             "has no threshold for \"%s\"; every picked channel needs one",
                             index->channels[c].name);
    out->parameters.thresholds = out->thresholds;
    return REJECTD_OK;
}

static enum rejectd_status read_parameters(const struct json_object *root,
                                           const struct channel_index *index,
                                           struct fit_parameters *out)
{
    bool *picked = calloc(index->n_channels + 1, sizeof *picked);
    if (picked == NULL)
        return REJECTD_FAIL_MEMORY(root->error, index->n_channels);
    enum rejectd_status status;
    if ((status = JSON_CHECK_FIELDS(root, "n_interpolate", "consensus", "cv", "thresh_method",
                                    "random_state", "picks", "thresholds", "precision",
                                    "meg_legendre", "cleaned")) != 0 ||
        (status = parameters_read_cleaned(root, &out->without_cleaned)) != 0 ||
        (status = read_n_interpolate(root, out)) != 0 ||
        (status = read_consensus(root, out)) != 0 ||
        (status = read_plain_fields(root, &out->parameters)) != 0 ||
        (status = parameters_read_picks(root, index, picked, &out->picks,
                                        &out->parameters.n_picks)) != 0)
        goto cleanup;
    out->parameters.picks = out->picks;
    status = read_thresholds(root, index, picked, out);
cleanup:
    free(picked);
    return status;
}

enum rejectd_status fit_parameters_from_json(const char *text, size_t length,
                                             const struct rejectd_channel *channels,
                                             size_t n_channels, struct fit_parameters *parameters,
                                             struct rejectd_error *error)
{
    *parameters = (struct fit_parameters){0};
    struct channel_index index = {0};
    json_t *value;
    enum rejectd_status status = json_parse(text, length, JSON_FROM_CLIENT, &value, error);
    if (status != REJECTD_OK)
        return status;
    status = channel_index_init(&index, channels, n_channels, error);
    if (status == REJECTD_OK) {
        struct json_object root = {.value = value, .path = "parameters", .error = error};
        status = read_parameters(&root, &index, parameters);
    }
    channel_index_free(&index);
    json_decref(value);
    if (status != REJECTD_OK)
        fit_parameters_clear(parameters);
    return status;
}
