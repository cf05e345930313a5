/*
 * A block walks over all rows of one pick, in order, for 256 of its samples, two a thread. The
 * sums of all folds stay in registers. Squares have to be added up over the samples for every row
 * and fold; three rows of ten folds are 30 values a thread, which 31 shuffles add up over a warp
 * (each step halves the values a lane is responsible for), instead of five each.
 *
 * Rows are read two batches ahead, and their numbers a group of batches ahead.
 */
#include "worker/cuda/prefix_squares.h"

enum {
    THREADS = 128,
    SAMPLES = 2, /* of a thread */
    BATCH = 3,   /* rows whose squares are added up together */
    SLOTS = 32,  /* BATCH * PREFIX_FOLDS, and two unused */
    SLOT_BITS = 5,
    GROUP_BATCHES = 8, /* between two exchanges of the warps */
    GROUP_ROWS = BATCH * GROUP_BATCHES,
    PART = THREADS * SAMPLES,
    BLOCKS_AT_ONCE = 4, /* of a multiprocessor: those of 128 picks of 1000 samples, all at once */
};

/* Of two values that are each to be added up over lanes, a lane keeps one and gives the other to
 * the lane `width` apart: the upper of the two goes on with b, the lower with a. */
template <typename Work> __device__ __forceinline__ Work share_sums(unsigned width, Work a, Work b)
{
    const bool upper = (threadIdx.x & width) != 0;
    const Work given = upper ? a : b, kept = upper ? b : a;
    return kept + __shfl_xor_sync(0xffffffffu, given, width);
}

/*
 * Adds up over a warp values that come one after the other, as many as there are lanes: after the
 * last it returns to lane l the sum of value number l. Two are joined as soon as they are there,
 * then two pairs and so on, so that few wait. `number` has to be known to the compiler: what waits
 * is to stay in registers.
 */
template <typename Work>
__device__ __forceinline__ Work join_sums(Work (&waiting)[SLOT_BITS], int number, Work value)
{
#pragma unroll
    for (int bit = 0; bit < SLOT_BITS; bit++) {
        if ((number >> bit & 1) == 0) {
            waiting[bit] = value;
            return value;
        }
        value = share_sums(1u << bit, waiting[bit], value);
    }
    return value;
}

/* The rows of a group: where they are and in which folds they test. */
template <typename Sample> struct group_rows {
    const Sample *row[2][GROUP_ROWS];
    uint16_t is_test[2][GROUP_ROWS];
};

template <typename Sample>
__device__ void list_group(const struct row_view<Sample> &view, const uint32_t *order,
                           const uint16_t *is_test, uint32_t n_rows, uint32_t pick, uint32_t group,
                           struct group_rows<Sample> *rows)
{
    if (threadIdx.x >= GROUP_ROWS)
        return;
    const uint32_t rank = group * GROUP_ROWS + threadIdx.x;
    const uint32_t row = order[rank < n_rows ? rank : n_rows - 1];
    rows->row[group % 2][threadIdx.x] = view.row(row, pick);
    rows->is_test[group % 2][threadIdx.x] = is_test[row];
}

/* The samples of a batch of rows: at `t` and THREADS further on, zero beyond the end. */
template <typename Sample, typename Work>
__device__ void load_batch(const struct group_rows<Sample> &rows, uint32_t batch, uint32_t t,
                           bool first, bool second, Work (&x)[BATCH][SAMPLES])
{
    const uint32_t group = batch / GROUP_BATCHES, at = batch % GROUP_BATCHES * BATCH;
#pragma unroll
    for (int j = 0; j < BATCH; j++) {
        const Sample *row = rows.row[group % 2][at + (uint32_t)j];
        x[j][0] = first ? widen(row[t]) : (Work)0;
        x[j][1] = second ? widen(row[t + THREADS]) : (Work)0;
    }
}

template <typename Sample>
__global__ void __launch_bounds__(THREADS, BLOCKS_AT_ONCE)
    walk_rows(struct row_view<Sample> view, struct prefix_request request, double *squares)
{
    typedef work_of<Sample> Work;
    __shared__ struct group_rows<Sample> rows;
    __shared__ Work totals[GROUP_BATCHES][THREADS / 32][SLOTS];
    const uint32_t pick = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const uint32_t t = blockIdx.x * PART + threadIdx.x;
    const bool first = t < view.pitch, second = t + THREADS < view.pitch;
    const uint32_t n_rows = (uint32_t)request.n_rows;
    const uint32_t n_batches = (n_rows + BATCH - 1) / BATCH;
    const uint32_t *order = request.order + pick * request.order_stride;
    const Work *medians = (const Work *)request.medians + pick * request.medians_stride;
    double *out = squares + ((size_t)pick * gridDim.x + blockIdx.x) * n_rows * PREFIX_FOLDS;
    Work sum[PREFIX_FOLDS][SAMPLES], median[PREFIX_FOLDS][SAMPLES];
#pragma unroll
    for (int f = 0; f < PREFIX_FOLDS; f++) {
        const bool is_fold = (size_t)f < request.n_folds;
        sum[f][0] = sum[f][1] = 0;
        median[f][0] = is_fold && first ? medians[(size_t)f * view.pitch + t] : (Work)0;
        median[f][1] = is_fold && second ? medians[(size_t)f * view.pitch + t + THREADS] : (Work)0;
    }
    list_group(view, order, request.is_test, n_rows, pick, 0, &rows);
    list_group(view, order, request.is_test, n_rows, pick, 1, &rows);
    __syncthreads();
    Work x[BATCH][SAMPLES];
    load_batch(rows, 0, t, first, second, x);
    for (uint32_t batch = 0; batch < n_batches; batch++) {
        const uint32_t group = batch / GROUP_BATCHES, in_group = batch % GROUP_BATCHES;
        Work next[BATCH][SAMPLES];
        uint32_t is_test[BATCH];
        load_batch(rows, batch + 1, t, first, second, next);
#pragma unroll
        for (int j = 0; j < BATCH; j++)
            is_test[j] = rows.is_test[group % 2][in_group * BATCH + (uint32_t)j];
        Work waiting[SLOT_BITS];
#pragma unroll
        for (int f = 0; f < PREFIX_FOLDS; f++) {
#pragma unroll
            for (int j = 0; j < BATCH; j++) {
                if ((is_test[j] >> f & 1) == 0) {
                    sum[f][0] += median[f][0] - x[j][0];
                    sum[f][1] += median[f][1] - x[j][1];
                }
                join_sums(waiting, f * BATCH + j, sum[f][0] * sum[f][0] + sum[f][1] * sum[f][1]);
            }
        }
        join_sums(waiting, SLOTS - 2, (Work)0);
        totals[in_group][warp][lane] = join_sums(waiting, SLOTS - 1, (Work)0);
#pragma unroll
        for (int j = 0; j < BATCH; j++) {
            x[j][0] = next[j][0];
            x[j][1] = next[j][1];
        }
        if (in_group + 1 < GROUP_BATCHES && batch + 1 < n_batches)
            continue;
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < (in_group + 1) * SLOTS; i += THREADS) {
            const uint32_t b = i / SLOTS, slot = i % SLOTS;
            const uint32_t rank = (group * GROUP_BATCHES + b) * BATCH + slot % BATCH;
            if (slot >= BATCH * PREFIX_FOLDS || rank >= n_rows)
                continue;
            double total = 0.0;
            for (int w = 0; w < THREADS / 32; w++)
                total += (double)totals[b][w][slot];
            out[(size_t)rank * PREFIX_FOLDS + slot / BATCH] = total;
        }
        list_group(view, order, request.is_test, n_rows, pick, group + 2, &rows);
        __syncthreads();
    }
}

size_t prefix_squares_parts(size_t pitch)
{
    return (pitch + PART - 1) / PART;
}

template <typename Sample>
enum rejectd_status
prefix_squares(struct backend_device *device, const struct row_view<Sample> &view, size_t count,
               const struct prefix_request *request, double *squares, struct rejectd_error *error)
{
    CUDA_LAUNCH((walk_rows<Sample>),
                dim3((unsigned)prefix_squares_parts(view.pitch), (unsigned)count), dim3(THREADS), 0,
                device->compute, view, *request, squares);
    CUDA_LAUNCHED("walk_rows");
    return REJECTD_OK;
}

#define INSTANCE(Sample)                                                                           \
    template enum rejectd_status prefix_squares<Sample>(                                           \
        struct backend_device *, const struct row_view<Sample> &, size_t,                          \
        const struct prefix_request *, double *, struct rejectd_error *);
FOR_EACH_STORAGE(INSTANCE)
