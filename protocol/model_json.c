#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "protocol/channel_index.h"
#include "protocol/job_json.h"
#include "protocol/json_reader.h"
#include "protocol/json_text.h"
#include "protocol/names.h"

char *model_to_json(const struct rejectd_model *model)
{
    struct buffer text;
    buffer_init(&text, (size_t)1 << 30);
    buffer_append_text(&text, "{\"channels\":[");
    for (size_t i = 0; i < model->n_channels; i++) {
        const struct rejectd_model_channel *channel = &model->channels[i];
        buffer_append_text(&text, i > 0 ? ",{\"name\":" : "{\"name\":");
        json_append_string(&text, channel->name);
        buffer_append_format(&text,
                             ",\"type\":\"%s\",\"threshold\":", channel_type_names[channel->type]);
        json_append_double(&text, channel->threshold);
        buffer_append_text(&text, "}");
    }
    buffer_append_text(&text, "],\"types\":[");
    for (size_t i = 0; i < model->n_types; i++) {
        const struct rejectd_model_type *type = &model->types[i];
        buffer_append_format(&text, "%s{\"type\":\"%s\",\"consensus\":", i > 0 ? "," : "",
                             channel_type_names[type->type]);
        json_append_double(&text, type->consensus);
        buffer_append_format(&text, ",\"n_interpolate\":%d}", type->n_interpolate);
    }
    buffer_append_format(&text, "],\"meg_legendre\":\"%s\"}",
                         meg_legendre_names[model->meg_legendre]);
    return buffer_take(&text, NULL);
}

static enum rejectd_status read_channel(json_t *value, size_t i,
                                        struct rejectd_model_channel *channel,
                                        struct rejectd_error *error)
{
    char path[48], field[64];
    snprintf(path, sizeof path, "channels[%zu]", i);
    snprintf(field, sizeof field, "%s.name", path);
    struct json_object object;
    int type = 0;
    enum rejectd_status status;
    if ((status = json_object_open(value, path, &object, error)) != 0 ||
        (status = JSON_CHECK_FIELDS(&object, "name", "type", "threshold")) != 0 ||
        (status = json_require(&object, "name")) != 0 ||
        (status = json_require(&object, "type")) != 0 ||
        (status = json_require(&object, "threshold")) != 0 ||
        (status = json_read_text(&object, "name", channel->name, sizeof channel->name)) != 0 ||
        (status = json_read_name(&object, "type", channel_type_names, REJECTD_CHANNEL_TYPE_COUNT,
                                 &type)) != 0 ||
        (status = json_read_number(&object, "threshold", 0, DBL_MAX, &channel->threshold)) != 0)
        return status;
    channel->type = (enum rejectd_channel_type)type;
    return channel_name_check(channel->name, field, error);
}

static enum rejectd_status read_type(json_t *value, size_t i, struct rejectd_model_type *out,
                                     struct rejectd_error *error)
{
    char path[48];
    snprintf(path, sizeof path, "types[%zu]", i);
    struct json_object object;
    int type = 0;
    int64_t n_interpolate = 0;
    enum rejectd_status status;
    if ((status = json_object_open(value, path, &object, error)) != 0 ||
        (status = JSON_CHECK_FIELDS(&object, "type", "consensus", "n_interpolate")) != 0 ||
        (status = json_require(&object, "type")) != 0 ||
        (status = json_require(&object, "consensus")) != 0 ||
        (status = json_require(&object, "n_interpolate")) != 0 ||
        (status = json_read_name(&object, "type", channel_type_names, REJECTD_CHANNEL_TYPE_COUNT,
                                 &type)) != 0 ||
        (status = json_read_number(&object, "consensus", 0, 1, &out->consensus)) != 0 ||
        (status = json_read_integer(&object, "n_interpolate", 0, REJECTD_MAX_CHANNELS,
                                    &n_interpolate)) != 0)
        return status;
    out->type = (enum rejectd_channel_type)type;
    out->n_interpolate = (int)n_interpolate;
    return REJECTD_OK;
}

/* Names and types are unique, and each channel's type is among the types. */
static enum rejectd_status check_model(const struct json_object *root,
                                       const struct rejectd_model *model)
{
    bool present[REJECTD_CHANNEL_TYPE_COUNT] = {false};
    char key[48];
    for (size_t i = 0; i < model->n_types; i++) {
        snprintf(key, sizeof key, "types[%zu].type", i);
        if (present[model->types[i].type])
            return json_fail(root, key, "\"%s\" is there twice",
                             channel_type_names[model->types[i].type]);
        present[model->types[i].type] = true;
    }
    struct rejectd_channel *channels = calloc(model->n_channels, sizeof *channels);
    if (channels == NULL)
        return REJECTD_FAIL_MEMORY(root->error, model->n_channels * sizeof *channels);
    enum rejectd_status status = REJECTD_OK;
    for (size_t i = 0; i < model->n_channels && status == REJECTD_OK; i++) {
        memcpy(channels[i].name, model->channels[i].name, sizeof channels[i].name);
        snprintf(key, sizeof key, "channels[%zu].type", i);
        if (!present[model->channels[i].type])
            status = json_fail(root, key, "\"%s\" is not among \"types\"",
                               channel_type_names[model->channels[i].type]);
    }
    struct channel_index index = {0};
    size_t first, second;
    if (status == REJECTD_OK)
        status = channel_index_init(&index, channels, model->n_channels, root->error);
    if (status == REJECTD_OK && channel_index_duplicate(&index, &first, &second)) {
        snprintf(key, sizeof key, "channels[%zu].name", second);
        status = json_fail(root, key, "\"%s\" is already the name of channels[%zu]",
                           channels[second].name, first);
    }
    channel_index_free(&index);
    free(channels);
    return status;
}

static enum rejectd_status read_model(const struct json_object *root, struct rejectd_model *model)
{
    json_t *channels, *types;
    int legendre = REJECTD_MEG_LEGENDRE_EXACT;
    enum rejectd_status status;
    if ((status = JSON_CHECK_FIELDS(root, "channels", "types", "meg_legendre")) != 0 ||
        (status = json_read_name(root, "meg_legendre", meg_legendre_names,
                                 REJECTD_MEG_LEGENDRE_COUNT, &legendre)) != 0 ||
        (status = json_require(root, "channels")) != 0 ||
        (status = json_require(root, "types")) != 0 ||
        (status = json_read_array(root, "channels", 1, REJECTD_MAX_CHANNELS, &channels)) != 0 ||
        (status = json_read_array(root, "types", 1, REJECTD_CHANNEL_TYPE_COUNT, &types)) != 0)
        return status;
    size_t n_channels = json_array_size(channels), n_types = json_array_size(types);
    model->channels = calloc(n_channels, sizeof *model->channels);
    model->types = calloc(n_types, sizeof *model->types);
    if (model->channels == NULL || model->types == NULL)
        return REJECTD_FAIL_MEMORY(root->error, n_channels * sizeof *model->channels);
    model->meg_legendre = (enum rejectd_meg_legendre)legendre;
    model->n_channels = n_channels;
    model->n_types = n_types;
    for (size_t i = 0; i < n_channels && status == REJECTD_OK; i++)
        status = read_channel(json_array_get(channels, i), i, &model->channels[i], root->error);
    for (size_t i = 0; i < n_types && status == REJECTD_OK; i++)
        status = read_type(json_array_get(types, i), i, &model->types[i], root->error);
    return status == REJECTD_OK ? check_model(root, model) : status;
}

enum rejectd_status model_from_json(const char *text, size_t length, struct rejectd_model **model,
                                    struct rejectd_error *error)
{
    *model = NULL;
    json_t *value;
    enum rejectd_status status = json_parse(text, length, JSON_FROM_CLIENT, &value, error);
    if (status != REJECTD_OK)
        return status;
    struct rejectd_model *read = calloc(1, sizeof *read);
    struct json_object root = {.value = value, .path = "", .error = error};
    status = read != NULL ? read_model(&root, read) : REJECTD_FAIL_MEMORY(error, sizeof *read);
    json_decref(value);
    if (status == REJECTD_OK) {
        *model = read;
    } else if (read != NULL) {
        free(read->channels);
        free(read->types);
        free(read);
    }
    return status;
}
