#include "worker/cpu/cpu_backend.h"

#include <stdlib.h>

#include "worker/cpu/session.h"

static const char *cpu_describe(void)
{
    return kernels_select(NULL, REJECTD_FLOAT64)->description;
}

static void cpu_close(struct backend_session *session)
{
    if (session == NULL)
        return;
    arena_free(&session->rows);
    free(session->offsets);
    repairs_clear(session);
    free(session);
}

static enum rejectd_status cpu_open(const struct backend_samples *samples,
                                    const struct backend_options *options,
                                    struct backend_session **session, struct rejectd_error *error)
{
    *session = NULL;
    const struct cpu_kernels *kernels =
        kernels_select(options->instruction_set, backend_arithmetic(options->precision));
    if (kernels == NULL)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "instruction_set",
                            "this processor does not have the instruction set \"%s\"",
                            options->instruction_set);
    struct backend_session *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *opened);
    opened->samples = *samples;
    opened->options = *options;
    opened->kernels = kernels;
    opened->work_size = kernels->work == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
    *session = opened;
    return REJECTD_OK;
}

static enum rejectd_dtype cpu_precision(const struct backend_options *options)
{
    return backend_arithmetic(options->precision);
}

const struct backend cpu_backend = {
    .version = BACKEND_VERSION,
    .name = "cpu",
    .describe = cpu_describe,
    .open = cpu_open,
    .close = cpu_close,
    .peak_to_peak = cpu_peak_to_peak,
    .predict = cpu_predict,
    .read_predictions = cpu_read_predictions,
    .threshold_losses = cpu_threshold_losses,
    .search_candidates = cpu_search_candidates,
    .interpolate_epochs = cpu_interpolate_epochs,
    .weigh_epochs = cpu_weigh_epochs,
    .read_repaired = cpu_read_repaired,
    .local_cv_losses = cpu_local_cv_losses,
    .ransac_correlations = cpu_ransac_correlations,
    .global_losses = cpu_global_losses,
    .precision = cpu_precision,
};
