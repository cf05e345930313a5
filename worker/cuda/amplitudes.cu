#include "worker/cuda/amplitudes.h"

#include <cmath>

enum { WARPS = 8 };

/* One warp a row. */
template <typename Work>
__global__ void __launch_bounds__(WARPS * 32)
    amplitudes(const Work *rows, size_t n, uint32_t pitch, uint32_t n_times, double *ptp)
{
    const size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / 32;
    const uint32_t lane = threadIdx.x % 32;
    if (row >= n)
        return;
    const Work *x = rows + row * pitch;
    Work least = x[0], most = x[0];
    bool unordered = false;
    for (uint32_t t = lane; t < n_times; t += 32) {
        const Work value = x[t];
        least = value < least ? value : least;
        most = value > most ? value : most;
        unordered |= value != value;
    }
    for (int step = 16; step > 0; step /= 2) {
        const Work other_least = __shfl_xor_sync(0xffffffffu, least, step);
        const Work other_most = __shfl_xor_sync(0xffffffffu, most, step);
        least = other_least < least ? other_least : least;
        most = other_most > most ? other_most : most;
    }
    unordered = __any_sync(0xffffffffu, unordered);
    if (lane == 0)
        ptp[row] = unordered ? NAN : (double)(most - least);
}

template <typename Work>
enum rejectd_status amplitudes_of_rows(struct backend_device *device, cudaStream_t stream,
                                       const Work *rows, size_t n, size_t pitch, size_t n_times,
                                       double *ptp, struct rejectd_error *error)
{
    CUDA_LAUNCH((amplitudes<Work>), dim3(blocks_for(n, WARPS)), dim3(WARPS * 32), 0, stream, rows,
                n, (uint32_t)pitch, (uint32_t)n_times, ptp);
    CUDA_LAUNCHED("amplitudes");
    return REJECTD_OK;
}

template enum rejectd_status amplitudes_of_rows<float>(struct backend_device *, cudaStream_t,
                                                       const float *, size_t, size_t, size_t,
                                                       double *, struct rejectd_error *);
template enum rejectd_status amplitudes_of_rows<double>(struct backend_device *, cudaStream_t,
                                                        const double *, size_t, size_t, size_t,
                                                        double *, struct rejectd_error *);
