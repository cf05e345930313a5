/* Events, selection, drop log, metadata and the next part of a FIF file. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "protocol/fif_info.h"
#include "protocol/json_reader.h"
#include "protocol/utf8.h"

enum { MAX_EVENT_NAMES = 10000, MAX_EVENT_NAME = 255, ROLE_NEXT_FILE = 2 };

/* The drop log is about all original epochs, of which these may be few. */
enum { MAX_ORIGINAL_EPOCHS = 4000000 };

void fif_epochs_clear(struct fif_epochs *epochs)
{
    free(epochs->log);
    free(epochs->metadata);
    *epochs = (struct fif_epochs){0};
}

size_t fif_epochs_selected(const struct fif_epochs *epochs, size_t epoch)
{
    return epochs->selection != NULL ? fif_get_u32(epochs->selection + 4 * epoch) : epoch;
}

/* ---- reading ---- */

static enum rejectd_status check_count(size_t count, size_t n_epochs, const char *what,
                                       const char *field, struct rejectd_error *error)
{
    if (count == n_epochs)
        return REJECTD_OK;
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                        "the FIF file has %zu epochs (tag 302) but %zu %s", n_epochs, count, what);
}

static enum rejectd_status read_events(const struct fif_tag *tag, struct fif_epochs *epochs,
                                       struct rejectd_error *error)
{
    enum rejectd_status status = fif_tag_check(tag, FIF_INT, 12, 0, error);
    if (status != REJECTD_OK)
        return status;
    epochs->events = tag->data;
    return check_count(tag->size / 12, epochs->n_epochs, "events (tag 3561)", "events", error);
}

static enum rejectd_status read_selection(const struct fif_tag *tag, struct fif_epochs *epochs,
                                          struct rejectd_error *error)
{
    enum rejectd_status status = fif_tag_check(tag, FIF_INT, 4, 0, error);
    if (status != REJECTD_OK)
        return status;
    epochs->selection = tag->data;
    return check_count(tag->size / 4, epochs->n_epochs, "selected ones (tag 3800)", "", error);
}

static enum rejectd_status read_log(const struct fif_tag *tag, struct fif_epochs *epochs,
                                    struct rejectd_error *error)
{
    enum rejectd_status status = fif_tag_check(tag, FIF_STRING, 1, 0, error);
    if (status != REJECTD_OK || epochs->has_log)
        return status;
    epochs->has_log = true;
    return fif_json_split((const char *)tag->data, tag->size, MAX_ORIGINAL_EPOCHS,
                          "drop log (tag 3801)", &epochs->log, &epochs->n_log, error);
}

static enum rejectd_status read_metadata(const struct fif_tag *tag, struct fif_epochs *epochs,
                                         struct rejectd_error *error)
{
    enum rejectd_status status = fif_tag_check(tag, FIF_STRING, 1, 0, error);
    if (status != REJECTD_OK || epochs->has_metadata)
        return status;
    epochs->has_metadata = true;
    status = fif_json_split((const char *)tag->data, tag->size, REJECTD_MAX_EPOCHS,
                            "metadata (block 3811)", &epochs->metadata, &epochs->n_metadata, error);
    return status == REJECTD_OK ? check_count(epochs->n_metadata, epochs->n_epochs,
                                              "rows of metadata (block 3811)", "", error)
                                : status;
}

/* The name without folders; a server never opens it, people look for it. */
static void take_next_name(const struct fif_tag *tag, struct fif_epochs *epochs)
{
    char name[FIF_MAX_NEXT_NAME + 1];
    if (fif_text_utf8(tag->data, tag->size, name, sizeof name) >= sizeof name)
        return;
    const char *base = name;
    if (!utf8_is_printable(name))
        return;
    for (const char *c = name; *c != 0; c++)
        if (*c == '/' || *c == '\\')
            base = c + 1;
    memcpy(epochs->next_name, base, strlen(base) + 1);
}

/* A tag of block 118. The role comes first. */
static enum rejectd_status read_ref(const struct fif_tag *tag, int32_t *role,
                                    struct fif_epochs *epochs, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    if (tag->kind == FIF_REF_ROLE) {
        status = fif_tag_i32(tag, role, error);
        epochs->has_next |= status == REJECTD_OK && *role == ROLE_NEXT_FILE;
    } else if (*role == ROLE_NEXT_FILE && tag->kind == FIF_REF_NUMBER) {
        status = fif_tag_i32(tag, &epochs->next_number, error);
    } else if (*role == ROLE_NEXT_FILE && tag->kind == FIF_REF_NAME) {
        status = fif_tag_check(tag, FIF_STRING, 1, 0, error);
        if (status == REJECTD_OK)
            take_next_name(tag, epochs);
    }
    return status;
}

static enum rejectd_status read_tag(const struct fif_walk *walk, const struct fif_tag *tag,
                                    int32_t *role, struct fif_epochs *epochs,
                                    struct rejectd_error *error)
{
    const int32_t block = fif_blocks_innermost(&walk->blocks);
    if (walk->opens == FIF_REF)
        *role = 0;
    else if (block == FIF_REF)
        return read_ref(tag, role, epochs, error);
    else if (block == FIF_EVENTS_BLOCK && tag->kind == FIF_EVENTS)
        return read_events(tag, epochs, error);
    else if (block == FIF_METADATA && tag->kind == FIF_DESCRIPTION)
        return read_metadata(tag, epochs, error);
    else if (block == FIF_EVENTS_BLOCK && tag->kind == FIF_DESCRIPTION) {
        epochs->event_id = tag->data;
        epochs->event_id_length = tag->size;
        return fif_tag_check(tag, FIF_STRING, 1, 0, error);
    } else if (fif_blocks_in_epochs(&walk->blocks) && tag->kind == FIF_SELECTION)
        return read_selection(tag, epochs, error);
    else if (fif_blocks_in_epochs(&walk->blocks) && tag->kind == FIF_DROP_LOG)
        return read_log(tag, epochs, error);
    return REJECTD_OK;
}

/* Each epoch must be found in the drop log. */
static enum rejectd_status check_selection(const struct fif_epochs *epochs,
                                           struct rejectd_error *error)
{
    const size_t most = epochs->has_log ? epochs->n_log : MAX_ORIGINAL_EPOCHS;
    for (size_t i = 0; i < epochs->n_epochs; i++)
        if (fif_epochs_selected(epochs, i) >= most)
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                                "epoch %zu of the FIF file was number %zu of the original ones "
                                "(tag 3800), but the drop log (tag 3801) has %zu",
                                i, fif_epochs_selected(epochs, i), most);
    return REJECTD_OK;
}

enum rejectd_status fif_epochs_read(const struct fif_head *head, size_t n_epochs,
                                    struct fif_epochs *epochs, struct rejectd_error *error)
{
    struct fif_walk walk;
    struct fif_tag tag;
    int32_t role = 0;
    bool has_samples = false;
    enum rejectd_status status = REJECTD_OK;
    *epochs = (struct fif_epochs){.n_epochs = n_epochs, .next_number = -1};
    fif_walk_begin(&walk, head->bytes, head->size, head->samples_at);
    while (status == REJECTD_OK && fif_walk_next(&walk, &tag)) {
        has_samples |= tag.is_samples && tag.kind == FIF_SAMPLES;
        if (!fif_blocks_contain(&walk.blocks, FIF_MEAS_INFO))
            status = read_tag(&walk, &tag, &role, epochs, error);
    }
    if (status == REJECTD_OK && (walk.damaged || !has_samples))
        status = REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                              "the head of the FIF file is damaged at byte %zu", walk.at);
    if (status == REJECTD_OK && epochs->events == NULL)
        status = REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "events",
                              "the FIF file has no events (tag 3561 in block 361)");
    if (status == REJECTD_OK)
        status = check_selection(epochs, error);
    if (status != REJECTD_OK)
        fif_epochs_clear(epochs);
    return status;
}

/* ---- describing ---- */

static enum rejectd_status describe_events(const struct fif_epochs *epochs,
                                           struct dataset_description *d,
                                           struct rejectd_error *error)
{
    struct buffer text;
    buffer_init(&text, epochs->n_epochs * 40 + 2);
    buffer_append(&text, "[", 1);
    for (size_t i = 0; i < epochs->n_epochs; i++) {
        const unsigned char *row = epochs->events + 12 * i;
        buffer_append_format(&text, "%s[%d,%d,%d]", i > 0 ? "," : "", (int)fif_get_i32(row),
                             (int)fif_get_i32(row + 4), (int)fif_get_i32(row + 8));
    }
    buffer_append(&text, "]", 1);
    d->events_json = buffer_take(&text, NULL);
    return d->events_json != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(error, epochs->n_epochs * 40);
}

static enum rejectd_status invalid_event_id(const char *why, struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "event_id",
                        "the names of the events in the FIF file (tag 206 in block 361) %s", why);
}

static enum rejectd_status add_event_name(json_t *object, const char *name, json_int_t id,
                                          struct rejectd_error *error)
{
    if (json_object_size(object) == MAX_EVENT_NAMES)
        return invalid_event_id("are more than 10000", error);
    if (json_object_set_new(object, name, json_integer(id)) != 0)
        return REJECTD_FAIL_MEMORY(error, strlen(name));
    return REJECTD_OK;
}

/* A decimal number that fills the text, blanks around it allowed. */
static bool parse_id(const unsigned char *at, size_t length, json_int_t *id)
{
    char text[16];
    if (length == 0 || length >= sizeof text)
        return false;
    memcpy(text, at, length);
    text[length] = 0;
    char *end;
    const long value = strtol(text, &end, 10);
    while (*end == ' ')
        end++;
    *id = value;
    return end != text && *end == 0 && value >= INT32_MIN && value <= INT32_MAX;
}

/* "name:id", split at its last colon. */
static enum rejectd_status read_event_name(const unsigned char *at, size_t length, json_t *object,
                                           struct rejectd_error *error)
{
    size_t colon = length;
    while (colon > 0 && at[colon - 1] != ':')
        colon--;
    char name[MAX_EVENT_NAME + 1];
    json_int_t id;
    if (colon == 0 || !parse_id(at + colon, length - colon, &id))
        return invalid_event_id("are not \"name:number\", joined by \";\"", error);
    if (fif_text_utf8(at, colon - 1, name, sizeof name) >= sizeof name)
        return invalid_event_id("have one of more than 255 bytes", error);
    return add_event_name(object, name, id, error);
}

static enum rejectd_status read_event_names(const struct fif_epochs *epochs, json_t *object,
                                            struct rejectd_error *error)
{
    const unsigned char *at = epochs->event_id, *end = at + epochs->event_id_length;
    enum rejectd_status status = REJECTD_OK;
    while (at < end && status == REJECTD_OK) {
        const unsigned char *semicolon = memchr(at, ';', (size_t)(end - at));
        const unsigned char *stop = semicolon != NULL ? semicolon : end;
        status = read_event_name(at, (size_t)(stop - at), object, error);
        at = stop + 1;
    }
    return status;
}

static int compare_ids(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Events without names are called by their numbers; too many to be kinds of events, not at all. */
static enum rejectd_status name_by_number(const struct fif_epochs *epochs, json_t *object,
                                          struct rejectd_error *error)
{
    int32_t *ids = malloc(epochs->n_epochs * sizeof *ids + 1);
    enum rejectd_status status = REJECTD_OK;
    if (ids == NULL)
        return REJECTD_FAIL_MEMORY(error, epochs->n_epochs * sizeof *ids);
    for (size_t i = 0; i < epochs->n_epochs; i++)
        ids[i] = fif_get_i32(epochs->events + 12 * i + 8);
    qsort(ids, epochs->n_epochs, sizeof *ids, compare_ids);
    for (size_t i = 0; i < epochs->n_epochs && status == REJECTD_OK; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", (int)ids[i]);
        if (i > 0 && ids[i] == ids[i - 1])
            continue;
        if (json_object_size(object) == MAX_EVENT_NAMES) {
            json_object_clear(object);
            break;
        }
        status = add_event_name(object, name, ids[i], error);
    }
    free(ids);
    return status;
}

static enum rejectd_status describe_event_id(const struct fif_epochs *epochs,
                                             struct dataset_description *d,
                                             struct rejectd_error *error)
{
    json_t *object = json_object();
    if (object == NULL)
        return REJECTD_FAIL_MEMORY(error, 0);
    enum rejectd_status status = epochs->event_id != NULL ? read_event_names(epochs, object, error)
                                                          : name_by_number(epochs, object, error);
    if (status == REJECTD_OK) {
        d->event_id_json = json_to_text(object);
        if (d->event_id_json == NULL)
            status = REJECTD_FAIL_MEMORY(error, 0);
    }
    json_decref(object);
    return status;
}

enum rejectd_status fif_epochs_describe(const struct fif_epochs *epochs,
                                        struct dataset_description *description,
                                        struct rejectd_error *error)
{
    enum rejectd_status status = describe_events(epochs, description, error);
    return status == REJECTD_OK ? describe_event_id(epochs, description, error) : status;
}
