/* Thresholds, pick by pick: predictions, ranks, losses, search, over blocks of picks. */
#include "worker/cuda/thresholds.h"

#include "worker/cuda/amplitudes.h"
#include "worker/cuda/losses.h"
#include "worker/cuda/pieces.h"
#include "worker/cuda/predictions.h"
#include "worker/cuda/search.h"
#include "worker/cuda/spare.h"

/* A block of picks on its way; its arrays serve the next block. */
struct block_work {
    device_array<unsigned char> predictions;
    device_array<double> predicted_ptp;
    struct ranks ranks;
    struct loss_scratch scratch;
    device_array<double> losses;
};

/* After a block found no room: what it took is for a smaller one. */
static void block_clear(struct backend_session *session, struct block_work *work)
{
    session->block.clear();
    work->predictions.clear();
    work->predicted_ptp.clear();
    work->ranks.ptp.clear();
    work->ranks.order.clear();
    work->scratch.medians.clear();
    work->scratch.squares.clear();
    work->scratch.n_train.clear();
    work->losses.clear();
    session->product_epochs = 0;
}

/* What losses were made of before: the losses of the last predict(), ranks given by the host. */
template <typename Sample>
static enum rejectd_status
given_losses(struct backend_session *session, const struct backend_splits *splits,
             const uint32_t *order, const double *ptp, double *losses, struct rejectd_error *error)
{
    const size_t m = splits->n_rows;
    struct loss_folds folds;
    struct block_work work;
    TRY(predictions_materialise(session, error));
    TRY(loss_folds_open(session->device, splits, &folds, error));
    const size_t pick_bytes =
        loss_pick_bytes(session, folds.n_folds, m) + ranks_pick_bytes(m) + m * sizeof(double);
    const auto lose = [&](size_t i, size_t count) {
        struct row_view<Sample> view;
        TRY(session_rows<Sample>(session, session->first + i, count, &view, error));
        view.predictions = (const Sample *)session->predictions.get() + i * session->pitch;
        view.predictions_stride = session->count * session->pitch;
        TRY(ranks_take(session, order + i * m, ptp + i * m, count, m, &work.ranks, error));
        TRY(work.losses.reserve(session->device, count * m, error));
        TRY(losses_compute<Sample>(session, view, count, &folds, nullptr, &work.ranks,
                                   &work.scratch, work.losses.get(), error));
        TRY(download(session->device, losses + i * m, work.losses.get(), count * m, error));
        return session_advance(session, (double)(i + count) / (double)session->count, error);
    };
    const auto make_room = [&](size_t count, size_t *block) {
        block_clear(session, &work);
        return halve(count, block);
    };
    return in_pieces(session, session->count, session_block(session, pick_bytes, 0), lose,
                     make_room, error);
}

enum rejectd_status cuda_threshold_losses(struct backend_session *session,
                                          const struct backend_splits *splits,
                                          const uint32_t *order, const double *ptp, double *losses,
                                          struct rejectd_error *error)
{
    return FOR_STORAGE(session, given_losses, session, splits, order, ptp, losses, error);
}

/* The folds of a search, and their medians where these are known. */
struct search_folds {
    struct loss_folds own;
    struct loss_folds *folds;
    device_array<unsigned char> *medians; /* [C][n_folds][pitch] of the work type, or null */
};

static enum rejectd_status open_folds(struct backend_session *session,
                                      const struct backend_splits *splits,
                                      struct search_folds *open, struct rejectd_error *error)
{
    struct foreseen_folds *foreseen = session->foreseen_folds.get();
    const size_t n = splits->n_folds * splits->n_rows;
    if (foreseen != nullptr && foreseen->folds.n_folds == splits->n_folds &&
        foreseen->folds.n_rows == splits->n_rows &&
        memcmp(foreseen->is_test.data(), splits->is_test, n) == 0) {
        open->folds = &foreseen->folds;
        open->medians = foreseen->medians.get() != nullptr ? &foreseen->medians : nullptr;
        return REJECTD_OK;
    }
    open->folds = &open->own;
    open->medians = nullptr;
    return loss_folds_open(session->device, splits, &open->own, error);
}

template <typename Sample>
static enum rejectd_status
search_block(struct backend_session *session, const struct search_folds *open, const double *ptp,
             size_t first, size_t count, const struct backend_search *search,
             struct block_work *work, double *thresholds, double *losses,
             struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t n = session->n_epochs, pitch = session->pitch;
    const bool predicted = !session->weights.empty();
    struct row_view<Sample> view;
    const Sample *rows = nullptr;
    if (predicted) {
        TRY(work->predicted_ptp.reserve(device, n * count, error));
        if (session->materialised) {
            rows = (const Sample *)session->predictions.get();
        } else {
            TRY(work->predictions.reserve(device, n * count * pitch * sizeof(Sample), error));
            rows = (const Sample *)work->predictions.get();
            TRY(predictions_make<Sample>(session, first, count, (Sample *)work->predictions.get(),
                                         error));
        }
        TRY(amplitudes_of_rows<Sample>(device, device->compute, rows, n * count, pitch,
                                       session->n_times, session->unit, work->predicted_ptp.get(),
                                       error));
    }
    TRY(session_rows<Sample>(session, first, count, &view, error));
    view.predictions = rows;
    view.predictions_stride = count * pitch;
    TRY(ranks_make(session, ptp, predicted ? work->predicted_ptp.get() : nullptr, first, count,
                   &work->ranks, error));
    TRY(work->losses.reserve(device, count * open->folds->n_rows, error));
    TRY(losses_compute<Sample>(session, view, count, open->folds,
                               open->medians != nullptr
                                   ? (const work_of<Sample> *)open->medians->get() +
                                         first * open->folds->n_folds * pitch
                                   : nullptr,
                               &work->ranks, &work->scratch, work->losses.get(), error));
    return search_picks(session, &work->ranks, count, work->losses.get(), search, thresholds,
                        losses, error);
}

/* Bytes that a pick takes beside its samples and, if so wanted, its predictions. */
static size_t search_block_bytes(const struct backend_session *session, size_t n_folds,
                                 size_t n_rows, const struct backend_search *search,
                                 bool predictions)
{
    const size_t n = session->n_epochs;
    size_t bytes = loss_pick_bytes(session, n_folds, n_rows) + ranks_pick_bytes(n_rows) +
                   n_rows * sizeof(double) + search_pick_bytes(search, n_rows) + n * sizeof(double);
    if (predictions)
        bytes += n * session->pitch * session->sample_size;
    return bytes;
}

bool thresholds_fit_at_once(struct backend_session *session)
{
    enum { FOLDS = 10 }; /* it would take more for another number to matter */
    const struct backend_search search = {REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION, 0, nullptr, 0};
    const size_t bytes = search_block_bytes(session, FOLDS, 2 * session->n_epochs, &search, true);
    return session->whole && session->n_picks * bytes <= device_available(session->device);
}

/* What a block takes however many picks it has: the chunks that products are made of. */
static size_t search_fixed_bytes(const struct backend_session *session)
{
    const size_t epochs =
        session->n_epochs < PANEL_EPOCHS ? session->n_epochs : (size_t)PANEL_EPOCHS;
    const size_t panel = epochs * session->pitch * session->sample_size;
    const size_t width = session->n_picks < PANEL_PICKS ? session->n_picks : (size_t)PANEL_PICKS;
    return panel * width + (session->whole ? 0 : panel * session->n_picks) +
           product_sum_bytes(session->storage, epochs, width, session->pitch);
}

/* After a block of `count` picks found no room: gives up the medians or the predictions of all
 * picks, or takes half of the block. False when there is nothing left to give. */
static bool make_room(struct backend_session *session, size_t count, struct search_folds *open,
                      struct block_work *work, size_t *block)
{
    block_clear(session, work);
    if (open->medians != nullptr) {
        open->medians->clear();
        open->medians = nullptr;
        return true;
    }
    if (session->materialised) {
        session->materialised = false;
        session->predictions.clear();
        return true;
    }
    return halve(count, block);
}

/* Searches among losses that are known, of all picks. */
static enum rejectd_status search_again(struct backend_session *session,
                                        const struct backend_splits *splits,
                                        const struct backend_search *search,
                                        struct block_work *work, double *thresholds, double *losses,
                                        struct rejectd_error *error)
{
    const enum rejectd_status status =
        search_picks(session, &work->ranks, session->n_picks, work->losses.get(), search,
                     thresholds, losses, error);
    spare_keep_losses(session, splits, &work->ranks, &work->losses);
    if (status != REJECTD_OK)
        return status;
    return session_advance(session, 1.0, error);
}

template <typename Sample>
static enum rejectd_status search_all(struct backend_session *session,
                                      const struct backend_splits *splits,
                                      const struct backend_search *search, double *thresholds,
                                      double *losses, struct rejectd_error *error)
{
    struct search_folds open;
    struct block_work work;
    device_array<double> own_ptp;
    const double *ptp = nullptr;
    struct backend_device *device = session->device;
    CUDA_LAUNCHED("until_the_search");
    if (spare_take_losses(session, splits, &work.ranks, &work.losses)) {
        const enum rejectd_status status =
            search_again(session, splits, search, &work, thresholds, losses, error);
        if (status != REJECTD_DEVICE_MEMORY)
            return status;
    }
    if (!session->materialised && !session->weights.empty())
        session->materialised = spare_take_predictions(session);
    TRY(open_folds(session, splits, &open, error));
    CUDA_LAUNCHED("tables_of_the_folds");
    if (session->whole) {
        ptp = session->shared->ptp.get() + session->samples.content_first * session->n_picks;
    } else {
        TRY(own_ptp.upload(session->device, session->ptp.data(), session->ptp.size(), error));
        TRY(device_wait(session->device, error));
        ptp = own_ptp.get();
    }
    const size_t pick_bytes = search_block_bytes(session, splits->n_folds, splits->n_rows, search,
                                                 !session->weights.empty());
    size_t block = session->materialised ? session->n_picks : session_block(session, pick_bytes, 0);
    if (block < session->n_picks)
        block = session_block(session, pick_bytes, search_fixed_bytes(session));
    const auto find = [&](size_t i, size_t count) {
        TRY(search_block<Sample>(session, &open, ptp, session->first + i, count, search, &work,
                                 thresholds + i, losses + i, error));
        if (count == session->n_picks)
            spare_keep_losses(session, splits, &work.ranks, &work.losses);
        return session_advance(session, (double)(i + count) / (double)session->count, error);
    };
    return in_pieces(
        session, session->count, block, find,
        [&](size_t count, size_t *piece) { return make_room(session, count, &open, &work, piece); },
        error);
}

static bool same_picks(const struct search_memo &memo, const struct backend_session *session)
{
    return memo.first == session->first && memo.count == session->count &&
           memo.weights.size() == session->weights.size() &&
           memcmp(memo.weights.data(), session->weights.data(),
                  memo.weights.size() * sizeof(double)) == 0;
}

bool thresholds_known(const struct backend_session *session)
{
    if (session_remembers(session))
        for (const struct search_memo &memo : session->shared->searches)
            if (same_picks(memo, session))
                return true;
    return false;
}

bool cuda_recall_thresholds(struct backend_session *session, const struct backend_search *search,
                            double *thresholds, double *losses)
{
    if (!session_remembers(session))
        return false;
    for (const struct search_memo &memo : session->shared->searches) {
        if (memo.method != search->method || memo.seed != search->seed ||
            !same_picks(memo, session))
            continue;
        memcpy(thresholds, memo.thresholds.data(), session->count * sizeof *thresholds);
        memcpy(losses, memo.losses.data(), session->count * sizeof *losses);
        return true;
    }
    return false;
}

static void remember(struct backend_session *session, const struct backend_search *search,
                     const double *thresholds, const double *losses)
{
    enum { MOST_SEARCHES = 4 };
    struct search_memo memo;
    memo.first = session->first;
    memo.count = session->count;
    memo.weights = session->weights;
    memo.method = search->method;
    memo.seed = search->seed;
    memo.thresholds.assign(thresholds, thresholds + session->count);
    memo.losses.assign(losses, losses + session->count);
    std::vector<search_memo> &searches = session->shared->searches;
    if (searches.size() == MOST_SEARCHES)
        searches.erase(searches.begin());
    searches.push_back(memo);
}

enum rejectd_status cuda_search_thresholds(struct backend_session *session,
                                           const struct backend_splits *splits,
                                           const struct backend_search *search, double *thresholds,
                                           double *losses, struct rejectd_error *error)
{
    TRY(FOR_STORAGE(session, search_all, session, splits, search, thresholds, losses, error));
    session->foreseen_folds.reset(); /* another search has other folds */
    if (session_remembers(session))
        remember(session, search, thresholds, losses);
    return REJECTD_OK;
}
