#include "server/http/limits.h"

#include <string.h>

#include "server/clock.h"
#include "server/http/admission.h"

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

static enum rejectd_status check_queue(struct request *request, struct rejectd_error *error)
{
    enum { RETRY_SECONDS = 10 };
    const struct service *service = request->service;
    const uint64_t most = (uint64_t)service->config->user_queued_jobs;
    struct store_usage usage;
    const enum rejectd_status status = service->store->functions->usage_get(
        service->store, request->principal.user, &usage, error);
    if (status != REJECTD_OK || most == 0 || usage.queued_jobs < most) {
        return status;
    }
    request->response.retry_after = RETRY_SECONDS;
    return REJECTD_FAIL(error, REJECTD_TOO_MANY_REQUESTS, "",
                        "%llu of your jobs are queued; accepted are at most %llu at a time",
                        (unsigned long long)usage.queued_jobs, (unsigned long long)most);
}

enum rejectd_status limits_check_bytes(const struct request *request, uint64_t bytes,
                                       struct rejectd_error *error)
{
    const struct service *service = request->service;
    const uint64_t most = (uint64_t)service->config->user_bytes;
    struct store_usage usage = {0};
    enum rejectd_status status = REJECTD_OK;
    if (most != 0) {
        status = service->store->functions->usage_get(service->store, request->principal.user,
                                                      &usage, error);
    }
    if (status != REJECTD_OK || most == 0 ||
        (usage.stored_bytes <= most && bytes <= most - usage.stored_bytes)) {
        return status;
    }
    return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                        "your datasets have %llu bytes and this one would add %llu; accepted are "
                        "at most %llu: delete what is not needed any more",
                        (unsigned long long)usage.stored_bytes, (unsigned long long)bytes,
                        (unsigned long long)most);
}

enum rejectd_status limits_room(const struct request *request, uint64_t *most,
                                struct rejectd_error *error)
{
    const struct service *service = request->service;
    const uint64_t most_of_user = (uint64_t)service->config->user_bytes;
    struct store_usage usage = {0};
    *most = (uint64_t)service->config->max_upload_bytes;
    if (most_of_user == 0 || request->facts.coding == HTTP_IDENTITY) {
        return REJECTD_OK;
    }
    const enum rejectd_status status = service->store->functions->usage_get(
        service->store, request->principal.user, &usage, error);
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
    if (status == REJECTD_OK && admission_takes_file(request)) {
        status = limits_check_bytes(request, request->content_length, error);
    }
    return status;
}
