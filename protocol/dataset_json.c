/*
 * A dataset's description, from JSON and back.
 *
 * Reading goes from the cheap to the expensive: the plain fields, the channels, the sizes that
 * inline data implies, then dataset_description_check() over all of it, and only then is memory
 * for samples taken. So every size that is multiplied has been bounded before.
 */
#include "protocol/dataset_json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "protocol/channel_index.h"
#include "protocol/dataset_parts.h"
#include "protocol/json_text.h"
#include "protocol/names.h"
#include "protocol/utf8.h"

static const size_t max_sample_bytes = (size_t)1 << 46;

/* Farther from the head's origin a sensor isn't measured in metres; and such a position squared
 * is still far from overflow. */
static const double max_coordinate = 1000;

void dataset_description_clear(struct dataset_description *description)
{
    free(description->channels);
    free(description->events_json);
    free(description->event_id_json);
    for (size_t i = 0; i < description->n_projectors; i++)
        free(description->projectors[i].vectors);
    free(description->projectors);
    *description = (struct dataset_description){0};
}

size_t dataset_sample_bytes(const struct dataset_description *description)
{
    size_t item = description->dtype == REJECTD_FLOAT32 ? sizeof(float) : sizeof(double);
    return description->n_epochs * description->n_channels * description->n_times * item;
}

struct rejectd_epochs dataset_epochs(const struct dataset_description *description,
                                     const void *samples)
{
    struct rejectd_epochs epochs = {
        .n_epochs = description->n_epochs,
        .n_channels = description->n_channels,
        .n_times = description->n_times,
        .dtype = description->dtype,
        .samples = samples,
        .channels = description->channels,
        .has_device_to_head = description->has_device_to_head,
        .projectors = description->projectors,
        .n_projectors = description->n_projectors,
    };
    memcpy(epochs.device_to_head, description->device_to_head, sizeof epochs.device_to_head);
    return epochs;
}

static enum rejectd_status check_size(size_t size, size_t most, const char *field,
                                      struct rejectd_error *error)
{
    if (size == 0 || size > most)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                            "is %zu; an integer from 1 to %zu is accepted", size, most);
    return REJECTD_OK;
}

static enum rejectd_status check_sizes(const struct dataset_description *d,
                                       struct rejectd_error *error)
{
    enum rejectd_status status;
    if ((status = check_size(d->n_channels, REJECTD_MAX_CHANNELS, "n_channels", error)) != 0 ||
        (status = check_size(d->n_epochs, REJECTD_MAX_EPOCHS, "n_epochs", error)) != 0 ||
        (status = check_size(d->n_times, REJECTD_MAX_TIMES, "n_times", error)) != 0)
        return status;
    size_t samples;
    if (!checked_multiply3(d->n_epochs, d->n_channels, d->n_times, &samples) ||
        samples > max_sample_bytes / sizeof(double))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "n_times",
                            "%zu epochs of %zu channels and %zu times have too many samples; at "
                            "most %zu bytes are accepted",
                            d->n_epochs, d->n_channels, d->n_times, max_sample_bytes);
    return REJECTD_OK;
}

static enum rejectd_status check_position(const struct rejectd_channel *channel, size_t index,
                                          struct rejectd_error *error)
{
    for (int axis = 0; channel->has_position && axis < 3; axis++) {
        if (fabs(channel->position[axis]) <= max_coordinate)
            continue;
        char field[64];
        snprintf(field, sizeof field, "channels[%zu].position[%d]", index, axis);
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                            "is %g; finite metres in head coordinates, at most %g, are accepted",
                            channel->position[axis], max_coordinate);
    }
    return REJECTD_OK;
}

static enum rejectd_status check_channels(const struct dataset_description *d,
                                          struct rejectd_error *error)
{
    struct channel_index index = {0};
    enum rejectd_status status = REJECTD_OK;
    for (size_t i = 0; i < d->n_channels && status == REJECTD_OK; i++) {
        char field[64];
        snprintf(field, sizeof field, "channels[%zu].name", i);
        status = channel_name_check(d->channels[i].name, field, error);
        if (status == REJECTD_OK)
            status = check_position(&d->channels[i], i, error);
    }
    if (status != REJECTD_OK)
        return status;
    status = channel_index_init(&index, d->channels, d->n_channels, error);
    size_t first, second;
    if (status == REJECTD_OK && channel_index_duplicate(&index, &first, &second)) {
        char field[64];
        snprintf(field, sizeof field, "channels[%zu].name", second);
        status = REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                              "\"%s\" is already the name of channels[%zu]; names must be unique",
                              d->channels[second].name, first);
    }
    channel_index_free(&index);
    return status;
}

enum rejectd_status dataset_description_check(const struct dataset_description *d,
                                              struct rejectd_error *error)
{
    if (!utf8_is_valid(d->name) || !utf8_is_printable(d->name))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "name",
                            "must be UTF-8 without control characters");
    if (!(d->sfreq > 0) || !isfinite(d->sfreq))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "sfreq",
                            "is %g; a finite number of Hz above 0 is accepted", d->sfreq);
    if (!isfinite(d->tmin))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "tmin",
                            "must be a finite number of seconds");
    enum rejectd_status status = check_sizes(d, error);
    return status == REJECTD_OK ? check_channels(d, error) : status;
}

/* ---- reading ---- */

static enum rejectd_status read_position(const struct json_object *object,
                                         struct rejectd_channel *channel)
{
    json_t *position;
    enum rejectd_status status = json_read_array(object, "position", 3, 3, &position);
    if (status != REJECTD_OK || position == NULL)
        return status;
    channel->has_position = true;
    return json_read_numbers(object, "position", position, -DBL_MAX, DBL_MAX, channel->position);
}

static enum rejectd_status read_channel(json_t *value, size_t index,
                                        struct rejectd_channel *channel,
                                        struct rejectd_error *error)
{
    char path[48];
    snprintf(path, sizeof path, "channels[%zu]", index);
    struct json_object object;
    int type = 0;
    enum rejectd_status status;
    if ((status = json_object_open(value, path, &object, error)) != 0 ||
        (status = JSON_CHECK_FIELDS(&object, "name", "type", "position", "bad", "loc",
                                    "coil_type")) != 0 ||
        (status = json_require(&object, "name")) != 0 ||
        (status = json_require(&object, "type")) != 0 ||
        (status = json_read_text(&object, "name", channel->name, sizeof channel->name)) != 0 ||
        (status = json_read_name(&object, "type", channel_type_names, REJECTD_CHANNEL_TYPE_COUNT,
                                 &type)) != 0 ||
        (status = json_read_bool(&object, "bad", &channel->bad)) != 0)
        return status;
    channel->type = (enum rejectd_channel_type)type;
    status = read_position(&object, channel);
    return status == REJECTD_OK ? dataset_channel_sensor_read(&object, channel) : status;
}

static enum rejectd_status read_channels(const struct json_object *root,
                                         struct dataset_description *d)
{
    json_t *channels;
    enum rejectd_status status = json_require(root, "channels");
    if (status == REJECTD_OK)
        status = json_read_array(root, "channels", 1, REJECTD_MAX_CHANNELS, &channels);
    if (status != REJECTD_OK)
        return status;
    size_t n_channels = json_array_size(channels);
    if (d->n_channels != 0 && d->n_channels != n_channels)
        return json_fail(root, "n_channels", "is %zu but \"channels\" has %zu entries",
                         d->n_channels, n_channels);
    d->n_channels = n_channels;
    d->channels = calloc(n_channels, sizeof *d->channels);
    if (d->channels == NULL)
        return REJECTD_FAIL_MEMORY(root->error, n_channels * sizeof *d->channels);
    for (size_t i = 0; i < n_channels && status == REJECTD_OK; i++)
        status = read_channel(json_array_get(channels, i), i, &d->channels[i], root->error);
    return status;
}

static enum rejectd_status read_plain_fields(const struct json_object *root,
                                             struct dataset_description *d)
{
    int dtype = REJECTD_FLOAT64;
    enum rejectd_status status;
    if ((status = json_read_text(root, "name", d->name, sizeof d->name)) != 0 ||
        (status = json_require(root, "sfreq")) != 0 ||
        (status = json_read_number(root, "sfreq", -DBL_MAX, DBL_MAX, &d->sfreq)) != 0 ||
        (status = json_read_number(root, "tmin", -DBL_MAX, DBL_MAX, &d->tmin)) != 0 ||
        (status = json_read_size(root, "n_epochs", 1, REJECTD_MAX_EPOCHS, &d->n_epochs)) != 0 ||
        (status = json_read_size(root, "n_channels", 1, REJECTD_MAX_CHANNELS, &d->n_channels)) !=
            0 ||
        (status = json_read_size(root, "n_times", 1, REJECTD_MAX_TIMES, &d->n_times)) != 0 ||
        (status = json_read_name(root, "dtype", dtype_names, DTYPES_OF_SAMPLES, &dtype)) != 0)
        return status;
    d->dtype = (enum rejectd_dtype)dtype;
    return REJECTD_OK;
}

static enum rejectd_status read_dataset(const struct json_object *root,
                                        const struct json_blob *blob, struct dataset_description *d,
                                        void **samples)
{
    json_t *data = json_field(root, "data");
    enum rejectd_status status;
    if ((status = JSON_CHECK_FIELDS(root, "name", "sfreq", "tmin", "n_epochs", "n_channels",
                                    "n_times", "dtype", "channels", "device_to_head", "projectors",
                                    "events", "event_id", "data")) != 0 ||
        (status = read_plain_fields(root, d)) != 0 || (status = read_channels(root, d)) != 0 ||
        (data != NULL && (status = dataset_data_shape(data, d, root->error)) != 0))
        return status;
    if (d->n_epochs == 0)
        return json_fail(root, "n_epochs", "is required");
    if (d->n_times == 0)
        return json_fail(root, "n_times", "is required");
    if ((status = dataset_description_check(d, root->error)) != 0 ||
        (status = dataset_sensors_read(root, d)) != 0 ||
        (status = dataset_metadata_read(root, d)) != 0)
        return status;
    return data == NULL ? REJECTD_OK : dataset_data_read(data, blob, d, samples, root->error);
}

enum rejectd_status dataset_from_json(const char *text, size_t length,
                                      struct dataset_description *description, void **samples,
                                      struct rejectd_error *error)
{
    *description = (struct dataset_description){0};
    *samples = NULL;
    json_t *value;
    struct json_blob blob;
    enum rejectd_status status = json_parse_blob(text, length, &value, &blob, error);
    if (status != REJECTD_OK)
        return status;
    struct json_object root = {.value = value, .path = "", .error = error};
    status = read_dataset(&root, &blob, description, samples);
    json_decref(value);
    if (status != REJECTD_OK)
        dataset_description_clear(description);
    return status;
}

/* ---- writing ---- */

static void append_channel(struct buffer *text, const struct rejectd_channel *channel)
{
    buffer_append_text(text, "{\"name\":");
    json_append_string(text, channel->name);
    buffer_append_format(text, ",\"type\":\"%s\",\"position\":", channel_type_names[channel->type]);
    if (channel->has_position) {
        for (int axis = 0; axis < 3; axis++) {
            buffer_append_text(text, axis == 0 ? "[" : ",");
            json_append_double(text, channel->position[axis]);
        }
        buffer_append_text(text, "]");
    } else {
        buffer_append_text(text, "null");
    }
    buffer_append_format(text, ",\"bad\":%s", channel->bad ? "true" : "false");
}

static void append_channels(struct buffer *text, const struct dataset_description *d)
{
    buffer_append_text(text, ",\"channels\":[");
    for (size_t i = 0; i < d->n_channels; i++) {
        if (i > 0)
            buffer_append_text(text, ",");
        append_channel(text, &d->channels[i]);
        dataset_channel_sensor_append(text, &d->channels[i]);
        buffer_append_text(text, "}");
    }
    buffer_append_text(text, "]");
}

static void append_kept(struct buffer *text, const char *key, const char *json)
{
    if (json == NULL)
        return;
    buffer_append_format(text, ",\"%s\":", key);
    buffer_append_text(text, json);
}

char *dataset_to_json(const struct dataset_description *d)
{
    struct buffer text;
    buffer_init(&text, (size_t)1 << 30);
    buffer_append_text(&text, "{\"name\":");
    json_append_string(&text, d->name);
    buffer_append_text(&text, ",\"sfreq\":");
    json_append_double(&text, d->sfreq);
    buffer_append_text(&text, ",\"tmin\":");
    json_append_double(&text, d->tmin);
    buffer_append_format(&text,
                         ",\"n_epochs\":%zu,\"n_channels\":%zu,\"n_times\":%zu,\"dtype\":\"%s\"",
                         d->n_epochs, d->n_channels, d->n_times, dtype_names[d->dtype]);
    append_channels(&text, d);
    dataset_sensors_append(&text, d);
    append_kept(&text, "events", d->events_json);
    append_kept(&text, "event_id", d->event_id_json);
    buffer_append_text(&text, "}");
    return buffer_take(&text, NULL);
}
