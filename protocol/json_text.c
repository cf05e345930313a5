#include "protocol/json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/utf8.h"

static void append_escaped(struct buffer *buffer, unsigned char c)
{
    switch (c) {
    case '"':
        buffer_append_text(buffer, "\\\"");
        break;
    case '\\':
        buffer_append_text(buffer, "\\\\");
        break;
    case '\n':
        buffer_append_text(buffer, "\\n");
        break;
    case '\t':
        buffer_append_text(buffer, "\\t");
        break;
    default:
        buffer_append_format(buffer, "\\u%04x", c);
    }
}

void json_append_string(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, "\"", 1);
    while (*text != 0) {
        size_t plain = strcspn(text, "\"\\\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e"
                                     "\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d"
                                     "\x1e\x1f\x7f");
        const char *end = text + plain;
        while (text < end) {
            size_t ascii = 0;
            while (text + ascii < end && (unsigned char)text[ascii] < 0x80)
                ascii++;
            if (ascii > 0) {
                buffer_append(buffer, text, ascii);
                text += ascii;
                continue;
            }
            unsigned code;
            size_t n = utf8_decode(text, &code);
            if (n == 0)
                buffer_append_text(buffer, "\xef\xbf\xbd");
            else
                buffer_append(buffer, text, n);
            text += n == 0 ? 1 : n;
        }
        if (*text != 0)
            append_escaped(buffer, (unsigned char)*text++);
    }
    buffer_append(buffer, "\"", 1);
}

void json_append_string_or_null(struct buffer *buffer, const char *text)
{
    if (text == NULL || *text == 0)
        buffer_append_text(buffer, "null");
    else
        json_append_string(buffer, text);
}

/* Writes digits as "%.*g" does, with '.' whatever the locale's decimal point is. */
static void append_digits(struct buffer *buffer, const char *digits)
{
    bool is_real = false;
    bool in_point = false;
    for (const char *c = digits; *c != 0; c++) {
        bool of_number = (*c >= '0' && *c <= '9') || *c == '-' || *c == '+' || *c == 'e';
        if (of_number)
            buffer_append(buffer, c, 1);
        else if (!in_point)
            buffer_append(buffer, ".", 1);
        in_point = !of_number;
        is_real = is_real || in_point || *c == 'e';
    }
    if (!is_real)
        buffer_append_text(buffer, ".0");
}

void json_append_double(struct buffer *buffer, double value)
{
    if (!isfinite(value)) {
        buffer_append_text(buffer, "null");
        return;
    }
    char digits[48];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    append_digits(buffer, digits);
}
