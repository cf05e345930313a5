#include "server/http/limits.h"

#include <string.h>

#include "server/clock.h"
#include "server/store/quota.h"

static enum rejectd_status check_rate(struct request *request, struct rejectd_error *error)
{
    const struct service *service = request->service;
    const double most = (double)service->config->user_requests_per_second;
    double wait = 0.0;
    if (most == 0.0 || rate_limiter_take(service->rates, request->principal.user, most,
                                         clock_monotonic(), &wait)) {
        return REJECTD_OK;
    }
    request->response.retry_after = 1 + (int)wait;
    return REJECTD_FAIL(error, REJECTD_TOO_MANY_REQUESTS, "",
                        "more than %.0f requests a second; come again later", most);
}

static enum rejectd_status look_up_usage(const struct request *request, struct store_usage *usage,
                                         struct rejectd_error *error)
{
    struct store *store = request->service->store;
    return store->functions->usage_get(store, request->principal.user, usage, error);
}

/* What may be one that was sent before is looked at with its key, by the store. */
static enum rejectd_status check_queue(struct request *request, struct rejectd_error *error)
{
    const uint64_t most = (uint64_t)request->service->config->user_queued_jobs;
    struct store_usage usage = {0};
    if (most == 0 || request_header(request, "Idempotency-Key") != NULL) {
        return REJECTD_OK;
    }
    enum rejectd_status status = look_up_usage(request, &usage, error);
    if (status == REJECTD_OK) {
        status = quota_check_jobs(&usage, most, error);
        request->response.retry_after = status == REJECTD_OK ? 0 : LIMITS_QUEUE_SECONDS;
    }
    return status;
}

enum rejectd_status limits_room(const struct request *request, uint64_t *most,
                                struct rejectd_error *error)
{
    const struct config *config = request->service->config;
    const uint64_t most_of_user = (uint64_t)config->user_bytes;
    struct store_usage usage = {0};
    *most = (uint64_t)config->max_upload_bytes;
    if (most_of_user == 0 || request->facts.coding == HTTP_IDENTITY) {
        return REJECTD_OK;
    }
    const enum rejectd_status status = look_up_usage(request, &usage, error);
    const uint64_t room = usage.stored_bytes < most_of_user ? most_of_user - usage.stored_bytes : 0;
    *most = room < *most ? room : *most;
    return status;
}

enum rejectd_status limits_check(struct request *request, struct rejectd_error *error)
{
    const struct route *route = request->route;
    if (route->access == ACCESS_OPEN) {
        return REJECTD_OK;
    }
    enum rejectd_status status = check_rate(request, error);
    if (status == REJECTD_OK && route->handle == job_create) {
        status = check_queue(request, error);
    }
    return status;
}
