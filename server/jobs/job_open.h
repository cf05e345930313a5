/*
 * What a job works with, made from its records: its dataset's description, its parameters resolved
 * against it, its model; and from them the task for a worker, which lacks nothing but the samples.
 */
#ifndef SERVER_JOBS_JOB_OPEN_H
#define SERVER_JOBS_JOB_OPEN_H

#include "protocol/dataset_json.h"
#include "server/store/store.h"
#include "worker/task.h"

/* A job as it is posted or stored; borrowed. */
struct job_terms {
    enum job_type type;
    const char *dataset;
    const char *model; /* "" where the type has none */
    const char *parameters_json;
};

/* The same with all its records, as text: what is needed to open it anywhere. */
struct job_texts {
    enum job_type type;
    char dataset_sha256[RESOURCE_SHA256_SIZE];
    char *description_json; /* owned, as all texts here */
    char *parameters_json;
    char *model_json; /* NULL where the type has none */
};

/* All of it stays where it is: the task points to it. */
struct job_inputs {
    char dataset_sha256[RESOURCE_SHA256_SIZE];
    struct dataset_description description;
    struct job_parameters parameters;
    struct rejectd_model *model;
    struct task task; /* its samples are NULL */
};

/* Reads the records. A missing dataset or model is NOT_FOUND at its field, a dataset without
 * samples a CONFLICT. job_texts_clear() in any case. */
enum rejectd_status job_texts_read(struct store *store, const struct job_terms *terms,
                                   struct job_texts *texts, struct rejectd_error *error);
void job_texts_clear(struct job_texts *texts); /* all-zero is allowed */

/* Makes the inputs of texts, which may go then. job_inputs_clear() in any case. */
enum rejectd_status job_inputs_open(const struct job_texts *texts, struct job_inputs *inputs,
                                    struct rejectd_error *error);
void job_inputs_clear(struct job_inputs *inputs); /* all-zero is allowed */

/* Both, for whom the inputs are enough. */
enum rejectd_status job_open(struct store *store, const struct job_terms *terms,
                             struct job_inputs *inputs, struct rejectd_error *error);

/* The inputs of a job on a dataset that is not there: its description is copied. The model must be
 * there; the inputs have no samples' digest. */
enum rejectd_status job_open_shape(struct store *store, const struct job_terms *terms,
                                   const struct dataset_description *shape,
                                   struct job_inputs *inputs, struct rejectd_error *error);

#endif
