/*
 * Resources as text, for the server.
 *
 * A dataset's description, a job's parameters and a model are kept by the store as canonical JSON
 * objects; they are spliced into the envelope as they are, not parsed again for each request.
 */
#include "protocol/resource_json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "protocol/json_text.h"
#include "protocol/problem.h"

static const size_t max_text = (size_t)1 << 32;

static const char *const dataset_states[DATASET_STATE_COUNT] = {
#define NAME(symbol, name) [DATASET_##symbol] = name,
    DATASET_STATE_LIST(NAME)
#undef NAME
};

static const struct {
    const char *name;
    bool final;
} job_states[JOB_STATE_COUNT] = {
#define STATE(symbol, name, final) [JOB_STATE_##symbol] = {name, final},
    JOB_STATE_LIST(STATE)
#undef STATE
};

static const char *const job_types[JOB_TYPE_COUNT] = {
#define NAME(symbol, name) [JOB_##symbol] = name,
    JOB_TYPE_LIST(NAME)
#undef NAME
};

const char *dataset_state_name(enum dataset_state state)
{
    return dataset_states[state];
}

const char *job_state_name(enum job_state state)
{
    return job_states[state].name;
}

const char *job_type_name(enum job_type type)
{
    return job_types[type];
}

bool job_state_is_final(enum job_state state)
{
    return job_states[state].final;
}

bool dataset_state_from_name(const char *name, enum dataset_state *state)
{
    for (int i = 0; i < DATASET_STATE_COUNT; i++)
        if (strcmp(name, dataset_states[i]) == 0) {
            *state = (enum dataset_state)i;
            return true;
        }
    return false;
}

bool job_state_from_name(const char *name, enum job_state *state)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        if (strcmp(name, job_states[i].name) == 0) {
            *state = (enum job_state)i;
            return true;
        }
    return false;
}

bool job_type_from_name(const char *name, enum job_type *type)
{
    for (int i = 0; i < JOB_TYPE_COUNT; i++)
        if (strcmp(name, job_types[i]) == 0) {
            *type = (enum job_type)i;
            return true;
        }
    return false;
}

static void append_string_field(struct buffer *text, const char *key, const char *value)
{
    buffer_append_format(text, ",\"%s\":", key);
    json_append_string_or_null(text, value);
}

/* Appends the members of a JSON object that is known to be well-formed, and the closing brace. */
static void splice_object(struct buffer *text, const char *object)
{
    const char *members = strchr(object, '{');
    const char *end = strrchr(object, '}');
    if (members == NULL || end == NULL) {
        text->failed = true;
        return;
    }
    members++;
    if (strspn(members, " \t\r\n") < (size_t)(end - members)) {
        buffer_append(text, ",", 1);
        buffer_append(text, members, (size_t)(end - members));
    }
    buffer_append(text, "}", 1);
}

static void append_dataset(struct buffer *text, const struct dataset_view *view)
{
    buffer_append_text(text, "{\"id\":");
    json_append_string(text, view->id);
    append_string_field(text, "state", dataset_states[view->state]);
    append_string_field(text, "sha256", view->sha256);
    append_string_field(text, "created_at", view->created_at);
    buffer_append_format(text, ",\"bytes\":%" PRIu64, view->bytes);
    splice_object(text, view->description_json != NULL ? view->description_json : "{}");
}

static void append_job_error(struct buffer *text, const struct rejectd_error *error)
{
    buffer_append_text(text, ",\"error\":");
    if (error->status == REJECTD_OK) {
        buffer_append_text(text, "null");
        return;
    }
    char *problem = problem_to_json(error);
    if (problem == NULL)
        text->failed = true;
    else
        buffer_append_text(text, problem);
    free(problem);
}

static void append_job(struct buffer *text, const struct job_view *view)
{
    buffer_append_text(text, "{\"id\":");
    json_append_string(text, view->id);
    append_string_field(text, "type", job_types[view->type]);
    append_string_field(text, "dataset", view->dataset);
    append_string_field(text, "model", view->model);
    append_string_field(text, "device", view->device);
    buffer_append_format(text, ",\"priority\":%d,\"parameters\":", view->priority);
    buffer_append_text(text, view->parameters_json != NULL ? view->parameters_json : "{}");
    append_string_field(text, "state", job_states[view->state].name);
    if (view->position >= 0)
        buffer_append_format(text, ",\"position\":%ld", view->position);
    else
        buffer_append_text(text, ",\"position\":null");
    buffer_append_text(text, ",\"progress\":{\"stage\":");
    json_append_string_or_null(text, view->stage);
    buffer_append_text(text, ",\"fraction\":");
    json_append_double(text, view->fraction);
    buffer_append_format(text, "},\"attempt\":%d", view->attempt);
    append_string_field(text, "created_at", view->created_at);
    append_string_field(text, "started_at", view->started_at);
    append_string_field(text, "finished_at", view->finished_at);
    append_job_error(text, &view->error);
    if (view->state == JOB_STATE_SUCCEEDED)
        buffer_append_format(text, ",\"result\":\"/v1/jobs/%s/result\"}", view->id);
    else
        buffer_append_text(text, ",\"result\":null}");
}

static void append_model(struct buffer *text, const struct model_view *view)
{
    buffer_append_text(text, "{\"id\":");
    json_append_string(text, view->id);
    append_string_field(text, "job", view->job);
    append_string_field(text, "dataset", view->dataset);
    append_string_field(text, "created_at", view->created_at);
    splice_object(text, view->model_json != NULL ? view->model_json : "{}");
}

char *dataset_view_to_json(const struct dataset_view *view)
{
    struct buffer text;
    buffer_init(&text, max_text);
    append_dataset(&text, view);
    return buffer_take(&text, NULL);
}

char *job_view_to_json(const struct job_view *view)
{
    struct buffer text;
    buffer_init(&text, max_text);
    append_job(&text, view);
    return buffer_take(&text, NULL);
}

char *model_view_to_json(const struct model_view *view)
{
    struct buffer text;
    buffer_init(&text, max_text);
    append_model(&text, view);
    return buffer_take(&text, NULL);
}

/* {"<key>":[...]} of n views; the three kinds differ in nothing else. */
#define LIST_TO_JSON(key, append, views, n_views)                                                  \
    do {                                                                                           \
        struct buffer text;                                                                        \
        buffer_init(&text, max_text);                                                              \
        buffer_append_text(&text, "{\"" key "\":[");                                               \
        for (size_t i = 0; i < (n_views); i++) {                                                   \
            if (i > 0)                                                                             \
                buffer_append(&text, ",", 1);                                                      \
            append(&text, &(views)[i]);                                                            \
        }                                                                                          \
        buffer_append_text(&text, "]}");                                                           \
        return buffer_take(&text, NULL);                                                           \
    } while (0)

char *dataset_list_to_json(const struct dataset_view *views, size_t n_views)
{
    LIST_TO_JSON("datasets", append_dataset, views, n_views);
}

char *job_list_to_json(const struct job_view *views, size_t n_views)
{
    LIST_TO_JSON("jobs", append_job, views, n_views);
}

char *model_list_to_json(const struct model_view *views, size_t n_views)
{
    LIST_TO_JSON("models", append_model, views, n_views);
}
