/* Errors on the wire: problem details (RFC 9457), application/problem+json. */
#ifndef PROTOCOL_PROBLEM_H
#define PROTOCOL_PROBLEM_H

#include <rejectd/error.h>
#include <stddef.h>
#include <stdint.h>

/* The JSON text of an error: type "/problems/<name>", title, status, detail, and field when there
 * is one. INTERNAL and STORAGE errors tell no source position. free() it; NULL without memory. */
char *problem_to_json(const struct rejectd_error *error);
/* With the id of the request that it answers as "request_id", "": none; and how much of an upload
 * in pieces is kept as "offset", NULL: not told. */
char *problem_to_json_of(const struct rejectd_error *error, const char *request_id,
                         const uint64_t *offset);

/* Reads a problem detail of `length` bytes into *error, for clients; anything that is not one
 * gives status http and the text's beginning. Never fails. */
void problem_from_json(const char *text, size_t length, int http, struct rejectd_error *error);

#endif
