#include "server/http/account.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "server/clock.h"

void request_ids_init(struct request_ids *ids)
{
    randombytes_buf(&ids->start, sizeof ids->start);
    atomic_init(&ids->n_made, 0);
}

/* splitmix64: every number gives another one, and neighbours look nothing alike. */
static uint64_t scramble(uint64_t number)
{
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

void request_ids_make(struct request_ids *ids, char id[RESOURCE_REQUEST_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    const uint64_t n = atomic_fetch_add_explicit(&ids->n_made, 1, memory_order_relaxed);
    const uint64_t number = scramble(ids->start + n * UINT64_C(0x9e3779b97f4a7c15));
    for (unsigned i = 0; i < 16; i++) {
        id[i] = digits[number >> (60 - 4 * i) & 15];
    }
    id[16] = '\0';
}

bool request_id_is_acceptable(const char *id)
{
    static const char accepted[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789._-";
    const size_t length = strspn(id, accepted);
    return length > 0 && length < RESOURCE_REQUEST_SIZE && id[length] == '\0';
}

/* Whoever asks may have written anything. */
static const char *known_method(const char *method)
{
    static const char *const known[] = {"GET",    "HEAD",    "POST",  "PUT",    "PATCH",
                                        "DELETE", "OPTIONS", "TRACE", "CONNECT"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i], method) == 0) {
            return known[i];
        }
    }
    return "other";
}

void account_begin(struct request *request, const char *method)
{
    const char *id = request_header(request, "X-Request-Id");
    request->account.method = known_method(method);
    if (id != NULL && request_id_is_acceptable(id)) {
        snprintf(request->request_id, sizeof request->request_id, "%s", id);
    }
}

void account_answer(struct request *request)
{
    struct request_account *account = &request->account;
    struct response *response = &request->response;
    account->problem = response->has_problem ? rejectd_status_name(response->problem.status) : NULL;
    response_prepare(response, request->request_id);
    account->status = response->status;
    account->bytes_out = strcmp(account->method, "HEAD") == 0 ? 0 : response_body_bytes(response);
}

static void count(const struct request *request, double seconds)
{
    const struct request_account *account = &request->account;
    const struct metrics_request figures = {
        .route = request->route == NULL ? SIZE_MAX : route_index(request->route),
        .is_head = strcmp(account->method, "HEAD") == 0,
        .status = account->status,
        .seconds = account->waits ? -1.0 : seconds,
        .bytes_in = account->bytes_in,
        .bytes_out = account->bytes_out,
    };
    metrics_count_request(request->service->metrics, &figures);
}

/* Successful reads are many and of little interest. */
static enum log_level level_of(const struct request_account *account)
{
    const bool reads = strcmp(account->method, "GET") == 0 || strcmp(account->method, "HEAD") == 0;
    return reads && account->status > 0 && account->status < 400 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

void account_end(struct request *request, bool whole)
{
    struct request_account *account = &request->account;
    const struct log *log = request->service->log;
    const double seconds = clock_monotonic() - request->started;
    const enum log_level level = level_of(account);
    account->bytes_out = whole ? account->bytes_out : 0;
    count(request, seconds);
    if (!log_is_on(log, level)) {
        return;
    }
    /* The pattern, not the path: whoever asks may have written anything into that. */
    log_write_fields(
        log, level, "request",
        LOG_FIELDS(LOG_TEXT("request_id", request->request_id), LOG_TEXT("method", account->method),
                   LOG_TEXT("route", request->route == NULL ? "unmatched" : request->route->path),
                   LOG_NUMBER("status", account->status), LOG_TEXT("problem", account->problem),
                   LOG_NUMBER("seconds", seconds), LOG_NUMBER("bytes_in", account->bytes_in),
                   LOG_NUMBER("bytes_out", account->bytes_out)),
        "%s",
        whole                  ? "answered"
        : account->status == 0 ? "ended before an answer"
                               : "cut off");
}
