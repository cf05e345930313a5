/* Writing JSON text piece by piece, where building a document first would cost too much. */
#ifndef PROTOCOL_JSON_TEXT_H
#define PROTOCOL_JSON_TEXT_H

#include "base/buffer.h"

/* The text as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD. */
void json_append_string(struct buffer *buffer, const char *text);
/* json_append_string(), or null for "" and NULL. */
void json_append_string_or_null(struct buffer *buffer, const char *text);
/* The shortest of 15 to 17 digits that reads back as the same double; always has a '.', an 'e' or
 * both, so that it stays a real; null when it is not finite. Doesn't depend on the locale. */
void json_append_double(struct buffer *buffer, double value);

#endif
