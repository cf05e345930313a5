#include "worker/algorithm/type_work.h"

#include <math.h>
#include <stdlib.h>

#include "worker/algorithm/fit.h"
#include "worker/algorithm/folds.h"
#include "worker/algorithm/thresholds.h"

enum rejectd_status type_work_begin(struct type_work *work, const struct rejectd_epochs *epochs,
                                    const size_t *picks, size_t n_picks,
                                    const struct rejectd_compute_options *options,
                                    struct rejectd_error *error)
{
    work->n_threads = fit_threads(options);
    work->samples = (struct backend_samples){
        .data = epochs->samples,
        .dtype = epochs->dtype,
        .n_epochs = epochs->n_epochs,
        .n_channels = epochs->n_channels,
        .n_times = epochs->n_times,
        .picks = picks,
        .n_picks = n_picks,
        .content = epochs->content,
        .content_epochs = epochs->n_epochs,
    };
    work->ptp = malloc(epochs->n_epochs * n_picks * sizeof(double));
    work->thresholds = malloc(n_picks * sizeof(double));
    work->losses = malloc(n_picks * sizeof(double));
    if (work->ptp == NULL || work->thresholds == NULL || work->losses == NULL)
        return REJECTD_FAIL_MEMORY(error, epochs->n_epochs * n_picks * sizeof(double));
    for (size_t i = 0; i < n_picks; i++)
        work->thresholds[i] = work->losses[i] = NAN;
    return REJECTD_OK;
}

/* What a device is told of the job, when it asks. */
struct foretold {
    struct type_work *work;
    const struct type_outlook *outlook;
    uint16_t *fold; /* [E] */
};

static enum rejectd_status tell(void *context, struct backend_foresight *foresight,
                                struct rejectd_error *error)
{
    struct foretold *told = context;
    struct type_work *work = told->work;
    const size_t n = work->samples.n_epochs, n_folds = told->outlook->n_folds;
    const bool predicts = work->interpolation.n > 0;
    enum rejectd_status status = REJECTD_OK;
    if (n_folds > 0) {
        told->fold = malloc(n * sizeof *told->fold);
        if (told->fold == NULL)
            return REJECTD_FAIL_MEMORY(error, n * sizeof *told->fold);
        folds_contiguous(n, n_folds, told->fold);
        foresight->n_folds = n_folds;
        foresight->fold = told->fold;
    }
    if (!told->outlook->searches)
        return REJECTD_OK;
    /* This is another thread, which would have to start those that help it first. */
    if (predicts)
        status = interpolation_prepare(&work->interpolation, 1, error);
    if (status == REJECTD_OK && predicts)
        status = interpolation_leave_one_out(&work->interpolation, &foresight->weights, error);
    if (status == REJECTD_OK)
        status =
            folds_shuffle_split(n, predicts ? 2 : 1, told->outlook->seed, &work->is_test, error);
    foresight->splits =
        (struct backend_splits){FOLDS_SHUFFLE_SPLITS, predicts ? 2 * n : n, work->is_test};
    return status;
}

enum rejectd_status type_work_open(struct type_work *work, enum rejectd_dtype precision,
                                   const struct type_outlook *outlook,
                                   const struct rejectd_compute_options *options,
                                   struct progress *progress, struct rejectd_error *error)
{
    struct backend_options backend_options = fit_backend_options(options, precision, progress);
    struct foretold told = {work, outlook, NULL};
    progress_step(progress, "thresholds", 0.0, 0.0);
    backend_options.foreteller = (struct backend_foreteller){tell, &told};
    enum rejectd_status status =
        work->backend->open(&work->samples, &backend_options, &work->session, error);
    if (status == REJECTD_OK)
        status = work->backend->peak_to_peak(work->session, work->ptp, error);
    free(told.fold);
    return status;
}

void type_work_close(struct type_work *work)
{
    work->backend->close(work->session);
    interpolation_close(&work->interpolation);
    free(work->ptp);
    free(work->thresholds);
    free(work->losses);
    free(work->is_test);
    *work = (struct type_work){.backend = work->backend};
}

enum rejectd_status type_work_interpolate(struct type_work *work,
                                          const struct rejectd_epochs *epochs,
                                          enum rejectd_meg_legendre legendre,
                                          struct rejectd_error *error)
{
    return interpolation_open(epochs, work->samples.picks, work->samples.n_picks, legendre,
                              work->n_threads, &work->interpolation, error);
}

void type_work_give_thresholds(struct type_work *work, const double *thresholds)
{
    for (size_t i = 0; i < work->samples.n_picks; i++) {
        work->thresholds[i] = thresholds[work->samples.picks[i]];
        work->losses[i] = NAN;
    }
}

enum rejectd_status type_work_take_found(struct type_work *work,
                                         const struct rejectd_channel *channels,
                                         const struct rejectd_thresholds *found,
                                         struct rejectd_error *error)
{
    for (size_t i = 0; i < work->samples.n_picks; i++) {
        const size_t channel = work->samples.picks[i];
        if (channel >= found->n_channels || isnan(found->thresholds[channel]) ||
            isnan(found->losses[channel]))
            return REJECTD_FAIL(error, REJECTD_INTERNAL, "",
                                "no share of the search has found a threshold for channel \"%s\"",
                                channels[channel].name);
        work->thresholds[i] = found->thresholds[channel];
        work->losses[i] = found->losses[channel];
    }
    return REJECTD_OK;
}

/* Of finite samples every candidate has a finite loss, unless sums or squares of them overflow. */
static enum rejectd_status check_losses(const struct rejectd_channel *channels,
                                        const struct type_work *work, size_t first, size_t count,
                                        struct rejectd_error *error)
{
    for (size_t i = first; i < first + count; i++)
        if (!isfinite(work->losses[i]))
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "samples",
                                "the samples of channel \"%s\" or its neighbours are too large to "
                                "compute with; samples are in SI units, volts for eeg",
                                channels[work->samples.picks[i]].name);
    return REJECTD_OK;
}

enum rejectd_status type_work_search(struct type_work *work, const struct rejectd_channel *channels,
                                     enum rejectd_threshold_method method, uint32_t seed,
                                     const struct rejectd_compute_options *options,
                                     struct progress *progress, struct rejectd_error *error)
{
    const size_t n = work->samples.n_picks;
    const struct rejectd_share share = options->share;
    const size_t first = share.n > 0 ? n * share.index / share.n : 0;
    const size_t end = share.n > 0 ? n * (share.index + 1) / share.n : n;
    const struct thresholds_request request = {
        .method = method,
        .seed = seed,
        .n_threads = work->n_threads,
        .memory_budget = options->memory_budget,
        .first = first,
        .count = end - first,
        .is_test = work->is_test,
    };
    const double *weights = NULL;
    enum rejectd_status status = REJECTD_OK;
    if (first == end)
        return REJECTD_OK;
    if (work->interpolation.n > 0)
        status = interpolation_leave_one_out(&work->interpolation, &weights, error);
    if (status == REJECTD_OK)
        status = thresholds_search(work->backend, work->session, &work->samples, work->ptp, weights,
                                   &request, progress, work->thresholds, work->losses, error);
    return status == REJECTD_OK ? check_losses(channels, work, first, end - first, error) : status;
}
