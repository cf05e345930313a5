/* What the headers say about a body: its coding, which piece of a whole it is, its digests. */
#ifndef SERVER_HTTP_BODY_H
#define SERVER_HTTP_BODY_H

#include <stdbool.h>

#include "protocol/http_fields.h"
#include "server/blobs/sha256.h"

struct request;

struct body_facts {
    enum http_coding coding;
    struct http_piece piece; /* total 0: the body is the whole */

    /* Of the bytes as they are sent, coded. */
    bool has_content_digest; /* of this body */
    bool has_repr_digest;    /* of the whole */
    unsigned char content_digest[HTTP_DIGEST_BYTES];
    unsigned char repr_digest[HTTP_DIGEST_BYTES];
    const char *repr_name; /* the header that told it */
    bool hashes;           /* the body, by body_take() */
    struct sha256 hash;
};

/* Reads the headers of a request whose route takes a body. UNSUPPORTED_MEDIA_TYPE for a coding that
 * isn't known, INVALID_REQUEST for what is malformed, or a piece where there are none. */
enum rejectd_status body_begin(struct request *request, struct rejectd_error *error);

/* The next bytes of it. */
void body_take(struct request *request, const void *bytes, size_t count);

/* After all of it: DIGEST_MISMATCH says what was computed. */
enum rejectd_status body_check_digests(struct request *request, struct rejectd_error *error);

/* Decodes a body that was collected, into at most max-json-bytes (TOO_LARGE). */
enum rejectd_status body_decode(struct request *request, struct rejectd_error *error);

#endif
