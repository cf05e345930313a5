#include "worker/cuda/spare.h"

typedef std::lock_guard<std::mutex> locked;

/* Whether tables of the session's picks may go to, or come from, its resident: one that is listed,
 * or else nobody would find what is spare. With the device's lock. */
static bool is_of_all(const struct backend_session *session)
{
    return session_remembers(session) && session->shared->content[0] != '\0' &&
           session->first == 0 && session->count == session->n_picks && !session->device->failed;
}

void spare_keep_predictions(struct backend_session *session)
{
    if (session->materialised) {
        const locked guard(session->device->lock);
        if (is_of_all(session)) {
            struct predictions_memo &memo = session->shared->predictions;
            memo.weights = session->weights;
            memo.rows.swap(session->predictions);
        }
    }
    session->predictions.clear();
    session->materialised = false;
}

bool spare_take_predictions(struct backend_session *session)
{
    const locked guard(session->device->lock);
    if (!is_of_all(session))
        return false;
    struct predictions_memo &memo = session->shared->predictions;
    if (memo.rows.get() == nullptr || memo.weights != session->weights)
        return false;
    session->predictions.swap(memo.rows);
    memo.rows.clear();
    return true;
}

static std::vector<uint8_t> test_rows(const struct backend_splits *splits)
{
    return {splits->is_test, splits->is_test + splits->n_folds * splits->n_rows};
}

void spare_keep_losses(struct backend_session *session, const struct backend_splits *splits,
                       struct ranks *ranks, device_array<double> *losses)
{
    std::vector<uint8_t> is_test = test_rows(splits);
    const locked guard(session->device->lock);
    if (!is_of_all(session))
        return;
    struct losses_memo &memo = session->shared->losses;
    memo.weights = session->weights;
    memo.is_test.swap(is_test);
    memo.n_rows = ranks->n_rows;
    memo.capacity = ranks->capacity;
    memo.ptp.swap(ranks->ptp);
    memo.losses.swap(*losses);
}

bool spare_take_losses(struct backend_session *session, const struct backend_splits *splits,
                       struct ranks *ranks, device_array<double> *losses)
{
    const std::vector<uint8_t> is_test = test_rows(splits);
    const locked guard(session->device->lock);
    if (!is_of_all(session))
        return false;
    struct losses_memo &memo = session->shared->losses;
    if (memo.losses.get() == nullptr || memo.n_rows != splits->n_rows || memo.is_test != is_test ||
        memo.weights != session->weights)
        return false;
    ranks->n_rows = memo.n_rows;
    ranks->capacity = memo.capacity;
    ranks->ptp.swap(memo.ptp);
    losses->swap(memo.losses);
    memo.ptp.clear();
    memo.losses.clear();
    return true;
}
