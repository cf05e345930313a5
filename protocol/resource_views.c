/*
 * Resources from text, for clients.
 *
 * The envelope goes into the view; what is left of a dataset or model after the envelope's fields
 * are taken out is kept as text for dataset_from_json() and model_from_json().
 */
#include <float.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/json_reader.h"
#include "protocol/resource_json.h"

void dataset_view_clear(struct dataset_view *view)
{
    free(view->description_json);
    *view = (struct dataset_view){0};
}

void job_view_clear(struct job_view *view)
{
    free(view->parameters_json);
    *view = (struct job_view){0};
}

void model_view_clear(struct model_view *view)
{
    free(view->model_json);
    *view = (struct model_view){0};
}

/* The members of `object` that are among `keep`, as text. */
static char *selected_text(json_t *object, const char *const *keep, size_t n_keep)
{
    json_t *selected = json_object();
    char *text = NULL;
    if (selected == NULL)
        return NULL;
    for (size_t i = 0; i < n_keep; i++) {
        json_t *value = json_object_get(object, keep[i]);
        if (value != NULL && json_object_set(selected, keep[i], value) != 0)
            goto cleanup;
    }
    text = json_to_text(selected);
cleanup:
    json_decref(selected);
    return text;
}

static enum rejectd_status read_dataset(const struct json_object *root, struct dataset_view *view)
{
    static const char *const description[] = {
        "name",  "sfreq",    "tmin",           "n_epochs", "n_channels", "n_times",
        "dtype", "channels", "device_to_head", "events",   "event_id",
    };
    int state = 0;
    int64_t bytes = 0;
    const char *const states[] = {dataset_state_name(DATASET_AWAITING_SAMPLES),
                                  dataset_state_name(DATASET_READY)};
    _Static_assert(DATASET_STATE_COUNT == 2, "every state is listed");
    enum rejectd_status status;
    if ((status = json_require(root, "id")) != 0 || (status = json_require(root, "state")) != 0 ||
        (status = json_read_text(root, "id", view->id, sizeof view->id)) != 0 ||
        (status = json_read_name(root, "state", states, DATASET_STATE_COUNT, &state)) != 0 ||
        (status = json_read_text(root, "sha256", view->sha256, sizeof view->sha256)) != 0 ||
        (status = json_read_text(root, "created_at", view->created_at, sizeof view->created_at)) !=
            0 ||
        (status = json_read_integer(root, "bytes", 0, INT64_MAX, &bytes)) != 0)
        return status;
    view->state = (enum dataset_state)state;
    view->bytes = (uint64_t)bytes;
    view->description_json =
        selected_text(root->value, description, sizeof description / sizeof *description);
    return view->description_json != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(root->error, 0);
}

static enum rejectd_status read_job_names(const struct json_object *root, struct job_view *view)
{
    const char *types[JOB_TYPE_COUNT], *states[JOB_STATE_COUNT];
    for (int i = 0; i < JOB_TYPE_COUNT; i++)
        types[i] = job_type_name((enum job_type)i);
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        states[i] = job_state_name((enum job_state)i);
    int type = 0, state = 0;
    enum rejectd_status status;
    if ((status = json_require(root, "id")) != 0 || (status = json_require(root, "type")) != 0 ||
        (status = json_require(root, "state")) != 0 ||
        (status = json_read_text(root, "id", view->id, sizeof view->id)) != 0 ||
        (status = json_read_name(root, "type", types, JOB_TYPE_COUNT, &type)) != 0 ||
        (status = json_read_name(root, "state", states, JOB_STATE_COUNT, &state)) != 0 ||
        (status = json_read_text(root, "dataset", view->dataset, sizeof view->dataset)) != 0 ||
        (status = json_read_text(root, "model", view->model, sizeof view->model)) != 0)
        return status;
    view->type = (enum job_type)type;
    view->state = (enum job_state)state;
    return json_read_text(root, "device", view->device, sizeof view->device);
}

static enum rejectd_status read_job_progress(const struct json_object *root, struct job_view *view)
{
    int64_t priority = 0, position = -1, attempt = 0;
    enum rejectd_status status;
    if ((status = json_read_integer(root, "priority", INT32_MIN, INT32_MAX, &priority)) != 0 ||
        (status = json_read_integer(root, "position", 0, INT32_MAX, &position)) != 0 ||
        (status = json_read_integer(root, "attempt", 0, INT32_MAX, &attempt)) != 0)
        return status;
    view->priority = (int)priority;
    view->position = (long)position;
    view->attempt = (int)attempt;
    json_t *value = json_field(root, "progress");
    struct json_object progress;
    if (value == NULL)
        return REJECTD_OK;
    if ((status = json_object_open(value, "progress", &progress, root->error)) != 0 ||
        (status = json_read_text(&progress, "stage", view->stage, sizeof view->stage)) != 0)
        return status;
    return json_read_number(&progress, "fraction", 0, 1, &view->fraction);
}

static enum rejectd_status read_job(const struct json_object *root, struct job_view *view)
{
    enum rejectd_status status;
    if ((status = read_job_names(root, view)) != 0 ||
        (status = read_job_progress(root, view)) != 0 ||
        (status = json_read_text(root, "created_at", view->created_at, sizeof view->created_at)) !=
            0 ||
        (status = json_read_text(root, "started_at", view->started_at, sizeof view->started_at)) !=
            0 ||
        (status =
             json_read_text(root, "finished_at", view->finished_at, sizeof view->finished_at)) != 0)
        return status;
    json_t *problem = json_field(root, "error");
    if (json_is_object(problem))
        problem_from_value(problem, (int)json_integer_value(json_object_get(problem, "status")),
                           &view->error);
    json_t *parameters = json_field(root, "parameters");
    view->parameters_json = parameters != NULL ? json_to_text(parameters) : strdup("{}");
    return view->parameters_json != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(root->error, 0);
}

static enum rejectd_status read_model(const struct json_object *root, struct model_view *view)
{
    static const char *const model[] = {"channels", "types"};
    enum rejectd_status status;
    if ((status = json_require(root, "id")) != 0 ||
        (status = json_read_text(root, "id", view->id, sizeof view->id)) != 0 ||
        (status = json_read_text(root, "job", view->job, sizeof view->job)) != 0 ||
        (status = json_read_text(root, "dataset", view->dataset, sizeof view->dataset)) != 0 ||
        (status = json_read_text(root, "created_at", view->created_at, sizeof view->created_at)) !=
            0)
        return status;
    view->model_json = selected_text(root->value, model, sizeof model / sizeof *model);
    return view->model_json != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(root->error, 0);
}

/*
 * The functions of one kind of resource: read one, read a list, free a list. C has no generics;
 * written out three times these thirty lines would differ in nothing but the names.
 */
#define RESOURCE_READERS(kind, key)                                                                \
    enum rejectd_status kind##_view_from_json(                                                     \
        const char *text, size_t length, struct kind##_view *view, struct rejectd_error *error)    \
    {                                                                                              \
        *view = (struct kind##_view){0};                                                           \
        json_t *value;                                                                             \
        enum rejectd_status status = json_parse(text, length, JSON_FROM_SERVER, &value, error);    \
        if (status != REJECTD_OK)                                                                  \
            return status;                                                                         \
        struct json_object root = {.value = value, .path = "", .error = error};                    \
        status = read_##kind(&root, view);                                                         \
        json_decref(value);                                                                        \
        if (status != REJECTD_OK)                                                                  \
            kind##_view_clear(view);                                                               \
        return status;                                                                             \
    }                                                                                              \
                                                                                                   \
    void kind##_list_free(struct kind##_view *views, size_t n_views)                               \
    {                                                                                              \
        for (size_t i = 0; i < n_views; i++)                                                       \
            kind##_view_clear(&views[i]);                                                          \
        free(views);                                                                               \
    }                                                                                              \
                                                                                                   \
    enum rejectd_status kind##_list_from_json(const char *text, size_t length,                     \
                                              struct kind##_view **views, size_t *n_views,         \
                                              struct rejectd_error *error)                         \
    {                                                                                              \
        *views = NULL;                                                                             \
        *n_views = 0;                                                                              \
        json_t *value, *array;                                                                     \
        enum rejectd_status status = json_parse(text, length, JSON_FROM_SERVER, &value, error);    \
        if (status != REJECTD_OK)                                                                  \
            return status;                                                                         \
        struct json_object root = {.value = value, .path = "", .error = error};                    \
        if ((status = json_require(&root, key)) != 0 ||                                            \
            (status = json_read_array(&root, key, 0, RESOURCE_MAX_LIST, &array)) != 0)             \
            goto cleanup;                                                                          \
        size_t n = json_array_size(array);                                                         \
        *views = calloc(n + 1, sizeof **views);                                                    \
        if (*views == NULL) {                                                                      \
            status = REJECTD_FAIL_MEMORY(error, n * sizeof **views);                               \
            goto cleanup;                                                                          \
        }                                                                                          \
        for (*n_views = n; n > 0 && status == REJECTD_OK; n--) {                                   \
            struct json_object entry;                                                              \
            status = json_object_open(json_array_get(array, n - 1), key, &entry, error);           \
            if (status == REJECTD_OK)                                                              \
                status = read_##kind(&entry, &(*views)[n - 1]);                                    \
        }                                                                                          \
        if (status != REJECTD_OK) {                                                                \
            kind##_list_free(*views, *n_views);                                                    \
            *views = NULL;                                                                         \
            *n_views = 0;                                                                          \
        }                                                                                          \
    cleanup:                                                                                       \
        json_decref(value);                                                                        \
        return status;                                                                             \
    }

RESOURCE_READERS(dataset, "datasets")
RESOURCE_READERS(job, "jobs")
RESOURCE_READERS(model, "models")
