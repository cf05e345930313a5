#include "protocol/job_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/job_request.h"
#include "protocol/json_reader.h"
#include "protocol/json_text.h"
#include "protocol/names.h"

void job_request_clear(struct job_request *request)
{
    free(request->parameters_json);
    *request = (struct job_request){0};
}

/* "ds_" or "md_", then lower-case letters and digits. */
static enum rejectd_status read_id(const struct json_object *root, const char *key,
                                   const char *prefix, char out[JOB_ID_SIZE])
{
    enum rejectd_status status = json_require(root, key);
    if (status == REJECTD_OK)
        status = json_read_text(root, key, out, JOB_ID_SIZE);
    if (status != REJECTD_OK)
        return status;
    size_t n = strlen(prefix);
    if (strncmp(out, prefix, n) != 0 || out[n] == 0 ||
        strspn(out + n, "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(out + n))
        return json_fail(root, key, "is \"%s\"; an id that begins with \"%s\" is accepted", out,
                         prefix);
    return REJECTD_OK;
}

static enum rejectd_status read_device(const struct json_object *root, struct job_request *request)
{
    snprintf(request->device, sizeof request->device, "auto");
    enum rejectd_status status =
        json_read_text(root, "device", request->device, sizeof request->device);
    if (status != REJECTD_OK)
        return status;
    const char *accepted = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_-";
    if (request->device[0] == 0 || strspn(request->device, accepted) != strlen(request->device))
        return json_fail(root, "device",
                         "is no name of a device, as \"auto\", \"cpu\", \"cuda\", \"cuda:0\" and "
                         "\"cuda:all\" are");
    return REJECTD_OK;
}

static enum rejectd_status read_parameters(const struct json_object *root,
                                           struct job_request *request)
{
    json_t *value = json_field(root, "parameters");
    struct json_object object;
    enum rejectd_status status = REJECTD_OK;
    if (value != NULL)
        status = json_object_open(value, "parameters", &object, root->error);
    if (status != REJECTD_OK)
        return status;
    json_t *channels = json_field(root, "channels");
    if (channels != NULL && json_object_get(value, "channels") != NULL)
        return json_fail(root, "channels", "is there twice: here and in \"parameters\"");
    json_t *parameters = value != NULL ? json_copy(value) : json_object();
    const bool whole = parameters != NULL &&
                       (channels == NULL || json_object_set(parameters, "channels", channels) == 0);
    request->parameters_json = whole ? json_to_text(parameters) : NULL;
    json_decref(parameters);
    return request->parameters_json != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(root->error, 0);
}

/* One of the two, where both are accepted. */
static enum rejectd_status read_dataset(const struct json_object *root, bool takes_shape,
                                        struct job_request *request)
{
    if (!takes_shape || json_field(root, "shape") == NULL)
        return takes_shape && json_field(root, "dataset") == NULL
                   ? json_fail(root, "dataset", "is required, or a \"shape\" in its place")
                   : read_id(root, "dataset", "ds_", request->dataset);
    return json_field(root, "dataset") == NULL
               ? REJECTD_OK
               : json_fail(root, "shape", "is only accepted where there is no \"dataset\"");
}

static enum rejectd_status check_fields(const struct json_object *root, bool takes_shape)
{
    return takes_shape ? JSON_CHECK_FIELDS(root, "type", "dataset", "shape", "model", "device",
                                           "priority", "parameters", "channels", "reuse")
                       : JSON_CHECK_FIELDS(root, "type", "dataset", "model", "device", "priority",
                                           "parameters", "channels", "reuse");
}

enum rejectd_status job_request_read(const struct json_object *root, bool takes_shape,
                                     struct job_request *request)
{
    int type = 0;
    int64_t priority = 0;
    bool reuse = true;
    enum rejectd_status status;
    if ((status = check_fields(root, takes_shape)) != 0 ||
        (status = json_require(root, "type")) != 0 ||
        (status = json_read_name(root, "type", job_type_names, JOB_TYPE_COUNT, &type)) != 0 ||
        (status = read_dataset(root, takes_shape, request)) != 0)
        return status;
    request->type = (enum job_type)type;
    if (request->type != JOB_APPLY && json_field(root, "model") != NULL)
        return json_fail(root, "model", "is only accepted for type \"apply\"");
    if (request->type != JOB_INTERPOLATE && json_field(root, "channels") != NULL)
        return json_fail(root, "channels", "is only accepted for type \"interpolate\"");
    if (request->type == JOB_APPLY &&
        (status = read_id(root, "model", "md_", request->model)) != REJECTD_OK)
        return status;
    if ((status = read_device(root, request)) != 0 ||
        (status = json_read_integer(root, "priority", -JOB_MAX_PRIORITY, JOB_MAX_PRIORITY,
                                    &priority)) != 0 ||
        (status = json_read_bool(root, "reuse", &reuse)) != 0)
        return status;
    request->fresh = !reuse;
    request->priority = (int)priority;
    return read_parameters(root, request);
}

enum rejectd_status job_request_from_json(const char *text, size_t length,
                                          struct job_request *request, struct rejectd_error *error)
{
    *request = (struct job_request){0};
    json_t *value;
    enum rejectd_status status = json_parse(text, length, JSON_FROM_CLIENT, &value, error);
    if (status != REJECTD_OK)
        return status;
    struct json_object root = {.value = value, .path = "", .error = error};
    status = job_request_read(&root, false, request);
    json_decref(value);
    if (status != REJECTD_OK)
        job_request_clear(request);
    return status;
}

static void append_text_field(struct buffer *text, const char *key, const char *value)
{
    if (value[0] == 0)
        return;
    buffer_append_format(text, ",\"%s\":", key);
    json_append_string(text, value);
}

char *job_request_to_json(const struct job_request *request)
{
    json_t *parameters = NULL;
    const char *json = request->parameters_json != NULL ? request->parameters_json : "{}";
    if (json_parse(json, strlen(json), JSON_FROM_CLIENT, &parameters, NULL) != REJECTD_OK)
        return NULL;
    struct buffer text;
    buffer_init(&text, (size_t)1 << 28);
    buffer_append_format(&text, "{\"type\":\"%s\"", job_type_names[request->type]);
    append_text_field(&text, "dataset", request->dataset);
    append_text_field(&text, "model", request->model);
    append_text_field(&text, "device", request->device);
    if (request->fresh)
        buffer_append_text(&text, ",\"reuse\":false");
    buffer_append_format(&text, ",\"priority\":%d,\"parameters\":", request->priority);
    json_append_value(&text, parameters);
    buffer_append_text(&text, "}");
    json_decref(parameters);
    return buffer_take(&text, NULL);
}
