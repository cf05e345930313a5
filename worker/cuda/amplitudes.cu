#include "worker/cuda/amplitudes.h"

#include <cmath>

enum { WARPS = 8 };

/* One warp a row. */
template <typename Sample>
__global__ void __launch_bounds__(WARPS * 32)
    amplitudes(const Sample *rows, size_t n, uint32_t pitch, uint32_t n_times, double unit,
               double *ptp)
{
    typedef work_of<Sample> Work;
    const size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / 32;
    const uint32_t lane = threadIdx.x % 32;
    if (row >= n)
        return;
    const Sample *x = rows + row * pitch;
    Work least = widen(x[0]), most = least;
    bool unordered = false;
    for (uint32_t t = lane; t < n_times; t += 32) {
        const Work value = widen(x[t]);
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
        ptp[row] = unordered ? NAN : (double)(most - least) * unit;
}

template <typename Sample>
enum rejectd_status amplitudes_of_rows(struct backend_device *device, cudaStream_t stream,
                                       const Sample *rows, size_t n, size_t pitch, size_t n_times,
                                       double unit, double *ptp, struct rejectd_error *error)
{
    CUDA_LAUNCH((amplitudes<Sample>), dim3(blocks_for(n, WARPS)), dim3(WARPS * 32), 0, stream, rows,
                n, (uint32_t)pitch, (uint32_t)n_times, unit, ptp);
    CUDA_LAUNCHED("amplitudes");
    return REJECTD_OK;
}

#define INSTANCE(Sample)                                                                           \
    template enum rejectd_status amplitudes_of_rows<Sample>(                                       \
        struct backend_device *, cudaStream_t, const Sample *, size_t, size_t, size_t, double,     \
        double *, struct rejectd_error *);
FOR_EACH_STORAGE(INSTANCE)
