/* Reading a job's request that is part of another document. Internal to protocol/. */
#ifndef PROTOCOL_JOB_REQUEST_H
#define PROTOCOL_JOB_REQUEST_H

#include "protocol/job_json.h"
#include "protocol/json_reader.h"

/* Reads the fields of a job. takes_shape: there may be a "shape", which is not read, in place of
 * the dataset, which is "" then. job_request_clear() also after a failure. */
enum rejectd_status job_request_read(const struct json_object *root, bool takes_shape,
                                     struct job_request *request);

#endif
