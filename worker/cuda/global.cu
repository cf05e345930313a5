/* Losses of global thresholds: the same walk over rows as for thresholds of channels, with the
 * epochs in one order for all picks. */
#include <cmath>

#include "worker/cuda/medians.h"
#include "worker/cuda/pieces.h"
#include "worker/cuda/prefix_squares.h"

enum { THREADS = 128 };

/* sums [rank][PREFIX_FOLDS] += squares of all picks and parts, in order. */
__global__ void __launch_bounds__(THREADS)
    add_squares(const double *squares, size_t n_parts, size_t n, double *sums)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n)
        return;
    double sum = sums[i];
    for (size_t part = 0; part < n_parts; part++)
        sum += squares[part * n + i];
    sums[i] = sum;
}

/* One kind of losses: medians of which rows, and where the losses go. */
struct kind {
    bool in_fold;
    double *losses;
};

struct global_work {
    median_sets sets;
    device_array<uint32_t> order;
    device_array<uint16_t> is_test;
    device_array<unsigned char> medians;
    device_array<double> squares, sums;
    std::vector<double> host_sums;
    std::vector<uint16_t> bits; /* of the folds on their way */
};

/* The folds of one call, as bits of each epoch. */
static std::vector<uint16_t> fold_bits(const struct backend_global *global, size_t n_epochs,
                                       size_t first)
{
    std::vector<uint16_t> bits(n_epochs, 0);
    for (size_t e = 0; e < n_epochs; e++)
        if (global->fold[e] >= first && global->fold[e] < first + PREFIX_FOLDS)
            bits[e] = (uint16_t)(1u << (global->fold[e] - first));
    return bits;
}

/* Losses of folds first..first+n-1 from the sums of their squares. */
static void place_losses(const struct backend_session *session, const struct backend_global *global,
                         size_t first, size_t n, const std::vector<double> &sums, double *losses)
{
    const double size = (double)session->n_picks * (double)session->n_times;
    std::vector<uint32_t> n_train(session->n_epochs + 1);
    for (size_t f = first; f < first + n; f++) {
        n_train[0] = 0;
        for (size_t rank = 0; rank < session->n_epochs; rank++)
            n_train[rank + 1] = n_train[rank] + (global->fold[global->order[rank]] != f);
        for (size_t i = 0; i < global->n_candidates; i++) {
            const uint32_t kept = global->kept[i];
            const double train = (double)n_train[kept];
            losses[i * global->n_folds + f] =
                train > 0
                    ? sqrt(sums[(kept - 1) * PREFIX_FOLDS + f - first] / (train * train) / size) *
                          session->unit
                    : (double)INFINITY;
        }
    }
}

/* Adds the squares of picks first..first+count-1 for folds f..f+folds-1 to the sums. */
template <typename Sample>
static enum rejectd_status add_picks(struct backend_session *session,
                                     const struct backend_global *global, size_t f, size_t folds,
                                     size_t first, size_t count, struct global_work *work,
                                     struct rejectd_error *error)
{
    typedef work_of<Sample> Work;
    struct backend_device *device = session->device;
    const size_t n = session->n_epochs, pitch = session->pitch, n_folds = global->n_folds;
    const size_t parts = prefix_squares_parts(pitch), cells = n * PREFIX_FOLDS;
    struct row_view<Sample> view;
    TRY(session_rows<Sample>(session, first, count, &view, error));
    TRY(work->medians.reserve(device, count * n_folds * pitch * sizeof(Work), error));
    TRY(work->squares.reserve(device, count * parts * cells, error));
    Work *medians = (Work *)work->medians.get();
    TRY(work->sets.compute<Sample>(device, view, count, medians, error));
    const struct prefix_request request = {
        work->order.get(), 0, n, work->is_test.get(), medians + f * pitch, n_folds * pitch, folds,
    };
    TRY(prefix_squares<Sample>(device, view, count, &request, work->squares.get(), error));
    CUDA_LAUNCH(add_squares, dim3(blocks_for(cells, THREADS)), dim3(THREADS), 0, device->compute,
                work->squares.get(), count * parts, cells, work->sums.get());
    CUDA_LAUNCHED("add_squares");
    return REJECTD_OK;
}

template <typename Sample>
static enum rejectd_status
losses_of_kind(struct backend_session *session, const struct backend_global *global,
               const struct kind *kind, struct global_work *work, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t n = session->n_epochs, pitch = session->pitch, n_folds = global->n_folds;
    const size_t parts = prefix_squares_parts(pitch), cells = n * PREFIX_FOLDS;
    std::vector<uint8_t> in_set(n_folds * n);
    for (size_t f = 0; f < n_folds; f++)
        for (size_t e = 0; e < n; e++)
            in_set[f * n + e] = (global->fold[e] == f) == kind->in_fold;
    TRY(work->sets.open(device, in_set.data(), n_folds, n, error));
    TRY(work->order.upload(device, global->order, n, error));
    work->host_sums.resize(cells);
    TRY(work->sums.reserve(device, cells, error));
    const size_t pick_bytes =
        n_folds * pitch * (sizeof(work_of<Sample>) + 1) + parts * cells * sizeof(double);
    const size_t lists = n_folds * n * sizeof(unsigned long long);
    const size_t block = session_block(session, pick_bytes, lists);
    const auto make_room = [&](size_t count, size_t *piece) {
        session->block.clear();
        work->medians.clear();
        work->squares.clear();
        return halve(count, piece);
    };
    for (size_t f = 0; f < n_folds; f += PREFIX_FOLDS) {
        const size_t left = n_folds - f, folds = left < PREFIX_FOLDS ? left : (size_t)PREFIX_FOLDS;
        work->bits = fold_bits(global, n, f);
        TRY(work->is_test.upload(device, work->bits.data(), n, error));
        CUDA_TRY(cudaMemsetAsync(work->sums.get(), 0, cells * sizeof(double), device->compute));
        const auto add = [&](size_t first, size_t count) {
            return add_picks<Sample>(session, global, f, folds, first, count, work, error);
        };
        TRY(in_pieces(session, session->n_picks, block, add, make_room, error));
        TRY(download(device, work->host_sums.data(), work->sums.get(), cells, error));
        place_losses(session, global, f, folds, work->host_sums, kind->losses);
    }
    return REJECTD_OK;
}

enum rejectd_status cuda_global_losses(struct backend_session *session,
                                       const struct backend_global *global, double *test_losses,
                                       double *train_losses, struct rejectd_error *error)
{
    const struct kind kinds[2] = {{true, test_losses}, {false, train_losses}};
    const int n = train_losses != nullptr ? 2 : 1;
    struct global_work work;
    session->block.clear();
    for (int i = 0; i < n; i++) {
        TRY(FOR_STORAGE(session, losses_of_kind, session, global, &kinds[i], &work, error));
        TRY(session_advance(session, (double)(i + 1) / n, error));
    }
    return REJECTD_OK;
}
