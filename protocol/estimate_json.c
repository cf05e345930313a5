#include "protocol/estimate_json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/job_request.h"
#include "protocol/json_reader.h"
#include "protocol/json_text.h"
#include "protocol/names.h"

/* ---- shapes ---- */

static const double golden_angle = 2.399963229728653;

/* Sensor i of n, on a sphere: no two of them in one place. */
static void place_on_sphere(size_t i, size_t n, double out[3])
{
    const double z = 1.0 - 2.0 * ((double)i + 0.5) / (double)n, r = sqrt(1.0 - z * z);
    out[0] = r * cos(golden_angle * (double)i);
    out[1] = r * sin(golden_angle * (double)i);
    out[2] = z;
}

/* A coil there that looks outwards: its axes x, y, z. */
static void place_coil(struct rejectd_channel *channel, const double direction[3])
{
    const double head = 0.12, *z = direction;
    const double length = sqrt(z[0] * z[0] + z[1] * z[1]);
    const double x[3] = {length > 0.0 ? -z[1] / length : 1.0, length > 0.0 ? z[0] / length : 0.0,
                         0.0};
    const double y[3] = {z[1] * x[2] - z[2] * x[1], z[2] * x[0] - z[0] * x[2],
                         z[0] * x[1] - z[1] * x[0]};
    channel->has_loc = true;
    for (int axis = 0; axis < 3; axis++) {
        channel->loc[axis] = head * z[axis];
        channel->loc[3 + axis] = x[axis];
        channel->loc[6 + axis] = y[axis];
        channel->loc[9 + axis] = z[axis];
    }
}

/* Adds n channels of a type, called "eeg1" and so on. */
static void add_channels(struct dataset_description *shape, enum rejectd_channel_type type,
                         size_t n)
{
    enum { MAGNETOMETER = 3024, GRADIOMETER = 3012 };
    const double head = 0.09;
    for (size_t i = 0; i < n; i++) {
        struct rejectd_channel *channel = &shape->channels[shape->n_channels++];
        double direction[3];
        *channel = (struct rejectd_channel){.type = type};
        snprintf(channel->name, sizeof channel->name, "%s%zu", channel_type_names[type], i + 1);
        place_on_sphere(i, n, direction);
        if (type == REJECTD_CHANNEL_MAG || type == REJECTD_CHANNEL_GRAD) {
            channel->has_coil_type = true;
            channel->coil_type = type == REJECTD_CHANNEL_MAG ? MAGNETOMETER : GRADIOMETER;
            place_coil(channel, direction);
        } else {
            channel->has_position = true;
            for (int axis = 0; axis < 3; axis++)
                channel->position[axis] = head * direction[axis];
        }
    }
}

/* {"eeg": 64, "eog": 2}. counts [REJECTD_CHANNEL_TYPE_COUNT]; *total: of them all. */
static enum rejectd_status read_types(const struct json_object *root, size_t *counts, size_t *total)
{
    struct json_object types;
    json_t *value = json_field(root, "channel_types");
    const char *name;
    json_t *member;
    if (value == NULL)
        return REJECTD_OK;
    enum rejectd_status status =
        json_object_open(value, "shape.channel_types", &types, root->error);
    if (status != REJECTD_OK)
        return status;
    json_object_foreach(value, name, member)
    {
        enum rejectd_channel_type type;
        if (!channel_type_from_name(name, &type))
            return json_fail(&types, name, "is no type of channels");
        status = json_read_size(&types, name, 1, REJECTD_MAX_CHANNELS, &counts[type]);
        if (status != REJECTD_OK)
            return status;
        *total += counts[type];
    }
    return *total > 0 && *total <= REJECTD_MAX_CHANNELS
               ? REJECTD_OK
               : json_fail(root, "channel_types",
                           "has %zu channels; 1 to %d of all types together are accepted", *total,
                           REJECTD_MAX_CHANNELS);
}

static enum rejectd_status read_channels(const struct json_object *root,
                                         struct dataset_description *shape)
{
    size_t counts[REJECTD_CHANNEL_TYPE_COUNT] = {0}, total = 0, n_channels = 0;
    enum rejectd_status status = read_types(root, counts, &total);
    if (status == REJECTD_OK)
        status = json_read_size(root, "n_channels", 1, REJECTD_MAX_CHANNELS, &n_channels);
    if (status != REJECTD_OK)
        return status;
    if (n_channels == 0 && total == 0)
        return json_fail(root, "n_channels",
                         "is required, or \"channel_types\" as {\"eeg\": 64, \"eog\": 2}");
    if (n_channels != 0 && total != 0 && n_channels != total)
        return json_fail(root, "n_channels", "is %zu but \"channel_types\" has %zu channels",
                         n_channels, total);
    if (total == 0)
        counts[REJECTD_CHANNEL_EEG] = total = n_channels;
    shape->channels = calloc(total, sizeof *shape->channels);
    if (shape->channels == NULL)
        return REJECTD_FAIL_MEMORY(root->error, total * sizeof *shape->channels);
    for (int type = 0; type < REJECTD_CHANNEL_TYPE_COUNT; type++)
        add_channels(shape, (enum rejectd_channel_type)type, counts[type]);
    return REJECTD_OK;
}

/* A wrong field of a description is one of the shape. */
static enum rejectd_status check_description(const struct json_object *root,
                                             struct dataset_description *shape)
{
    struct rejectd_error error = {0};
    const enum rejectd_status status = dataset_description_check(shape, &error);
    return status == REJECTD_OK ? status : json_fail(root, error.field, "%s", error.message);
}

static enum rejectd_status read_shape(json_t *value, struct dataset_description *shape,
                                      struct rejectd_error *error)
{
    struct json_object root;
    int dtype = REJECTD_FLOAT64;
    enum rejectd_status status;
    shape->sfreq = 1000.0;
    if ((status = json_object_open(value, "shape", &root, error)) != 0 ||
        (status = JSON_CHECK_FIELDS(&root, "n_epochs", "n_channels", "n_times", "dtype",
                                    "channel_types", "sfreq", "tmin")) != 0 ||
        (status = json_require(&root, "n_epochs")) != 0 ||
        (status = json_require(&root, "n_times")) != 0 ||
        (status = json_read_size(&root, "n_epochs", 1, REJECTD_MAX_EPOCHS, &shape->n_epochs)) !=
            0 ||
        (status = json_read_size(&root, "n_times", 1, REJECTD_MAX_TIMES, &shape->n_times)) != 0 ||
        (status = json_read_name(&root, "dtype", dtype_names, DTYPES_OF_SAMPLES, &dtype)) != 0 ||
        (status = json_read_number(&root, "sfreq", -DBL_MAX, DBL_MAX, &shape->sfreq)) != 0 ||
        (status = json_read_number(&root, "tmin", -DBL_MAX, DBL_MAX, &shape->tmin)) != 0 ||
        (status = read_channels(&root, shape)) != 0)
        return status;
    shape->dtype = (enum rejectd_dtype)dtype;
    return check_description(&root, shape);
}

void estimate_request_clear(struct estimate_request *request)
{
    job_request_clear(&request->job);
    dataset_description_clear(&request->shape);
    *request = (struct estimate_request){0};
}

enum rejectd_status estimate_request_from_json(const char *text, size_t length,
                                               struct estimate_request *request,
                                               struct rejectd_error *error)
{
    *request = (struct estimate_request){0};
    json_t *value;
    enum rejectd_status status = json_parse(text, length, JSON_FROM_CLIENT, &value, error);
    if (status != REJECTD_OK)
        return status;
    const struct json_object root = {.value = value, .path = "", .error = error};
    json_t *shape = json_field(&root, "shape");
    status = job_request_read(&root, true, &request->job);
    if (status == REJECTD_OK && shape != NULL) {
        request->has_shape = true;
        status = read_shape(shape, &request->shape, error);
    }
    json_decref(value);
    if (status != REJECTD_OK)
        estimate_request_clear(request);
    return status;
}

/* ---- answers ---- */

void estimate_view_clear(struct estimate_view *view)
{
    free(view->devices);
    *view = (struct estimate_view){0};
}

/* Whole bytes; numbers that no integer holds are written as the largest one. */
static void append_bytes(struct buffer *text, const char *key, double bytes)
{
    const double most = 9.2e18;
    buffer_append_format(text, ",\"%s\":%lld", key, (long long)(bytes < most ? bytes : most));
}

static void append_device(struct buffer *text, const struct estimate_device *device)
{
    buffer_append_text(text, "{\"device\":");
    json_append_string(text, device->device);
    append_bytes(text, "host_bytes", device->host_bytes);
    append_bytes(text, "device_bytes", device->device_bytes);
    buffer_append_format(text,
                         ",\"in_pieces\":%s,\"seconds\":", device->in_pieces ? "true" : "false");
    json_append_double(text, device->seconds);
    buffer_append_text(text, ",\"basis\":");
    json_append_string(text, device->basis);
    buffer_append_format(text, ",\"fits\":%s,\"reason\":", device->fits ? "true" : "false");
    json_append_string_or_null(text, device->reason);
    buffer_append_text(text, "}");
}

char *estimate_view_to_json(const struct estimate_view *view)
{
    struct buffer text;
    buffer_init(&text, (size_t)1 << 20);
    buffer_append_text(&text, "{\"devices\":[");
    for (size_t i = 0; i < view->n; i++) {
        buffer_append_text(&text, i > 0 ? "," : "");
        append_device(&text, &view->devices[i]);
    }
    buffer_append_text(&text, "],\"chosen\":");
    json_append_string_or_null(&text, view->chosen);
    append_bytes(&text, "sample_bytes", (double)view->sample_bytes);
    append_bytes(&text, "job_memory", (double)view->job_memory);
    buffer_append_text(&text, "}");
    return buffer_take(&text, NULL);
}

static enum rejectd_status read_device(json_t *value, struct estimate_device *device,
                                       struct rejectd_error *error)
{
    struct json_object object;
    enum rejectd_status status;
    if ((status = json_object_open(value, "devices", &object, error)) != 0 ||
        (status = json_read_text(&object, "device", device->device, sizeof device->device)) != 0 ||
        (status = json_read_number(&object, "host_bytes", 0, DBL_MAX, &device->host_bytes)) != 0 ||
        (status = json_read_number(&object, "device_bytes", 0, DBL_MAX, &device->device_bytes)) !=
            0 ||
        (status = json_read_bool(&object, "in_pieces", &device->in_pieces)) != 0 ||
        (status = json_read_number(&object, "seconds", 0, DBL_MAX, &device->seconds)) != 0 ||
        (status = json_read_text(&object, "basis", device->basis, sizeof device->basis)) != 0 ||
        (status = json_read_bool(&object, "fits", &device->fits)) != 0)
        return status;
    return json_read_text(&object, "reason", device->reason, sizeof device->reason);
}

static enum rejectd_status read_view(const struct json_object *root, struct estimate_view *view)
{
    enum { MOST_DEVICES = 1024 };
    json_t *devices;
    double sample_bytes = 0.0, job_memory = 0.0;
    enum rejectd_status status;
    if ((status = json_require(root, "devices")) != 0 ||
        (status = json_read_array(root, "devices", 0, MOST_DEVICES, &devices)) != 0 ||
        (status = json_read_text(root, "chosen", view->chosen, sizeof view->chosen)) != 0 ||
        (status = json_read_number(root, "sample_bytes", 0, 9e18, &sample_bytes)) != 0 ||
        (status = json_read_number(root, "job_memory", 0, 9.3e18, &job_memory)) != 0)
        return status;
    view->sample_bytes = (uint64_t)sample_bytes;
    view->job_memory = (uint64_t)job_memory;
    const size_t n = json_array_size(devices);
    view->devices = calloc(n + 1, sizeof *view->devices);
    if (view->devices == NULL)
        return REJECTD_FAIL_MEMORY(root->error, n * sizeof *view->devices);
    for (; view->n < n && status == REJECTD_OK; view->n++)
        status =
            read_device(json_array_get(devices, view->n), &view->devices[view->n], root->error);
    return status;
}

enum rejectd_status estimate_view_from_json(const char *text, size_t length,
                                            struct estimate_view *view, struct rejectd_error *error)
{
    *view = (struct estimate_view){0};
    json_t *value;
    enum rejectd_status status = json_parse(text, length, JSON_FROM_SERVER, &value, error);
    if (status != REJECTD_OK)
        return status;
    const struct json_object root = {.value = value, .path = "", .error = error};
    status = read_view(&root, view);
    json_decref(value);
    if (status != REJECTD_OK)
        estimate_view_clear(view);
    return status;
}
