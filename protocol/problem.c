#include "protocol/problem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "protocol/json_reader.h"
#include "protocol/json_text.h"

static const char type_prefix[] = "/problems/";

char *problem_to_json(const struct rejectd_error *error)
{
    return problem_to_json_of(error, "", NULL);
}

char *problem_to_json_of(const struct rejectd_error *error, const char *request_id,
                         const uint64_t *offset)
{
    struct buffer text;
    buffer_init(&text, 1 << 16);
    buffer_append_text(&text, "{\"type\":\"");
    buffer_append_text(&text, type_prefix);
    buffer_append_text(&text, rejectd_status_name(error->status));
    buffer_append_text(&text, "\",\"title\":");
    json_append_string(&text, rejectd_status_title(error->status));
    buffer_append_format(&text, ",\"status\":%d,\"detail\":", rejectd_status_http(error->status));
    json_append_string(&text, error->message);
    if (error->field[0] != 0) {
        buffer_append_text(&text, ",\"field\":");
        json_append_string(&text, error->field);
    }
    if (offset != NULL)
        buffer_append_format(&text, ",\"offset\":%llu", (unsigned long long)*offset);
    if (request_id[0] != 0) {
        buffer_append_text(&text, ",\"request_id\":");
        json_append_string(&text, request_id);
    }
    buffer_append_text(&text, "}");
    return buffer_take(&text, NULL);
}

/* The status of a problem type; false when this version doesn't know it. */
static bool status_from_type(const char *type, enum rejectd_status *status)
{
    size_t prefix = sizeof type_prefix - 1;
    if (strncmp(type, type_prefix, prefix) != 0)
        return false;
    for (int i = 1; i < REJECTD_STATUS_COUNT; i++)
        if (strcmp(type + prefix, rejectd_status_name((enum rejectd_status)i)) == 0) {
            *status = (enum rejectd_status)i;
            return true;
        }
    return false;
}

static enum rejectd_status status_from_http(int http)
{
    for (int i = 1; i < REJECTD_STATUS_COUNT; i++)
        if (rejectd_status_http((enum rejectd_status)i) == http)
            return (enum rejectd_status)i;
    return http >= 400 && http < 500 ? REJECTD_INVALID_REQUEST : REJECTD_IO;
}

/* The beginning of an answer that is no problem detail, made fit for one line on a terminal. */
static void error_from_text(const char *text, size_t length, int http, struct rejectd_error *error)
{
    char excerpt[161];
    size_t n = length < sizeof excerpt - 1 ? length : sizeof excerpt - 1;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        excerpt[i] = c < 0x20 || c >= 0x7f ? ' ' : text[i];
    }
    excerpt[n] = 0;
    rejectd_error_set(error, status_from_http(http), __FILE__, __LINE__, "", "HTTP status %d%s%s",
                      http, n > 0 ? ": " : "", excerpt);
}

void problem_from_value(json_t *problem, int http, struct rejectd_error *error)
{
    const char *type = json_string_value(json_object_get(problem, "type"));
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *field = json_string_value(json_object_get(problem, "field"));
    enum rejectd_status status;
    if (type == NULL || !status_from_type(type, &status))
        status = status_from_http(http);
    rejectd_error_set(error, status, __FILE__, __LINE__, field != NULL ? field : "", "%s",
                      detail != NULL ? detail : rejectd_status_title(status));
}

void problem_from_json(const char *text, size_t length, int http, struct rejectd_error *error)
{
    json_t *root = NULL;
    (void)json_parse(text, length, JSON_FROM_SERVER, &root, NULL);
    if (json_is_string(json_object_get(root, "detail")))
        problem_from_value(root, http, error);
    else
        error_from_text(text, length, http, error);
    json_decref(root);
}
