#include "server/http/admission.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/http/framing.h"
#include "server/http/origin.h"

static enum rejectd_status read_length(struct request *request, struct rejectd_error *error)
{
    const char *text = request_header(request, "Content-Length");
    if (text == NULL) {
        return REJECTD_OK;
    }
    char *end;
    errno = 0;
    const unsigned long long length = strtoull(text, &end, 10);
    /* libmicrohttpd takes the largest number for "not known". */
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || length > INT64_MAX) {
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

bool admission_collects(const struct request *request)
{
    const enum body_kind body = request->route->body;
    return body == BODY_JSON || body == BODY_MODEL ||
           (body == BODY_DATASET && !admission_takes_file(request));
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

static enum rejectd_status check_body(const struct request *request, const struct framing *framing,
                                      struct rejectd_error *error)
{
    const uint64_t most_json = (uint64_t)request->service->config->max_json_bytes;
    if (request->route->body == BODY_NONE) {
        if (request->content_length > 0 || framing->transfer_encoding > 0) {
            return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Content-Length",
                                "this request takes no body");
        }
        return REJECTD_OK;
    }
    if (framing->content_length == 0) {
        return REJECTD_FAIL(error, REJECTD_LENGTH_REQUIRED, "Content-Length",
                            "the body needs a Content-Length; chunked bodies aren't accepted");
    }
    const enum rejectd_status status = check_media_type(request, error);
    if (status == REJECTD_OK && admission_collects(request) &&
        request->content_length > most_json) {
        return REJECTD_FAIL(
            error, REJECTD_TOO_LARGE, "", "the body has %llu bytes; accepted are at most %llu",
            (unsigned long long)request->content_length, (unsigned long long)most_json);
    }
    return status;
}

static enum rejectd_status find_route(struct request *request, const char *method,
                                      struct rejectd_error *error)
{
    char *allow = request->response.allow;
    request->route = route_find(method, request->path, request->id, allow);
    if (request->route == NULL && strcmp(method, "HEAD") == 0) {
        request->route = route_find("GET", request->path, request->id, allow);
    }
    if (request->route != NULL) {
        return REJECTD_OK;
    }
    if (allow[0] != '\0') {
        return REJECTD_FAIL(error, REJECTD_METHOD_NOT_ALLOWED, "",
                            "%.16s isn't possible here; accepted: %s", method, allow);
    }
    return REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is nothing at %.120s", request->path);
}

/* "GET http://host/path" names the same host as Host. */
static enum rejectd_status check_authority(const struct request *request,
                                           struct rejectd_error *error)
{
    const char *host = request_header(request, "Host");
    if (request->authority[0] == '\0' ||
        (host != NULL && strcasecmp(request->authority, host) == 0)) {
        return REJECTD_OK;
    }
    return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Host",
                        "the URI names another host than the Host header");
}

enum rejectd_status admission_check(struct request *request, const char *method,
                                    const char *version, bool *close_after,
                                    struct rejectd_error *error)
{
    struct framing framing = {
        .method = method,
        .version = version,
        .uri_length = request->uri_length,
    };
    enum rejectd_status status = framing_check(request->connection, &framing, error);
    if (status == REJECTD_OK) {
        status = framing_check_path(request->path, error);
    }
    if (status == REJECTD_OK) {
        status = read_length(request, error);
    }
    /* A body whose end isn't certain can't be skipped. */
    *close_after = status != REJECTD_OK || framing.transfer_encoding > 0;
    if (status == REJECTD_OK) {
        status = framing_check_query(request->connection, error);
    }
    if (status == REJECTD_OK) {
        status = check_authority(request, error);
    }
    if (status == REJECTD_OK) {
        status = origin_check(request, method, error);
    }
    if (status == REJECTD_OK) {
        status = find_route(request, method, error);
    }
    if (status == REJECTD_OK) {
        status = check_body(request, &framing, error);
    }
    return status;
}
