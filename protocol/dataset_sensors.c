#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/channel_index.h"
#include "protocol/dataset_parts.h"
#include "protocol/json_text.h"

enum { LOC_NUMBERS = 12, MAX_VECTORS = 256 /* of all projectors together */ };

/* ---- reading ---- */

/* MNE writes NaN for what it doesn't know of a sensor, which is null in JSON. */
static enum rejectd_status read_loc(const struct json_object *channel, const json_t *loc,
                                    double out[LOC_NUMBERS])
{
    for (size_t i = 0; i < LOC_NUMBERS; i++) {
        const json_t *number = json_array_get(loc, i);
        if (json_is_number(number) || json_is_null(number)) {
            out[i] = json_is_null(number) ? NAN : json_number_value(number);
            continue;
        }
        char key[32];
        snprintf(key, sizeof key, "loc[%zu]", i);
        return json_fail(channel, key, "must be a number or null, not %s", json_kind(number));
    }
    return REJECTD_OK;
}

/* Whatever is no MEG coil stands at the first three numbers of its loc, in head coordinates. */
void dataset_channel_place(struct rejectd_channel *channel)
{
    const double *p = channel->loc;
    const bool is_meg =
        channel->type == REJECTD_CHANNEL_MAG || channel->type == REJECTD_CHANNEL_GRAD;
    if (is_meg || channel->has_position || !isfinite(p[0] + p[1] + p[2]) ||
        (p[0] == 0.0 && p[1] == 0.0 && p[2] == 0.0))
        return;
    channel->has_position = true;
    memcpy(channel->position, p, sizeof channel->position);
}

enum rejectd_status dataset_channel_sensor_read(const struct json_object *object,
                                                struct rejectd_channel *channel)
{
    json_t *loc;
    int64_t coil_type = 0;
    enum rejectd_status status;
    if ((status = json_read_array(object, "loc", LOC_NUMBERS, LOC_NUMBERS, &loc)) != 0 ||
        (loc != NULL && (status = read_loc(object, loc, channel->loc)) != 0) ||
        (status = json_read_integer(object, "coil_type", INT32_MIN, INT32_MAX, &coil_type)) != 0)
        return status;
    channel->has_loc = loc != NULL;
    channel->has_coil_type = json_field(object, "coil_type") != NULL;
    channel->coil_type = (int32_t)coil_type;
    if (channel->has_loc)
        dataset_channel_place(channel);
    return REJECTD_OK;
}

static enum rejectd_status read_device_to_head(const struct json_object *root,
                                               struct dataset_description *d)
{
    json_t *rows;
    enum rejectd_status status = json_read_array(root, "device_to_head", 4, 4, &rows);
    for (size_t i = 0; status == REJECTD_OK && rows != NULL && i < 4; i++) {
        char key[32];
        snprintf(key, sizeof key, "device_to_head[%zu]", i);
        json_t *value = json_array_get(rows, i);
        if (!json_is_array(value) || json_array_size(value) != 4)
            return json_fail(root, key, "must be an array of 4 numbers");
        status = json_read_numbers(root, key, value, -DBL_MAX, DBL_MAX, d->device_to_head[i]);
    }
    d->has_device_to_head = rows != NULL;
    return status;
}

/* Fills channel numbers [n]; a name the dataset lacks gets n_channels. */
static enum rejectd_status read_names(const struct json_object *object, const json_t *names,
                                      const struct channel_index *index, size_t n_channels,
                                      size_t *channels)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const json_t *name = json_array_get(names, i);
        if (!json_is_string(name)) {
            char key[48];
            snprintf(key, sizeof key, "channels[%zu]", i);
            return json_fail(object, key, "must be a channel name, not %s", json_kind(name));
        }
        const long found = channel_index_find(index, json_string_value(name));
        channels[i] = found == CHANNEL_INDEX_NONE ? n_channels : (size_t)found;
    }
    return REJECTD_OK;
}

static enum rejectd_status read_vectors(const struct json_object *object, const json_t *rows,
                                        const size_t *channels, size_t n, size_t n_channels,
                                        struct rejectd_projector *projector)
{
    double *row = malloc(n * sizeof *row);
    enum rejectd_status status = REJECTD_OK;
    projector->n_vectors = json_array_size(rows);
    projector->vectors = calloc(projector->n_vectors * n_channels, sizeof(double));
    if (row == NULL || projector->vectors == NULL)
        status = REJECTD_FAIL_MEMORY(object->error, projector->n_vectors * n_channels);
    for (size_t v = 0; v < projector->n_vectors && status == REJECTD_OK; v++) {
        char key[48];
        snprintf(key, sizeof key, "vectors[%zu]", v);
        const json_t *numbers = json_array_get(rows, v);
        if (!json_is_array(numbers) || json_array_size(numbers) != n)
            status = json_fail(object, key, "must be an array of %zu numbers, one per channel", n);
        else
            status = json_read_numbers(object, key, numbers, -DBL_MAX, DBL_MAX, row);
        for (size_t i = 0; i < n && status == REJECTD_OK; i++)
            if (channels[i] < n_channels)
                projector->vectors[v * n_channels + channels[i]] = row[i];
    }
    free(row);
    return status;
}

static enum rejectd_status read_projector(json_t *value, size_t number,
                                          const struct channel_index *index,
                                          const struct dataset_description *d, size_t most_vectors,
                                          struct rejectd_projector *projector,
                                          struct rejectd_error *error)
{
    char path[48];
    snprintf(path, sizeof path, "projectors[%zu]", number);
    struct json_object object;
    json_t *names, *rows;
    enum rejectd_status status;
    if ((status = json_object_open(value, path, &object, error)) != 0 ||
        (status = JSON_CHECK_FIELDS(&object, "description", "active", "channels", "vectors")) !=
            0 ||
        (status = json_read_text(&object, "description", projector->description,
                                 sizeof projector->description)) != 0 ||
        (status = json_read_bool(&object, "active", &projector->active)) != 0 ||
        (status = json_require(&object, "channels")) != 0 ||
        (status = json_require(&object, "vectors")) != 0 ||
        (status = json_read_array(&object, "channels", 1, REJECTD_MAX_CHANNELS, &names)) != 0 ||
        (status = json_read_array(&object, "vectors", 1, most_vectors, &rows)) != 0)
        return status;
    const size_t n = json_array_size(names);
    size_t *channels = malloc(n * sizeof *channels);
    if (channels == NULL)
        return REJECTD_FAIL_MEMORY(error, n * sizeof *channels);
    status = read_names(&object, names, index, d->n_channels, channels);
    if (status == REJECTD_OK)
        status = read_vectors(&object, rows, channels, n, d->n_channels, projector);
    free(channels);
    return status;
}

static enum rejectd_status read_projectors(const struct json_object *root,
                                           struct dataset_description *d)
{
    json_t *values;
    struct channel_index index = {0};
    enum rejectd_status status =
        json_read_array(root, "projectors", 0, REJECTD_MAX_PROJECTORS, &values);
    if (status != REJECTD_OK || json_array_size(values) == 0)
        return status;
    d->projectors = calloc(json_array_size(values), sizeof *d->projectors);
    if (d->projectors == NULL)
        return REJECTD_FAIL_MEMORY(root->error, json_array_size(values) * sizeof *d->projectors);
    status = channel_index_init(&index, d->channels, d->n_channels, root->error);
    size_t n_vectors = 0;
    for (size_t i = 0; i < json_array_size(values) && status == REJECTD_OK; i++) {
        struct rejectd_projector *projector = &d->projectors[d->n_projectors++];
        status = read_projector(json_array_get(values, i), i, &index, d, MAX_VECTORS - n_vectors,
                                projector, root->error);
        n_vectors += projector->n_vectors;
    }
    channel_index_free(&index);
    return status;
}

enum rejectd_status dataset_sensors_read(const struct json_object *root,
                                         struct dataset_description *description)
{
    enum rejectd_status status = read_device_to_head(root, description);
    return status == REJECTD_OK ? read_projectors(root, description) : status;
}

/* ---- writing ---- */

static void append_numbers(struct buffer *text, const double *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buffer_append_text(text, i == 0 ? "[" : ",");
        json_append_double(text, numbers[i]);
    }
    buffer_append_text(text, "]");
}

void dataset_channel_sensor_append(struct buffer *text, const struct rejectd_channel *channel)
{
    if (channel->has_loc) {
        buffer_append_text(text, ",\"loc\":");
        append_numbers(text, channel->loc, LOC_NUMBERS);
    }
    if (channel->has_coil_type)
        buffer_append_format(text, ",\"coil_type\":%d", (int)channel->coil_type);
}

/* The projector over the channels that it is not zero for. */
static void append_projector(struct buffer *text, const struct dataset_description *d,
                             const struct rejectd_projector *projector)
{
    const size_t n = d->n_channels;
    buffer_append_text(text, "{\"description\":");
    json_append_string(text, projector->description);
    buffer_append_format(text, ",\"active\":%s,\"channels\":[",
                         projector->active ? "true" : "false");
    size_t listed = 0;
    bool *used = calloc(n, sizeof *used);
    if (used == NULL) {
        text->failed = true;
        return;
    }
    for (size_t i = 0; i < projector->n_vectors * n; i++)
        used[i % n] |= projector->vectors[i] != 0.0;
    used[0] |= !memchr(used, true, n);
    for (size_t c = 0; c < n; c++)
        if (used[c]) {
            buffer_append_text(text, listed++ > 0 ? "," : "");
            json_append_string(text, d->channels[c].name);
        }
    buffer_append_text(text, "],\"vectors\":[");
    for (size_t v = 0; v < projector->n_vectors; v++) {
        const char *before = v > 0 ? ",[" : "[";
        for (size_t c = 0; c < n; c++)
            if (used[c]) {
                buffer_append_text(text, before);
                json_append_double(text, projector->vectors[v * n + c]);
                before = ",";
            }
        buffer_append_text(text, "]");
    }
    buffer_append_text(text, "]}");
    free(used);
}

void dataset_sensors_append(struct buffer *text, const struct dataset_description *d)
{
    if (d->has_device_to_head) {
        buffer_append_text(text, ",\"device_to_head\":");
        for (size_t i = 0; i < 4; i++) {
            buffer_append_text(text, i == 0 ? "[" : ",");
            append_numbers(text, d->device_to_head[i], 4);
        }
        buffer_append_text(text, "]");
    }
    if (d->n_projectors > 0) {
        buffer_append_text(text, ",\"projectors\":[");
        for (size_t i = 0; i < d->n_projectors; i++) {
            buffer_append_text(text, i > 0 ? "," : "");
            append_projector(text, d, &d->projectors[i]);
        }
        buffer_append_text(text, "]");
    }
}
