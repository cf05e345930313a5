/*
 * The one error type.
 *
 * Every function that can fail returns an enum rejectd_status, REJECTD_OK (0) on success, and
 * fills a struct rejectd_error that says which input was wrong and what would have been accepted.
 * HTTP turns it into a problem detail (RFC 9457), the command line into one line on stderr.
 */
#ifndef REJECTD_ERROR_H
#define REJECTD_ERROR_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * X(symbol, HTTP status, stable type name, title)
 *
 * The type names are part of the HTTP API ("type": "/problems/<name>"); they never change.
 */
#define REJECTD_STATUS_LIST(X)                                                                     \
    X(OK, 200, "ok", "Success")                                                                    \
    X(INVALID_JSON, 400, "invalid-json", "The body is not acceptable JSON")                        \
    X(INVALID_REQUEST, 400, "invalid-request", "The request is malformed")                         \
    X(UNAUTHENTICATED, 401, "unauthenticated", "The request does not say who asks")                \
    X(FORBIDDEN, 403, "forbidden", "This is not allowed to whoever asks")                          \
    X(NOT_FOUND, 404, "not-found", "There is no such resource")                                    \
    X(METHOD_NOT_ALLOWED, 405, "method-not-allowed", "The resource does not support this method")  \
    X(CONFLICT, 409, "conflict", "The resource is in another state than the request needs")        \
    X(LENGTH_REQUIRED, 411, "length-required", "The request needs a Content-Length")               \
    X(TOO_LARGE, 413, "too-large", "The request is larger than the limit")                         \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "unsupported-media-type", "The content type is not accepted")   \
    X(RANGE_NOT_SATISFIABLE, 416, "range-not-satisfiable", "There is nothing in this range")       \
    X(INVALID_VALUE, 422, "invalid-value", "A field has a value that is not accepted")             \
    X(INVALID_SAMPLES, 422, "invalid-samples", "The samples do not match their description")       \
    X(UNSUITABLE_DATASET, 422, "unsuitable-dataset", "The dataset does not allow this job")        \
    X(DIGEST_MISMATCH, 422, "digest-mismatch", "The body is not what its digest says")             \
    X(TOO_MANY_REQUESTS, 429, "too-many-requests", "More than is allowed to whoever asks")         \
    X(CANCELLED, 409, "cancelled", "The work was cancelled")                                       \
    X(TIME_LIMIT, 503, "time-limit", "The work took longer than it may")                           \
    X(OUT_OF_MEMORY, 503, "out-of-memory", "Not enough memory for this request now")               \
    X(UNAVAILABLE, 503, "unavailable", "The service cannot take this request now")                 \
    X(DEVICE_MEMORY, 503, "device-memory", "The device has not enough memory for this now")        \
    X(DEVICE_FAILED, 503, "device-failed", "The device failed")                                    \
    X(STORAGE_FULL, 507, "storage-full", "There is no room to store this")                         \
    X(STORAGE, 500, "storage", "The storage failed")                                               \
    X(IO, 502, "io", "Talking to the other side failed")                                           \
    X(INTERNAL, 500, "internal", "An internal error; please report it")

enum rejectd_status {
#define REJECTD_STATUS_ENUM(symbol, http, name, title) REJECTD_##symbol,
    REJECTD_STATUS_LIST(REJECTD_STATUS_ENUM)
#undef REJECTD_STATUS_ENUM
        REJECTD_STATUS_COUNT
};

struct rejectd_error {
    enum rejectd_status status;
    char field[96];    /* path of the input at fault, as "channels[3].position"; "" when none */
    char message[384]; /* one human sentence: what was wrong and what is accepted */
    const char *file;  /* where in the source it was noticed; static storage */
    int line;
};

/* Sets *error (may be NULL) and returns status, so that callers can `return REJECTD_FAIL(...)`. */
#define REJECTD_FAIL(error, status, field, ...)                                                    \
    rejectd_error_set((error), (status), __FILE__, __LINE__, (field), __VA_ARGS__)

enum rejectd_status rejectd_error_set(struct rejectd_error *error, enum rejectd_status status,
                                      const char *file, int line, const char *field,
                                      const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* REJECTD_OUT_OF_MEMORY for a failed allocation of that many bytes. */
#define REJECTD_FAIL_MEMORY(error, bytes)                                                          \
    REJECTD_FAIL((error), REJECTD_OUT_OF_MEMORY, "", "an allocation of %zu bytes failed",          \
                 (size_t)(bytes))

/* Properties of a status; valid for every value of the enum. Static storage. */
int rejectd_status_http(enum rejectd_status status);
const char *rejectd_status_name(enum rejectd_status status);
const char *rejectd_status_title(enum rejectd_status status);

#ifdef __cplusplus
}
#endif

#endif
