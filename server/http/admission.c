#include "server/http/admission.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_HEADER_BYTES = 16 << 10 };

/* Headers that must come at most once. */
struct header_counts {
    size_t bytes; /* of all names and values */
    int content_length;
    int transfer_encoding;
    int host;
};

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct header_counts *counts = context;
    (void)kind;
    counts->bytes += strlen(name) + (value == NULL ? 0 : strlen(value));
    counts->content_length += strcasecmp(name, "Content-Length") == 0;
    counts->transfer_encoding += strcasecmp(name, "Transfer-Encoding") == 0;
    counts->host += strcasecmp(name, "Host") == 0;
    return MHD_YES;
}

/* libmicrohttpd accepts what follows; a proxy in front may frame it differently, and then one
 * client's body is another one's request. */
static enum rejectd_status check_framing(const struct request *request, const char *version,
                                         const struct header_counts *counts,
                                         struct rejectd_error *error)
{
    if (counts->bytes > MOST_HEADER_BYTES) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                            "the headers have %zu bytes; accepted are at most %d", counts->bytes,
                            MOST_HEADER_BYTES);
    }
    const char *coding = request_header(request, "Transfer-Encoding");
    if (counts->content_length > 1) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Content-Length",
                            "there is more than one Content-Length");
    }
    if (counts->transfer_encoding > 1 || (coding != NULL && strcasecmp(coding, "chunked") != 0)) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Transfer-Encoding",
                            "the transfer coding isn't known; send a Content-Length instead");
    }
    if (counts->content_length > 0 && counts->transfer_encoding > 0) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Transfer-Encoding",
                            "there are both Content-Length and Transfer-Encoding");
    }
    if (counts->host > 1 || (counts->host == 0 && strcmp(version, "HTTP/1.0") != 0)) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Host",
                            "there must be exactly one Host header");
    }
    return REJECTD_OK;
}

static enum rejectd_status read_length(struct request *request, struct rejectd_error *error)
{
    const char *text = request_header(request, "Content-Length");
    if (text == NULL) {
        return REJECTD_OK;
    }
    char *end;
    errno = 0;
    const unsigned long long length = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Content-Length",
                            "the Content-Length isn't a number of bytes");
    }
    request->content_length = length;
    return REJECTD_OK;
}

/* The media type without its parameters is `type`. */
static bool content_type_is(const struct request *request, const char *type)
{
    const char *value = request_header(request, "Content-Type");
    const size_t length = strlen(type);
    return value != NULL && strncasecmp(value, type, length) == 0 &&
           strchr("; \t", value[length]) != NULL; /* its end, too */
}

bool admission_is_npy(const struct request *request)
{
    return content_type_is(request, "application/x-npy");
}

/* What a body may be called; the bytes of a file tell which one it is. */
static const char *const json_types[] = {"application/json", NULL};
static const char *const sample_types[] = {"application/octet-stream", "application/x-npy", NULL};
static const char *const file_types[] = {"application/octet-stream",
                                         "application/x-fif",
                                         "application/gzip",
                                         "application/x-npz",
                                         "application/zip",
                                         "application/x-matlab-data",
                                         NULL};
static const char *const model_types[] = {"application/octet-stream", "application/x-hdf5", NULL};

static bool content_type_among(const struct request *request, const char *const *types)
{
    while (*types != NULL && !content_type_is(request, *types)) {
        types++;
    }
    return *types != NULL;
}

bool admission_takes_file(const struct request *request)
{
    const enum body_kind body = request->route->body;
    return body == BODY_FILE || (body == BODY_DATASET && content_type_among(request, file_types));
}

static bool media_type_is_accepted(const struct request *request)
{
    const bool missing = request_header(request, "Content-Type") == NULL;
    switch (request->route->body) {
    case BODY_JSON:
        return content_type_among(request, json_types);
    case BODY_SAMPLES:
        return missing || content_type_among(request, sample_types);
    case BODY_FILE:
        return missing || content_type_among(request, file_types);
    case BODY_MODEL:
        return missing || content_type_among(request, model_types);
    case BODY_DATASET:
        return content_type_among(request, json_types) || content_type_among(request, file_types);
    default:
        return true;
    }
}

static enum rejectd_status check_media_type(const struct request *request,
                                            struct rejectd_error *error)
{
    static const char *const accepted[] = {
        [BODY_NONE] = "",
        [BODY_JSON] = "application/json",
        [BODY_SAMPLES] = "application/octet-stream, application/x-npy",
        [BODY_FILE] = "application/octet-stream",
        [BODY_MODEL] = "application/octet-stream, application/x-hdf5",
        [BODY_DATASET] = "application/json; application/octet-stream for a file",
    };
    const char *value = request_header(request, "Content-Type");
    if (media_type_is_accepted(request)) {
        return REJECTD_OK;
    }
    return REJECTD_FAIL(error, REJECTD_UNSUPPORTED_MEDIA_TYPE, "Content-Type",
                        "the content type is %.64s; accepted: %s",
                        value == NULL ? "missing" : value, accepted[request->route->body]);
}

static enum rejectd_status check_body(const struct request *request,
                                      const struct header_counts *counts,
                                      struct rejectd_error *error)
{
    const uint64_t most_json = (uint64_t)request->service->config->max_json_bytes;
    if (request->route->body == BODY_NONE) {
        if (request->content_length > 0 || counts->transfer_encoding > 0) {
            return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Content-Length",
                                "this request takes no body");
        }
        return REJECTD_OK;
    }
    if (counts->content_length == 0) {
        return REJECTD_FAIL(error, REJECTD_LENGTH_REQUIRED, "Content-Length",
                            "the body needs a Content-Length; chunked bodies aren't accepted");
    }
    const enum rejectd_status status = check_media_type(request, error);
    const bool collected = request->route->body == BODY_JSON ||
                           request->route->body == BODY_MODEL ||
                           (request->route->body == BODY_DATASET && !admission_takes_file(request));
    if (status == REJECTD_OK && collected && request->content_length > most_json) {
        return REJECTD_FAIL(
            error, REJECTD_TOO_LARGE, "", "the body has %llu bytes; accepted are at most %llu",
            (unsigned long long)request->content_length, (unsigned long long)most_json);
    }
    return status;
}

static enum rejectd_status find_route(struct request *request, const char *method,
                                      struct rejectd_error *error)
{
    const char *looked_up = strcmp(method, "HEAD") == 0 ? "GET" : method;
    char *allow = request->response.allow;
    request->route = route_find(looked_up, request->path, request->id, allow);
    if (request->route != NULL) {
        return REJECTD_OK;
    }
    if (allow[0] != '\0') {
        return REJECTD_FAIL(error, REJECTD_METHOD_NOT_ALLOWED, "",
                            "%.16s isn't possible here; accepted: %s", method, allow);
    }
    return REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is nothing at %.120s", request->path);
}

enum rejectd_status admission_check(struct request *request, const char *method,
                                    const char *version, bool *close_after,
                                    struct rejectd_error *error)
{
    struct header_counts counts = {0};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_header, &counts);
    enum rejectd_status status = check_framing(request, version, &counts, error);
    if (status == REJECTD_OK) {
        status = read_length(request, error);
    }
    /* A body whose end isn't certain can't be skipped. */
    *close_after = status != REJECTD_OK || counts.transfer_encoding > 0;
    if (status == REJECTD_OK) {
        status = find_route(request, method, error);
    }
    if (status == REJECTD_OK) {
        status = check_body(request, &counts, error);
    }
    return status;
}
