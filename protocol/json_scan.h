/* A look at JSON text before it is parsed, which needs no memory. Internal to protocol/. */
#ifndef PROTOCOL_JSON_SCAN_H
#define PROTOCOL_JSON_SCAN_H

#include <rejectd/error.h>
#include <stddef.h>

/* Who wrote the text decides how large it may be; see the limits in json_scan.c. */
enum json_origin {
    JSON_FROM_CLIENT,
    JSON_FROM_SERVER, /* or from the store: results with labels of a million epochs */
};

/*
 * The one long string that a text may hold: the value of a key "base64". The parser would copy it
 * several times, so it is left out of the document, where an empty string takes its place.
 */
struct json_blob {
    const char *text; /* borrowed from the text, escapes not decoded; NULL: there is none */
    size_t length;
};

/*
 * Checks how deep the text nests, how many values it has and how long its words are. *blob is
 * filled; with blob NULL no long string is accepted. Text that passes needn't be JSON.
 */
enum rejectd_status json_scan(const char *text, size_t length, enum json_origin origin,
                              struct json_blob *blob, struct rejectd_error *error);

#endif
