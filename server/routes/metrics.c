/* /metrics, for Prometheus. */
#include "server/http/request.h"
#include "server/metrics/collect.h"
#include "server/metrics/text.h"

void metrics_show(struct request *request, struct response *response)
{
    respond_json(response, 200, metrics_collect(request->service));
    if (response->status == 200) {
        response->content_type = METRIC_CONTENT_TYPE;
    }
}
