#include "protocol/result_json.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/json_reader.h"
#include "protocol/names.h"

void result_view_clear(struct result_view *view)
{
    free(view->thresholds);
    free(view->types);
    free(view->log.labels);
    free(view->log.bad_epochs);
    free(view->warnings);
    *view = (struct result_view){0};
}

static enum rejectd_status no_memory(struct rejectd_error *error)
{
    return REJECTD_FAIL_MEMORY(error, 0);
}

/* A required member object. */
static enum rejectd_status open_member(const struct json_object *root, const char *key,
                                       struct json_object *member)
{
    return json_object_open(json_field(root, key), key, member, root->error);
}

static enum rejectd_status read_thresholds(const struct json_object *root, struct result_view *view)
{
    struct json_object thresholds;
    enum rejectd_status status = open_member(root, "thresholds", &thresholds);
    if (status != REJECTD_OK)
        return status;
    view->thresholds = calloc(json_object_size(thresholds.value) + 1, sizeof *view->thresholds);
    if (view->thresholds == NULL)
        return no_memory(root->error);
    const char *name;
    json_t *value;
    json_object_foreach(thresholds.value, name, value)
    {
        struct result_threshold *out = &view->thresholds[view->n_thresholds];
        if (strlen(name) >= sizeof out->name || !json_is_number(value))
            return json_fail(&thresholds, name, "must be a channel name and its threshold");
        memcpy(out->name, name, strlen(name) + 1);
        out->threshold = json_number_value(value);
        view->n_thresholds++;
    }
    return REJECTD_OK;
}

static enum rejectd_status read_types(const struct json_object *root, struct result_view *view)
{
    struct json_object consensus, n_interpolate;
    enum rejectd_status status;
    if ((status = open_member(root, "consensus", &consensus)) != 0 ||
        (status = open_member(root, "n_interpolate", &n_interpolate)) != 0)
        return status;
    view->types = calloc(REJECTD_CHANNEL_TYPE_COUNT, sizeof *view->types);
    if (view->types == NULL)
        return no_memory(root->error);
    const char *name;
    json_t *value;
    json_object_foreach(consensus.value, name, value)
    {
        struct result_type type = {0};
        int64_t n = 0;
        if (!channel_type_from_name(name, &type.type))
            continue; /* of a newer server */
        if ((status = json_read_number(&consensus, name, 0, 1, &type.consensus)) != 0 ||
            (status = json_read_integer(&n_interpolate, name, 0, REJECTD_MAX_CHANNELS, &n)) != 0)
            return status;
        type.n_interpolate = (int)n;
        view->types[view->n_types++] = type;
    }
    return REJECTD_OK;
}

static enum rejectd_status read_label_row(const struct json_object *root, const json_t *row,
                                          size_t e, struct rejectd_reject_log *log)
{
    char key[48];
    snprintf(key, sizeof key, "labels[%zu]", e);
    if (!json_is_array(row) || json_array_size(row) != log->n_channels)
        return json_fail(root, key, "must be an array of %zu labels", log->n_channels);
    for (size_t c = 0; c < log->n_channels; c++) {
        const json_t *label = json_array_get(row, c);
        json_int_t number = json_integer_value(label);
        if (!json_is_integer(label) || number < REJECTD_LABEL_NOT_CONSIDERED ||
            number > REJECTD_LABEL_INTERPOLATED)
            return json_fail(root, key, "must hold the labels -1, 0, 1 and 2");
        log->labels[e * log->n_channels + c] = (int8_t)number;
    }
    return REJECTD_OK;
}

static enum rejectd_status read_log(const struct json_object *root, struct rejectd_reject_log *log)
{
    json_t *labels, *bad_epochs;
    enum rejectd_status status;
    if ((status = json_require(root, "labels")) != 0 ||
        (status = json_require(root, "bad_epochs")) != 0 ||
        (status = json_read_array(root, "labels", 0, REJECTD_MAX_EPOCHS, &labels)) != 0 ||
        (status = json_read_array(root, "bad_epochs", 0, REJECTD_MAX_EPOCHS, &bad_epochs)) != 0)
        return status;
    log->n_epochs = json_array_size(labels);
    log->n_channels = json_array_size(json_array_get(labels, 0));
    log->labels = calloc(log->n_epochs * log->n_channels + 1, sizeof *log->labels);
    log->bad_epochs = calloc(log->n_epochs + 1, sizeof *log->bad_epochs);
    if (log->labels == NULL || log->bad_epochs == NULL)
        return no_memory(root->error);
    for (size_t e = 0; e < log->n_epochs && status == REJECTD_OK; e++)
        status = read_label_row(root, json_array_get(labels, e), e, log);
    for (size_t i = 0; i < json_array_size(bad_epochs) && status == REJECTD_OK; i++) {
        const json_t *value = json_array_get(bad_epochs, i);
        json_int_t epoch = json_integer_value(value);
        if (!json_is_integer(value) || epoch < 0 || (uint64_t)epoch >= log->n_epochs)
            return json_fail(root, "bad_epochs", "must hold indices of epochs");
        log->bad_epochs[epoch] = 1;
    }
    return status;
}

static enum rejectd_status read_warnings(const struct json_object *root, struct result_view *view)
{
    json_t *warnings;
    enum rejectd_status status = json_read_array(root, "warnings", 0, 1 << 20, &warnings);
    if (status != REJECTD_OK || warnings == NULL)
        return status;
    size_t n = json_array_size(warnings);
    view->warnings = calloc(n + 1, sizeof *view->warnings);
    if (view->warnings == NULL)
        return no_memory(root->error);
    for (size_t i = 0; i < n; i++) {
        json_t *warning = json_array_get(warnings, i);
        const char *code = json_string_value(json_object_get(warning, "code"));
        const char *message = json_string_value(json_object_get(warning, "message"));
        struct rejectd_warning *out = &view->warnings[view->n_warnings++];
        snprintf(out->code, sizeof out->code, "%s", code != NULL ? code : "");
        snprintf(out->message, sizeof out->message, "%s", message != NULL ? message : "");
    }
    return REJECTD_OK;
}

static enum rejectd_status read_origin(const struct json_object *root, struct result_view *view)
{
    struct json_object timings, provenance;
    int64_t random_state = 0;
    enum rejectd_status status;
    if ((status = json_read_text(root, "model", view->model, sizeof view->model)) != 0 ||
        (status = json_read_text(root, "device", view->device, sizeof view->device)) != 0 ||
        (status = json_read_integer(root, "random_state", 0, UINT32_MAX, &random_state)) != 0 ||
        (status = open_member(root, "timings", &timings)) != 0 ||
        (status = json_read_number(&timings, "queued", -DBL_MAX, DBL_MAX, &view->seconds_queued)) !=
            0 ||
        (status = json_read_number(&timings, "running", -DBL_MAX, DBL_MAX,
                                   &view->seconds_running)) != 0 ||
        (status = open_member(root, "provenance", &provenance)) != 0)
        return status;
    view->random_state = (uint32_t)random_state;
    return json_read_text(&provenance, "backend", view->backend, sizeof view->backend);
}

enum rejectd_status result_view_from_json(const char *text, size_t length, struct result_view *view,
                                          struct rejectd_error *error)
{
    *view = (struct result_view){0};
    json_t *value;
    enum rejectd_status status = json_parse(text, length, JSON_FROM_SERVER, &value, error);
    if (status != REJECTD_OK)
        return status;
    struct json_object root = {.value = value, .path = "", .error = error};
    if ((status = read_thresholds(&root, view)) == 0 && (status = read_types(&root, view)) == 0 &&
        (status = read_log(&root, &view->log)) == 0 && (status = read_warnings(&root, view)) == 0)
        status = read_origin(&root, view);
    json_decref(value);
    if (status != REJECTD_OK)
        result_view_clear(view);
    return status;
}
