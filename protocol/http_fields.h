/*
 * Values of HTTP header fields that say which part of what is sent, in which coding, and what its
 * digest is: RFC 9110 (Content-Range, Content-Encoding), RFC 9530 (Content-Digest, Repr-Digest) and
 * RFC 3230 (Digest). They come from anybody: nothing is taken
 * that is not exactly as it should be.
 */
#ifndef PROTOCOL_HTTP_FIELDS_H
#define PROTOCOL_HTTP_FIELDS_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_DIGEST_BYTES = 32,
    HTTP_DIGEST_TEXT_SIZE = 64, /* "sha-256=:<base64>:" and NUL */
};

/* "bytes 0-99/500": `first` to `last`, both included, of `total` bytes; first <= last < total. */
struct http_piece {
    uint64_t first, last, total;
};

/* How far an upload that comes in pieces has got. */
struct http_place {
    bool known;
    bool complete;
    uint64_t offset; /* bytes that are kept for good */
    uint64_t length; /* of the whole; 0: not known yet */
};

/* Content-Range of a request. INVALID_REQUEST at "Content-Range" for all but the form above. */
enum rejectd_status http_read_content_range(const char *text, struct http_piece *piece,
                                            struct rejectd_error *error);

enum http_coding {
    HTTP_IDENTITY,
    HTTP_GZIP,
    HTTP_ZSTD,
};

/* Content-Encoding; NULL is HTTP_IDENTITY. UNSUPPORTED_MEDIA_TYPE at "Content-Encoding" for others,
 * and for several on top of each other. */
enum rejectd_status http_read_coding(const char *text, enum http_coding *coding,
                                     struct rejectd_error *error);

#define HTTP_CODINGS_ACCEPTED "zstd, gzip"

/*
 * SHA-256 out of a Content-Digest or Repr-Digest ("sha-256=:<base64>:"), or, with `old`, a Digest
 * ("SHA-256=<base64>"), `name`. Others beside it are left alone; INVALID_REQUEST at `name` when
 * there is none, or when it isn't 32 bytes.
 */
enum rejectd_status http_read_digest(const char *name, const char *text, bool old,
                                     unsigned char digest[HTTP_DIGEST_BYTES],
                                     struct rejectd_error *error);

/* "sha-256=:<base64>:" */
void http_write_digest(const unsigned char digest[HTTP_DIGEST_BYTES],
                       char out[HTTP_DIGEST_TEXT_SIZE]);

#endif
