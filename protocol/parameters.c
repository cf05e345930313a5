#include "protocol/parameters.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/names.h"

enum rejectd_status parameters_read_method(const struct json_object *root,
                                           enum rejectd_threshold_method *method)
{
    int read = REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION;
    const enum rejectd_status status = json_read_name(root, "thresh_method", threshold_method_names,
                                                      REJECTD_THRESHOLD_METHOD_COUNT, &read);
    *method = (enum rejectd_threshold_method)read;
    return status;
}

enum rejectd_status parameters_read_random_state(const struct json_object *root,
                                                 uint32_t *random_state)
{
    int64_t read = PARAMETERS_RANDOM_STATE;
    const enum rejectd_status status =
        json_read_integer(root, "random_state", 0, UINT32_MAX, &read);
    *random_state = (uint32_t)read;
    return status;
}

enum rejectd_status parameters_read_precision(const struct json_object *root,
                                              enum rejectd_dtype *precision)
{
    int read = REJECTD_PRECISION_DEFAULT;
    const enum rejectd_status status =
        json_read_name(root, "precision", dtype_names, DTYPES, &read);
    *precision = (enum rejectd_dtype)read;
    return status;
}

enum rejectd_status parameters_read_legendre(const struct json_object *root,
                                             enum rejectd_meg_legendre *legendre)
{
    int read = REJECTD_MEG_LEGENDRE_EXACT;
    const enum rejectd_status status =
        json_read_name(root, "meg_legendre", meg_legendre_names, REJECTD_MEG_LEGENDRE_COUNT, &read);
    *legendre = (enum rejectd_meg_legendre)read;
    return status;
}

enum rejectd_status parameters_read_cleaned(const struct json_object *root, bool *without)
{
    bool cleaned = true;
    const enum rejectd_status status = json_read_bool(root, "cleaned", &cleaned);
    *without = !cleaned;
    return status;
}

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

enum rejectd_status parameters_read_picks(const struct json_object *root,
                                          const struct channel_index *index, bool *picked,
                                          size_t **picks, size_t *n_picks)
{
    json_t *array;
    bool by_name = false;
    *picks = NULL;
    *n_picks = 0;
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
    *picks = calloc(index->n_channels, sizeof **picks);
    if (*picks == NULL)
        return REJECTD_FAIL_MEMORY(root->error, index->n_channels * sizeof **picks);
    for (size_t c = 0; c < index->n_channels; c++)
        if (picked[c])
            (*picks)[(*n_picks)++] = c;
    return REJECTD_OK;
}
