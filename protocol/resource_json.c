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
#include "protocol/names.h"
#include "protocol/problem.h"

static const size_t max_text = (size_t)1 << 32;

static void append_string_field(struct buffer *text, const char *key, const char *value)
{
    buffer_append_format(text, ",\"%s\":", key);
    json_append_string_or_null(text, value);
}

static void append_ownership(struct buffer *text, const struct ownership *ownership)
{
    append_string_field(text, "owner", ownership->owner);
    append_string_field(text, "visibility", visibility_names[ownership->visibility]);
}

/* Appends the members of a JSON object that is known to be well-formed, as far as `end` when that
 * is not NULL, and the closing brace. */
static void splice_object(struct buffer *text, const char *object, const char *end)
{
    const char *members = strchr(object, '{');
    if (end == NULL)
        end = strrchr(object, '}');
    if (members == NULL || end == NULL || end <= members) {
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

/*
 * A summary ends before the channels, which dataset_to_json() writes behind all that is short.
 * The search can't be misled by a name: quotes within strings are escaped.
 */
static void append_dataset(struct buffer *text, const struct dataset_view *view, bool summary)
{
    const char *description = view->description_json != NULL ? view->description_json : "{}";
    buffer_append_text(text, "{\"id\":");
    json_append_string(text, view->id);
    append_ownership(text, &view->ownership);
    append_string_field(text, "state", dataset_state_names[view->state]);
    append_string_field(text, "sha256", view->sha256);
    append_string_field(text, "created_at", view->created_at);
    append_string_field(text, "expires_at", view->expires_at);
    buffer_append_format(text, ",\"bytes\":%" PRIu64, view->bytes);
    append_string_field(text, "next_part", view->next_part);
    splice_object(text, description, summary ? strstr(description, ",\"channels\":") : NULL);
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

static void append_progress(struct buffer *text, const char *stage, double fraction,
                            double seconds_left)
{
    buffer_append_text(text, "{\"stage\":");
    json_append_string_or_null(text, stage);
    buffer_append_text(text, ",\"fraction\":");
    json_append_double(text, fraction);
    if (seconds_left > 0.0)
        buffer_append_format(text, ",\"seconds_left\":%.1f}", seconds_left);
    else
        buffer_append_text(text, ",\"seconds_left\":null}");
}

static void append_job(struct buffer *text, const struct job_view *view, bool summary)
{
    buffer_append_text(text, "{\"id\":");
    json_append_string(text, view->id);
    append_ownership(text, &view->ownership);
    append_string_field(text, "type", job_type_names[view->type]);
    append_string_field(text, "dataset", view->dataset);
    append_string_field(text, "model", view->model);
    append_string_field(text, "device", view->device);
    buffer_append_format(text, ",\"priority\":%d", view->priority);
    if (!summary) {
        buffer_append_text(text, ",\"parameters\":");
        buffer_append_text(text, view->parameters_json != NULL ? view->parameters_json : "{}");
    }
    append_string_field(text, "state", job_state_names[view->state]);
    if (view->position >= 0)
        buffer_append_format(text, ",\"position\":%ld", view->position);
    else
        buffer_append_text(text, ",\"position\":null");
    append_string_field(text, "estimated_start", view->estimated_start);
    buffer_append_text(text, ",\"progress\":");
    append_progress(text, view->stage, view->fraction, view->seconds_left);
    buffer_append_format(text, ",\"attempt\":%d", view->attempt);
    append_string_field(text, "created_at", view->created_at);
    append_string_field(text, "started_at", view->started_at);
    append_string_field(text, "finished_at", view->finished_at);
    append_job_error(text, &view->error);
    append_string_field(text, "request_id", view->request_id);
    append_string_field(text, "answered_from", view->answered_from);
    append_string_field(text, "result_removed_at", view->result_removed_at);
    append_string_field(text, "expires_at", view->expires_at);
    if (view->state == JOB_STATE_SUCCEEDED && view->result_removed_at[0] == '\0')
        buffer_append_format(text, ",\"result\":\"/v1/jobs/%s/result\"}", view->id);
    else
        buffer_append_text(text, ",\"result\":null}");
}

static void append_model(struct buffer *text, const struct model_view *view)
{
    buffer_append_text(text, "{\"id\":");
    json_append_string(text, view->id);
    append_ownership(text, &view->ownership);
    append_string_field(text, "job", view->job);
    append_string_field(text, "dataset", view->dataset);
    append_string_field(text, "created_at", view->created_at);
    splice_object(text, view->model_json != NULL ? view->model_json : "{}", NULL);
}

char *dataset_view_to_json(const struct dataset_view *view)
{
    struct buffer text;
    buffer_init(&text, max_text);
    append_dataset(&text, view, false);
    return buffer_take(&text, NULL);
}

char *job_progress_to_json(const char *stage, double fraction, double seconds_left)
{
    struct buffer text;
    buffer_init(&text, max_text);
    append_progress(&text, stage, fraction, seconds_left);
    return buffer_take(&text, NULL);
}

char *job_view_to_json(const struct job_view *view)
{
    struct buffer text;
    buffer_init(&text, max_text);
    append_job(&text, view, false);
    return buffer_take(&text, NULL);
}

char *job_summary_to_json(const struct job_view *view)
{
    struct buffer text;
    buffer_init(&text, max_text);
    append_job(&text, view, true);
    return buffer_take(&text, NULL);
}

char *job_change_to_json(const struct job_view *view)
{
    struct buffer text;
    buffer_init(&text, max_text);
    buffer_append_text(&text, "{\"id\":");
    json_append_string(&text, view->id);
    if (view->position >= 0) {
        buffer_append_format(&text, ",\"position\":%ld}", view->position);
    } else {
        buffer_append_text(&text, ",\"progress\":");
        append_progress(&text, view->stage, view->fraction, view->seconds_left);
        buffer_append_text(&text, "}");
    }
    return buffer_take(&text, NULL);
}

char *queue_to_json(const struct queue_view *view)
{
    struct buffer text;
    buffer_init(&text, max_text);
    buffer_append_format(&text, "{\"queued\":%zu,\"running\":%zu", view->n_queued, view->n_running);
    for (size_t i = 0; i < view->n_jobs; i++) {
        buffer_append_text(&text, i > 0 ? "," : ",\"jobs\":[");
        append_job(&text, &view->jobs[i], true);
    }
    if (view->jobs != NULL && view->n_jobs == 0)
        buffer_append_text(&text, ",\"jobs\":[");
    buffer_append_text(&text, view->jobs != NULL ? "]}" : "}");
    return buffer_take(&text, NULL);
}

char *model_view_to_json(const struct model_view *view)
{
    struct buffer text;
    buffer_init(&text, max_text);
    append_model(&text, view);
    return buffer_take(&text, NULL);
}

static void begin_list(struct buffer *text, const char *key)
{
    buffer_init(text, max_text);
    buffer_append_format(text, "{\"%s\":[", key);
}

static char *end_list(struct buffer *text)
{
    buffer_append_text(text, "]}");
    return buffer_take(text, NULL);
}

char *dataset_list_to_json(const struct dataset_view *views, size_t n_views)
{
    struct buffer text;
    begin_list(&text, "datasets");
    for (size_t i = 0; i < n_views; i++) {
        buffer_append_text(&text, i > 0 ? "," : "");
        append_dataset(&text, &views[i], true);
    }
    return end_list(&text);
}

char *job_list_to_json(const struct job_view *views, size_t n_views)
{
    struct buffer text;
    begin_list(&text, "jobs");
    for (size_t i = 0; i < n_views; i++) {
        buffer_append_text(&text, i > 0 ? "," : "");
        append_job(&text, &views[i], false);
    }
    return end_list(&text);
}

char *model_list_to_json(const struct model_view *views, size_t n_views)
{
    struct buffer text;
    begin_list(&text, "models");
    for (size_t i = 0; i < n_views; i++) {
        buffer_append_text(&text, i > 0 ? "," : "");
        append_model(&text, &views[i]);
    }
    return end_list(&text);
}
