/* UTF-8 from outside. Internal to protocol/. */
#ifndef PROTOCOL_UTF8_H
#define PROTOCOL_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the valid sequence at the start of NUL-terminated text, and its code point; 0 when
 * there is none: no overlong forms, no surrogates, at most U+10FFFF. */
size_t utf8_decode(const char *text, unsigned *code);
bool utf8_is_valid(const char *text);
/* True for text without the control characters U+0000..U+001F and U+007F..U+009F. */
bool utf8_is_printable(const char *text);

#endif
