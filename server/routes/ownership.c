/* PATCH of a dataset, job or model: who sees it, and (for administrators) whose it is. */
#include <string.h>

#include "server/http/request.h"

/* Answers as a GET of the resource does. */
static void show(struct request *request, struct response *response)
{
    if (strncmp(request->id, "ds_", 3) == 0) {
        dataset_show(request, response);
    } else if (strncmp(request->id, "jb_", 3) == 0) {
        job_show_now(request, response);
    } else {
        model_show(request, response);
    }
}

void ownership_patch(struct request *request, struct response *response)
{
    struct store *store = request->service->store;
    struct rejectd_error error = {0};
    struct ownership_change change = {0};
    enum rejectd_status status = request_check_body(request, &error);
    if (status == REJECTD_OK) {
        status =
            ownership_change_from_json(request->body.data, request->body.length, &change, &error);
    }
    if (status == REJECTD_OK && change.has_owner && !request->principal.admin) {
        status = REJECTD_FAIL(&error, REJECTD_FORBIDDEN, "owner",
                              "only administrators give things to other users");
    }
    if (status == REJECTD_OK) {
        status = store->functions->ownership_change(store, request->id, &change, &error);
    }
    if (status == REJECTD_OK) {
        show(request, response);
    } else {
        respond_problem(response, &error);
    }
}
