#include "server/http/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *request_argument(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

enum rejectd_status request_limit(const struct request *request, size_t *limit,
                                  struct rejectd_error *error)
{
    enum { DEFAULT_LIMIT = 100 };
    const char *text = request_argument(request, "limit");
    *limit = DEFAULT_LIMIT;
    if (text == NULL) {
        return REJECTD_OK;
    }
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < 1 || value > RESOURCE_MAX_LIST) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "limit",
                            "limit is \"%.40s\"; accepted: an integer from 1 to %d", text,
                            RESOURCE_MAX_LIST);
    }
    *limit = (size_t)value;
    return REJECTD_OK;
}

enum rejectd_status request_wait(const struct request *request, double *seconds,
                                 struct rejectd_error *error)
{
    enum { LONGEST_WAIT = 60 };
    const char *text = request_argument(request, "wait");
    *seconds = 0.0;
    if (text == NULL) {
        return REJECTD_OK;
    }
    char *end;
    const double value = strtod(text, &end);
    /* Written so that NaN is refused. */
    if (end == text || *end != '\0' || !(value >= 0.0 && value <= LONGEST_WAIT)) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "wait",
                            "wait is \"%.40s\"; accepted: 0 to %d seconds", text, LONGEST_WAIT);
    }
    *seconds = value;
    return REJECTD_OK;
}

enum rejectd_status request_ownership(const struct request *request, struct ownership *ownership,
                                      struct rejectd_error *error)
{
    const char *text = request_argument(request, "visibility");
    *ownership = (struct ownership){.visibility = VISIBILITY_PRIVATE};
    memcpy(ownership->owner, request->principal.user, sizeof ownership->owner);
    if (text != NULL && !visibility_from_name(text, &ownership->visibility)) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "visibility",
                            "visibility is \"%.40s\"; accepted: private, lab", text);
    }
    return REJECTD_OK;
}

enum rejectd_status request_check_body(struct request *request, struct rejectd_error *error)
{
    if (request->facts.coding != HTTP_IDENTITY) {
        const enum rejectd_status status = body_decode(request, error);
        if (status != REJECTD_OK) {
            return status;
        }
    }
    buffer_append_text(&request->body, "");
    if (request->body.failed || request->body.data == NULL) {
        return REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "no memory for the body");
    }
    return REJECTD_OK;
}
