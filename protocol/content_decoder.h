/*
 * Bodies that were sent compressed (Content-Encoding: zstd or gzip), decoded piece by piece into a
 * sink. What comes out is bounded, not only what goes in: a few bytes can stand for very many.
 * zstd's window is at most 8 MiB, as for zstd on the web (RFC 9659).
 */
#ifndef PROTOCOL_CONTENT_DECODER_H
#define PROTOCOL_CONTENT_DECODER_H

#include "protocol/http_fields.h"

struct content_decoder;

struct content_decoder_options {
    enum http_coding coding; /* not HTTP_IDENTITY */
    uint64_t most;           /* bytes that may come out */
    /* Takes what comes out, in order; its failure ends the decoding. */
    enum rejectd_status (*sink)(void *context, const void *bytes, size_t count,
                                struct rejectd_error *error);
    void *context;
};

/* *decoder is owned by the caller: content_decoder_close(). */
enum rejectd_status content_decoder_open(const struct content_decoder_options *options,
                                         struct content_decoder **decoder,
                                         struct rejectd_error *error);
void content_decoder_close(struct content_decoder *decoder); /* NULL is allowed */

/*
 * Decodes the next bytes, and all that they stand for. INVALID_REQUEST at "Content-Encoding" when
 * they are damaged, TOO_LARGE when more than `most` bytes would come out; after an error the
 * decoder may only be closed. Several frames (members) one after the other are one content.
 */
enum rejectd_status content_decoder_write(struct content_decoder *decoder, const void *bytes,
                                          size_t count, struct rejectd_error *error);
/* After the last byte: INVALID_REQUEST when it was not the end of a frame. */
enum rejectd_status content_decoder_finish(struct content_decoder *decoder,
                                           struct rejectd_error *error);
/* Bytes that came out so far. */
uint64_t content_decoder_made(const struct content_decoder *decoder);

#endif
