#include "server/http/conditions.h"

#include <stdio.h>
#include <string.h>

#include "server/http/ranges.h"

/* A condition that the client's copy fulfils needs no bytes. */
static void answer_unchanged(struct response *response)
{
    char etag[sizeof response->etag];
    memcpy(etag, response->etag, sizeof etag);
    response_clear(response);
    response->status = 304;
    memcpy(response->etag, etag, sizeof etag);
}

static void refuse_range(struct response *response)
{
    struct rejectd_error error = {0};
    const uint64_t size = response->file_bytes;
    REJECTD_FAIL(&error, REJECTD_RANGE_NOT_SATISFIABLE, "Range",
                 "the range begins behind the end; there are %llu bytes", (unsigned long long)size);
    respond_problem(response, &error);
    snprintf(response->content_range, sizeof response->content_range, "bytes */%llu",
             (unsigned long long)size);
}

static void cut_out(struct response *response, uint64_t first, uint64_t count)
{
    snprintf(response->content_range, sizeof response->content_range, "bytes %llu-%llu/%llu",
             (unsigned long long)first, (unsigned long long)(first + count - 1),
             (unsigned long long)response->file_bytes);
    response->status = 206;
    response->file_at = first;
    response->file_bytes = count;
}

void conditions_apply(const struct request *request, struct response *response)
{
    const char *none_match = request_header(request, "If-None-Match");
    const char *range = request_header(request, "Range");
    const char *if_range = request_header(request, "If-Range");
    uint64_t first = 0;
    uint64_t count = 0;
    if (response->status != 200 || response->etag[0] == '\0') {
        return;
    }
    if (none_match != NULL && etag_matches(none_match, response->etag)) {
        answer_unchanged(response);
        return;
    }
    if (range == NULL || request->is_head || !response->has_file ||
        (if_range != NULL && strcmp(if_range, response->etag) != 0)) {
        return;
    }
    switch (range_read(range, response->file_bytes, &first, &count)) {
    case RANGE_PART:
        cut_out(response, first, count);
        break;
    case RANGE_UNSATISFIABLE:
        refuse_range(response);
        break;
    case RANGE_WHOLE:
        break;
    }
}
