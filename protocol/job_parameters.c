/*
 * Parameters of the jobs other than fits: JSON to numbers, channel indices and reject logs.
 */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "protocol/job_json.h"
#include "protocol/names.h"
#include "protocol/parameters.h"

void job_parameters_clear(struct job_parameters *parameters)
{
    fit_parameters_clear(&parameters->fit);
    free(parameters->picks);
    free(parameters->ch_types);
    free(parameters->param_range);
    free(parameters->log.labels);
    free(parameters->log.bad_epochs);
    *parameters = (struct job_parameters){0};
}

/* What the readers of all types work with. */
struct reading {
    const struct json_object *root; /* "parameters" */
    const struct channel_index *index;
    const struct rejectd_epochs *epochs;
    struct job_parameters *out;
};

/* A log of these epochs with one label everywhere, and no bad epoch. */
static enum rejectd_status make_log(const struct reading *reading, int8_t label)
{
    const size_t n_epochs = reading->epochs->n_epochs, n_channels = reading->epochs->n_channels;
    struct rejectd_reject_log *log = &reading->out->log;
    *log = (struct rejectd_reject_log){
        .n_epochs = n_epochs,
        .n_channels = n_channels,
        .labels = malloc(n_epochs * n_channels),
        .bad_epochs = calloc(n_epochs, 1),
    };
    if (log->labels == NULL || log->bad_epochs == NULL)
        return REJECTD_FAIL_MEMORY(reading->root->error, n_epochs * n_channels);
    memset(log->labels, label, n_epochs * n_channels);
    return REJECTD_OK;
}

/* ---- thresholds ---- */

static enum rejectd_status read_thresholds(const struct reading *reading)
{
    const struct json_object *root = reading->root;
    struct rejectd_thresholds_parameters *out = &reading->out->thresholds;
    bool *picked = calloc(reading->index->n_channels + 1, sizeof *picked), augment = true;
    enum rejectd_status status;
    if (picked == NULL)
        return REJECTD_FAIL_MEMORY(root->error, reading->index->n_channels);
    if ((status = JSON_CHECK_FIELDS(root, "thresh_method", "random_state", "picks", "precision",
                                    "meg_legendre", "augment")) == 0 &&
        (status = parameters_read_method(root, &out->thresh_method)) == 0 &&
        (status = parameters_read_random_state(root, &out->random_state)) == 0 &&
        (status = parameters_read_precision(root, &out->precision)) == 0 &&
        (status = parameters_read_legendre(root, &out->meg_legendre)) == 0 &&
        (status = json_read_bool(root, "augment", &augment)) == 0)
        status = parameters_read_picks(root, reading->index, picked, &reading->out->picks,
                                       &out->n_picks);
    out->picks = reading->out->picks;
    out->without_augmentation = !augment;
    reading->out->random_state = out->random_state;
    free(picked);
    return status;
}

/* ---- RANSAC ---- */

static enum rejectd_status read_ransac(const struct reading *reading)
{
    const struct json_object *root = reading->root;
    struct rejectd_ransac_parameters *out = &reading->out->ransac;
    bool *picked = calloc(reading->index->n_channels + 1, sizeof *picked);
    enum rejectd_status status;
    if (picked == NULL)
        return REJECTD_FAIL_MEMORY(root->error, reading->index->n_channels);
    *out = (struct rejectd_ransac_parameters)REJECTD_RANSAC_DEFAULTS;
    int64_t random_state = out->random_state;
    if ((status = JSON_CHECK_FIELDS(root, "n_resample", "min_channels", "min_corr", "unbroken_time",
                                    "random_state", "picks", "precision", "meg_legendre",
                                    "cleaned")) == 0 &&
        (status = parameters_read_cleaned(root, &reading->out->without_cleaned)) == 0 &&
        (status = json_read_size(root, "n_resample", 1, REJECTD_MAX_RESAMPLE, &out->n_resample)) ==
            0 &&
        (status = json_read_number(root, "min_channels", 0, 1, &out->min_channels)) == 0 &&
        (status = json_read_number(root, "min_corr", -1, 1, &out->min_corr)) == 0 &&
        (status = json_read_number(root, "unbroken_time", 0, 1, &out->unbroken_time)) == 0 &&
        (status = json_read_integer(root, "random_state", 0, UINT32_MAX, &random_state)) == 0 &&
        (status = parameters_read_precision(root, &out->precision)) == 0 &&
        (status = parameters_read_legendre(root, &out->meg_legendre)) == 0)
        status = parameters_read_picks(root, reading->index, picked, &reading->out->picks,
                                       &out->n_picks);
    out->picks = reading->out->picks;
    out->random_state = reading->out->random_state = (uint32_t)random_state;
    free(picked);
    return status;
}

/* ---- global thresholds ---- */

static enum rejectd_status read_ch_types(const struct reading *reading)
{
    struct rejectd_global_thresholds_parameters *out = &reading->out->global_thresholds;
    json_t *names;
    enum rejectd_status status =
        json_read_array(reading->root, "ch_types", 1, REJECTD_CHANNEL_TYPE_COUNT, &names);
    if (status != REJECTD_OK || names == NULL)
        return status;
    const size_t n = json_array_size(names);
    reading->out->ch_types = calloc(n, sizeof *reading->out->ch_types);
    if (reading->out->ch_types == NULL)
        return REJECTD_FAIL_MEMORY(reading->root->error, n * sizeof *reading->out->ch_types);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name == NULL || !channel_type_from_name(name, &reading->out->ch_types[i])) {
            char key[48];
            snprintf(key, sizeof key, "ch_types[%zu]", i);
            return json_fail(reading->root, key,
                             "is no channel type; \"eeg\", \"mag\", \"grad\", "
                             "\"eog\" and so on are accepted");
        }
    }
    out->ch_types = reading->out->ch_types;
    out->n_ch_types = n;
    return REJECTD_OK;
}

static enum rejectd_status read_global_thresholds(const struct reading *reading)
{
    const struct json_object *root = reading->root;
    struct rejectd_global_thresholds_parameters *out = &reading->out->global_thresholds;
    enum rejectd_status status;
    out->decim = 1;
    if ((status = JSON_CHECK_FIELDS(root, "ch_types", "decim", "cv", "random_state",
                                    "precision")) != 0 ||
        (status = read_ch_types(reading)) != 0 ||
        (status = json_read_size(root, "decim", 1, REJECTD_MAX_TIMES, &out->decim)) != 0 ||
        (status = json_read_size(root, "cv", 2, REJECTD_MAX_FOLDS, &out->cv)) != 0 ||
        (status = parameters_read_random_state(root, &out->random_state)) != 0 ||
        (status = parameters_read_precision(root, &out->precision)) != 0)
        return status;
    reading->out->random_state = out->random_state;
    return REJECTD_OK;
}

/* ---- validation curve ---- */

static enum rejectd_status read_validation_curve(const struct reading *reading)
{
    const struct json_object *root = reading->root;
    struct rejectd_validation_curve_parameters *out = &reading->out->validation_curve;
    json_t *range;
    enum rejectd_status status;
    if ((status = JSON_CHECK_FIELDS(root, "param_range", "cv", "precision")) != 0 ||
        (status = json_read_array(root, "param_range", 1, REJECTD_MAX_GRID, &range)) != 0 ||
        (status = json_read_size(root, "cv", 2, REJECTD_MAX_FOLDS, &out->cv)) != 0 ||
        (status = parameters_read_precision(root, &out->precision)) != 0 || range == NULL)
        return status;
    const size_t n = json_array_size(range);
    reading->out->param_range = calloc(n, sizeof *reading->out->param_range);
    if (reading->out->param_range == NULL)
        return REJECTD_FAIL_MEMORY(root->error, n * sizeof *reading->out->param_range);
    out->param_range = reading->out->param_range;
    out->n_param_range = n;
    return json_read_numbers(root, "param_range", range, -DBL_MAX, DBL_MAX,
                             reading->out->param_range);
}

/* ---- reject log of an apply ---- */

static enum rejectd_status read_label_row(const struct json_object *object, size_t epoch,
                                          const json_t *row, size_t n_channels, int8_t *labels)
{
    char key[64];
    snprintf(key, sizeof key, "labels[%zu]", epoch);
    if (!json_is_array(row) || json_array_size(row) != n_channels)
        return json_fail(object, key, "must be an array of %zu labels, one per channel",
                         n_channels);
    for (size_t c = 0; c < n_channels; c++) {
        const json_t *value = json_array_get(row, c);
        const json_int_t label = json_integer_value(value);
        if (!json_is_integer(value) || label < -1 || label > 2) {
            snprintf(key, sizeof key, "labels[%zu][%zu]", epoch, c);
            return json_fail(object, key,
                             "is no label; 0 (good), 1 (bad), 2 (interpolated) and -1 (not "
                             "considered) are accepted");
        }
        labels[c] = (int8_t)label;
    }
    return REJECTD_OK;
}

static enum rejectd_status read_bad_epochs(const struct json_object *object,
                                           struct rejectd_reject_log *log)
{
    json_t *epochs;
    enum rejectd_status status = json_read_array(object, "bad_epochs", 0, log->n_epochs, &epochs);
    for (size_t i = 0; status == REJECTD_OK && i < json_array_size(epochs); i++) {
        const json_t *value = json_array_get(epochs, i);
        const json_int_t epoch = json_integer_value(value);
        if (!json_is_integer(value) || epoch < 0 || (size_t)epoch >= log->n_epochs) {
            char key[48];
            snprintf(key, sizeof key, "bad_epochs[%zu]", i);
            return json_fail(object, key,
                             "must be the number of an epoch: an integer from 0 to %zu",
                             log->n_epochs - 1);
        }
        log->bad_epochs[epoch] = 1;
    }
    return status;
}

/* {"labels": [epochs][channels], "bad_epochs": [...]}, as results have them. */
static enum rejectd_status read_apply(const struct reading *reading)
{
    struct json_object object;
    json_t *value, *rows;
    enum rejectd_status status = JSON_CHECK_FIELDS(reading->root, "reject_log", "cleaned");
    if (status != REJECTD_OK ||
        (status = parameters_read_cleaned(reading->root, &reading->out->without_cleaned)) != 0 ||
        (value = json_field(reading->root, "reject_log")) == NULL)
        return status;
    const size_t n = reading->epochs->n_epochs;
    if ((status = json_object_open(value, "parameters.reject_log", &object,
                                   reading->root->error)) != 0 ||
        (status = JSON_CHECK_FIELDS(&object, "labels", "bad_epochs")) != 0 ||
        (status = json_require(&object, "labels")) != 0 ||
        (status = json_require(&object, "bad_epochs")) != 0 ||
        (status = json_read_array(&object, "labels", n, n, &rows)) != 0 ||
        (status = make_log(reading, REJECTD_LABEL_NOT_CONSIDERED)) != 0)
        return status;
    struct rejectd_reject_log *log = &reading->out->log;
    for (size_t e = 0; e < n && status == REJECTD_OK; e++)
        status = read_label_row(&object, e, json_array_get(rows, e), log->n_channels,
                                log->labels + e * log->n_channels);
    return status == REJECTD_OK ? read_bad_epochs(&object, log) : status;
}

/* ---- channels of an interpolation ---- */

/* Labels one channel in the listed epochs, or in all of them. */
static enum rejectd_status label_channel(const struct json_object *channels, const char *name,
                                         const json_t *value, size_t channel,
                                         const struct reading *reading)
{
    struct rejectd_reject_log *log = &reading->out->log;
    const char *text = json_string_value(value);
    const bool everywhere = text != NULL && strcmp(text, "all") == 0;
    if (!everywhere && !json_is_array(value))
        return json_fail(channels, name, "must be \"all\" or an array of epochs, numbered from 0");
    if (!everywhere && reading->epochs->channels[channel].bad)
        return json_fail(channels, name,
                         "is marked bad, so that nothing is interpolated from it; it can only be "
                         "interpolated in \"all\" epochs");
    for (size_t i = 0; i < (everywhere ? log->n_epochs : json_array_size(value)); i++) {
        const json_t *number = json_array_get(value, i);
        const json_int_t epoch = everywhere ? (json_int_t)i : json_integer_value(number);
        if (!everywhere &&
            (!json_is_integer(number) || epoch < 0 || (size_t)epoch >= log->n_epochs)) {
            char key[REJECTD_NAME_SIZE + 32];
            snprintf(key, sizeof key, "%s[%zu]", name, i);
            return json_fail(channels, key, "must be an integer from 0 to %zu", log->n_epochs - 1);
        }
        log->labels[(size_t)epoch * log->n_channels + channel] = REJECTD_LABEL_INTERPOLATED;
    }
    return REJECTD_OK;
}

/* Whether channels of the type are interpolated from each other. */
static bool is_interpolated(enum rejectd_channel_type type)
{
    return type == REJECTD_CHANNEL_EEG || type == REJECTD_CHANNEL_MAG ||
           type == REJECTD_CHANNEL_GRAD;
}

/* All channels that are interpolated and not marked bad are sources. */
static void label_sources(const struct reading *reading)
{
    struct rejectd_reject_log *log = &reading->out->log;
    for (size_t c = 0; c < log->n_channels; c++) {
        const struct rejectd_channel *channel = &reading->epochs->channels[c];
        for (size_t e = 0; is_interpolated(channel->type) && !channel->bad && e < log->n_epochs;
             e++)
            log->labels[e * log->n_channels + c] = REJECTD_LABEL_GOOD;
    }
}

/* "each": every pick from all the others. Picks of types that are not interpolated stay as they
 * are, as in autoreject. */
static enum rejectd_status read_each(const struct reading *reading)
{
    const struct json_object *root = reading->root;
    struct rejectd_reject_log *log = &reading->out->log;
    bool *picked = calloc(reading->index->n_channels + 1, sizeof *picked), any = false;
    size_t n_picks;
    if (picked == NULL)
        return REJECTD_FAIL_MEMORY(root->error, reading->index->n_channels);
    enum rejectd_status status =
        parameters_read_picks(root, reading->index, picked, &reading->out->picks, &n_picks);
    for (size_t c = 0; c < log->n_channels && status == REJECTD_OK; c++) {
        if (!picked[c] || !is_interpolated(reading->epochs->channels[c].type))
            continue;
        any = true;
        for (size_t e = 0; e < log->n_epochs; e++)
            log->labels[e * log->n_channels + c] = REJECTD_LABEL_INTERPOLATED;
    }
    if (status == REJECTD_OK && !any)
        status = json_fail(root, reading->out->picks != NULL ? "picks" : "channels",
                           "leaves nothing to interpolate; channels of type eeg, mag and grad are "
                           "interpolated");
    reading->out->clean.leave_one_out = true;
    free(picked);
    return status;
}

/* {name: epochs, ...} */
static enum rejectd_status read_named(const struct reading *reading, json_t *named)
{
    struct json_object channels;
    enum rejectd_status status =
        json_object_open(named, "parameters.channels", &channels, reading->root->error);
    if (status != REJECTD_OK)
        return status;
    if (json_field(reading->root, "picks") != NULL)
        return json_fail(reading->root, "picks", "is only accepted where \"channels\" is \"each\"");
    if (json_object_size(channels.value) == 0)
        return json_fail(reading->root, "channels",
                         "names no channel; {\"Fp1\": \"all\", \"Cz\": [0, 5]} is accepted");
    label_sources(reading);
    const char *name;
    json_t *value;
    json_object_foreach(channels.value, name, value)
    {
        const long channel = channel_index_find(reading->index, name);
        if (channel == CHANNEL_INDEX_NONE)
            return json_fail(&channels, name, "is no channel of the dataset");
        if (!is_interpolated(reading->epochs->channels[channel].type))
            return json_fail(&channels, name,
                             "is of type %s; channels of type eeg, mag and grad are interpolated",
                             channel_type_names[reading->epochs->channels[channel].type]);
        if ((status = label_channel(&channels, name, value, (size_t)channel, reading)) != 0)
            return status;
    }
    return REJECTD_OK;
}

static enum rejectd_status read_origin(const struct reading *reading)
{
    json_t *origin;
    enum rejectd_status status = json_read_array(reading->root, "origin", 3, 3, &origin);
    return status != REJECTD_OK || origin == NULL
               ? status
               : json_read_numbers(reading->root, "origin", origin, -1, 1,
                                   reading->out->clean.origin);
}

static enum rejectd_status read_interpolate(const struct reading *reading)
{
    const struct json_object *root = reading->root;
    enum rejectd_status status;
    if ((status = JSON_CHECK_FIELDS(root, "channels", "picks", "origin", "meg_legendre")) != 0 ||
        (status = json_require(root, "channels")) != 0 ||
        (status = parameters_read_legendre(root, &reading->out->clean.meg_legendre)) != 0 ||
        (status = read_origin(reading)) != 0 ||
        (status = make_log(reading, REJECTD_LABEL_NOT_CONSIDERED)) != 0)
        return status;
    json_t *channels = json_field(root, "channels");
    const char *text = json_string_value(channels);
    if (text == NULL)
        return read_named(reading, channels);
    if (strcmp(text, "each") != 0)
        return json_fail(root, "channels",
                         "is \"%.80s\"; \"each\" is accepted, or an object like "
                         "{\"Fp1\": \"all\", \"Cz\": [0, 5]}",
                         text);
    return read_each(reading);
}

/* ---- all ---- */

static enum rejectd_status (*const readers[JOB_TYPE_COUNT])(const struct reading *reading) = {
    [JOB_APPLY] = read_apply,
    [JOB_THRESHOLDS] = read_thresholds,
    [JOB_RANSAC] = read_ransac,
    [JOB_GLOBAL_THRESHOLDS] = read_global_thresholds,
    [JOB_VALIDATION_CURVE] = read_validation_curve,
    [JOB_INTERPOLATE] = read_interpolate,
};

enum rejectd_status job_parameters_from_json(enum job_type type, const char *text, size_t length,
                                             const struct rejectd_epochs *epochs,
                                             struct job_parameters *parameters,
                                             struct rejectd_error *error)
{
    *parameters = (struct job_parameters){0};
    if (type == JOB_FIT) {
        enum rejectd_status read = fit_parameters_from_json(
            text, length, epochs->channels, epochs->n_channels, &parameters->fit, error);
        parameters->random_state = parameters->fit.parameters.random_state;
        parameters->without_cleaned = parameters->fit.without_cleaned;
        return read;
    }
    struct channel_index index = {0};
    json_t *value;
    enum rejectd_status status = json_parse(text, length, JSON_FROM_CLIENT, &value, error);
    if (status != REJECTD_OK)
        return status;
    status = channel_index_init(&index, epochs->channels, epochs->n_channels, error);
    if (status == REJECTD_OK) {
        const struct json_object root = {.value = value, .path = "parameters", .error = error};
        const struct reading reading = {&root, &index, epochs, parameters};
        status = readers[type](&reading);
    }
    channel_index_free(&index);
    json_decref(value);
    if (status != REJECTD_OK)
        job_parameters_clear(parameters);
    return status;
}
