#include "server/jobs/job_products.h"

#include <stdlib.h>

static char *result_text(enum job_type type, const struct job_inputs *inputs,
                         const struct task_result *result, const struct result_context *context)
{
    const struct rejectd_channel *channels = inputs->description.channels;
    switch (type) {
    case JOB_FIT:
        return fit_result_to_json(result->fit, channels, context);
    case JOB_APPLY:
        return apply_result_to_json(result->log, result->model, channels, context);
    case JOB_THRESHOLDS:
        return thresholds_result_to_json(result->thresholds, inputs->task.thresholds.meg_legendre,
                                         channels, context);
    case JOB_RANSAC:
        return ransac_result_to_json(result->ransac, inputs->task.ransac.meg_legendre, channels,
                                     context);
    case JOB_GLOBAL_THRESHOLDS:
        return global_thresholds_result_to_json(result->global_thresholds, context);
    case JOB_VALIDATION_CURVE:
        return validation_curve_result_to_json(result->validation_curve, context);
    case JOB_INTERPOLATE:
        return interpolate_result_to_json(result->log, &inputs->task.clean, channels, context);
    default:
        return NULL;
    }
}

enum rejectd_status job_products_make(enum job_type type, const struct job_inputs *inputs,
                                      const struct task_result *result,
                                      const struct result_context *context,
                                      struct job_products *products, struct rejectd_error *error)
{
    *products = (struct job_products){0};
    products->result_json = result_text(type, inputs, result, context);
    if (result->fitted != NULL) {
        products->model_json = model_to_json(result->fitted);
    }
    if (products->result_json == NULL || (result->fitted != NULL && products->model_json == NULL)) {
        return REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "no memory for the result");
    }
    if (result->model != NULL) {
        products->labels = (struct job_array){
            .shape = {result->log->n_epochs, result->log->n_channels},
            .items = result->log->labels,
        };
    }
    if (result->ransac != NULL) {
        products->correlations = (struct job_array){
            .shape = {result->ransac->n_epochs, result->ransac->n_picks},
            .items = result->ransac->correlations,
        };
    }
    return REJECTD_OK;
}

void job_products_clear(struct job_products *products)
{
    free(products->result_json);
    free(products->model_json);
    free(products->labels.owned);
    free(products->correlations.owned);
    rejectd_thresholds_free(products->found);
    *products = (struct job_products){0};
}
