#include "server/http/origin.h"

#include <string.h>
#include <strings.h>

/* "https://lab.example:8443" is this server's own when it was asked under that name. A proxy that
 * ends TLS for us makes https out of http, so that both are ours unless we end it ourselves. */
static bool is_own(const struct request *request, const char *origin)
{
    const char *host = request_header(request, "Host");
    const bool secure = request->service->config->tls_certificate[0] != '\0';
    const char *rest = NULL;
    if (strncasecmp(origin, "https://", strlen("https://")) == 0) {
        rest = origin + strlen("https://");
    } else if (!secure && strncasecmp(origin, "http://", strlen("http://")) == 0) {
        rest = origin + strlen("http://");
    }
    return rest != NULL && host != NULL && strcasecmp(rest, host) == 0;
}

/* What anybody may see anyhow. */
static bool is_open(const struct request *request, const char *method)
{
    const bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    return reads && strncmp(request->path, "/v1/", strlen("/v1/")) != 0;
}

enum rejectd_status origin_check(const struct request *request, const char *method,
                                 struct rejectd_error *error)
{
    const char *origin = request_header(request, "Origin");
    const char *site = request_header(request, "Sec-Fetch-Site");
    if (is_open(request, method)) {
        return REJECTD_OK;
    }
    if (origin != NULL && !is_own(request, origin)) {
        return REJECTD_FAIL(error, REJECTD_FORBIDDEN, "Origin",
                            "pages of other sites may not send this request");
    }
    if (origin == NULL && site != NULL && strcasecmp(site, "cross-site") == 0) {
        return REJECTD_FAIL(error, REJECTD_FORBIDDEN, "Sec-Fetch-Site",
                            "pages of other sites may not send this request");
    }
    return REJECTD_OK;
}
