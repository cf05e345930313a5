/*
 * The grid of the local cross-validation.
 *
 * An epoch is kept from some consensus value on, and is tested in one fold: a cell is all epochs
 * of the same two. Per pick the samples of each cell's epochs are added up once; a value of
 * n_interpolate changes the cells by the rows that it repairs otherwise than the value before. The
 * sums of the epochs that a consensus keeps outside a fold are sums of cells, made in the same
 * order for all: cells without epochs add nothing, so that what is tied stays tied to the bit.
 */
#include <algorithm>
#include <cmath>

#include "worker/cuda/grid_lists.h"
#include "worker/cuda/medians.h"
#include "worker/cuda/pieces.h"

enum {
    THREADS = 128,
    FOLDS = 10, /* of one launch */
    CELL_PARTS = 8,
    CHANGES_AHEAD = 4, /* changes whose rows are on their way at a time */
};

/* cells[pick][cell][t] = sum of the cell's epochs. */
template <typename Sample>
__global__ void __launch_bounds__(THREADS)
    sum_cells(struct row_view<Sample> view, const uint32_t *epochs, const uint32_t *offsets,
              uint32_t n_cells, work_of<Sample> *cells)
{
    typedef work_of<Sample> Work;
    const uint32_t t = blockIdx.x * THREADS + threadIdx.x, pick = blockIdx.y;
    if (t >= view.pitch)
        return;
    for (uint32_t cell = blockIdx.z; cell < n_cells; cell += gridDim.z) {
        Work sum = 0;
        const uint32_t end = offsets[cell + 1];
#pragma unroll 8
        for (uint32_t i = offsets[cell]; i < end; i++)
            sum += widen(view.row(epochs[i], pick)[t]);
        cells[((size_t)pick * n_cells + cell) * view.pitch + t] = sum;
    }
}

/* Adds to each cell what a value changes: the new rows less the old ones. rows[i]: where change
 * i's new row lies; old rows likewise. */
template <typename Sample>
__global__ void __launch_bounds__(THREADS)
    change_cells(struct row_view<Sample> view, const Sample *repaired, const struct change *changes,
                 const size_t *offsets, size_t base, uint32_t n_cells, work_of<Sample> *cells)
{
    typedef work_of<Sample> Work;
    const uint32_t t = blockIdx.x * THREADS + threadIdx.x, pick = blockIdx.y;
    if (t >= view.pitch)
        return;
    /* Blocks share a pick's changes, whole cells each. */
    const size_t from = offsets[pick] - base, to = offsets[pick + 1] - base;
    size_t i = from + (to - from) * blockIdx.z / gridDim.z;
    size_t end = from + (to - from) * (blockIdx.z + 1) / gridDim.z;
    while (i > from && i < to && changes[i].cell == changes[i - 1].cell)
        i--;
    while (end > from && end < to && changes[end].cell == changes[end - 1].cell)
        end--;
    if (i >= end)
        return;
    Work *own = cells + (size_t)pick * n_cells * view.pitch + t;
    uint32_t cell = changes[i].cell;
    Work before = own[(size_t)cell * view.pitch], sum = 0;
    for (; i < end; i += CHANGES_AHEAD) {
        Work now[CHANGES_AHEAD], old[CHANGES_AHEAD], sums[CHANGES_AHEAD];
        uint32_t changed[CHANGES_AHEAD];
#pragma unroll
        for (int k = 0; k < CHANGES_AHEAD; k++) {
            const struct change change = changes[i + k < end ? i + k : end - 1];
            const Sample *row = change.old == NO_ROW ? view.row(change.epoch, pick)
                                                     : repaired + (size_t)change.old * view.pitch;
            changed[k] = change.cell;
            now[k] = widen(repaired[(size_t)change.row * view.pitch + t]);
            old[k] = widen(row[t]);
            sums[k] = own[(size_t)change.cell * view.pitch];
        }
#pragma unroll
        for (int k = 0; k < CHANGES_AHEAD; k++) {
            if (i + k >= end)
                break;
            if (changed[k] != cell) {
                own[(size_t)cell * view.pitch] = before + sum;
                cell = changed[k];
                before = sums[k];
                sum = 0;
            }
            sum += now[k] - old[k];
        }
    }
    own[(size_t)cell * view.pitch] = before + sum;
}

struct grid_shape {
    uint32_t n_consensus, n_folds, first_fold; /* of FOLDS, or fewer */
    uint32_t n_picks;
};

/* Sum over the warp's lanes of `value`, in every lane. */
__device__ static double add_up_warp(double value)
{
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

/*
 * squares[pick][part][consensus][fold] = sum over a block's samples of (median of the fold - mean
 * of the kept epochs of the other folds)^2, for up to FOLDS folds.
 */
template <typename Work>
__global__ void __launch_bounds__(THREADS)
    sum_squares(const Work *cells, const Work *medians, const uint32_t *n_train,
                struct grid_shape shape, uint32_t pitch, double *squares)
{
    __shared__ double totals[THREADS / 32][FOLDS];
    const uint32_t t = blockIdx.x * THREADS + threadIdx.x, pick = blockIdx.y;
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const uint32_t n_cells = shape.n_consensus * shape.n_folds;
    const uint32_t left = shape.n_folds - shape.first_fold;
    const uint32_t n = left < FOLDS ? left : (uint32_t)FOLDS;
    const bool inside = t < pitch;
    Work sum[FOLDS], median[FOLDS];
#pragma unroll
    for (int f = 0; f < FOLDS; f++) {
        const uint32_t fold = shape.first_fold + (uint32_t)f;
        sum[f] = 0;
        median[f] = inside && (uint32_t)f < n
                        ? medians[((size_t)pick * shape.n_folds + fold) * pitch + t]
                        : (Work)0;
    }
    for (uint32_t k = 0; k < shape.n_consensus; k++) {
        const Work *row = cells + ((size_t)pick * n_cells + k * shape.n_folds) * pitch + t;
        Work others[FOLDS];
#pragma unroll
        for (int f = 0; f < FOLDS; f++)
            others[f] = 0;
        for (uint32_t g = 0; g < shape.n_folds; g++) {
            const Work cell = inside ? row[(size_t)g * pitch] : (Work)0;
#pragma unroll
            for (int f = 0; f < FOLDS; f++)
                if (g != shape.first_fold + (uint32_t)f)
                    others[f] += cell;
        }
#pragma unroll
        for (int f = 0; f < FOLDS; f++) {
            double square = 0.0;
            sum[f] += others[f];
            if ((uint32_t)f < n) {
                const uint32_t train = n_train[k * shape.n_folds + shape.first_fold + (uint32_t)f];
                if (train > 0) {
                    const Work difference = median[f] - sum[f] / (Work)train;
                    square = (double)(difference * difference);
                }
            }
            square = add_up_warp(square);
            if (lane == 0)
                totals[warp][f] = square;
        }
        __syncthreads();
        if (threadIdx.x < n) {
            double total = 0.0;
            for (int w = 0; w < THREADS / 32; w++)
                total += totals[w][threadIdx.x];
            squares[(((size_t)pick * gridDim.x + blockIdx.x) * shape.n_consensus + k) *
                        shape.n_folds +
                    shape.first_fold + threadIdx.x] = total;
        }
        __syncthreads();
    }
}

/* Adds the squares of picks and parts up, in order, so that blocks of picks don't matter. A warp a
 * cell: its lanes read at once what is added one after the other. */
__global__ void add_picks(const double *squares, size_t n_parts, uint32_t n_cells, double *sums)
{
    const uint32_t cell = blockIdx.x, lane = threadIdx.x;
    double sum = sums[cell];
    for (size_t first = 0; first < n_parts; first += 32) {
        const size_t left = n_parts - first;
        const double value = lane < left ? squares[(first + lane) * n_cells + cell] : 0.0;
        for (size_t l = 0; l < 32 && l < left; l++)
            sum += __shfl_sync(0xffffffffu, value, (int)l);
    }
    if (lane == 0)
        sums[cell] = sum;
}

/* The arrays of a block of picks. */
struct grid_work {
    median_sets tests;
    device_array<uint32_t> cell_epochs, cell_offsets, n_train;
    device_array<struct change> changes;
    device_array<size_t> change_offsets;
    device_array<unsigned char> medians, cells, repaired;
    device_array<double> squares, sums;
    std::vector<struct change> block_changes; /* with rows numbered within `repaired` */
    std::vector<unsigned char> rows;
};

static enum rejectd_status open_tests(struct backend_session *session,
                                      const struct backend_local_cv *cv, struct grid_work *work,
                                      struct rejectd_error *error)
{
    std::vector<uint8_t> in_fold(cv->n_folds * session->n_epochs, 0);
    for (size_t e = 0; e < session->n_epochs; e++)
        in_fold[cv->fold[e] * session->n_epochs + e] = 1;
    return work->tests.open(session->device, in_fold.data(), cv->n_folds, session->n_epochs, error);
}

/* The medians of a resident's folds, from before or made and kept now; null: there is no room or
 * no resident. */
template <typename Sample>
static enum rejectd_status
kept_medians(struct backend_session *session, const struct backend_local_cv *cv,
             struct grid_work *work, const work_of<Sample> **medians, struct rejectd_error *error)
{
    typedef work_of<Sample> Work;
    const size_t n = session->n_picks * cv->n_folds * session->pitch;
    *medians = nullptr;
    if (!session_remembers(session))
        return REJECTD_OK;
    struct medians_memo &memo = session->shared->medians;
    std::vector<uint16_t> fold(cv->fold, cv->fold + session->n_epochs);
    if (memo.fold == fold && memo.medians.bytes() == n * sizeof(Work)) {
        *medians = (const Work *)memo.medians.get();
        return REJECTD_OK;
    }
    if (n * sizeof(Work) > device_available(session->device) / 4)
        return REJECTD_OK;
    struct row_view<Sample> view;
    device_array<unsigned char> made;
    TRY(open_tests(session, cv, work, error));
    enum rejectd_status status = made.reserve(session->device, n * sizeof(Work), error);
    if (status == REJECTD_OK)
        status = session_rows<Sample>(session, 0, session->n_picks, &view, error);
    if (status == REJECTD_OK)
        status = work->tests.compute<Sample>(session->device, view, session->n_picks,
                                             (Work *)made.get(), error);
    if (device_is_short(session->device, status))
        return REJECTD_OK;
    TRY(status);
    const std::lock_guard<std::mutex> guard(session->device->lock);
    memo.medians.swap(made);
    memo.fold.swap(fold);
    *medians = (const Work *)memo.medians.get();
    return REJECTD_OK;
}

/* Brings the repaired rows of a block of picks that stayed on the host, numbering its changes
 * anew. */
static enum rejectd_status bring_repaired(struct backend_session *session, struct grid_work *work,
                                          struct rejectd_error *error)
{
    const size_t row_bytes = session->pitch * session->sample_size;
    const unsigned char *host = session->repaired.on_host.data();
    work->rows.clear();
    uint32_t n = 0;
    for (struct change &change : work->block_changes) {
        for (uint32_t *row : {&change.row, &change.old}) {
            if (*row == NO_ROW)
                continue;
            work->rows.insert(work->rows.end(), host + *row * row_bytes,
                              host + (*row + 1) * row_bytes);
            *row = n++;
        }
    }
    TRY(work->repaired.upload(session->device, work->rows.data(), work->rows.size(), error));
    return device_wait(session->device, error);
}

/* Room for what the values of a block bring: whatever finds none finds it before the first of them
 * has added to the sums. */
static enum rejectd_status reserve_changes(struct backend_session *session,
                                           const struct grid_lists *lists, size_t first,
                                           size_t count, struct grid_work *work,
                                           struct rejectd_error *error)
{
    const size_t row_bytes = session->pitch * session->sample_size;
    size_t most = 0;
    for (size_t v = 0; v < lists->n_values; v++) {
        const size_t *offsets = lists->change_offsets.data() + v * session->n_picks + first;
        most = std::max(most, offsets[count] - offsets[0]);
    }
    if (most == 0)
        return REJECTD_OK;
    TRY(work->changes.reserve(session->device, most, error));
    TRY(work->change_offsets.reserve(session->device, count + 1, error));
    return session->repaired.on_device.get() != nullptr
               ? REJECTD_OK
               : work->repaired.reserve(session->device, 2 * most * row_bytes, error);
}

/* One value of n_interpolate over a block: changes its cells and adds its squares. */
template <typename Sample>
static enum rejectd_status
grid_value(struct backend_session *session, const struct grid_lists *lists, size_t value,
           size_t first, size_t count, const struct row_view<Sample> &view,
           const work_of<Sample> *medians, struct grid_work *work, struct rejectd_error *error)
{
    typedef work_of<Sample> Work;
    struct backend_device *device = session->device;
    const struct backend_local_cv *cv = lists->cv;
    const size_t *offsets = lists->change_offsets.data() + value * session->n_picks + first;
    const size_t n_changes = offsets[count] - offsets[0];
    const unsigned tiles = blocks_for(view.pitch, THREADS);
    Work *cells = (Work *)work->cells.get();
    if (n_changes > 0) {
        const struct change *changes = lists->changes.get() + offsets[0];
        const Sample *repaired = (const Sample *)session->repaired.on_device.get();
        if (repaired == nullptr) {
            work->block_changes.assign(changes, changes + n_changes);
            TRY(bring_repaired(session, work, error));
            changes = work->block_changes.data();
            repaired = (const Sample *)work->repaired.get();
        }
        TRY(work->changes.upload(device, changes, n_changes, error));
        TRY(work->change_offsets.upload(device, offsets, count + 1, error));
        CUDA_LAUNCHED("tables_of_changes");
        CUDA_LAUNCH((change_cells<Sample>), dim3(tiles, (unsigned)count, CELL_PARTS), dim3(THREADS),
                    0, device->compute, view, repaired, work->changes.get(),
                    work->change_offsets.get(), offsets[0], (uint32_t)lists->n_cells, cells);
        CUDA_LAUNCHED("change_cells");
    }
    for (size_t f = 0; f < cv->n_folds; f += FOLDS) {
        const struct grid_shape shape = {(uint32_t)cv->n_consensus, (uint32_t)cv->n_folds,
                                         (uint32_t)f, (uint32_t)count};
        CUDA_LAUNCH((sum_squares<work_of<Sample>>), dim3(tiles, (unsigned)count), dim3(THREADS), 0,
                    device->compute, cells, medians, work->n_train.get(), shape,
                    (uint32_t)view.pitch, work->squares.get());
        CUDA_LAUNCHED("sum_squares");
    }
    CUDA_LAUNCH(add_picks, dim3((unsigned)lists->n_cells), dim3(32), 0, device->compute,
                work->squares.get(), count * tiles, (uint32_t)lists->n_cells,
                work->sums.get() + value * lists->n_cells);
    CUDA_LAUNCHED("add_picks");
    /* What comes from `lists` stays until all is done, but not the changes of this block alone. */
    return session->repaired.on_device.get() != nullptr ? REJECTD_OK : device_wait(device, error);
}

/* The memo of the cells of all picks of a resident; null where cells are not kept. */
static struct cells_memo *cells_of(struct backend_session *session, size_t count)
{
    return session_remembers(session) && count == session->n_picks ? &session->shared->cells
                                                                   : nullptr;
}

static bool is_of(const struct cells_memo &memo, const struct backend_local_cv *cv, size_t n_epochs)
{
    const size_t bytes = n_epochs * sizeof(uint16_t);
    return memo.fold.size() == n_epochs && memo.n_consensus == cv->n_consensus &&
           memo.n_folds == cv->n_folds && memcmp(memo.fold.data(), cv->fold, bytes) == 0 &&
           memcmp(memo.first_good.data(), cv->first_good, bytes) == 0;
}

/* Keeps the cells for the next fit with the same votes, if there is room. */
static enum rejectd_status keep_cells(struct backend_session *session,
                                      const struct backend_local_cv *cv, const void *cells,
                                      size_t bytes, struct cells_memo *memo,
                                      struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t n = session->n_epochs;
    device_array<unsigned char> made;
    if (bytes > device_available(device) / 4)
        return REJECTD_OK;
    const enum rejectd_status status = made.reserve(device, bytes, error);
    if (device_is_short(device, status))
        return REJECTD_OK;
    TRY(status);
    CUDA_TRY(cudaMemcpyAsync(made.get(), cells, bytes, cudaMemcpyDeviceToDevice, device->compute));
    const std::lock_guard<std::mutex> guard(device->lock);
    memo->n_consensus = cv->n_consensus;
    memo->n_folds = cv->n_folds;
    memo->fold.assign(cv->fold, cv->fold + n);
    memo->first_good.assign(cv->first_good, cv->first_good + n);
    memo->cells.swap(made);
    return REJECTD_OK;
}

/* The sums of the cells of a block of picks, before any repair. */
template <typename Sample>
static enum rejectd_status
make_cells(struct backend_session *session, const struct grid_lists *lists, size_t count,
           const struct row_view<Sample> &view, struct grid_work *work, struct rejectd_error *error)
{
    typedef work_of<Sample> Work;
    struct backend_device *device = session->device;
    const size_t n = count * lists->n_cells * session->pitch;
    struct cells_memo *memo = cells_of(session, count);
    TRY(work->cells.reserve(device, n * sizeof(Work), error));
    if (memo != nullptr && is_of(*memo, lists->cv, session->n_epochs)) {
        CUDA_TRY(cudaMemcpyAsync(work->cells.get(), memo->cells.get(), n * sizeof(Work),
                                 cudaMemcpyDeviceToDevice, device->compute));
        CUDA_LAUNCHED("recall_cells");
        return REJECTD_OK;
    }
    CUDA_LAUNCH((sum_cells<Sample>),
                dim3(blocks_for(session->pitch, THREADS), (unsigned)count, CELL_PARTS),
                dim3(THREADS), 0, device->compute, view, work->cell_epochs.get(),
                work->cell_offsets.get(), (uint32_t)lists->n_cells, (Work *)work->cells.get());
    CUDA_LAUNCHED("sum_cells");
    return memo == nullptr
               ? REJECTD_OK
               : keep_cells(session, lists->cv, work->cells.get(), n * sizeof(Work), memo, error);
}

template <typename Sample>
static enum rejectd_status grid_block(struct backend_session *session,
                                      const struct grid_lists *lists, size_t first, size_t count,
                                      const work_of<Sample> *kept, struct grid_work *work,
                                      struct rejectd_error *error)
{
    typedef work_of<Sample> Work;
    struct backend_device *device = session->device;
    const size_t pitch = session->pitch, n_folds = lists->cv->n_folds;
    struct row_view<Sample> view;
    const Work *medians = kept != nullptr ? kept + first * n_folds * pitch : nullptr;
    TRY(session_rows<Sample>(session, first, count, &view, error));
    if (kept == nullptr) {
        TRY(work->medians.reserve(device, count * n_folds * pitch * sizeof(Work), error));
        TRY(work->tests.compute<Sample>(device, view, count, (Work *)work->medians.get(), error));
        medians = (const Work *)work->medians.get();
    }
    TRY(work->squares.reserve(device, count * blocks_for(pitch, THREADS) * lists->n_cells, error));
    TRY(make_cells<Sample>(session, lists, count, view, work, error));
    TRY(reserve_changes(session, lists, first, count, work, error));
    for (size_t v = 0; v < lists->n_values; v++) {
        const enum rejectd_status status =
            grid_value<Sample>(session, lists, v, first, count, view, medians, work, error);
        /* Sums that were added to can't be made again in smaller blocks. */
        if (status == REJECTD_DEVICE_MEMORY && v > 0)
            return device_check(device, cudaErrorLaunchOutOfResources, "adding squares", error);
        TRY(status);
    }
    return REJECTD_OK;
}

static size_t grid_pick_bytes(const struct backend_session *session, const struct grid_lists *lists)
{
    size_t bytes = session->pitch * session->work_size * (lists->n_cells + lists->cv->n_folds) +
                   blocks_for(session->pitch, THREADS) * lists->n_cells * sizeof(double);
    const size_t changes = lists->n_changes / session->n_picks + 1;
    if (session->repaired.on_device.get() == nullptr)
        bytes += 4 * changes * session->pitch * session->sample_size;
    return bytes + changes * sizeof(struct change);
}

/* After a block found no room: what it took is for a smaller one. */
static void clear_block(struct backend_session *session, struct grid_work *work)
{
    session->block.clear();
    work->changes.clear();
    work->change_offsets.clear();
    work->medians.clear();
    work->cells.clear();
    work->repaired.clear();
    work->squares.clear();
}

template <typename Sample>
static enum rejectd_status grid_losses(struct backend_session *session,
                                       const struct grid_lists *lists, double *losses,
                                       struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    struct grid_work work;
    const work_of<Sample> *kept;
    const size_t n = lists->n_values * lists->n_cells;
    CUDA_LAUNCHED("lists_of_the_grid");
    TRY(work.cell_epochs.upload(device, lists->cell_epochs.data(), lists->cell_epochs.size(),
                                error));
    TRY(work.cell_offsets.upload(device, lists->cell_offsets.data(), lists->cell_offsets.size(),
                                 error));
    TRY(work.n_train.upload(device, lists->n_train.data(), lists->n_train.size(), error));
    TRY(work.sums.reserve(device, n, error));
    CUDA_TRY(cudaMemsetAsync(work.sums.get(), 0, n * sizeof(double), device->compute));
    CUDA_LAUNCHED("tables_of_the_grid");
    TRY(kept_medians<Sample>(session, lists->cv, &work, &kept, error));
    if (kept == nullptr)
        TRY(open_tests(session, lists->cv, &work, error));
    const auto lose = [&](size_t i, size_t count) {
        TRY(grid_block<Sample>(session, lists, i, count, kept, &work, error));
        return session_advance(session, (double)(i + count) / (double)session->n_picks, error);
    };
    const auto make_room = [&](size_t count, size_t *block) {
        clear_block(session, &work);
        return halve(count, block);
    };
    TRY(in_pieces(session, session->n_picks,
                  session_block(session, grid_pick_bytes(session, lists), 0), lose, make_room,
                  error));
    return download(device, losses, work.sums.get(), n, error);
}

enum rejectd_status cuda_local_cv_losses(struct backend_session *session,
                                         const struct backend_local_cv *cv, double *losses,
                                         struct rejectd_error *error)
{
    struct grid_lists lists;
    grid_list(session, cv, &lists);
    std::vector<double> sums(lists.n_values * lists.n_cells);
    const enum rejectd_status status =
        FOR_STORAGE(session, grid_losses, session, &lists, sums.data(), error);
    if (status != REJECTD_OK) {
        cudaStreamSynchronize(session->device->compute); /* the lists may be on their way */
        return status;
    }
    const double n = (double)session->n_picks * (double)session->n_times;
    for (size_t v = 0; v < lists.n_values; v++)
        for (size_t k = 0; k < cv->n_consensus; k++)
            for (size_t f = 0; f < cv->n_folds; f++) {
                const size_t cell = k * cv->n_folds + f;
                losses[(k * lists.n_values + v) * cv->n_folds + f] =
                    lists.n_train[cell] > 0
                        ? sqrt(sums[v * lists.n_cells + cell] / n) * session->unit
                        : (double)INFINITY;
            }
    return REJECTD_OK;
}
