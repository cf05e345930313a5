#include "server/http/conditions.h"

#include <stdio.h>
#include <string.h>

#include "server/http/ranges.h"

static void refuse_range(struct response *response, uint64_t size)
{
    struct rejectd_error error = {0};
    REJECTD_FAIL(&error, REJECTD_RANGE_NOT_SATISFIABLE, "Range",
                 "the range begins behind the end; there are %llu bytes", (unsigned long long)size);
    respond_problem(response, &error);
    snprintf(response->content_range, sizeof response->content_range, "bytes */%llu",
             (unsigned long long)size);
}

static void cut_out(struct response *response, uint64_t size, uint64_t first, uint64_t count)
{
    snprintf(response->content_range, sizeof response->content_range, "bytes %llu-%llu/%llu",
             (unsigned long long)first, (unsigned long long)(first + count - 1),
             (unsigned long long)size);
    response->status = 206;
    response_cut(response, first, count);
}

void conditions_apply(const struct request *request, struct response *response)
{
    const char *none_match = request_header(request, "If-None-Match");
    const char *range = request_header(request, "Range");
    const char *if_range = request_header(request, "If-Range");
    uint64_t size = 0;
    uint64_t first = 0;
    uint64_t count = 0;
    if (response->status != 200 || response->etag[0] == '\0') {
        return;
    }
    if (none_match != NULL && etag_matches(none_match, response->etag)) {
        response->status = 304; /* whose headers are those of the whole, without its bytes */
        return;
    }
    if (range == NULL || request->is_head || !response_measure(response, &size) ||
        (if_range != NULL && strcmp(if_range, response->etag) != 0)) {
        return;
    }
    switch (range_read(range, size, &first, &count)) {
    case RANGE_PART:
        cut_out(response, size, first, count);
        break;
    case RANGE_UNSATISFIABLE:
        refuse_range(response, size);
        break;
    case RANGE_WHOLE:
        break;
    }
}
