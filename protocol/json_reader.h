/*
 * Strict reading of JSON from outside: every failure names the field, what was wrong and what is
 * accepted. Internal to protocol/: no json_t leaves this room.
 *
 * A field that is null counts as absent, everywhere.
 */
#ifndef PROTOCOL_JSON_READER_H
#define PROTOCOL_JSON_READER_H

#include <jansson.h>
#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "protocol/json_scan.h"

/* Parses text whose root must be an object. *root is owned by the caller (json_decref); NULL on
 * failure. */
enum rejectd_status json_parse(const char *text, size_t length, enum json_origin origin,
                               json_t **root, struct rejectd_error *error);

/* The same for a client's text that may hold a blob; see json_scan.h. */
enum rejectd_status json_parse_blob(const char *text, size_t length, json_t **root,
                                    struct json_blob *blob, struct rejectd_error *error);

/* An object that is being read. */
struct json_object {
    json_t *value;    /* borrowed */
    const char *path; /* how errors name it: "" for the root, "channels[3]"; borrowed */
    struct rejectd_error *error;
};

/* The object as a reader; INVALID_VALUE at `path` when the value is none. */
enum rejectd_status json_object_open(json_t *value, const char *path, struct json_object *object,
                                     struct rejectd_error *error);

/* INVALID_VALUE for the first field that isn't in the list; the message lists what is. */
enum rejectd_status json_check_fields(const struct json_object *object, const char *const *accepted,
                                      size_t n_accepted);
#define JSON_CHECK_FIELDS(object, ...)                                                             \
    json_check_fields((object), (const char *const[]){__VA_ARGS__},                                \
                      sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* The value of a field, borrowed; NULL when it's absent or null. */
json_t *json_field(const struct json_object *object, const char *key);

/* INVALID_VALUE at object.path + key. */
enum rejectd_status json_fail(const struct json_object *object, const char *key, const char *format,
                              ...) __attribute__((format(printf, 3, 4)));

/* INVALID_VALUE unless the field is there. */
enum rejectd_status json_require(const struct json_object *object, const char *key);

/* Each of these leaves *out as it is when the field is absent. */

/* A string of at most size - 1 bytes without control characters. */
enum rejectd_status json_read_text(const struct json_object *object, const char *key, char *out,
                                   size_t size);
enum rejectd_status json_read_bool(const struct json_object *object, const char *key, bool *out);
enum rejectd_status json_read_integer(const struct json_object *object, const char *key,
                                      int64_t least, int64_t most, int64_t *out);
enum rejectd_status json_read_size(const struct json_object *object, const char *key, size_t least,
                                   size_t most, size_t *out);
/* An integer or real within least..most; a bound of DBL_MAX is none. */
enum rejectd_status json_read_number(const struct json_object *object, const char *key,
                                     double least, double most, double *out);
/* One of the names; *out is its index. */
enum rejectd_status json_read_name(const struct json_object *object, const char *key,
                                   const char *const *names, size_t n_names, int *out);
/* An array, borrowed, of least..most values; *out is NULL when absent. */
enum rejectd_status json_read_array(const struct json_object *object, const char *key, size_t least,
                                    size_t most, json_t **out);

/* Exactly `count` numbers into out, each within least..most; failures name object.path + key[i]. */
enum rejectd_status json_read_numbers(const struct json_object *object, const char *key,
                                      const json_t *array, double least, double most, double *out);

/* "a string", "a number", ...: what a value is, for messages. */
const char *json_kind(const json_t *value);

/* The value as compact JSON whose reals read back as the same doubles. */
void json_append_value(struct buffer *buffer, json_t *value);
/* The same as text to free(), NULL without memory. */
char *json_to_text(json_t *value);
/* The members of an object without its braces: nothing for an empty object. */
void json_append_members(struct buffer *buffer, json_t *object);

/* Fills *error from a problem detail; http is the status to fall back on. */
void problem_from_value(json_t *problem, int http, struct rejectd_error *error);

#endif
