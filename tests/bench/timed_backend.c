#include "timed_backend.h"

#include <string.h>

#include "machine.h"

static const struct backend *inner;
static struct backend_samples samples;
static double work_size; /* bytes of a sample in the arithmetic of the session */
static size_t predicted; /* picks of the last predict */
static double repaired;  /* rows of the last interpolate_epochs */
static struct timed_step steps[TIMED_STEPS];

static double item_size(enum rejectd_dtype dtype)
{
    return dtype == REJECTD_FLOAT64 ? 8.0 : 4.0;
}

/* Samples of all picks. */
static double n_samples(void)
{
    return (double)samples.n_epochs * (double)samples.n_picks * (double)samples.n_times;
}

static void account(enum timed_step_id step, double start, double bytes, double flop)
{
    steps[step].calls++;
    steps[step].seconds += monotonic_seconds() - start;
    steps[step].bytes += bytes;
    steps[step].flop += flop;
}

static const char *timed_describe(void)
{
    return inner->describe();
}

static enum rejectd_status timed_open(const struct backend_samples *opened,
                                      const struct backend_options *options,
                                      struct backend_session **session, struct rejectd_error *error)
{
    samples = *opened;
    work_size = item_size(options->precision);
    return inner->open(opened, options, session, error);
}

static void timed_close(struct backend_session *session)
{
    inner->close(session);
}

static enum rejectd_status timed_peak_to_peak(struct backend_session *session, double *ptp,
                                              struct rejectd_error *error)
{
    double start = monotonic_seconds();
    enum rejectd_status status = inner->peak_to_peak(session, ptp, error);
    account(TIMED_PEAK_TO_PEAK, start, n_samples() * item_size(samples.dtype), 2.0 * n_samples());
    return status;
}

static enum rejectd_status timed_predict(struct backend_session *session, const double *weights,
                                         size_t first, size_t count, double *ptp,
                                         struct rejectd_error *error)
{
    double start = monotonic_seconds();
    enum rejectd_status status = inner->predict(session, weights, first, count, ptp, error);
    double out = n_samples() * (double)count / (double)samples.n_picks;
    predicted = count;
    account(TIMED_PREDICT, start, n_samples() * item_size(samples.dtype) + out * work_size,
            2.0 * (double)samples.n_picks * out);
    return status;
}

static enum rejectd_status timed_read_predictions(struct backend_session *session, size_t pick,
                                                  double *rows, struct rejectd_error *error)
{
    return inner->read_predictions(session, pick, rows, error);
}

static enum rejectd_status timed_threshold_losses(struct backend_session *session,
                                                  const struct backend_splits *splits,
                                                  const uint32_t *order, const double *ptp,
                                                  double *losses, struct rejectd_error *error)
{
    double start = monotonic_seconds();
    enum rejectd_status status =
        inner->threshold_losses(session, splits, order, ptp, losses, error);
    double rows = 0.0; /* train rows of all folds */
    for (size_t i = 0; i < splits->n_folds * splits->n_rows; i++)
        rows += splits->is_test[i] == 0;
    double block = (double)samples.n_epochs * (double)samples.n_times * (double)predicted;
    account(TIMED_THRESHOLD_LOSSES, start, block * (item_size(samples.dtype) + work_size),
            4.0 * rows * (double)samples.n_times * (double)predicted);
    return status;
}

/* What is in the search beside the losses is of the same size for every pick, and small. */
static enum rejectd_status timed_search_candidates(struct backend_session *session,
                                                   const struct backend_splits *splits,
                                                   const uint32_t *order, const double *ptp,
                                                   const struct backend_candidate_search *search,
                                                   struct rejectd_error *error)
{
    double start = monotonic_seconds();
    enum rejectd_status status =
        inner->search_candidates(session, splits, order, ptp, search, error);
    double rows = (double)splits->n_rows; /* and the test rows of all folds */
    for (size_t i = 0; i < splits->n_folds * splits->n_rows; i++)
        rows += splits->is_test[i] != 0;
    double block = (double)samples.n_epochs * (double)samples.n_times * (double)predicted;
    account(TIMED_THRESHOLD_LOSSES, start, block * (item_size(samples.dtype) + work_size),
            rows * (double)samples.n_times * (double)predicted);
    return status;
}

static void account_repairs(const struct backend_repairs *repairs, double start)
{
    double epochs = 0.0;
    repaired = 0.0;
    for (size_t e = 0; e < repairs->n_epochs; e++) {
        size_t before = 0;
        for (size_t v = 0; v < repairs->n_values; v++) {
            size_t prefix = repairs->prefix[v * repairs->n_epochs + e];
            repaired += prefix != before ? (double)prefix : 0.0;
            before = prefix;
        }
        epochs += before > 0;
    }
    double times = (double)samples.n_times, picks = (double)samples.n_picks;
    account(TIMED_INTERPOLATE, start,
            epochs * picks * times * item_size(samples.dtype) + repaired * times * work_size,
            2.0 * repaired * picks * times);
}

static enum rejectd_status timed_interpolate(struct backend_session *session,
                                             const double *precision,
                                             const struct backend_repairs *repairs,
                                             struct rejectd_error *error)
{
    double start = monotonic_seconds();
    enum rejectd_status status = inner->interpolate_epochs(session, precision, repairs, error);
    account_repairs(repairs, start);
    return status;
}

static enum rejectd_status timed_weigh(struct backend_session *session,
                                       const struct backend_weights *weights,
                                       const struct backend_repairs *repairs,
                                       struct rejectd_error *error)
{
    double start = monotonic_seconds();
    enum rejectd_status status = inner->weigh_epochs(session, weights, repairs, error);
    account_repairs(repairs, start);
    return status;
}

static enum rejectd_status timed_read_repaired(struct backend_session *session, size_t epoch,
                                               size_t value, double *rows,
                                               struct rejectd_error *error)
{
    return inner->read_repaired(session, epoch, value, rows, error);
}

static enum rejectd_status timed_local_cv(struct backend_session *session,
                                          const struct backend_local_cv *cv, double *losses,
                                          struct rejectd_error *error)
{
    double start = monotonic_seconds();
    enum rejectd_status status = inner->local_cv_losses(session, cv, losses, error);
    double repaired_samples = repaired * (double)samples.n_times;
    account(TIMED_LOCAL_CV, start,
            n_samples() * item_size(samples.dtype) + repaired_samples * work_size,
            n_samples() + repaired_samples);
    return status;
}

static enum rejectd_dtype timed_precision(const struct backend_options *options)
{
    return inner->precision(options);
}

static struct backend wrapper = {
    .version = BACKEND_VERSION,
    .describe = timed_describe,
    .open = timed_open,
    .close = timed_close,
    .peak_to_peak = timed_peak_to_peak,
    .predict = timed_predict,
    .read_predictions = timed_read_predictions,
    .threshold_losses = timed_threshold_losses,
    .interpolate_epochs = timed_interpolate,
    .weigh_epochs = timed_weigh,
    .read_repaired = timed_read_repaired,
    .local_cv_losses = timed_local_cv,
    .precision = timed_precision,
};

bool timed_backend_wrap(const char *name)
{
    inner = backend_find(name);
    if (inner == NULL)
        return false;
    wrapper.name = inner->name;
    wrapper.search_candidates = inner->search_candidates != NULL ? timed_search_candidates : NULL;
    return true;
}

const struct backend *timed_backend(void)
{
    return &wrapper;
}

void timed_backend_reset(void)
{
    memset(steps, 0, sizeof steps);
}

const struct timed_step *timed_backend_steps(void)
{
    return steps;
}

const char *timed_step_name(int step)
{
    static const char *const names[TIMED_STEPS] = {"peak to peak", "predict", "threshold losses",
                                                   "interpolate", "local cv"};
    return names[step];
}
