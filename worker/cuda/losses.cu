#include "worker/cuda/losses.h"

#include <cmath>

#include "worker/cuda/prefix_squares.h"

enum { THREADS = 256 };

/* n_train[pick][f][rank]: how many of the rows up to a rank train fold f. A warp a fold. */
__global__ void count_train_rows(const uint32_t *order, size_t order_stride,
                                 const uint16_t *is_test, uint32_t n_rows, uint32_t *n_train)
{
    const uint32_t fold = threadIdx.x / 32, lane = threadIdx.x % 32, pick = blockIdx.x;
    uint32_t *out = n_train + ((size_t)pick * PREFIX_FOLDS + fold) * n_rows;
    uint32_t before = 0;
    for (uint32_t start = 0; start < n_rows; start += 32) {
        const uint32_t rank = start + lane;
        const bool train =
            rank < n_rows && (is_test[order[pick * order_stride + rank]] >> fold & 1) == 0;
        const uint32_t ballot = __ballot_sync(0xffffffffu, train);
        if (rank < n_rows)
            out[rank] = before + (uint32_t)__popc(ballot & (0xffffffffu >> (31 - lane)));
        before += (uint32_t)__popc(ballot);
    }
}

/* The last rank whose amplitude is that of `rank`. */
__device__ static uint32_t end_of_tie(const double *ptp, uint32_t n_rows, uint32_t rank)
{
    uint32_t low = rank, high = n_rows;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (ptp[middle] > ptp[rank])
            high = middle;
        else
            low = middle;
    }
    return low;
}

/* The first rank with a train row; n_rows when there is none. */
__device__ static uint32_t first_train_rank(const uint32_t *n_train, uint32_t n_rows)
{
    uint32_t low = 0, high = n_rows;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (n_train[middle] == 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct loss_tables {
    const double *ptp; /* [count][ptp_stride] */
    size_t ptp_stride;
    const double *squares;
    const uint32_t *n_train;
    uint32_t n_rows, n_parts, n_times;
    uint32_t n_folds;     /* of this call */
    uint32_t n_all_folds; /* 0: more calls follow */
    bool first_call;
    double unit; /* of the samples */
};

/* Adds the losses of some folds to those of a rank, and after the last of them divides. */
__global__ void __launch_bounds__(THREADS) add_losses(struct loss_tables tables, double *losses)
{
    const uint32_t rank = blockIdx.x * THREADS + threadIdx.x, pick = blockIdx.y;
    const uint32_t n_rows = tables.n_rows;
    if (rank >= n_rows)
        return;
    const double *ptp = tables.ptp + pick * tables.ptp_stride;
    const uint32_t end = end_of_tie(ptp, n_rows, rank);
    double *loss = losses + (size_t)pick * n_rows + rank;
    double sum = tables.first_call ? 0.0 : *loss;
    for (uint32_t f = 0; f < tables.n_folds; f++) {
        const uint32_t *n_train = tables.n_train + ((size_t)pick * PREFIX_FOLDS + f) * n_rows;
        uint32_t at = end;
        if (n_train[at] == 0)
            at = end_of_tie(ptp, n_rows, first_train_rank(n_train, n_rows));
        double square = 0.0;
        for (uint32_t part = 0; part < tables.n_parts; part++)
            square +=
                tables
                    .squares[(((size_t)pick * tables.n_parts + part) * n_rows + at) * PREFIX_FOLDS +
                             f];
        const double n = (double)n_train[at];
        sum += sqrt(square / (n * n) / (double)tables.n_times);
    }
    *loss = tables.n_all_folds > 0 ? sum / (double)tables.n_all_folds * tables.unit : sum;
}

enum rejectd_status loss_folds_open(struct backend_device *device,
                                    const struct backend_splits *splits, struct loss_folds *folds,
                                    struct rejectd_error *error)
{
    const size_t n_groups = (splits->n_folds + PREFIX_FOLDS - 1) / PREFIX_FOLDS;
    std::vector<uint16_t> bits(n_groups * splits->n_rows, 0);
    folds->n_folds = splits->n_folds;
    folds->n_rows = splits->n_rows;
    for (size_t f = 0; f < splits->n_folds; f++) {
        const uint8_t *is_test = splits->is_test + f * splits->n_rows;
        uint16_t *masks = bits.data() + f / PREFIX_FOLDS * splits->n_rows;
        for (size_t row = 0; row < splits->n_rows; row++)
            masks[row] = (uint16_t)(masks[row] | (is_test[row] != 0) << f % PREFIX_FOLDS);
    }
    TRY(folds->is_test.upload(device, bits.data(), bits.size(), error));
    /* Waits for all that is queued: for the bits, too. */
    return folds->tests.open(device, splits->is_test, splits->n_folds, splits->n_rows, error);
}

size_t loss_pick_bytes(const struct backend_session *session, size_t n_folds, size_t n_rows)
{
    const size_t squares = prefix_squares_parts(session->pitch) * n_rows * PREFIX_FOLDS;
    return n_folds * session->pitch * session->work_size + squares * sizeof(double) +
           n_rows * PREFIX_FOLDS * sizeof(uint32_t);
}

template <typename Sample>
static enum rejectd_status
compute_medians(struct backend_device *device, const struct row_view<Sample> &view, size_t count,
                struct loss_folds *folds, struct loss_scratch *scratch,
                const work_of<Sample> **medians, struct rejectd_error *error)
{
    typedef work_of<Sample> Work;
    const size_t n = count * folds->n_folds * view.pitch;
    TRY(scratch->medians.reserve(device, n * sizeof(Work), error));
    *medians = (const Work *)scratch->medians.get();
    return folds->tests.compute<Sample>(device, view, count, (Work *)scratch->medians.get(), error);
}

template <typename Sample>
enum rejectd_status
losses_compute(struct backend_session *session, const struct row_view<Sample> &view, size_t count,
               struct loss_folds *folds, const work_of<Sample> *medians, const struct ranks *ranks,
               struct loss_scratch *scratch, double *losses, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t n_rows = folds->n_rows, parts = prefix_squares_parts(view.pitch);
    const size_t medians_stride = folds->n_folds * view.pitch;
    TRY(scratch->squares.reserve(device, count * parts * n_rows * PREFIX_FOLDS, error));
    TRY(scratch->n_train.reserve(device, count * PREFIX_FOLDS * n_rows, error));
    if (medians == nullptr)
        TRY(compute_medians(device, view, count, folds, scratch, &medians, error));
    for (size_t f = 0; f < folds->n_folds; f += PREFIX_FOLDS) {
        const size_t left = folds->n_folds - f;
        const size_t n_folds = left < PREFIX_FOLDS ? left : (size_t)PREFIX_FOLDS;
        const uint16_t *is_test = folds->is_test.get() + f / PREFIX_FOLDS * n_rows;
        const struct prefix_request request = {
            ranks->order.get(),       ranks->capacity, n_rows,  is_test,
            medians + f * view.pitch, medians_stride,  n_folds,
        };
        TRY(prefix_squares<Sample>(device, view, count, &request, scratch->squares.get(), error));
        CUDA_LAUNCH(count_train_rows, dim3((unsigned)count), dim3(PREFIX_FOLDS * 32), 0,
                    device->compute, ranks->order.get(), ranks->capacity, is_test, (uint32_t)n_rows,
                    scratch->n_train.get());
        CUDA_LAUNCHED("count_train_rows");
        const struct loss_tables tables = {
            ranks->ptp.get(),
            ranks->capacity,
            scratch->squares.get(),
            scratch->n_train.get(),
            (uint32_t)n_rows,
            (uint32_t)parts,
            (uint32_t)session->n_times,
            (uint32_t)n_folds,
            (uint32_t)(left <= PREFIX_FOLDS ? folds->n_folds : 0),
            f == 0,
            session->unit,
        };
        CUDA_LAUNCH(add_losses, dim3(blocks_for(n_rows, THREADS), (unsigned)count), dim3(THREADS),
                    0, device->compute, tables, losses);
        CUDA_LAUNCHED("add_losses");
    }
    return REJECTD_OK;
}

#define INSTANCE(Sample)                                                                           \
    template enum rejectd_status losses_compute<Sample>(                                           \
        struct backend_session *, const struct row_view<Sample> &, size_t, struct loss_folds *,    \
        const work_of<Sample> *, const struct ranks *, struct loss_scratch *, double *,            \
        struct rejectd_error *);
FOR_EACH_STORAGE(INSTANCE)
