/*
 * What a job that succeeded leaves behind, before it is stored: texts and arrays.
 *
 * They are made where the job was computed, which may be another process than the one that stores
 * them. (The cleaned samples aren't among them: they are streamed while they are made.)
 */
#ifndef SERVER_JOBS_JOB_PRODUCTS_H
#define SERVER_JOBS_JOB_PRODUCTS_H

#include "server/jobs/job_open.h"

/* [shape[0]][shape[1]] in C order; items is NULL when the job has no such array. */
struct job_array {
    size_t shape[2];
    const void *items; /* borrowed, or the same as `owned` */
    void *owned;
};

struct job_products {
    char *result_json;                /* owned, as all texts here */
    char *model_json;                 /* of a fit, else NULL */
    struct job_array labels;          /* int8 [n_epochs][n_channels] */
    struct job_array correlations;    /* float64 [n_epochs][n_picks] */
    struct rejectd_thresholds *found; /* owned; all that a share of a search leaves behind */
};

/* Makes them of a task that has been run on the inputs. The arrays are borrowed from the result.
 * job_products_clear() in any case. */
enum rejectd_status job_products_make(enum job_type type, const struct job_inputs *inputs,
                                      const struct task_result *result,
                                      const struct result_context *context,
                                      struct job_products *products, struct rejectd_error *error);
void job_products_clear(struct job_products *products); /* all-zero is allowed */

#endif
