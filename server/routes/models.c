/* /v1/models */
#include "server/retention/removal.h"

void model_list_all(struct request *request, struct response *response)
{
    struct store *store = request->service->store;
    struct rejectd_error error = {0};
    struct model_view *models = NULL;
    size_t n_models = 0;
    struct store_viewer viewer;
    size_t limit = 0;
    enum rejectd_status status = request_limit(request, &limit, &error);
    if (status == REJECTD_OK) {
        status = store->functions->model_list(store, principal_viewer(&request->principal, &viewer),
                                              limit, &models, &n_models, &error);
    }
    if (status == REJECTD_OK) {
        respond_json(response, 200, model_list_to_json(models, n_models));
    } else {
        respond_problem(response, &error);
    }
    model_list_free(models, n_models);
}

void model_show(struct request *request, struct response *response)
{
    struct store *store = request->service->store;
    struct rejectd_error error = {0};
    struct model_view model = {0};
    if (store->functions->model_get(store, request->id, &model, &error) == REJECTD_OK) {
        respond_json(response, 200, model_view_to_json(&model));
    } else {
        respond_problem(response, &error);
    }
    model_view_clear(&model);
}

void model_remove(struct request *request, struct response *response)
{
    struct rejectd_error error = {0};
    if (removal_of_model(request->service, request->id, request, &error) == REJECTD_OK) {
        respond_nothing(response);
    } else {
        respond_problem(response, &error);
    }
}
