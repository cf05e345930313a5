/* /v1/devices, and what of them /readyz tells. */
#include <stdlib.h>
#include <string.h>

#include "server/http/request.h"

static enum rejectd_status is_seen(struct store *store, const struct store_viewer *viewer,
                                   const char *id, bool *seen, struct rejectd_error *error)
{
    struct ownership ownership;
    const enum rejectd_status status =
        store->functions->ownership_get(store, viewer, id, &ownership, error);
    *seen = status == REJECTD_OK;
    return status == REJECTD_NOT_FOUND ? REJECTD_OK : status;
}

static enum rejectd_status show_datasets(struct store *store, const struct store_viewer *viewer,
                                         struct resident_view *resident,
                                         struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    size_t n_shown = 0;
    for (size_t i = 0; i < resident->n_datasets && status == REJECTD_OK; i++) {
        bool seen;
        status = is_seen(store, viewer, resident->datasets[i], &seen, error);
        memmove(resident->datasets[n_shown], resident->datasets[i], sizeof resident->datasets[i]);
        n_shown += seen;
    }
    resident->n_datasets = n_shown;
    return status;
}

/* Leaves of a device what the viewer sees: the job, and samples that were brought there by jobs on
 * datasets that the viewer sees. Who has the same samples is not told that somebody has them here.
 */
static enum rejectd_status show_to(struct store *store, const struct principal *principal,
                                   struct device_view *view, struct rejectd_error *error)
{
    struct store_viewer viewer;
    const struct store_viewer *seen_by = principal_viewer(principal, &viewer);
    enum rejectd_status status = REJECTD_OK;
    size_t n_shown = 0;
    for (size_t i = 0; i < view->n_residents && status == REJECTD_OK; i++) {
        struct resident_view *resident = &view->residents[n_shown];
        *resident = view->residents[i];
        status = show_datasets(store, seen_by, resident, error);
        n_shown += principal->admin || resident->n_datasets > 0;
    }
    view->n_residents = n_shown;
    view->hides_held = !principal->admin;
    bool seen = true;
    if (status == REJECTD_OK && view->job[0] != '\0') {
        status = is_seen(store, seen_by, view->job, &seen, error);
    }
    if (!seen) {
        view->job[0] = '\0';
    }
    return status;
}

void device_list_all(struct request *request, struct response *response)
{
    const struct service *service = request->service;
    struct rejectd_error error = {0};
    struct device_view *views = NULL;
    size_t n_views = 0;
    enum rejectd_status status = device_board_copy(service->board, &views, &n_views, &error);
    for (size_t i = 0; i < n_views && status == REJECTD_OK; i++) {
        status = show_to(service->store, &request->principal, &views[i], &error);
    }
    if (status == REJECTD_OK) {
        respond_json(response, 200,
                     device_list_to_json(views, n_views, device_board_note(service->board)));
    } else {
        respond_problem(response, &error);
    }
    free(views);
}

/* Jobs can run on some device; with backend = cuda, on a GPU. */
static bool can_run(const struct service *service, const struct device_view *views, size_t n_views)
{
    const bool wants_gpu = strcmp(service->config->backend, "cuda") == 0;
    for (size_t i = 0; i < n_views; i++) {
        if (device_state_is_usable(views[i].state) &&
            (!wants_gpu || device_kind_is_gpu(views[i].kind))) {
            return true;
        }
    }
    return false;
}

/* Ready: the store answers, there is a device to run jobs on, and the end isn't near. */
void meta_ready(struct request *request, struct response *response)
{
    const struct service *service = request->service;
    struct store *store = service->store;
    struct rejectd_error error = {0};
    struct device_view *views = NULL;
    size_t n_views = 0;
    enum rejectd_status status = store->functions->check(store, &error);
    if (status == REJECTD_OK) {
        status = device_board_copy(service->board, &views, &n_views, &error);
    }
    if (status == REJECTD_OK) {
        const char *name = can_run(service, views, n_views) ? "ok" : "not ready";
        name = atomic_load(&service->draining) ? "draining" : name;
        const int http = strcmp(name, "ok") == 0 ? 200 : 503;
        respond_json(response, http, readiness_to_json(views, n_views, name));
    } else {
        error.status = REJECTD_UNAVAILABLE;
        respond_problem(response, &error);
    }
    free(views);
}
