/*
 * libmicrohttpd 0.9.75 is lenient: it takes bare line feeds for the end of a line, cuts a header
 * at a NUL, joins folded lines (to the name of the header, by a mistake of its own), and accepts
 * any number of Content-Lengths. What it accepted can't be told from what it hands over, but for
 * one thing: names and values are pointers into the bytes as they came. So the head is measured:
 * when each line is exactly "name: value" and CR LF, one begins where the one before it ended, and
 * the last one ends where the head does. Only addresses are compared; nothing is read there.
 */
#include "server/http/framing.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

enum {
    MOST_HEADER_BYTES = 16 << 10,
    MOST_HEADERS = 100,
    MOST_URI_BYTES = 4 << 10,
    MOST_ARGUMENTS = 16,
    MOST_BLANKS = 64, /* between a colon and the value */
};

/* Headers that mean one thing, and so must come once. */
static const char *const single[] = {
    "Authorization",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Expect",
    "Host",
    "Idempotency-Key",
    "If-Modified-Since",
    "If-Range",
    "Last-Event-ID",
    "Max-Forwards",
    "Origin",
    "Range",
    "Referer",
    "Transfer-Encoding",
    "Upload-Complete",
    "Upload-Offset",
    "Upload-Length",
    "User-Agent",
};

enum { N_SINGLE = sizeof single / sizeof single[0] };

struct reading {
    struct framing *framing;
    size_t n;
    size_t bytes;       /* of all names and values */
    uintptr_t at;       /* where the next line must begin */
    uint64_t seen;      /* of `single` */
    const char *twice;  /* the first one that came again */
    bool is_odd;        /* the lines aren't where they should be */
    bool has_odd_bytes; /* controls, or a name that is no token */
    bool has_host;
};

static bool is_token(const char *text, size_t length)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < length; i++) {
        const char c = text[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && (c == '\0' || strchr(others, c) == NULL)) {
            return false;
        }
    }
    return length > 0;
}

static bool is_plain(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)text[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static void note_single(struct reading *reading, const char *name, size_t length)
{
    for (size_t i = 0; i < N_SINGLE; i++) {
        if (strlen(single[i]) == length && strncasecmp(single[i], name, length) == 0) {
            if ((reading->seen >> i & 1) != 0 && reading->twice == NULL) {
                reading->twice = single[i];
            }
            reading->seen |= (uint64_t)1 << i;
        }
    }
}

static bool is_name(const char *name, size_t length, const char *wanted)
{
    return strlen(wanted) == length && strncasecmp(name, wanted, length) == 0;
}

static enum MHD_Result read_header(void *context, enum MHD_ValueKind kind, const char *name,
                                   size_t name_length, const char *value, size_t value_length)
{
    struct reading *reading = context;
    const uintptr_t value_at = value == NULL ? 0 : (uintptr_t)value;
    const uintptr_t name_end = (uintptr_t)name + name_length;
    (void)kind;
    reading->n++;
    reading->bytes += name_length + value_length;
    reading->is_odd = reading->is_odd || (uintptr_t)name != reading->at || value_at <= name_end ||
                      value_at - name_end > MOST_BLANKS;
    reading->at = value_at + value_length + strlen("\r\n");
    reading->has_odd_bytes = reading->has_odd_bytes || !is_token(name, name_length) ||
                             !is_plain(value == NULL ? "" : value, value_length);
    note_single(reading, name, name_length);
    reading->framing->content_length += is_name(name, name_length, "Content-Length");
    reading->framing->transfer_encoding += is_name(name, name_length, "Transfer-Encoding");
    reading->has_host = reading->has_host || is_name(name, name_length, "Host");
    return MHD_YES;
}

static enum rejectd_status check_sizes(const struct reading *reading, struct rejectd_error *error)
{
    if (reading->bytes > MOST_HEADER_BYTES || reading->n > MOST_HEADERS) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                            "there are %zu headers of %zu bytes; accepted are at most %d of %d",
                            reading->n, reading->bytes, MOST_HEADERS, MOST_HEADER_BYTES);
    }
    if (reading->framing->uri_length > MOST_URI_BYTES) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                            "the URI has %zu bytes; accepted are at most %d",
                            reading->framing->uri_length, MOST_URI_BYTES);
    }
    return REJECTD_OK;
}

/* The request line and the lines after it are where they would be had they been written well. */
static bool is_well_laid_out(struct MHD_Connection *connection, struct reading *reading)
{
    const struct framing *framing = reading->framing;
    const uintptr_t begin = (uintptr_t)framing->method;
    const uintptr_t version = begin + strlen(framing->method) + 1 + framing->uri_length + 1;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return version == (uintptr_t)framing->version && !reading->is_odd && info != NULL &&
           reading->at + strlen("\r\n") == begin + info->header_size;
}

static enum rejectd_status check_codings(struct MHD_Connection *connection,
                                         const struct reading *reading, struct rejectd_error *error)
{
    const struct framing *framing = reading->framing;
    const bool is_old = strcmp(framing->version, "HTTP/1.0") == 0;
    const char *coding =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding");
    if (coding != NULL && (is_old || strcasecmp(coding, "chunked") != 0)) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Transfer-Encoding",
                            "the transfer coding isn't known; send a Content-Length instead");
    }
    if (framing->content_length > 0 && framing->transfer_encoding > 0) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Transfer-Encoding",
                            "there are both Content-Length and Transfer-Encoding");
    }
    if (!reading->has_host && !is_old) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Host",
                            "there must be exactly one Host header");
    }
    return REJECTD_OK;
}

enum rejectd_status framing_check(struct MHD_Connection *connection, struct framing *framing,
                                  struct rejectd_error *error)
{
    struct reading reading = {
        .framing = framing,
        .at = (uintptr_t)framing->version + strlen(framing->version) + strlen("\r\n"),
    };
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, read_header, &reading);
    if (strcmp(framing->version, "HTTP/1.1") != 0 && strcmp(framing->version, "HTTP/1.0") != 0) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                            "the version is %.16s; accepted are HTTP/1.1 and HTTP/1.0",
                            framing->version);
    }
    const enum rejectd_status status = check_sizes(&reading, error);
    if (status != REJECTD_OK) {
        return status;
    }
    if (reading.twice != NULL) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, reading.twice,
                            "there is more than one %s header", reading.twice);
    }
    if (reading.has_odd_bytes) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                            "a header has control characters, or a name that isn't one");
    }
    if (!is_well_laid_out(connection, &reading)) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                            "the request's head is malformed: each line must be \"name: value\", "
                            "end with CR LF, and not go on in the next one");
    }
    return check_codings(connection, &reading, error);
}

/* ---- the URI ---- */

struct arguments {
    size_t n;
    const char *names[MOST_ARGUMENTS];
    const char *twice;
    bool has_odd_bytes;
};

static enum MHD_Result read_argument(void *context, enum MHD_ValueKind kind, const char *name,
                                     size_t name_length, const char *value, size_t value_length)
{
    struct arguments *arguments = context;
    (void)kind;
    for (size_t i = 0; i < arguments->n && i < MOST_ARGUMENTS; i++) {
        if (strcmp(arguments->names[i], name) == 0) {
            arguments->twice = name;
        }
    }
    if (arguments->n < MOST_ARGUMENTS) {
        arguments->names[arguments->n] = name;
    }
    arguments->n++;
    arguments->has_odd_bytes = arguments->has_odd_bytes || strlen(name) != name_length ||
                               (value != NULL && strlen(value) != value_length);
    return MHD_YES;
}

enum rejectd_status framing_check_path(const char *path, struct rejectd_error *error)
{
    for (const char *c = path; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f || *c == '\\' || *c == '"' || *c == '<' || *c == '>') {
            return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                                "the path has a byte that must be percent-encoded");
        }
    }
    return REJECTD_OK;
}

enum rejectd_status framing_check_query(struct MHD_Connection *connection,
                                        struct rejectd_error *error)
{
    struct arguments arguments = {0};
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, read_argument, &arguments);
    if (arguments.n > MOST_ARGUMENTS) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                            "the query has %zu arguments; accepted are at most %d", arguments.n,
                            MOST_ARGUMENTS);
    }
    if (arguments.twice != NULL) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                            "the query has the argument %.40s twice", arguments.twice);
    }
    if (arguments.has_odd_bytes) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "", "the query has a NUL in it");
    }
    return REJECTD_OK;
}
