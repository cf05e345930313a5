/* Strict reading of JSON: json_scan.h bounds it, jansson parses it, the rest names the fields. */
#include "protocol/json_reader.h"

#include <float.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/json_text.h"
#include "protocol/utf8.h"

/* jansson's document of a text that passed the scan. */
static enum rejectd_status parse_scanned(const char *text, size_t length, json_t **root,
                                         struct rejectd_error *error)
{
    if (length == 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_JSON, "",
                            "the body is empty; a JSON object is expected");
    json_error_t failure;
    json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &failure);
    if (value == NULL && failure.text[0] == 0)
        return REJECTD_FAIL_MEMORY(error, length); /* the one failure that jansson doesn't name */
    if (value == NULL)
        return REJECTD_FAIL(error, REJECTD_INVALID_JSON, "", "line %d, column %d: %s", failure.line,
                            failure.column, failure.text);
    if (!json_is_object(value)) {
        const char *kind = json_kind(value);
        json_decref(value);
        return REJECTD_FAIL(error, REJECTD_INVALID_JSON, "", "a JSON object is expected, not %s",
                            kind);
    }
    *root = value;
    return REJECTD_OK;
}

enum rejectd_status json_parse(const char *text, size_t length, enum json_origin origin,
                               json_t **root, struct rejectd_error *error)
{
    *root = NULL;
    enum rejectd_status status = json_scan(text, length, origin, NULL, error);
    return status == REJECTD_OK ? parse_scanned(text, length, root, error) : status;
}

enum rejectd_status json_parse_blob(const char *text, size_t length, json_t **root,
                                    struct json_blob *blob, struct rejectd_error *error)
{
    *root = NULL;
    enum rejectd_status status = json_scan(text, length, JSON_FROM_CLIENT, blob, error);
    if (status != REJECTD_OK)
        return status;
    if (blob->text == NULL)
        return parse_scanned(text, length, root, error);
    size_t before = (size_t)(blob->text - text);
    size_t without = length - blob->length;
    char *shortened = malloc(without);
    if (shortened == NULL)
        return REJECTD_FAIL_MEMORY(error, without);
    memcpy(shortened, text, before);
    memcpy(shortened + before, blob->text + blob->length, without - before);
    status = parse_scanned(shortened, without, root, error);
    free(shortened);
    return status;
}

const char *json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

enum rejectd_status json_object_open(json_t *value, const char *path, struct json_object *object,
                                     struct rejectd_error *error)
{
    if (!json_is_object(value))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, path, "must be an object, not %s",
                            value == NULL ? "absent" : json_kind(value));
    *object = (struct json_object){.value = value, .path = path, .error = error};
    return REJECTD_OK;
}

enum rejectd_status json_fail(const struct json_object *object, const char *key, const char *format,
                              ...)
{
    char message[sizeof object->error->message];
    char field[sizeof object->error->field];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    snprintf(field, sizeof field, "%s%s%s", object->path, object->path[0] != 0 ? "." : "", key);
    return REJECTD_FAIL(object->error, REJECTD_INVALID_VALUE, field, "%s", message);
}

/* Appends `"a", "b" or "c"` as far as it fits. */
static void list_names(char *out, size_t size, const char *const *names, size_t n_names)
{
    size_t length = 0;
    out[0] = 0;
    for (size_t i = 0; i < n_names && length < size; i++) {
        const char *separator = i == 0 ? "" : i + 1 == n_names ? " or " : ", ";
        int n = snprintf(out + length, size - length, "%s\"%s\"", separator, names[i]);
        length += n > 0 ? (size_t)n : 0;
    }
}

enum rejectd_status json_check_fields(const struct json_object *object, const char *const *accepted,
                                      size_t n_accepted)
{
    const char *key;
    json_t *value;
    json_object_foreach(object->value, key, value)
    {
        size_t i = 0;
        while (i < n_accepted && strcmp(key, accepted[i]) != 0)
            i++;
        if (i < n_accepted)
            continue;
        char names[256];
        list_names(names, sizeof names, accepted, n_accepted);
        if (n_accepted == 0)
            return json_fail(object, key, "unknown field; none is accepted here");
        return json_fail(object, key, "unknown field; accepted are %s", names);
    }
    return REJECTD_OK;
}

json_t *json_field(const struct json_object *object, const char *key)
{
    json_t *value = json_object_get(object->value, key);
    return json_is_null(value) ? NULL : value;
}

enum rejectd_status json_require(const struct json_object *object, const char *key)
{
    if (json_field(object, key) == NULL)
        return json_fail(object, key, "is required");
    return REJECTD_OK;
}

enum rejectd_status json_read_text(const struct json_object *object, const char *key, char *out,
                                   size_t size)
{
    const json_t *value = json_field(object, key);
    if (value == NULL)
        return REJECTD_OK;
    if (!json_is_string(value))
        return json_fail(object, key, "must be a string, not %s", json_kind(value));
    if (json_string_length(value) >= size)
        return json_fail(object, key, "has %zu bytes; at most %zu are accepted",
                         json_string_length(value), size - 1);
    if (!utf8_is_printable(json_string_value(value)))
        return json_fail(object, key, "must not hold control characters");
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return REJECTD_OK;
}

enum rejectd_status json_read_bool(const struct json_object *object, const char *key, bool *out)
{
    const json_t *value = json_field(object, key);
    if (value == NULL)
        return REJECTD_OK;
    if (!json_is_boolean(value))
        return json_fail(object, key, "must be true or false, not %s", json_kind(value));
    *out = json_is_true(value);
    return REJECTD_OK;
}

enum rejectd_status json_read_integer(const struct json_object *object, const char *key,
                                      int64_t least, int64_t most, int64_t *out)
{
    const json_t *value = json_field(object, key);
    if (value == NULL)
        return REJECTD_OK;
    if (!json_is_integer(value))
        return json_fail(object, key, "must be an integer from %lld to %lld, not %s",
                         (long long)least, (long long)most, json_kind(value));
    json_int_t number = json_integer_value(value);
    if (number < least || number > most)
        return json_fail(object, key, "is %lld; an integer from %lld to %lld is accepted",
                         (long long)number, (long long)least, (long long)most);
    *out = number;
    return REJECTD_OK;
}

enum rejectd_status json_read_size(const struct json_object *object, const char *key, size_t least,
                                   size_t most, size_t *out)
{
    int64_t number = (int64_t)*out;
    enum rejectd_status status =
        json_read_integer(object, key, (int64_t)least, (int64_t)most, &number);
    if (status == REJECTD_OK)
        *out = (size_t)number;
    return status;
}

static enum rejectd_status check_number(const struct json_object *object, const char *key,
                                        const json_t *value, double least, double most, double *out)
{
    if (!json_is_number(value))
        return json_fail(object, key, "must be a number, not %s", json_kind(value));
    double number = json_number_value(value);
    if (number < least && most == DBL_MAX)
        return json_fail(object, key, "is %.6g; a number of at least %.6g is accepted", number,
                         least);
    if (!(number >= least && number <= most))
        return json_fail(object, key, "is %.6g; a number from %.6g to %.6g is accepted", number,
                         least, most);
    *out = number;
    return REJECTD_OK;
}

enum rejectd_status json_read_number(const struct json_object *object, const char *key,
                                     double least, double most, double *out)
{
    const json_t *value = json_field(object, key);
    return value == NULL ? REJECTD_OK : check_number(object, key, value, least, most, out);
}

enum rejectd_status json_read_name(const struct json_object *object, const char *key,
                                   const char *const *names, size_t n_names, int *out)
{
    const json_t *value = json_field(object, key);
    if (value == NULL)
        return REJECTD_OK;
    char accepted[256];
    list_names(accepted, sizeof accepted, names, n_names);
    if (!json_is_string(value))
        return json_fail(object, key, "must be %s, not %s", accepted, json_kind(value));
    for (size_t i = 0; i < n_names; i++)
        if (strcmp(json_string_value(value), names[i]) == 0) {
            *out = (int)i;
            return REJECTD_OK;
        }
    return json_fail(object, key, "is \"%.64s\"; %s is accepted", json_string_value(value),
                     accepted);
}

enum rejectd_status json_read_array(const struct json_object *object, const char *key, size_t least,
                                    size_t most, json_t **out)
{
    json_t *value = json_field(object, key);
    *out = NULL;
    if (value == NULL)
        return REJECTD_OK;
    if (!json_is_array(value))
        return json_fail(object, key, "must be an array, not %s", json_kind(value));
    size_t n = json_array_size(value);
    if (n < least || n > most) {
        if (least == most)
            return json_fail(object, key, "has %zu entries; %zu are expected", n, least);
        return json_fail(object, key, "has %zu entries; %zu to %zu are accepted", n, least, most);
    }
    *out = value;
    return REJECTD_OK;
}

enum rejectd_status json_read_numbers(const struct json_object *object, const char *key,
                                      const json_t *array, double least, double most, double *out)
{
    size_t n = json_array_size(array);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s[%zu]", key, i);
        enum rejectd_status status =
            check_number(object, name, json_array_get(array, i), least, most, &out[i]);
        if (status != REJECTD_OK)
            return status;
    }
    return REJECTD_OK;
}

static void append_elements(struct buffer *buffer, const json_t *array)
{
    size_t n = json_array_size(array);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buffer_append(buffer, ",", 1);
        json_append_value(buffer, json_array_get(array, i));
    }
}

void json_append_members(struct buffer *buffer, json_t *object)
{
    const char *key;
    json_t *value;
    bool first = true;
    json_object_foreach(object, key, value)
    {
        if (!first)
            buffer_append(buffer, ",", 1);
        first = false;
        json_append_string(buffer, key);
        buffer_append(buffer, ":", 1);
        json_append_value(buffer, value);
    }
}

void json_append_value(struct buffer *buffer, json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        buffer_append(buffer, "{", 1);
        json_append_members(buffer, value);
        buffer_append(buffer, "}", 1);
        break;
    case JSON_ARRAY:
        buffer_append(buffer, "[", 1);
        append_elements(buffer, value);
        buffer_append(buffer, "]", 1);
        break;
    case JSON_STRING:
        json_append_string(buffer, json_string_value(value));
        break;
    case JSON_INTEGER:
        buffer_append_format(buffer, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        json_append_double(buffer, json_real_value(value));
        break;
    case JSON_TRUE:
        buffer_append_text(buffer, "true");
        break;
    case JSON_FALSE:
        buffer_append_text(buffer, "false");
        break;
    case JSON_NULL:
        buffer_append_text(buffer, "null");
        break;
    }
}

char *json_to_text(json_t *value)
{
    struct buffer text;
    buffer_init(&text, (size_t)1 << 30);
    json_append_value(&text, value);
    return buffer_take(&text, NULL);
}
