/* What a route answers, before it becomes libmicrohttpd's. */
#ifndef SERVER_HTTP_RESPONSE_H
#define SERVER_HTTP_RESPONSE_H

#include <microhttpd.h>
#include <rejectd/error.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/http_fields.h"
#include "protocol/resource_json.h"

/* A body that is made while it is sent, from the front to the end, by one thread at a time. What
 * respond_made() tags can be read from any position on. */
struct response_stream {
    /* Copies at most `most` (> 0) bytes from `position` on; returns how many, at least 1. A stream
     * of unknown length may return 0 after request_suspend(), and RESPONSE_STREAM_END. */
    size_t (*read)(void *context, uint64_t position, char *out, size_t most);
    void (*close)(void *context);
    void *context;  /* owned: close() */
    uint64_t first; /* position that is sent first */
    uint64_t bytes; /* MHD_SIZE_UNKNOWN: events, which go on until their end */
};

#define RESPONSE_STREAM_END SIZE_MAX

struct response {
    int status; /* HTTP; 0 while there is no answer */
    const char *content_type;
    char *body; /* owned; NULL: none, or constant_body, or the file */
    const char *constant_body;
    size_t length;
    bool has_file;
    int file;         /* owned */
    uint64_t file_at; /* where in the file it begins, */
    uint64_t file_bytes;
    struct response_stream stream; /* read is NULL: none */
    char file_name[256];           /* that a client should save it as; "": none */
    size_t n_parts;                /* that the file has; 0: not told */
    char location[96];             /* "": none */
    char allow[64];
    char etag[72];        /* with its quotes; "": none */
    char repr_digest[64]; /* of the whole, when only a part is sent, too; "": none */
    char content_range[72];
    bool has_parts;          /* that can be asked for */
    struct http_place place; /* of an upload in pieces */
    bool tells_codings;      /* that a body may have */
    int retry_after;         /* seconds; 0: not told, but of 503, where it is 1 */
    bool close;              /* the connection, after it */
    bool has_problem;        /* body or constant_body follow from it when it is prepared */
    struct rejectd_error problem;
    char request_id[RESOURCE_REQUEST_SIZE]; /* "": not told */
};

void response_clear(struct response *response); /* all-zero is allowed */

/* JSON text that is taken over; NULL becomes a problem: out of memory. */
void respond_json(struct response *response, int status, char *text);
void respond_problem(struct response *response, const struct rejectd_error *error);
void respond_constant(struct response *response, const char *content_type, const char *text,
                      size_t length);
/* A descriptor that is taken over. */
void respond_file(struct response *response, const char *content_type, int file, uint64_t bytes);
/* Bytes that are taken over; NULL becomes a problem: out of memory. */
void respond_bytes(struct response *response, const char *content_type, char *bytes, size_t length);
/* A stream that is taken over. */
void respond_stream(struct response *response, const char *content_type,
                    const struct response_stream *stream);
/* Gives an answer of 200 its ETag: the hash of its body, or the SHA-256 (hex) of a file, which is
 * then told as its digest, too. Parts of a file can be asked for from then on. */
void respond_tagged(struct response *response, const char *sha256);
/* The same for a stream: its ETag is the hash of what it is made from, given as bytes. */
void respond_made(struct response *response, const void *origin, size_t length);
void respond_nothing(struct response *response); /* 204 */

/* The answer is to the request of that id, which it tells; nothing about it changes from now on. */
void response_prepare(struct response *response, const char *request_id);
/* Of a file or a stream whose end is known: how long it is; cuts a part out. */
bool response_measure(const struct response *response, uint64_t *bytes);
void response_cut(struct response *response, uint64_t first, uint64_t count);
/* Of a prepared one: how long its body is; 0 when that isn't known before. */
uint64_t response_body_bytes(const struct response *response);

/* Queues it, and leaves it empty. */
enum MHD_Result response_queue(struct response *response, struct MHD_Connection *connection);

#endif
