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
#include "protocol/names.h"
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

static enum rejectd_status read_ownership(const struct json_object *root,
                                          struct ownership *ownership)
{
    int visibility = VISIBILITY_PRIVATE;
    enum rejectd_status status =
        json_read_text(root, "owner", ownership->owner, sizeof ownership->owner);
    if (status == REJECTD_OK)
        status =
            json_read_name(root, "visibility", visibility_names, VISIBILITY_COUNT, &visibility);
    ownership->visibility = (enum visibility)visibility;
    return status;
}

static enum rejectd_status read_change(const struct json_object *root,
                                       struct ownership_change *change)
{
    enum rejectd_status status = JSON_CHECK_FIELDS(root, "owner", "visibility");
    if (status == REJECTD_OK)
        status = read_ownership(root, &change->to);
    change->has_owner = json_field(root, "owner") != NULL;
    change->has_visibility = json_field(root, "visibility") != NULL;
    if (status == REJECTD_OK && change->has_owner && !user_name_is_valid(change->to.owner))
        status = json_fail(root, "owner", "is no name of a user; accepted: " USER_NAME_ACCEPTED);
    if (status == REJECTD_OK && !change->has_owner && !change->has_visibility)
        status = json_fail(root, "visibility", "is missing; there is nothing to change");
    return status;
}

enum rejectd_status ownership_change_from_json(const char *text, size_t length,
                                               struct ownership_change *change,
                                               struct rejectd_error *error)
{
    json_t *value;
    *change = (struct ownership_change){0};
    enum rejectd_status status = json_parse(text, length, JSON_FROM_CLIENT, &value, error);
    if (status != REJECTD_OK)
        return status;
    const struct json_object root = {.value = value, .path = "", .error = error};
    status = read_change(&root, change);
    json_decref(value);
    return status;
}

bool user_name_is_valid(const char *name)
{
    const size_t length = strlen(name);
    return length > 0 && length < RESOURCE_USER_SIZE &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._@-") == length;
}

static enum rejectd_status read_dataset(const struct json_object *root, void *out)
{
    struct dataset_view *view = out;
    static const char *const description[] = {
        "name",  "sfreq",    "tmin",           "n_epochs",   "n_channels", "n_times",
        "dtype", "channels", "device_to_head", "projectors", "events",     "event_id",
    };
    int state = 0;
    int64_t bytes = 0;
    enum rejectd_status status;
    if ((status = json_require(root, "id")) != 0 || (status = json_require(root, "state")) != 0 ||
        (status = json_read_text(root, "id", view->id, sizeof view->id)) != 0 ||
        (status = read_ownership(root, &view->ownership)) != 0 ||
        (status = json_read_name(root, "state", dataset_state_names, DATASET_STATE_COUNT,
                                 &state)) != 0 ||
        (status = json_read_text(root, "sha256", view->sha256, sizeof view->sha256)) != 0 ||
        (status = json_read_text(root, "created_at", view->created_at, sizeof view->created_at)) !=
            0 ||
        (status = json_read_integer(root, "bytes", 0, INT64_MAX, &bytes)) != 0 ||
        (status = json_read_text(root, "expires_at", view->expires_at, sizeof view->expires_at)) !=
            0 ||
        (status = json_read_text(root, "next_part", view->next_part, sizeof view->next_part)) != 0)
        return status;
    view->state = (enum dataset_state)state;
    view->bytes = (uint64_t)bytes;
    view->description_json =
        selected_text(root->value, description, sizeof description / sizeof *description);
    return view->description_json != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(root->error, 0);
}

static enum rejectd_status read_job_names(const struct json_object *root, struct job_view *view)
{
    int type = 0, state = 0;
    enum rejectd_status status;
    if ((status = json_require(root, "id")) != 0 || (status = json_require(root, "type")) != 0 ||
        (status = json_require(root, "state")) != 0 ||
        (status = json_read_text(root, "id", view->id, sizeof view->id)) != 0 ||
        (status = read_ownership(root, &view->ownership)) != 0 ||
        (status = json_read_name(root, "type", job_type_names, JOB_TYPE_COUNT, &type)) != 0 ||
        (status = json_read_name(root, "state", job_state_names, JOB_STATE_COUNT, &state)) != 0 ||
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
        (status = json_read_integer(root, "attempt", 0, INT32_MAX, &attempt)) != 0 ||
        (status = json_read_text(root, "estimated_start", view->estimated_start,
                                 sizeof view->estimated_start)) != 0)
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
    if ((status = json_read_number(&progress, "fraction", 0, 1, &view->fraction)) != 0)
        return status;
    return json_read_number(&progress, "seconds_left", 0, 1e12, &view->seconds_left);
}

static enum rejectd_status read_job(const struct json_object *root, void *out)
{
    struct job_view *view = out;
    enum rejectd_status status;
    if ((status = read_job_names(root, view)) != 0 ||
        (status = read_job_progress(root, view)) != 0 ||
        (status = json_read_text(root, "created_at", view->created_at, sizeof view->created_at)) !=
            0 ||
        (status = json_read_text(root, "started_at", view->started_at, sizeof view->started_at)) !=
            0 ||
        (status = json_read_text(root, "finished_at", view->finished_at,
                                 sizeof view->finished_at)) != 0 ||
        (status = json_read_text(root, "answered_from", view->answered_from,
                                 sizeof view->answered_from)) != 0 ||
        (status = json_read_text(root, "result_removed_at", view->result_removed_at,
                                 sizeof view->result_removed_at)) != 0 ||
        (status = json_read_text(root, "expires_at", view->expires_at, sizeof view->expires_at)) !=
            0 ||
        (status = json_read_text(root, "request_id", view->request_id, sizeof view->request_id)) !=
            0)
        return status;
    json_t *problem = json_field(root, "error");
    if (json_is_object(problem))
        problem_from_value(problem, (int)json_integer_value(json_object_get(problem, "status")),
                           &view->error);
    json_t *parameters = json_field(root, "parameters");
    view->parameters_json = parameters != NULL ? json_to_text(parameters) : strdup("{}");
    return view->parameters_json != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(root->error, 0);
}

static enum rejectd_status read_model(const struct json_object *root, void *out)
{
    struct model_view *view = out;
    static const char *const model[] = {"channels", "types"};
    enum rejectd_status status;
    if ((status = json_require(root, "id")) != 0 ||
        (status = json_read_text(root, "id", view->id, sizeof view->id)) != 0 ||
        (status = read_ownership(root, &view->ownership)) != 0 ||
        (status = json_read_text(root, "job", view->job, sizeof view->job)) != 0 ||
        (status = json_read_text(root, "dataset", view->dataset, sizeof view->dataset)) != 0 ||
        (status = json_read_text(root, "created_at", view->created_at, sizeof view->created_at)) !=
            0)
        return status;
    view->model_json = selected_text(root->value, model, sizeof model / sizeof *model);
    return view->model_json != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(root->error, 0);
}

/* ---- one resource, and lists of them, of any kind ---- */

struct kind {
    const char *list; /* the key of a list of them */
    size_t size;      /* of a view */
    enum rejectd_status (*read)(const struct json_object *root, void *view);
    void (*clear)(void *view);
};

static void clear_dataset(void *view)
{
    dataset_view_clear(view);
}

static void clear_job(void *view)
{
    job_view_clear(view);
}

static void clear_model(void *view)
{
    model_view_clear(view);
}

static const struct kind datasets = {"datasets", sizeof(struct dataset_view), read_dataset,
                                     clear_dataset};
static const struct kind jobs = {"jobs", sizeof(struct job_view), read_job, clear_job};
static const struct kind models = {"models", sizeof(struct model_view), read_model, clear_model};

static enum rejectd_status view_from_json(const struct kind *kind, const char *text, size_t length,
                                          void *view, struct rejectd_error *error)
{
    memset(view, 0, kind->size);
    json_t *value;
    enum rejectd_status status = json_parse(text, length, JSON_FROM_SERVER, &value, error);
    if (status != REJECTD_OK)
        return status;
    struct json_object root = {.value = value, .path = "", .error = error};
    status = kind->read(&root, view);
    json_decref(value);
    if (status != REJECTD_OK)
        kind->clear(view);
    return status;
}

static void list_free(const struct kind *kind, void *views, size_t n_views)
{
    for (size_t i = 0; i < n_views; i++)
        kind->clear((char *)views + i * kind->size);
    free(views);
}

static enum rejectd_status read_list(const struct kind *kind, const struct json_object *root,
                                     void **views, size_t *n_views)
{
    json_t *array;
    enum rejectd_status status;
    if ((status = json_require(root, kind->list)) != 0 ||
        (status = json_read_array(root, kind->list, 0, RESOURCE_MAX_LIST, &array)) != 0)
        return status;
    size_t n = json_array_size(array);
    *views = calloc(n + 1, kind->size);
    if (*views == NULL)
        return REJECTD_FAIL_MEMORY(root->error, n * kind->size);
    *n_views = n;
    for (size_t i = 0; i < n && status == REJECTD_OK; i++) {
        struct json_object entry;
        status = json_object_open(json_array_get(array, i), kind->list, &entry, root->error);
        if (status == REJECTD_OK)
            status = kind->read(&entry, (char *)*views + i * kind->size);
    }
    return status;
}

/* The list, or NULL with *n_views 0 on failure. */
static void *list_from_json(const struct kind *kind, const char *text, size_t length,
                            size_t *n_views, enum rejectd_status *status,
                            struct rejectd_error *error)
{
    void *views = NULL;
    json_t *value;
    *n_views = 0;
    *status = json_parse(text, length, JSON_FROM_SERVER, &value, error);
    if (*status != REJECTD_OK)
        return NULL;
    struct json_object root = {.value = value, .path = "", .error = error};
    *status = read_list(kind, &root, &views, n_views);
    json_decref(value);
    if (*status == REJECTD_OK)
        return views;
    list_free(kind, views, *n_views);
    *n_views = 0;
    return NULL;
}

enum rejectd_status dataset_view_from_json(const char *text, size_t length,
                                           struct dataset_view *view, struct rejectd_error *error)
{
    return view_from_json(&datasets, text, length, view, error);
}

enum rejectd_status dataset_list_from_json(const char *text, size_t length,
                                           struct dataset_view **views, size_t *n_views,
                                           struct rejectd_error *error)
{
    enum rejectd_status status;
    *views = list_from_json(&datasets, text, length, n_views, &status, error);
    return status;
}

void dataset_list_free(struct dataset_view *views, size_t n_views)
{
    list_free(&datasets, views, n_views);
}

enum rejectd_status job_view_from_json(const char *text, size_t length, struct job_view *view,
                                       struct rejectd_error *error)
{
    return view_from_json(&jobs, text, length, view, error);
}

enum rejectd_status job_list_from_json(const char *text, size_t length, struct job_view **views,
                                       size_t *n_views, struct rejectd_error *error)
{
    enum rejectd_status status;
    *views = list_from_json(&jobs, text, length, n_views, &status, error);
    return status;
}

void job_list_free(struct job_view *views, size_t n_views)
{
    list_free(&jobs, views, n_views);
}

enum rejectd_status model_view_from_json(const char *text, size_t length, struct model_view *view,
                                         struct rejectd_error *error)
{
    return view_from_json(&models, text, length, view, error);
}

enum rejectd_status model_list_from_json(const char *text, size_t length, struct model_view **views,
                                         size_t *n_views, struct rejectd_error *error)
{
    enum rejectd_status status;
    *views = list_from_json(&models, text, length, n_views, &status, error);
    return status;
}

void model_list_free(struct model_view *views, size_t n_views)
{
    list_free(&models, views, n_views);
}
