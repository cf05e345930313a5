/* Operations: is it alive, what does it answer. */
#include "protocol/openapi.h"
#include "server/http/request.h"

static const char health[] = "{\"status\":\"ok\"}";

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><head><meta charset=\"utf-8\"><title>rejectd</title>\n"
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em}"
    "pre{background:#f3f3f1;padding:1em;overflow-x:auto}</style></head>\n"
    "<body><h1>rejectd</h1>\n"
    "<p>Finds bad epochs and sensors in M/EEG recordings, and repairs them, as autoreject does "
    "(Jas et al. 2017).</p>\n"
    "<pre>rejectctl upload epochs.npy --metadata epochs.json\n"
    "rejectctl fit ds_...</pre>\n"
    "<ul><li><a href=\"/v1/datasets\">datasets</a></li>\n"
    "<li><a href=\"/v1/jobs\">jobs</a></li>\n"
    "<li><a href=\"/v1/models\">models</a></li>\n"
    "<li><a href=\"/v1/devices\">devices</a></li>\n"
    "<li><a href=\"/openapi.yaml\">openapi.yaml</a>, the description of the HTTP API</li></ul>\n"
    "</body></html>\n";

void meta_health(struct request *request, struct response *response)
{
    (void)request;
    respond_constant(response, "application/json", health, sizeof health - 1);
}

void meta_openapi(struct request *request, struct response *response)
{
    (void)request;
    respond_constant(response, "application/yaml", openapi_yaml, openapi_yaml_length);
    respond_tagged(response, NULL);
}

void meta_root(struct request *request, struct response *response)
{
    (void)request;
    respond_constant(response, "text/html; charset=utf-8", page, sizeof page - 1);
}
