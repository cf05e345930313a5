#include "worker/cuda/warm_up.h"

#include "worker/cuda/kernels.h"
#include "worker/cuda/map_sets.h"
#include "worker/cuda/predictions.h"
#include "worker/cuda/storage.h"

static enum rejectd_status refuse_less(struct backend_device *device, struct rejectd_error *error)
{
    device_array<unsigned char> least;
    return least.reserve(device, DEVICE_LEAST_BYTES, error);
}

/* The driver takes about a millisecond for each GB that a pool grows, and gives it for a job's
 * many pieces as well as for this one. Others use the device, too: it isn't taken whole. */
static void grow_pool(struct backend_device *device)
{
    enum { SHARE = 4 };
    void *memory = nullptr;
    if (cudaMallocAsync(&memory, device->budget / SHARE, device->compute) == cudaSuccess)
        cudaFreeAsync(memory, device->compute);
    cudaGetLastError(); /* no failure here: a job asks for what it needs, and is told */
}

static void start_threads(void)
{
#pragma omp parallel
    {
    }
}

enum rejectd_status device_warm_up(struct backend_device *device, struct rejectd_error *error)
{
    TRY(refuse_less(device, error));
    kernels_load();
    grow_pool(device);
    start_threads();
    TRY(predictions_warm_up(device, error));
    return map_sets_warm_up(device, error);
}
