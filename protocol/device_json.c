#include "protocol/device_json.h"

#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "protocol/json_text.h"

static const size_t max_text = (size_t)1 << 26;

static const struct {
    const char *name;
    bool usable;
} states[DEVICE_STATE_COUNT] = {
#define DEVICE_STATE_ROW(symbol, name, usable) {name, usable},
    DEVICE_STATE_LIST(DEVICE_STATE_ROW)
#undef DEVICE_STATE_ROW
};

const char *device_state_name(enum device_state state)
{
    return states[state].name;
}

bool device_state_is_usable(enum device_state state)
{
    return states[state].usable;
}

bool device_kind_is_gpu(const char *kind)
{
    return strcmp(kind, "cpu") != 0;
}

static void append_field(struct buffer *text, const char *key, const char *value)
{
    buffer_append_format(text, ",\"%s\":", key);
    json_append_string_or_null(text, value);
}

static void append_resident(struct buffer *text, const struct resident_view *resident)
{
    buffer_append_text(text, "{\"sha256\":");
    json_append_string(text, resident->sha256);
    buffer_append_text(text, ",\"datasets\":[");
    for (size_t i = 0; i < resident->n_datasets; i++) {
        buffer_append_text(text, i > 0 ? "," : "");
        json_append_string(text, resident->datasets[i]);
    }
    buffer_append_format(text, "],\"bytes\":%" PRIu64 ",\"table_bytes\":%" PRIu64 ",\"in_use\":%s}",
                         resident->bytes, resident->table_bytes,
                         resident->in_use ? "true" : "false");
}

static void append_device(struct buffer *text, const struct device_view *view)
{
    buffer_append_text(text, "{\"id\":");
    json_append_string(text, view->id);
    append_field(text, "name", view->name);
    append_field(text, "kind", view->kind);
    append_field(text, "state", states[view->state].name);
    append_field(text, "reason", view->reason);
    if (view->memory_total > 0)
        buffer_append_format(
            text, ",\"memory\":{\"total\":%" PRIu64 ",\"budget\":%" PRIu64 ",\"free\":%" PRIu64 "}",
            view->memory_total, view->memory_budget, view->memory_free);
    else
        buffer_append_text(text, ",\"memory\":null");
    append_field(text, "job", view->job);
    buffer_append_format(text,
                         ",\"jobs_done\":%" PRIu64 ",\"restarts\":%" PRIu64 ",\"residents\":[",
                         view->jobs_done, view->restarts);
    for (size_t i = 0; i < view->n_residents; i++) {
        buffer_append_text(text, i > 0 ? "," : "");
        append_resident(text, &view->residents[i]);
    }
    buffer_append_text(text, "]");
    if (view->hides_held)
        buffer_append_text(text, ",\"residents_total\":null}");
    else
        buffer_append_format(
            text, ",\"residents_total\":{\"datasets\":%" PRIu64 ",\"bytes\":%" PRIu64 "}}",
            (uint64_t)view->n_held, view->held_bytes);
}

char *device_list_to_json(const struct device_view *views, size_t n_views, const char *cuda_note)
{
    struct buffer text;
    buffer_init(&text, max_text);
    buffer_append_text(&text, "{\"devices\":[");
    for (size_t i = 0; i < n_views; i++) {
        buffer_append_text(&text, i > 0 ? "," : "");
        append_device(&text, &views[i]);
    }
    buffer_append_text(&text, "]");
    append_field(&text, "cuda", cuda_note);
    buffer_append_text(&text, "}");
    return buffer_take(&text, NULL);
}

char *readiness_to_json(const struct device_view *views, size_t n_views, const char *status)
{
    struct buffer text;
    buffer_init(&text, max_text);
    buffer_append_format(&text, "{\"status\":\"%s\",\"devices\":{", status);
    for (size_t i = 0; i < n_views; i++) {
        buffer_append_text(&text, i > 0 ? "," : "");
        json_append_string(&text, views[i].id);
        buffer_append_format(&text, ":\"%s\"", states[views[i].state].name);
    }
    buffer_append_text(&text, "}}");
    return buffer_take(&text, NULL);
}
