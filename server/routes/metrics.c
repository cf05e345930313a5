/* /metrics, for Prometheus. */
#include <netinet/in.h>
#include <string.h>

#include "server/http/request.h"
#include "server/metrics/collect.h"
#include "server/metrics/text.h"

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof four);
        return ntohl(four.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        return IN6_IS_ADDR_LOOPBACK(&six.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) && six.sin6_addr.s6_addr[12] == 127);
    }
    return false;
}

/*
 * Who may read the figures: those on this machine. A proxy on it speaks for somebody else, whom
 * its headers tell of.
 */
static bool may_read(const struct request *request)
{
    const union MHD_ConnectionInfo *peer =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return peer != NULL && is_loopback(peer->client_addr) &&
           request_header(request, "Forwarded") == NULL &&
           request_header(request, "X-Forwarded-For") == NULL;
}

void metrics_show(struct request *request, struct response *response)
{
    struct rejectd_error error = {0};
    if (!may_read(request)) {
        REJECTD_FAIL(&error, REJECTD_NOT_FOUND, "", "there is nothing at /metrics for you");
        respond_problem(response, &error);
        return;
    }
    respond_json(response, 200, metrics_collect(request->service));
    if (response->status == 200) {
        response->content_type = METRIC_CONTENT_TYPE;
    }
}
