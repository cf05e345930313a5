/*
 * Estimates on the wire: what a job would need and take (POST /v1/estimate).
 *
 * The request is that of a job, but that in place of a dataset it may have a shape: sizes of a
 * dataset that need not exist, with as many channels of each type as it says. The channels are made
 * up, with sensors spread over a sphere, so that all checks of a job can be made.
 */
#ifndef PROTOCOL_ESTIMATE_JSON_H
#define PROTOCOL_ESTIMATE_JSON_H

#include "protocol/dataset_json.h"
#include "protocol/resource_json.h"

struct estimate_request {
    struct job_request job; /* dataset is "" where there is a shape */
    bool has_shape;
    struct dataset_description shape;
};

/* Errors name fields as those of a job do; those of the shape as "shape.n_epochs". The request is
 * cleared on failure. */
enum rejectd_status estimate_request_from_json(const char *text, size_t length,
                                               struct estimate_request *request,
                                               struct rejectd_error *error);
void estimate_request_clear(struct estimate_request *request); /* all-zero is allowed */

enum { ESTIMATE_REASON_SIZE = 256 };

/* On one device. */
struct estimate_device {
    char device[32];
    bool considered; /* the job may run there, as far as its "device" says */
    double host_bytes;
    double device_bytes; /* 0: it has no memory of its own */
    bool in_pieces;      /* it passes through the device's memory, which is less */
    double seconds;
    char basis[16];                    /* of the seconds: "measured", "similar", "assumed" */
    bool fits;                         /* it can run there */
    char reason[ESTIMATE_REASON_SIZE]; /* why it can't, or takes longer; "" (null) */
    double work;                       /* not on the wire, as the next */
    char kind[32];
};

struct estimate_view {
    struct estimate_device *devices; /* [n], owned */
    size_t n;
    char chosen[32];       /* that the scheduler would take; "" (null): none */
    uint64_t sample_bytes; /* of the host's, those of the samples */
    uint64_t job_memory;   /* that all running jobs together may need of the host */
};

void estimate_view_clear(struct estimate_view *view); /* all-zero is allowed */
/* free() it; NULL without memory. */
char *estimate_view_to_json(const struct estimate_view *view);
/* What a client reads; fields that it doesn't know are ignored. */
enum rejectd_status estimate_view_from_json(const char *text, size_t length,
                                            struct estimate_view *view,
                                            struct rejectd_error *error);

#endif
