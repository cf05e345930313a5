#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/dataset_parts.h"

enum { MAX_EVENT_NAMES = 10000, MAX_EVENT_NAME = 255 };

static enum rejectd_status keep(json_t *value, char **out, struct rejectd_error *error)
{
    *out = json_to_text(value);
    return *out != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(error, 0);
}

static bool is_event(const json_t *row)
{
    return json_is_array(row) && json_array_size(row) == 3 &&
           json_is_integer(json_array_get(row, 0)) && json_is_integer(json_array_get(row, 1)) &&
           json_is_integer(json_array_get(row, 2));
}

static enum rejectd_status read_events(const struct json_object *root,
                                       struct dataset_description *d)
{
    json_t *events;
    enum rejectd_status status = json_read_array(root, "events", d->n_epochs, d->n_epochs, &events);
    if (status != REJECTD_OK || events == NULL)
        return status;
    for (size_t i = 0; i < d->n_epochs; i++)
        if (!is_event(json_array_get(events, i))) {
            char key[48];
            snprintf(key, sizeof key, "events[%zu]", i);
            return json_fail(root, key, "must be three integers: [sample, 0, id]");
        }
    return keep(events, &d->events_json, root->error);
}

static enum rejectd_status read_event_id(const struct json_object *root,
                                         struct dataset_description *d)
{
    json_t *value = json_field(root, "event_id");
    if (value == NULL)
        return REJECTD_OK;
    struct json_object object;
    enum rejectd_status status = json_object_open(value, "event_id", &object, root->error);
    if (status != REJECTD_OK)
        return status;
    if (json_object_size(value) > MAX_EVENT_NAMES)
        return json_fail(root, "event_id", "has %zu names; at most %d are accepted",
                         json_object_size(value), MAX_EVENT_NAMES);
    const char *name;
    json_t *id;
    json_object_foreach(value, name, id)
    {
        if (strlen(name) > MAX_EVENT_NAME)
            return json_fail(&object, name, "a name has at most %d bytes", MAX_EVENT_NAME);
        if (!json_is_integer(id))
            return json_fail(&object, name, "must be an integer, not %s", json_kind(id));
    }
    return keep(value, &d->event_id_json, root->error);
}

static enum rejectd_status check_device_to_head(const struct json_object *root, json_t *rows)
{
    for (size_t i = 0; i < 4; i++) {
        char key[32];
        double row[4];
        snprintf(key, sizeof key, "device_to_head[%zu]", i);
        json_t *value = json_array_get(rows, i);
        if (!json_is_array(value) || json_array_size(value) != 4)
            return json_fail(root, key, "must be an array of 4 numbers");
        enum rejectd_status status = json_read_numbers(root, key, value, -DBL_MAX, DBL_MAX, row);
        if (status != REJECTD_OK)
            return status;
    }
    return REJECTD_OK;
}

/* MNE writes NaN for what it doesn't know of a sensor, which is null in JSON. */
static enum rejectd_status check_loc(const struct json_object *channel, const json_t *loc)
{
    for (size_t i = 0; i < json_array_size(loc); i++) {
        const json_t *number = json_array_get(loc, i);
        if (json_is_number(number) || json_is_null(number))
            continue;
        char key[32];
        snprintf(key, sizeof key, "loc[%zu]", i);
        return json_fail(channel, key, "must be a number or null, not %s", json_kind(number));
    }
    return REJECTD_OK;
}

/* Adds what the channel has of "loc" and "coil_type" to `kept` under its index. */
static enum rejectd_status read_channel_extra(const struct json_object *channel, size_t index,
                                              json_t *kept)
{
    json_t *loc;
    int64_t coil_type;
    enum rejectd_status status;
    if ((status = json_read_array(channel, "loc", 12, 12, &loc)) != 0 ||
        (loc != NULL && (status = check_loc(channel, loc)) != 0) ||
        (status = json_read_integer(channel, "coil_type", INT32_MIN, INT32_MAX, &coil_type)) != 0)
        return status;
    json_t *coil = json_field(channel, "coil_type");
    if (loc == NULL && coil == NULL)
        return REJECTD_OK;
    char key[24];
    snprintf(key, sizeof key, "%zu", index);
    json_t *extra = json_object();
    bool stored = (loc == NULL || json_object_set(extra, "loc", loc) == 0) &&
                  (coil == NULL || json_object_set(extra, "coil_type", coil) == 0);
    if (json_object_set_new(kept, key, extra) != 0 || !stored)
        return REJECTD_FAIL_MEMORY(channel->error, 0);
    return REJECTD_OK;
}

static enum rejectd_status read_channels_extra(const struct json_object *root, json_t *kept)
{
    json_t *channels = json_field(root, "channels");
    enum rejectd_status status = REJECTD_OK;
    for (size_t i = 0; i < json_array_size(channels) && status == REJECTD_OK; i++) {
        char path[48];
        snprintf(path, sizeof path, "channels[%zu]", i);
        struct json_object channel = {json_array_get(channels, i), path, root->error};
        status = read_channel_extra(&channel, i, kept);
    }
    return status;
}

static enum rejectd_status read_extra(const struct json_object *root, struct dataset_description *d)
{
    json_t *device_to_head;
    enum rejectd_status status = json_read_array(root, "device_to_head", 4, 4, &device_to_head);
    if (status == REJECTD_OK && device_to_head != NULL)
        status = check_device_to_head(root, device_to_head);
    if (status != REJECTD_OK)
        return status;
    json_t *channels = json_object();
    json_t *extra = json_object();
    if (channels == NULL || extra == NULL) {
        status = REJECTD_FAIL_MEMORY(root->error, 0);
        goto cleanup;
    }
    if ((status = read_channels_extra(root, channels)) != 0)
        goto cleanup;
    if (json_object_size(channels) == 0 && device_to_head == NULL)
        goto cleanup;
    if (json_object_set(extra, "channels", channels) != 0 ||
        (device_to_head != NULL && json_object_set(extra, "device_to_head", device_to_head) != 0)) {
        status = REJECTD_FAIL_MEMORY(root->error, 0);
        goto cleanup;
    }
    status = keep(extra, &d->channels_extra_json, root->error);
cleanup:
    json_decref(channels);
    json_decref(extra);
    return status;
}

enum rejectd_status dataset_metadata_read(const struct json_object *root,
                                          struct dataset_description *description)
{
    enum rejectd_status status;
    if ((status = read_events(root, description)) != 0 ||
        (status = read_event_id(root, description)) != 0)
        return status;
    return read_extra(root, description);
}

json_t *dataset_extra_parse(const struct dataset_description *description)
{
    json_t *extra = NULL;
    const char *text = description->channels_extra_json;
    if (text != NULL)
        (void)json_parse(text, strlen(text), JSON_FROM_SERVER, &extra, NULL);
    return extra;
}

void dataset_extra_append_channel(struct buffer *buffer, const json_t *extra, size_t channel)
{
    char key[24];
    snprintf(key, sizeof key, "%zu", channel);
    json_t *members = json_object_get(json_object_get(extra, "channels"), key);
    if (json_object_size(members) == 0)
        return;
    buffer_append_text(buffer, ",");
    json_append_members(buffer, members);
}
