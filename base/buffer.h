/*
 * A growing text or byte buffer that is born with its maximum.
 *
 * Appending past the maximum, or a failed allocation, sets `failed`; from then on appends do
 * nothing. So a caller may append many times and check once. The text is always NUL-terminated.
 * Not thread-safe.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *data; /* owned; NULL until the first append */
    size_t length;
    size_t capacity;
    size_t maximum; /* most bytes it will ever hold, without the NUL */
    bool failed;
};

void buffer_init(struct buffer *buffer, size_t maximum);
void buffer_append(struct buffer *buffer, const void *bytes, size_t count);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Hands the bytes over (free() them) and leaves the buffer empty; NULL when it had failed. */
char *buffer_take(struct buffer *buffer, size_t *length);
void buffer_free(struct buffer *buffer);

#endif
