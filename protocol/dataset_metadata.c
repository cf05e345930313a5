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

enum rejectd_status dataset_metadata_read(const struct json_object *root,
                                          struct dataset_description *description)
{
    enum rejectd_status status = read_events(root, description);
    return status == REJECTD_OK ? read_event_id(root, description) : status;
}
