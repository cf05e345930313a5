#include "worker/cuda/foresight.h"

#include <new>
#include <system_error>

#include "worker/cuda/predictions.h"
#include "worker/cuda/thresholds.h"

template <typename Sample>
static enum rejectd_status begin_predictions(struct backend_session *session, const double *weights,
                                             struct foresight *foresight,
                                             struct rejectd_error *error)
{
    const size_t c = session->n_picks;
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

static size_t medians_bytes(const struct backend_session *session, size_t n_folds)
{
    return session->n_picks * n_folds * session->pitch * session->work_size;
}

template <typename Sample>
static enum rejectd_status begin_search(struct backend_session *session,
                                        const struct backend_splits *splits,
                                        struct foresight *foresight, struct rejectd_error *error)
{
    struct row_view<Sample> view;
    std::shared_ptr<foreseen_folds> made(new (std::nothrow) foreseen_folds());
    if (!made)
        return REJECTD_FAIL_MEMORY(error, sizeof(foreseen_folds));
    TRY(made->medians.reserve(session->device, medians_bytes(session, splits->n_folds), error));
    TRY(loss_folds_open(session->device, splits, &made->folds, error));
    made->is_test.assign(splits->is_test, splits->is_test + splits->n_folds * splits->n_rows);
    TRY(session_rows<Sample>(session, 0, session->n_picks, &view, error));
    view.predictions = (const Sample *)session->predictions.get();
    view.predictions_stride = session->n_picks * session->pitch;
    TRY(made->folds.tests.place<Sample>(session->device, view, error));
    foresight->search = made;
    return REJECTD_OK;
}

template <typename Sample>
static enum rejectd_status begin_folds(struct backend_session *session, const uint16_t *fold,
                                       size_t n_folds, struct foresight *foresight,
                                       struct rejectd_error *error)
{
    const size_t n = session->n_epochs;
    struct row_view<Sample> view;
    std::vector<uint8_t> in_fold(n_folds * n, 0);
    for (size_t e = 0; e < n; e++)
        in_fold[fold[e] * n + e] = 1;
    TRY(foresight->medians.reserve(session->device, medians_bytes(session, n_folds), error));
    TRY(foresight->tests.open(session->device, in_fold.data(), n_folds, n, error));
    TRY(session_rows<Sample>(session, 0, session->n_picks, &view, error));
    TRY(foresight->tests.place<Sample>(session->device, view, error));
    foresight->fold.assign(fold, fold + n);
    return REJECTD_OK;
}

void foresight_ask(const struct backend_session *session, struct foresight *foresight)
{
    const struct backend_foreteller foreteller = session->options.foreteller;
    const auto ask = [foreteller, foresight] {
        foresight->status =
            foreteller.tell(foreteller.context, &foresight->told, &foresight->error);
    };
    if (foreteller.tell == nullptr)
        return;
    try {
        foresight->teller = std::thread(ask);
    } catch (const std::system_error &) {
        ask(); /* there is no other thread to be had */
    }
}

/* Does work() for a part of it. Where that finds no room, the part is left out, and done later in
 * pieces. */
template <typename Work, typename LeaveOut>
static enum rejectd_status try_part(struct backend_session *session, const Work &work,
                                    const LeaveOut &leave_out, struct rejectd_error *error)
{
    const enum rejectd_status status = work();
    if (!device_is_short(session->device, status))
        return status;
    TRY(device_wait(session->device, error)); /* for what was queued from its lists */
    leave_out();
    return REJECTD_OK;
}

/* With the search, which looks at them. */
static void leave_out_predictions(struct backend_session *session, struct foresight *foresight)
{
    foresight->predicts = false;
    foresight->search.reset();
    session->predictions.clear();
    session->weights.clear();
    session->count = 0;
}

static void leave_out_folds(struct foresight *foresight)
{
    foresight->fold.clear();
    foresight->medians.clear();
}

enum rejectd_status foresight_begin(struct backend_session *session, struct foresight *foresight,
                                    struct rejectd_error *error)
{
    const struct backend_foresight &told = foresight->told;
    if (foresight->teller.joinable())
        foresight->teller.join();
    if (foresight->status != REJECTD_OK) {
        *error = foresight->error;
        return foresight->status;
    }
    if (told.weights != nullptr && thresholds_fit_at_once(session))
        TRY(try_part(
            session,
            [&] {
                return FOR_STORAGE(session, begin_predictions, session, told.weights, foresight,
                                   error);
            },
            [&] { leave_out_predictions(session, foresight); }, error));
    const size_t rows = session->n_epochs * (foresight->predicts ? 2 : 1);
    if (told.splits.n_folds > 0 && told.splits.n_rows == rows &&
        medians_bytes(session, told.splits.n_folds) <= device_available(session->device) / 8)
        TRY(try_part(
            session,
            [&] {
                return FOR_STORAGE(session, begin_search, session, &told.splits, foresight, error);
            },
            [&] { foresight->search.reset(); }, error));
    if (told.n_folds > 0 &&
        medians_bytes(session, told.n_folds) <= device_available(session->device) / 8)
        TRY(try_part(
            session,
            [&] {
                return FOR_STORAGE(session, begin_folds, session, told.fold, told.n_folds,
                                   foresight, error);
            },
            [&] { leave_out_folds(foresight); }, error));
    return REJECTD_OK;
}

template <typename Sample>
static enum rejectd_status arrived(struct backend_session *session, struct foresight *foresight,
                                   size_t time, size_t n_times, struct rejectd_error *error)
{
    typedef work_of<Sample> Work;
    struct backend_device *device = session->device;
    const size_t pitch = session->pitch, count = session->n_picks;
    if (foresight->predicts)
        TRY(try_part(
            session,
            [&] {
                return predictions_columns<Sample>(session, time, n_times,
                                                   (const Sample *)foresight->weights.get(),
                                                   (Sample *)session->predictions.get(), error);
            },
            [&] { leave_out_predictions(session, foresight); }, error));
    if (foresight->search)
        TRY(try_part(
            session,
            [&] {
                return foresight->search->folds.tests.compute_columns<Sample>(
                    device, pitch, count, time, n_times, (Work *)foresight->search->medians.get(),
                    error);
            },
            [&] { foresight->search.reset(); }, error));
    if (!foresight->fold.empty())
        TRY(try_part(
            session,
            [&] {
                return foresight->tests.compute_columns<Sample>(
                    device, pitch, count, time, n_times, (Work *)foresight->medians.get(), error);
            },
            [&] { leave_out_folds(foresight); }, error));
    return REJECTD_OK;
}

enum rejectd_status foresight_arrived(struct backend_session *session, struct foresight *foresight,
                                      size_t time, size_t n_times, struct rejectd_error *error)
{
    return FOR_STORAGE(session, arrived, session, foresight, time, n_times, error);
}

void foresight_end(struct backend_session *session, struct foresight *foresight)
{
    session->foreseen = foresight->predicts;
    session->foreseen_folds = foresight->search;
    if (foresight->fold.empty())
        return;
    struct medians_memo &memo = session->shared->medians;
    memo.medians.swap(foresight->medians);
    memo.fold.swap(foresight->fold);
}
