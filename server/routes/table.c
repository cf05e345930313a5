/* The table of routes: everything that the daemon answers. */
#include <stdio.h>
#include <string.h>

#include "server/http/request.h"

static const struct route routes[] = {
    {"POST", "/v1/datasets", BODY_DATASET, ROUTE_COMMITS, dataset_create, ACCESS_USER},
    {"GET", "/v1/datasets", BODY_NONE, ROUTE_HTTP, dataset_list_all, ACCESS_USER},
    {"GET", "/v1/datasets/{}", BODY_NONE, ROUTE_HTTP, dataset_show, ACCESS_USER},
    {"PATCH", "/v1/datasets/{}", BODY_JSON, ROUTE_COMMITS, ownership_patch, ACCESS_USER},
    {"DELETE", "/v1/datasets/{}", BODY_NONE, ROUTE_COMMITS, dataset_remove, ACCESS_USER},
    {"POST", "/v1/datasets/{}/parts", BODY_FILE, ROUTE_UPLOADS, dataset_add_file, ACCESS_USER},
    {"PUT", "/v1/datasets/{}/samples", BODY_SAMPLES, ROUTE_UPLOADS, dataset_put_samples,
     ACCESS_USER},
    {"HEAD", "/v1/datasets/{}/samples", BODY_NONE, ROUTE_HTTP, dataset_show_upload, ACCESS_USER},

    {"POST", "/v1/jobs", BODY_JSON, ROUTE_COMMITS, job_create, ACCESS_USER},
    {"GET", "/v1/jobs", BODY_NONE, ROUTE_HTTP, job_list_all, ACCESS_USER},
    {"GET", "/v1/jobs/{}", BODY_NONE, ROUTE_HTTP, job_show, ACCESS_USER},
    {"PATCH", "/v1/jobs/{}", BODY_JSON, ROUTE_COMMITS, ownership_patch, ACCESS_USER},
    {"DELETE", "/v1/jobs/{}", BODY_NONE, ROUTE_COMMITS, job_remove, ACCESS_USER},
    {"GET", "/v1/events", BODY_NONE, ROUTE_HTTP, send_events, ACCESS_USER},
    {"GET", "/v1/jobs/{}/events", BODY_NONE, ROUTE_HTTP, send_events, ACCESS_USER},
    {"GET", "/v1/jobs/{}/result", BODY_NONE, ROUTE_HTTP, job_show_result, ACCESS_USER},
    {"GET", "/v1/jobs/{}/result/labels.npy", BODY_NONE, ROUTE_HTTP, job_send_labels, ACCESS_USER},
    {"GET", "/v1/jobs/{}/result/cleaned.npy", BODY_NONE, ROUTE_UPLOADS, job_send_cleaned,
     ACCESS_USER},

    {"GET", "/v1/jobs/{}/result/correlations.npy", BODY_NONE, ROUTE_HTTP, job_send_correlations,
     ACCESS_USER},
    {"GET", "/v1/jobs/{}/result/reject_log.npz", BODY_NONE, ROUTE_COMMITS, job_send_reject_log,
     ACCESS_USER},
    {"GET", "/v1/jobs/{}/result/cleaned-epo.fif", BODY_NONE, ROUTE_UPLOADS, job_send_fif,
     ACCESS_USER},
    {"GET", "/v1/jobs/{}/result/cleaned.set", BODY_NONE, ROUTE_UPLOADS, job_send_set, ACCESS_USER},

    {"POST", "/v1/estimate", BODY_JSON, ROUTE_COMMITS, estimate_make, ACCESS_USER},

    {"POST", "/v1/models", BODY_MODEL, ROUTE_UPLOADS, model_create, ACCESS_USER},
    {"GET", "/v1/models", BODY_NONE, ROUTE_HTTP, model_list_all, ACCESS_USER},
    {"GET", "/v1/models/{}", BODY_NONE, ROUTE_HTTP, model_show, ACCESS_USER},
    {"GET", "/v1/models/{}/model.h5", BODY_NONE, ROUTE_UPLOADS, model_send_h5, ACCESS_USER},
    {"PATCH", "/v1/models/{}", BODY_JSON, ROUTE_COMMITS, ownership_patch, ACCESS_USER},
    {"DELETE", "/v1/models/{}", BODY_NONE, ROUTE_COMMITS, model_remove, ACCESS_USER},

    {"GET", "/v1/devices", BODY_NONE, ROUTE_HTTP, device_list_all, ACCESS_USER},

    {"GET", "/healthz", BODY_NONE, ROUTE_HTTP, meta_health, ACCESS_OPEN},
    {"GET", "/readyz", BODY_NONE, ROUTE_HTTP, meta_ready, ACCESS_OPEN},
    {"GET", "/metrics", BODY_NONE, ROUTE_COMMITS, metrics_show, ACCESS_LOCAL},
    {"GET", "/openapi.yaml", BODY_NONE, ROUTE_HTTP, meta_openapi, ACCESS_OPEN},
    {"GET", "/", BODY_NONE, ROUTE_HTTP, meta_root, ACCESS_OPEN},
};

enum { N_ROUTES = sizeof routes / sizeof routes[0] };

/* True when the path has the shape of the pattern; id is then its {}, "" when it has none. */
static bool matches(const char *pattern, const char *path, char id[RESOURCE_ID_SIZE])
{
    const char *hole = strstr(pattern, "{}");
    id[0] = '\0';
    if (hole == NULL) {
        return strcmp(pattern, path) == 0;
    }
    const size_t prefix = (size_t)(hole - pattern);
    if (strncmp(pattern, path, prefix) != 0) {
        return false;
    }
    const size_t length = strcspn(path + prefix, "/");
    if (length == 0 || length >= RESOURCE_ID_SIZE ||
        strcmp(path + prefix + length, hole + strlen("{}")) != 0) {
        return false;
    }
    memcpy(id, path + prefix, length);
    id[length] = '\0';
    return true;
}

static void allow_method(char allow[64], const char *method)
{
    const size_t length = strlen(allow);
    snprintf(allow + length, 64 - length, "%s%s%s", length == 0 ? "" : ", ", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

const struct route *route_find(const char *method, const char *path, char id[RESOURCE_ID_SIZE],
                               char allow[64])
{
    allow[0] = '\0';
    for (size_t i = 0; i < N_ROUTES; i++) {
        char found[RESOURCE_ID_SIZE];
        if (matches(routes[i].path, path, found)) {
            if (strcmp(routes[i].method, method) == 0) {
                memcpy(id, found, sizeof found);
                allow[0] = '\0';
                return &routes[i];
            }
            allow_method(allow, routes[i].method);
        }
    }
    return NULL;
}

size_t route_count(void)
{
    return N_ROUTES;
}

const struct route *route_at(size_t index)
{
    return &routes[index];
}

size_t route_index(const struct route *route)
{
    return (size_t)(route - routes);
}
