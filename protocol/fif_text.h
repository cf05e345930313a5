/* Text inside FIF files: Latin-1 strings, lists of names, JSON arrays. Internal to protocol/. */
#ifndef PROTOCOL_FIF_TEXT_H
#define PROTOCOL_FIF_TEXT_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Latin-1 bytes, up to the first NUL, as UTF-8 with a NUL. Decimal character references of what
 * Latin-1 lacks ("&#8364;") are replaced, as MNE-Python writes them. At most size - 1 bytes; what
 * doesn't fit is left out, never half a character. Returns the bytes that the whole text needs.
 */
size_t fif_text_utf8(const unsigned char *bytes, size_t length, char *out, size_t size);

/* A channel name of tag 203: UTF-8 is taken as it is, anything else is Latin-1. */
size_t fif_text_short_name(const unsigned char *bytes, size_t length, char *out, size_t size);

/* The names of a list: joined by ':', with "{COLON}" for a colon inside a name. */
struct fif_names {
    const unsigned char *at;
    const unsigned char *end; /* NULL: no name is left */
};

void fif_names_begin(struct fif_names *names, const unsigned char *bytes, size_t length);
/* The next name as UTF-8; "" when it doesn't fit. False when there is none. */
bool fif_names_next(struct fif_names *names, char *out, size_t size);

/* Where the elements of a JSON array are, in its text. */
struct fif_span {
    const char *text; /* borrowed; without blanks around it */
    size_t length;
};

/*
 * The elements of the array that is the whole text. Only brackets and strings are looked at: the
 * elements are copied as they stand. *spans is to be freed; NULL and 0 for an empty array.
 * INVALID_SAMPLES, with `what` in the message, when it's no array or has more than `most`.
 */
enum rejectd_status fif_json_split(const char *text, size_t length, size_t most, const char *what,
                                   struct fif_span **spans, size_t *count,
                                   struct rejectd_error *error);

#endif
