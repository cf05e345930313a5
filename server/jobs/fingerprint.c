#include "server/jobs/fingerprint.h"

#include <jansson.h>
#include <rejectd/version.h>
#include <stdlib.h>
#include <string.h>

#include "server/blobs/sha256.h"

/* With its end, so that no two lists of texts look alike. */
static void add(struct sha256 *hash, const char *text)
{
    sha256_update(hash, text, strlen(text) + 1);
}

/* Whatever the order of the members. free() it; NULL without memory. */
static char *sorted(const char *json)
{
    json_t *value = json_loads(json, 0, NULL);
    char *text = value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(value);
    return text;
}

enum rejectd_status job_fingerprint(const struct job_request *wanted,
                                    const struct job_inputs *inputs, const char *numerics,
                                    char out[RESOURCE_SHA256_SIZE], struct rejectd_error *error)
{
    struct dataset_description seen = inputs->description;
    seen.name[0] = '\0';
    seen.events_json = seen.event_id_json = NULL;
    char *description = dataset_to_json(&seen);
    char *parameters = sorted(wanted->parameters_json);
    if (description == NULL || parameters == NULL) {
        free(description);
        free(parameters);
        return REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "",
                            "no memory for the job's fingerprint");
    }
    struct sha256 hash;
    sha256_init(&hash);
    add(&hash, REJECTD_VERSION);
    add(&hash, numerics);
    add(&hash, job_type_name(wanted->type));
    add(&hash, inputs->dataset_sha256);
    add(&hash, description);
    add(&hash, wanted->model);
    add(&hash, wanted->device);
    add(&hash, parameters);
    sha256_final(&hash, out);
    free(description);
    free(parameters);
    return REJECTD_OK;
}
