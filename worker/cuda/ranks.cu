/*
 * Sorting: a block a pick, by a bitonic network over the pick's rows in global memory, which stay
 * in the second-level cache.
 */
#include "worker/cuda/ranks.h"

#include <cmath>

enum { GATHER_THREADS = 256, SORT_THREADS = 1024 };

__global__ void gather_amplitudes(const double *ptp, uint32_t n_picks, const double *predicted,
                                  uint32_t n_epochs, uint32_t n_rows, uint32_t first,
                                  uint32_t count, uint32_t capacity, double *keys, uint32_t *order)
{
    const uint32_t row = blockIdx.x * blockDim.x + threadIdx.x, pick = blockIdx.y;
    if (row >= capacity)
        return;
    double key = INFINITY;
    if (row < n_epochs)
        key = ptp[(size_t)row * n_picks + first + pick];
    else if (row < n_rows)
        key = predicted[(size_t)(row - n_epochs) * count + pick];
    keys[(size_t)pick * capacity + row] = isnan(key) ? (double)INFINITY : key;
    order[(size_t)pick * capacity + row] = row;
}

__device__ static inline bool comes_after(double a, uint32_t a_row, double b, uint32_t b_row)
{
    return a > b || (a == b && a_row > b_row);
}

__global__ void __launch_bounds__(SORT_THREADS)
    sort_rows(uint32_t capacity, double *all_keys, uint32_t *all_rows)
{
    double *keys = all_keys + (size_t)blockIdx.x * capacity;
    uint32_t *rows = all_rows + (size_t)blockIdx.x * capacity;
    for (uint32_t size = 2; size <= capacity; size *= 2) {
        for (uint32_t step = size / 2; step > 0; step /= 2) {
            for (uint32_t i = threadIdx.x; i < capacity / 2; i += blockDim.x) {
                const uint32_t low = 2 * i - (i & (step - 1)), high = low + step;
                const double a = keys[low], b = keys[high];
                const uint32_t a_row = rows[low], b_row = rows[high];
                const bool descending = (low & size) != 0;
                if (comes_after(a, a_row, b, b_row) != descending) {
                    keys[low] = b;
                    keys[high] = a;
                    rows[low] = b_row;
                    rows[high] = a_row;
                }
            }
            __syncthreads();
        }
    }
}

static size_t capacity_for(size_t n_rows)
{
    size_t capacity = 1;
    while (capacity < n_rows)
        capacity *= 2;
    return capacity;
}

size_t ranks_pick_bytes(size_t n_rows)
{
    return capacity_for(n_rows) * (sizeof(double) + sizeof(uint32_t));
}

static enum rejectd_status reserve(struct backend_session *session, size_t count, size_t n_rows,
                                   struct ranks *ranks, struct rejectd_error *error)
{
    ranks->n_rows = n_rows;
    ranks->capacity = capacity_for(n_rows);
    TRY(ranks->ptp.reserve(session->device, count * ranks->capacity, error));
    return ranks->order.reserve(session->device, count * ranks->capacity, error);
}

enum rejectd_status ranks_make(struct backend_session *session, const double *ptp,
                               const double *predicted, size_t first, size_t count,
                               struct ranks *ranks, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t n = session->n_epochs, n_rows = predicted != nullptr ? 2 * n : n;
    TRY(reserve(session, count, n_rows, ranks, error));
    const uint32_t capacity = (uint32_t)ranks->capacity;
    CUDA_LAUNCH(gather_amplitudes, dim3(blocks_for(capacity, GATHER_THREADS), (unsigned)count),
                dim3(GATHER_THREADS), 0, device->compute, ptp, (uint32_t)session->n_picks,
                predicted, (uint32_t)n, (uint32_t)n_rows, (uint32_t)first, (uint32_t)count,
                capacity, ranks->ptp.get(), ranks->order.get());
    CUDA_LAUNCHED("gather_amplitudes");
    const unsigned threads = capacity / 2 < SORT_THREADS ? capacity / 2 : (unsigned)SORT_THREADS;
    CUDA_LAUNCH(sort_rows, dim3((unsigned)count), dim3(threads > 0 ? threads : 1), 0,
                device->compute, capacity, ranks->ptp.get(), ranks->order.get());
    CUDA_LAUNCHED("sort_rows");
    return REJECTD_OK;
}

enum rejectd_status ranks_take(struct backend_session *session, const uint32_t *order,
                               const double *ptp, size_t count, size_t n_rows, struct ranks *ranks,
                               struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    TRY(reserve(session, count, n_rows, ranks, error));
    const size_t capacity = ranks->capacity;
    CUDA_TRY(cudaMemcpy2DAsync(ranks->ptp.get(), capacity * sizeof(double), ptp,
                               n_rows * sizeof(double), n_rows * sizeof(double), count,
                               cudaMemcpyHostToDevice, device->compute));
    CUDA_TRY(cudaMemcpy2DAsync(ranks->order.get(), capacity * sizeof(uint32_t), order,
                               n_rows * sizeof(uint32_t), n_rows * sizeof(uint32_t), count,
                               cudaMemcpyHostToDevice, device->compute));
    return device_wait(device, error);
}
