#include "server/http/response.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/problem.h"

static const char problem_type[] = "application/problem+json";
static const char last_resort[] = "{\"type\":\"/problems/out-of-memory\",\"title\":\"Not enough "
                                  "memory for this request now\",\"status\":503}";

void response_clear(struct response *response)
{
    free(response->body);
    if (response->has_file) {
        close(response->file);
    }
    if (response->stream.read != NULL) {
        response->stream.close(response->stream.context);
    }
    *response = (struct response){0};
}

static void respond_text(struct response *response, int status, const char *content_type,
                         char *text)
{
    response_clear(response);
    response->status = status;
    response->content_type = content_type;
    response->body = text;
    response->length = strlen(text);
}

void respond_problem(struct response *response, const struct rejectd_error *error)
{
    const struct rejectd_error kept = *error; /* it may be the response's own */
    response_clear(response);
    response->status = rejectd_status_http(kept.status);
    response->content_type = problem_type;
    response->has_problem = true;
    response->problem = kept;
}

/* Does nothing the second time. */
static void prepare(struct response *response)
{
    if (!response->has_problem || response->body != NULL || response->constant_body != NULL) {
        return;
    }
    response->body = problem_to_json_of(&response->problem, response->request_id,
                                        response->place.known ? &response->place.offset : NULL);
    if (response->body != NULL) {
        response->length = strlen(response->body);
    } else {
        response->status = 503;
        response->constant_body = last_resort;
        response->length = sizeof last_resort - 1;
    }
}

void response_prepare(struct response *response, const char *request_id)
{
    snprintf(response->request_id, sizeof response->request_id, "%s", request_id);
    prepare(response);
}

uint64_t response_body_bytes(const struct response *response)
{
    if (response->has_file) {
        return response->file_bytes;
    }
    if (response->stream.read != NULL) {
        return response->stream.bytes == MHD_SIZE_UNKNOWN ? 0 : response->stream.bytes;
    }
    return response->length;
}

void respond_json(struct response *response, int status, char *text)
{
    if (text != NULL) {
        respond_text(response, status, "application/json", text);
    } else {
        struct rejectd_error error = {0};
        REJECTD_FAIL(&error, REJECTD_OUT_OF_MEMORY, "", "no memory for the answer");
        respond_problem(response, &error);
    }
}

void respond_constant(struct response *response, const char *content_type, const char *text,
                      size_t length)
{
    response_clear(response);
    response->status = 200;
    response->content_type = content_type;
    response->constant_body = text;
    response->length = length;
}

void respond_file(struct response *response, const char *content_type, int file, uint64_t bytes)
{
    response_clear(response);
    response->status = 200;
    response->content_type = content_type;
    response->has_file = true;
    response->file = file;
    response->file_bytes = bytes;
}

void respond_bytes(struct response *response, const char *content_type, char *bytes, size_t length)
{
    respond_json(response, 200, bytes);
    if (bytes != NULL) {
        response->content_type = content_type;
        response->length = length;
    }
}

void respond_stream(struct response *response, const char *content_type,
                    const struct response_stream *stream)
{
    response_clear(response);
    response->status = 200;
    response->content_type = content_type;
    response->stream = *stream;
}

/* "" for what is no SHA-256. */
static void write_digest(const char *sha256, char out[HTTP_DIGEST_TEXT_SIZE])
{
    unsigned char digest[HTTP_DIGEST_BYTES];
    size_t length = 0;
    out[0] = '\0';
    if (sodium_hex2bin(digest, sizeof digest, sha256, strlen(sha256), NULL, &length, NULL) == 0 &&
        length == sizeof digest) {
        http_write_digest(digest, out);
    }
}

/* The tag of what has these bytes, or is made of them. */
static void tag_by_hash(struct response *response, const void *bytes, size_t length)
{
    unsigned char hash[16];
    char hex[2 * sizeof hash + 1];
    crypto_generichash(hash, sizeof hash, bytes, length, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    snprintf(response->etag, sizeof response->etag, "\"%s\"", hex);
}

void respond_tagged(struct response *response, const char *sha256)
{
    const char *body = response->body != NULL ? response->body : response->constant_body;
    if (response->status != 200) {
        return;
    }
    if (sha256 != NULL) {
        snprintf(response->etag, sizeof response->etag, "\"%s\"", sha256);
        write_digest(sha256, response->repr_digest);
        response->has_parts = true;
    } else if (body != NULL) {
        tag_by_hash(response, body, response->length);
    }
}

void respond_made(struct response *response, const void *origin, size_t length)
{
    if (response->status == 200) {
        tag_by_hash(response, origin, length);
        response->has_parts = true;
    }
}

bool response_measure(const struct response *response, uint64_t *bytes)
{
    *bytes = response->has_file ? response->file_bytes : response->stream.bytes;
    return response->has_parts && (response->has_file || response->stream.read != NULL);
}

void response_cut(struct response *response, uint64_t first, uint64_t count)
{
    if (response->has_file) {
        response->file_at = first;
        response->file_bytes = count;
    } else {
        response->stream.first = first;
        response->stream.bytes = count;
    }
}

void respond_nothing(struct response *response)
{
    response_clear(response);
    response->status = 204;
}

/* libmicrohttpd's form of a stream; it owns its copy of it. */
static ssize_t read_stream(void *context, uint64_t position, char *out, size_t most)
{
    struct response_stream *stream = context;
    /* libmicrohttpd counts from the beginning of a part, and may ask beyond its end. */
    const uint64_t left = stream->bytes == MHD_SIZE_UNKNOWN ? most : stream->bytes - position;
    const size_t wanted = most < left ? most : (size_t)left;
    const size_t count = stream->read(stream->context, stream->first + position, out, wanted);
    return count == RESPONSE_STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)count;
}

static void close_stream(void *context)
{
    struct response_stream *stream = context;
    stream->close(stream->context);
    free(stream);
}

static struct MHD_Response *create_stream(struct response *response)
{
    enum { BLOCK = 256 << 10, EVENT_BLOCK = 4 << 10 };
    const size_t block = response->stream.bytes == MHD_SIZE_UNKNOWN ? EVENT_BLOCK : BLOCK;
    struct response_stream *stream = malloc(sizeof *stream);
    if (stream == NULL) {
        return NULL;
    }
    *stream = response->stream;
    struct MHD_Response *made =
        MHD_create_response_from_callback(stream->bytes, block, read_stream, stream, close_stream);
    if (made == NULL) {
        free(stream);
    } else {
        response->stream.read = NULL;
    }
    return made;
}

static void add_file_headers(const struct response *response, struct MHD_Response *made)
{
    char text[sizeof response->file_name + 32];
    if (response->file_name[0] != '\0') {
        snprintf(text, sizeof text, "attachment; filename=\"%s\"", response->file_name);
        MHD_add_response_header(made, "Content-Disposition", text);
    }
    if (response->n_parts > 0) {
        snprintf(text, sizeof text, "%zu", response->n_parts);
        MHD_add_response_header(made, "Rejectd-Parts", text);
    }
}

/* No page of ours runs scripts or loads anything, and none is shown inside another one. */
static void add_page_headers(const struct response *response, struct MHD_Response *made)
{
    if (response->content_type != NULL && strncmp(response->content_type, "text/html", 9) == 0) {
        MHD_add_response_header(made, "Content-Security-Policy",
                                "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                                "form-action 'none'; frame-ancestors 'none'");
        MHD_add_response_header(made, "X-Frame-Options", "DENY");
        MHD_add_response_header(made, "Referrer-Policy", "no-referrer");
    } else {
        MHD_add_response_header(made, "Content-Security-Policy",
                                "default-src 'none'; frame-ancestors 'none'");
    }
}

static void add_tag_headers(const struct response *response, struct MHD_Response *made)
{
    if (response->etag[0] != '\0') {
        MHD_add_response_header(made, "ETag", response->etag);
    }
    if (response->repr_digest[0] != '\0') {
        MHD_add_response_header(made, "Repr-Digest", response->repr_digest);
    }
    if (response->has_parts || response->file_name[0] != '\0') {
        MHD_add_response_header(made, "Accept-Ranges", response->has_parts ? "bytes" : "none");
    }
    if (response->content_range[0] != '\0') {
        MHD_add_response_header(made, "Content-Range", response->content_range);
    }
}

/* Proxies are not to collect events before they pass them on. */
static void add_cache_headers(const struct response *response, struct MHD_Response *made)
{
    if (response->stream.bytes == MHD_SIZE_UNKNOWN) {
        MHD_add_response_header(made, "Cache-Control", "no-cache");
        MHD_add_response_header(made, "X-Accel-Buffering", "no");
    } else {
        MHD_add_response_header(made, "Cache-Control",
                                response->etag[0] != '\0' ? "private, no-cache" : "no-store");
    }
}

static void add_upload_headers(const struct response *response, struct MHD_Response *made)
{
    const struct http_place *place = &response->place;
    char number[24];
    if (place->known) {
        snprintf(number, sizeof number, "%llu", (unsigned long long)place->offset);
        MHD_add_response_header(made, "Upload-Offset", number);
        MHD_add_response_header(made, "Upload-Complete", place->complete ? "?1" : "?0");
    }
    if (place->known && place->length > 0) {
        snprintf(number, sizeof number, "%llu", (unsigned long long)place->length);
        MHD_add_response_header(made, "Upload-Length", number);
    }
    if (response->tells_codings) {
        MHD_add_response_header(made, "Accept-Encoding", HTTP_CODINGS_ACCEPTED);
    }
}

static struct MHD_Response *create(struct response *response)
{
    struct MHD_Response *made;
    if (response->has_file) {
        made = MHD_create_response_from_fd_at_offset64(response->file_bytes, response->file,
                                                       response->file_at);
        response->has_file = made == NULL;
    } else if (response->stream.read != NULL) {
        made = create_stream(response);
    } else if (response->body != NULL) {
        made = MHD_create_response_from_buffer(response->length, response->body,
                                               MHD_RESPMEM_MUST_FREE);
        if (made != NULL) {
            response->body = NULL;
        }
    } else {
        /* libmicrohttpd takes a plain pointer and, being persistent, leaves it alone. */
        union {
            const char *constant;
            void *plain;
        } text = {.constant = response->constant_body == NULL ? "" : response->constant_body};
        made =
            MHD_create_response_from_buffer(response->length, text.plain, MHD_RESPMEM_PERSISTENT);
    }
    return made;
}

enum MHD_Result response_queue(struct response *response, struct MHD_Connection *connection)
{
    prepare(response);
    struct MHD_Response *made = create(response);
    enum MHD_Result result = MHD_NO;
    if (made != NULL) {
        MHD_add_response_header(made, "X-Content-Type-Options", "nosniff");
        add_cache_headers(response, made);
        MHD_add_response_header(made, "Cross-Origin-Resource-Policy", "same-origin");
        add_page_headers(response, made);
        if (response->content_type != NULL) {
            MHD_add_response_header(made, "Content-Type", response->content_type);
        }
        if (response->request_id[0] != '\0') {
            MHD_add_response_header(made, "X-Request-Id", response->request_id);
        }
        if (response->location[0] != '\0') {
            MHD_add_response_header(made, "Location", response->location);
        }
        if (response->allow[0] != '\0') {
            MHD_add_response_header(made, "Allow", response->allow);
        }
        add_file_headers(response, made);
        add_tag_headers(response, made);
        add_upload_headers(response, made);
        if (response->status == 401) {
            MHD_add_response_header(made, "WWW-Authenticate", "Bearer realm=\"rejectd\"");
        }
        if (response->status == 503 || response->retry_after > 0) {
            char seconds[16];
            snprintf(seconds, sizeof seconds, "%d",
                     response->retry_after > 0 ? response->retry_after : 1);
            MHD_add_response_header(made, "Retry-After", seconds);
        }
        if (response->close) {
            MHD_add_response_header(made, "Connection", "close");
        }
        result = MHD_queue_response(connection, (unsigned)response->status, made);
        MHD_destroy_response(made);
    }
    response_clear(response);
    return result;
}
