#include "worker/cuda/foresight.h"

#include "worker/cuda/predictions.h"
#include "worker/cuda/thresholds.h"

template <typename Sample>
static enum rejectd_status begin_predictions(struct backend_session *session,
                                             struct foresight *foresight,
                                             struct rejectd_error *error)
{
    const size_t c = session->n_picks;
    const double *weights = session->options.foresight->weights;
    const std::vector<Sample> converted = weights_in_parts<Sample>(weights, c * c);
    session->weights.assign(weights, weights + c * c);
    session->first = 0;
    session->count = c;
    TRY(session->predictions.reserve(
        session->device, session->n_epochs * c * session->pitch * sizeof(Sample), error));
    TRY(foresight->weights.upload(session->device, (const unsigned char *)converted.data(),
                                  converted.size() * sizeof(Sample), error));
    foresight->predicts = true;
    return device_wait(session->device, error); /* for `converted` */
}

template <typename Sample>
static enum rejectd_status begin_folds(struct backend_session *session, struct foresight *foresight,
                                       struct rejectd_error *error)
{
    const struct backend_foresight *foreseen = session->options.foresight;
    const size_t n = session->n_epochs, n_folds = foreseen->n_folds;
    std::vector<uint8_t> in_fold(n_folds * n, 0);
    for (size_t e = 0; e < n; e++)
        in_fold[foreseen->fold[e] * n + e] = 1;
    TRY(foresight->medians.reserve(
        session->device, session->n_picks * n_folds * session->pitch * session->work_size, error));
    TRY(foresight->tests.open(session->device, in_fold.data(), n_folds, n, error));
    struct row_view<Sample> view;
    TRY(session_rows<Sample>(session, 0, session->n_picks, &view, error));
    TRY(foresight->tests.place<Sample>(session->device, view, error));
    foresight->folds = true;
    return REJECTD_OK;
}

/* Folds are contiguous and in order, or nothing is done before the last epoch is there. */
static bool folds_in_order(const struct backend_foresight *foreseen, size_t n_epochs)
{
    for (size_t e = 1; e < n_epochs; e++)
        if (foreseen->fold[e] < foreseen->fold[e - 1])
            return false;
    return true;
}

enum rejectd_status foresight_begin(struct backend_session *session, struct foresight *foresight,
                                    struct rejectd_error *error)
{
    const struct backend_foresight *foreseen = session->options.foresight;
    foresight->predicts = foresight->folds = false;
    foresight->n_arrived = foresight->n_predicted = foresight->n_folds_done = 0;
    if (foreseen == nullptr)
        return REJECTD_OK;
    if (foreseen->weights != nullptr && thresholds_fit_at_once(session))
        TRY(FOR_STORAGE(session, begin_predictions, session, foresight, error));
    const size_t medians =
        session->n_picks * foreseen->n_folds * session->pitch * session->work_size;
    if (foreseen->n_folds > 0 && folds_in_order(foreseen, session->n_epochs) &&
        medians <= device_available(session->device) / 8)
        TRY(FOR_STORAGE(session, begin_folds, session, foresight, error));
    return REJECTD_OK;
}

template <typename Sample>
static enum rejectd_status predict_arrived(struct backend_session *session,
                                           struct foresight *foresight, struct rejectd_error *error)
{
    const size_t epoch = session->n_picks * session->pitch;
    while (foresight->n_predicted < foresight->n_arrived) {
        const size_t e = foresight->n_predicted, left = foresight->n_arrived - e;
        if (left < PANEL_EPOCHS && foresight->n_arrived < session->n_epochs)
            break;
        const size_t n = left < PANEL_EPOCHS ? left : (size_t)PANEL_EPOCHS;
        TRY(predictions_chunk(session, (const Sample *)session->first_sample + e * epoch, n,
                              (const Sample *)foresight->weights.get(),
                              (Sample *)session->predictions.get() + e * epoch, error));
        foresight->n_predicted += n;
    }
    return REJECTD_OK;
}

template <typename Sample>
static enum rejectd_status finish_folds(struct backend_session *session,
                                        struct foresight *foresight, struct rejectd_error *error)
{
    const struct backend_foresight *foreseen = session->options.foresight;
    const size_t first = foresight->n_folds_done;
    const size_t end = foresight->n_arrived == session->n_epochs
                           ? foreseen->n_folds
                           : foreseen->fold[foresight->n_arrived];
    if (end > first)
        TRY(foresight->tests.compute_some<Sample>(
            session->device, session->pitch, session->n_picks, first, end - first,
            (work_of<Sample> *)foresight->medians.get(), error));
    foresight->n_folds_done = end;
    return REJECTD_OK;
}

enum rejectd_status foresight_arrived(struct backend_session *session, struct foresight *foresight,
                                      size_t n, struct rejectd_error *error)
{
    foresight->n_arrived = n;
    if (foresight->predicts)
        TRY(FOR_STORAGE(session, predict_arrived, session, foresight, error));
    if (foresight->folds)
        TRY(FOR_STORAGE(session, finish_folds, session, foresight, error));
    return REJECTD_OK;
}

void foresight_end(struct backend_session *session, struct foresight *foresight)
{
    const struct backend_foresight *foreseen = session->options.foresight;
    session->foreseen = foresight->predicts;
    if (!foresight->folds)
        return;
    struct medians_memo &memo = session->shared->medians;
    memo.medians.swap(foresight->medians);
    memo.fold.assign(foreseen->fold, foreseen->fold + session->n_epochs);
}
