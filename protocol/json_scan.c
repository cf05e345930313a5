/*
 * What JSON may cost, bounded before anything is spent on it.
 *
 * jansson is recursive and makes an allocation for each value, so a small hostile text can cost
 * much stack and a hundred times its size in memory. And while it reads a word (a string, a
 * number) it doesn't check whether the memory for the word so far could grow: version 2.14 then
 * runs past its end. So words are kept short, whose growth are small steps, and the one that may
 * be long, base64, never reaches it.
 *
 * With the limits below jansson holds at most about half a gigabyte for a client's text.
 */
#include "protocol/json_scan.h"

#include <stdbool.h>
#include <string.h>

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
enum { MAX_WORD = 1 << 11 }; /* so that the small inputs of a fuzzer get past it */
#else
enum { MAX_WORD = 1 << 16 };
#endif

struct limits {
    size_t depth;
    size_t values;  /* separated by commas */
    size_t arrays;  /* opening brackets */
    size_t objects; /* opening braces */
    size_t members; /* colons */
};

static const struct limits limits[] = {
    [JSON_FROM_CLIENT] = {32, 4 << 20, 2 << 20, 1 << 14, 1 << 17},
    [JSON_FROM_SERVER] = {64, 256 << 20, 4 << 20, 1 << 24, 1 << 26},
};

struct cursor {
    const char *text;
    size_t length;
    size_t at;
    struct limits seen; /* depth is the present one */
    struct json_blob *blob;
    struct rejectd_error *error;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool ends_word(char c)
{
    return is_space(c) || c == '"' || c == '[' || c == ']' || c == '{' || c == '}' || c == ',' ||
           c == ':';
}

/* True when the string whose opening quote is at `quote` is the value of a key "base64". */
static bool is_base64_value(const char *text, size_t quote)
{
    static const char key[] = "\"base64\"";
    size_t n = sizeof key - 1, end = quote;
    while (end > 0 && is_space(text[end - 1]))
        end--;
    if (end == 0 || text[--end] != ':')
        return false;
    while (end > 0 && is_space(text[end - 1]))
        end--;
    return end >= n && memcmp(text + end - n, key, n) == 0;
}

/* Moves behind the string that begins at the cursor. */
static enum rejectd_status scan_string(struct cursor *cursor)
{
    const char *text = cursor->text;
    size_t quote = cursor->at, i = quote + 1;
    while (i < cursor->length && text[i] != '"')
        i += text[i] == '\\' ? 2 : 1;
    if (i >= cursor->length)
        return REJECTD_FAIL(cursor->error, REJECTD_INVALID_JSON, "",
                            "the JSON ends within the string that begins at byte %zu", quote);
    cursor->at = i + 1;
    size_t length = i - quote - 1;
    if (length <= MAX_WORD)
        return REJECTD_OK;
    if (cursor->blob == NULL || cursor->blob->text != NULL || !is_base64_value(text, quote))
        return REJECTD_FAIL(cursor->error, REJECTD_TOO_LARGE, "",
                            "the string at byte %zu has %zu bytes; at most %d are accepted", quote,
                            length, MAX_WORD);
    *cursor->blob = (struct json_blob){text + quote + 1, length};
    return REJECTD_OK;
}

/* Moves behind a number, a literal, or what else isn't punctuation. */
static enum rejectd_status scan_word(struct cursor *cursor)
{
    size_t begin = cursor->at;
    while (cursor->at < cursor->length && !ends_word(cursor->text[cursor->at]))
        cursor->at++;
    if (cursor->at - begin > MAX_WORD)
        return REJECTD_FAIL(cursor->error, REJECTD_INVALID_JSON, "",
                            "the word at byte %zu has %zu bytes", begin, cursor->at - begin);
    return REJECTD_OK;
}

static enum rejectd_status scan_next(struct cursor *cursor, const struct limits *most)
{
    char c = cursor->text[cursor->at];
    if (c == '"')
        return scan_string(cursor);
    if (!ends_word(c))
        return scan_word(cursor);
    cursor->at++;
    cursor->seen.arrays += c == '[';
    cursor->seen.objects += c == '{';
    cursor->seen.values += c == ',';
    cursor->seen.members += c == ':';
    if ((c == '[' || c == '{') && ++cursor->seen.depth > most->depth)
        return REJECTD_FAIL(cursor->error, REJECTD_INVALID_JSON, "",
                            "the JSON nests deeper than %zu levels", most->depth);
    if ((c == ']' || c == '}') && cursor->seen.depth > 0)
        cursor->seen.depth--;
    return REJECTD_OK;
}

enum rejectd_status json_scan(const char *text, size_t length, enum json_origin origin,
                              struct json_blob *blob, struct rejectd_error *error)
{
    const struct limits *most = &limits[origin];
    struct cursor cursor = {.text = text, .length = length, .blob = blob, .error = error};
    if (blob != NULL)
        *blob = (struct json_blob){0};
    while (cursor.at < length) {
        enum rejectd_status status = scan_next(&cursor, most);
        if (status != REJECTD_OK)
            return status;
    }
    const struct limits *seen = &cursor.seen;
    if (seen->values > most->values || seen->arrays > most->arrays)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                            "the JSON has more than %zu values or %zu arrays; send samples as "
                            "{\"base64\": ...} or by PUT",
                            most->values, most->arrays);
    if (seen->objects > most->objects || seen->members > most->members)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                            "the JSON has more than %zu objects or %zu members", most->objects,
                            most->members);
    return REJECTD_OK;
}
