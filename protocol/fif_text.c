#include "protocol/fif_text.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/utf8.h"

enum { MAX_JSON_DEPTH = 64, MAX_REFERENCE = 10 /* "&#1114111;" */ };

/* Appends a code point as UTF-8 where it fits; `length` counts on when it doesn't. */
static size_t put_code(unsigned code, char *out, size_t size, size_t length)
{
    char bytes[4];
    size_t n = 0;
    if (code < 0x80) {
        bytes[n++] = (char)code;
    } else if (code < 0x800) {
        bytes[n++] = (char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        bytes[n++] = (char)(0xe0 | code >> 12);
        bytes[n++] = (char)(0x80 | (code >> 6 & 0x3f));
    } else {
        bytes[n++] = (char)(0xf0 | code >> 18);
        bytes[n++] = (char)(0x80 | (code >> 12 & 0x3f));
        bytes[n++] = (char)(0x80 | (code >> 6 & 0x3f));
    }
    if (code >= 0x80)
        bytes[n++] = (char)(0x80 | (code & 0x3f));
    if (length + n < size) {
        memcpy(out + length, bytes, n);
        out[length + n] = 0;
    } else if (length < size) {
        out[length] = 0; /* nothing may follow a character that is left out */
    }
    return length + n;
}

/* Bytes of a reference like "&#8364;" to a character that Latin-1 lacks; 0 when there is none. */
static size_t reference(const unsigned char *at, size_t left, unsigned *code)
{
    if (left < 4 || at[0] != '&' || at[1] != '#')
        return 0;
    unsigned value = 0;
    size_t i = 2;
    for (; i < left && i < MAX_REFERENCE && at[i] >= '0' && at[i] <= '9'; i++)
        value = value * 10 + (unsigned)(at[i] - '0');
    if (i == left || at[i] != ';' || value < 0x100 || value > 0x10ffff ||
        (value >= 0xd800 && value < 0xe000))
        return 0;
    *code = value;
    return i + 1;
}

size_t fif_text_utf8(const unsigned char *bytes, size_t length, char *out, size_t size)
{
    size_t needed = 0;
    bool whole = true;
    if (size > 0)
        out[0] = 0;
    for (size_t i = 0; i < length && bytes[i] != 0;) {
        unsigned code = bytes[i];
        const size_t n = reference(bytes + i, length - i, &code);
        needed = put_code(code, out, whole ? size : 0, needed);
        whole = whole && needed < size;
        i += n > 0 ? n : 1;
    }
    return needed;
}

size_t fif_text_short_name(const unsigned char *bytes, size_t length, char *out, size_t size)
{
    const unsigned char *nul = memchr(bytes, 0, length);
    const size_t n = nul != NULL ? (size_t)(nul - bytes) : length;
    if (n < size) {
        memcpy(out, bytes, n);
        out[n] = 0;
        if (utf8_is_valid(out))
            return n;
    }
    return fif_text_utf8(bytes, n, out, size);
}

void fif_names_begin(struct fif_names *names, const unsigned char *bytes, size_t length)
{
    const unsigned char *nul = length > 0 ? memchr(bytes, 0, length) : NULL;
    const size_t n = nul != NULL ? (size_t)(nul - bytes) : length;
    *names = (struct fif_names){.at = bytes, .end = n > 0 ? bytes + n : NULL};
}

/* Replaces "{COLON}" by ":", in place. */
static void unescape_colons(char *text)
{
    static const char escaped[] = "{COLON}";
    char *to = text;
    while (*text != 0) {
        if (strncmp(text, escaped, sizeof escaped - 1) == 0) {
            *to++ = ':';
            text += sizeof escaped - 1;
        } else {
            *to++ = *text++;
        }
    }
    *to = 0;
}

bool fif_names_next(struct fif_names *names, char *out, size_t size)
{
    if (names->end == NULL)
        return false;
    const size_t left = (size_t)(names->end - names->at);
    const unsigned char *colon = left > 0 ? memchr(names->at, ':', left) : NULL;
    const size_t length = colon != NULL ? (size_t)(colon - names->at) : left;
    char name[512];
    if (fif_text_utf8(names->at, length, name, sizeof name) >= sizeof name)
        name[0] = 0;
    unescape_colons(name);
    const size_t n = strlen(name);
    if (size > 0) {
        memcpy(out, name, n < size ? n : 0);
        out[n < size ? n : 0] = 0;
    }
    if (colon != NULL)
        names->at = colon + 1;
    else
        names->end = NULL;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The end of the element that starts at text[at]: the comma or bracket behind it, or `length`. */
static size_t element_end(const char *text, size_t at, size_t length)
{
    bool in_string = false;
    char open[MAX_JSON_DEPTH];
    size_t depth = 0;
    for (; at < length; at++) {
        const char c = text[at];
        if (in_string) {
            if (c == '\\')
                at++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (depth == MAX_JSON_DEPTH)
                return length;
            open[depth++] = c == '[' ? ']' : '}';
        } else if (depth == 0 && (c == ',' || c == ']')) {
            return at;
        } else if (c == ']' || c == '}') {
            if (depth == 0 || open[--depth] != c)
                return length;
        }
    }
    return length;
}

static struct fif_span trimmed(const char *text, size_t from, size_t to)
{
    while (from < to && is_blank(text[from]))
        from++;
    while (to > from && is_blank(text[to - 1]))
        to--;
    return (struct fif_span){text + from, to - from};
}

enum rejectd_status fif_json_split(const char *text, size_t length, size_t most, const char *what,
                                   struct fif_span **spans, size_t *count,
                                   struct rejectd_error *error)
{
    const struct fif_span all = trimmed(text, 0, length);
    size_t capacity = 0, at = 1;
    *spans = NULL;
    *count = 0;
    bool good = all.length >= 2 && all.text[0] == '[';
    const bool empty = good && trimmed(all.text, 1, all.length - 1).length == 0;
    good = good && (!empty || all.text[all.length - 1] == ']');
    while (good && !empty) {
        const size_t end = element_end(all.text, at, all.length);
        const struct fif_span element = trimmed(all.text, at, end);
        good = end < all.length && element.length > 0 && *count < most;
        if (!good)
            break;
        if (*count == capacity) {
            capacity = capacity == 0 ? 256 : capacity * 2;
            struct fif_span *grown = realloc(*spans, capacity * sizeof **spans);
            if (grown == NULL) {
                free(*spans);
                *spans = NULL;
                return REJECTD_FAIL_MEMORY(error, capacity * sizeof **spans);
            }
            *spans = grown;
        }
        (*spans)[(*count)++] = element;
        at = end + 1;
        if (all.text[end] == ']') {
            good = at == all.length;
            break;
        }
    }
    if (good)
        return REJECTD_OK;
    free(*spans);
    *spans = NULL;
    *count = 0;
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                        "the %s of the FIF file is no JSON array of at most %zu elements", what,
                        most);
}
