/* POST /v1/estimate: what a job would need and take; nothing is stored. */
#include <stdlib.h>

#include "protocol/estimate_json.h"
#include "server/http/authorize.h"
#include "server/http/request.h"
#include "server/jobs/job_check.h"

void estimate_make(struct request *request, struct response *response)
{
    struct service *service = request->service;
    struct rejectd_error error = {0};
    struct estimate_request wanted = {0};
    struct estimate_view view = {0};
    enum rejectd_status status = request_check_body(request, &error);
    if (status == REJECTD_OK) {
        status =
            estimate_request_from_json(request->body.data, request->body.length, &wanted, &error);
    }
    if (status == REJECTD_OK && !wanted.has_shape) {
        status = authorize_use(request, wanted.job.dataset, "dataset", &error);
    }
    if (status == REJECTD_OK && wanted.job.model[0] != '\0') {
        status = authorize_use(request, wanted.job.model, "model", &error);
    }
    if (status == REJECTD_OK) {
        status = job_foretell(service->store, &service->forecaster, &wanted.job,
                              wanted.has_shape ? &wanted.shape : NULL, &view, &error);
    }
    if (status == REJECTD_OK) {
        respond_json(response, 200, estimate_view_to_json(&view));
    } else {
        respond_problem(response, &error);
    }
    estimate_view_clear(&view);
    estimate_request_clear(&wanted);
}
