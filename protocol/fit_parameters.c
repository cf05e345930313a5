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

enum { DEFAULT_RANDOM_STATE = 42 };

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
    int method = REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION;
    int precision = REJECTD_PRECISION_DEFAULT;
    int legendre = REJECTD_MEG_LEGENDRE_EXACT;
    int64_t random_state = DEFAULT_RANDOM_STATE;
    enum rejectd_status status;
    if ((status = json_read_size(root, "cv", 2, REJECTD_MAX_FOLDS, &out->cv)) != 0 ||
        (status = json_read_name(root, "thresh_method", threshold_method_names,
                                 REJECTD_THRESHOLD_METHOD_COUNT, &method)) != 0 ||
        (status = json_read_integer(root, "random_state", 0, UINT32_MAX, &random_state)) != 0 ||
        (status = json_read_name(root, "precision", dtype_names, 2, &precision)) != 0 ||
        (status = json_read_name(root, "meg_legendre", meg_legendre_names,
                                 REJECTD_MEG_LEGENDRE_COUNT, &legendre)) != 0)
        return status;
    out->thresh_method = (enum rejectd_threshold_method)method;
    out->random_state = (uint32_t)random_state;
    out->precision = (enum rejectd_dtype)precision;
    out->meg_legendre = (enum rejectd_meg_legendre)legendre;
    return REJECTD_OK;
}

/* ---- picks ---- */

static enum rejectd_status check_picks(const struct json_object *root, const json_t *array,
                                       const struct channel_index *index, bool *by_name)
{
    bool all_names = true, all_types = true;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);
        char key[48];
        snprintf(key, sizeof key, "picks[%zu]", i);
        if (!json_is_string(value))
            return json_fail(root, key, "must be a string, not %s", json_kind(value));
        const char *pick = json_string_value(value);
        enum rejectd_channel_type type;
        bool is_name = channel_index_find(index, pick) != CHANNEL_INDEX_NONE;
        bool is_type = channel_type_from_name(pick, &type);
        all_names = all_names && is_name;
        all_types = all_types && is_type;
        if (!is_name && !is_type)
            return json_fail(root, key,
                             "\"%.80s\" is neither a channel of the dataset nor a channel type",
                             pick);
        if (!all_names && !all_types)
            return json_fail(root, key,
                             "\"%.80s\" mixes names and types; all channel names or all channel "
                             "types are accepted",
                             pick);
    }
    if (all_names && all_types)
        return json_fail(root, "picks",
                         "can be read as channel names and as channel types alike; rename the "
                         "channels");
    *by_name = all_names;
    return REJECTD_OK;
}

static enum rejectd_status mark_names(const struct json_object *root, const json_t *array,
                                      const struct channel_index *index, bool *picked)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *name = json_string_value(json_array_get(array, i));
        long channel = channel_index_find(index, name);
        if (picked[channel]) {
            char key[48];
            snprintf(key, sizeof key, "picks[%zu]", i);
            return json_fail(root, key, "\"%s\" is picked twice", name);
        }
        picked[channel] = true;
    }
    return REJECTD_OK;
}

static enum rejectd_status mark_types(const struct json_object *root, const json_t *array,
                                      const struct channel_index *index, bool *picked)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        enum rejectd_channel_type type = REJECTD_CHANNEL_TYPE_COUNT;
        bool any = false;
        (void)channel_type_from_name(json_string_value(json_array_get(array, i)), &type);
        for (size_t c = 0; c < index->n_channels; c++)
            if (index->channels[c].type == type && !index->channels[c].bad)
                picked[c] = any = true;
        if (!any) {
            char key[48];
            snprintf(key, sizeof key, "picks[%zu]", i);
            return json_fail(root, key,
                             "the dataset has no channel of type \"%s\" that isn't marked bad",
                             channel_type_names[type]);
        }
    }
    return REJECTD_OK;
}

static enum rejectd_status read_picks(const struct json_object *root,
                                      const struct channel_index *index, bool *picked,
                                      struct fit_parameters *out)
{
    json_t *array;
    bool by_name = false;
    enum rejectd_status status = json_read_array(root, "picks", 1, REJECTD_MAX_CHANNELS, &array);
    if (status == REJECTD_OK && array == NULL) {
        for (size_t c = 0; c < index->n_channels; c++)
            picked[c] =
                channel_type_is_analysed(index->channels[c].type) && !index->channels[c].bad;
        return REJECTD_OK;
    }
    if (status != REJECTD_OK || (status = check_picks(root, array, index, &by_name)) != REJECTD_OK)
        return status;
    status =
        by_name ? mark_names(root, array, index, picked) : mark_types(root, array, index, picked);
    if (status != REJECTD_OK)
        return status;
    out->picks = calloc(index->n_channels, sizeof *out->picks);
    if (out->picks == NULL)
        return REJECTD_FAIL_MEMORY(root->error, index->n_channels * sizeof *out->picks);
    for (size_t c = 0; c < index->n_channels; c++)
        if (picked[c])
            out->picks[out->parameters.n_picks++] = c;
    out->parameters.picks = out->picks;
    return REJECTD_OK;
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
                                    "meg_legendre")) != 0 ||
        (status = read_n_interpolate(root, out)) != 0 ||
        (status = read_consensus(root, out)) != 0 ||
        (status = read_plain_fields(root, &out->parameters)) != 0 ||
        (status = read_picks(root, index, picked, out)) != 0)
        goto cleanup;
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
