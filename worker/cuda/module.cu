/* What the program finds when it loads the module. */
#include "worker/module.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <tuple>

#include "worker/cuda/device.h"
#include "worker/cuda/residents.h"
#include "worker/cuda/session.h"

/* `function`, for C: what containers throw when the host has no memory becomes a status. */
template <auto function> struct guarded;
template <typename... Arguments, enum rejectd_status (*function)(Arguments...)>
struct guarded<function> {
    static enum rejectd_status call(Arguments... arguments)
    {
        try {
            return function(arguments...);
        } catch (const std::exception &) {
            struct rejectd_error *error =
                std::get<sizeof...(Arguments) - 1>(std::make_tuple(arguments...));
            return REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "",
                                "the host has no memory left for what goes with a device's work");
        }
    }
};

static const char *describe(void)
{
    return "cuda, float64, float32, and float16 and bfloat16 with sums in float32, cuBLAS, "
           "cuSOLVER";
}

static const struct backend cuda_backend = {
    BACKEND_VERSION,
    "cuda",
    describe,
    guarded<session_open>::call,
    session_close,
    guarded<cuda_peak_to_peak>::call,
    guarded<cuda_predict>::call,
    guarded<cuda_read_predictions>::call,
    guarded<cuda_threshold_losses>::call,
    nullptr, /* search_candidates: search_thresholds() is better */
    guarded<cuda_search_thresholds>::call,
    cuda_recall_thresholds,
    guarded<cuda_interpolate_epochs>::call,
    guarded<cuda_weigh_epochs>::call,
#if CUDA_HAS_BATCHED_EIGENVECTORS
    guarded<cuda_map_sets>::call,
#else
    nullptr, /* map_sets: a toolkit of before 12.6.2 */
#endif
    guarded<cuda_read_repaired>::call,
    guarded<cuda_local_cv_losses>::call,
    guarded<cuda_ransac_correlations>::call,
    guarded<cuda_global_losses>::call,
    cuda_precision,
};

static size_t count_devices(char *note, size_t note_size)
{
    int n = 0, runtime = 0, driver = 0;
    cudaRuntimeGetVersion(&runtime);
    cudaDriverGetVersion(&driver);
    const cudaError_t result = cudaGetDeviceCount(&n);
    if (result != cudaSuccess || n == 0) {
        cudaGetLastError();
        snprintf(note, note_size, "no GPU can be used (CUDA %d.%d): %s", runtime / 1000,
                 runtime % 1000 / 10,
                 driver == 0
                     ? "there is no NVIDIA driver"
                     : (result != cudaSuccess ? cudaGetErrorString(result) : "there is none"));
        return 0;
    }
    snprintf(note, note_size, "CUDA %d.%d, driver for CUDA %d.%d, %d device%s", runtime / 1000,
             runtime % 1000 / 10, driver / 1000, driver % 1000 / 10, n, n == 1 ? "" : "s");
    return (size_t)n;
}

static enum rejectd_status inform(size_t ordinal, struct rejectd_device_info *info,
                                  struct rejectd_error *error)
{
    cudaDeviceProp properties;
    const cudaError_t result = cudaGetDeviceProperties(&properties, (int)ordinal);
    if (result != cudaSuccess) {
        cudaGetLastError();
        return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "device", "cuda:%zu can't be asked: %s",
                            ordinal, cudaGetErrorString(result));
    }
    snprintf(info->name, sizeof info->name, "%.90s", properties.name);
    info->memory = properties.totalGlobalMem;
    return REJECTD_OK;
}

static void memory(struct backend_device *device, size_t *free_bytes, size_t *budget)
{
    size_t total = 0;
    *free_bytes = 0;
    *budget = device->budget;
    if (cudaSetDevice(device->ordinal) != cudaSuccess ||
        cudaMemGetInfo(free_bytes, &total) != cudaSuccess)
        cudaGetLastError();
}

static size_t residents(struct backend_device *device, struct rejectd_resident *list,
                        size_t capacity)
{
    return residents_list(device, list, capacity);
}

static void forget(struct backend_device *device, const char *content)
{
    if (cudaSetDevice(device->ordinal) != cudaSuccess)
        cudaGetLastError();
    residents_forget(device, content);
}

static uint64_t evictions(struct backend_device *device)
{
    return residents_evictions(device);
}

static uint64_t shortages(struct backend_device *device)
{
    return device->n_shortages;
}

static const struct backend_module module = {
    BACKEND_VERSION, &cuda_backend, count_devices, inform,    device_open, device_close,
    memory,          residents,     forget,        evictions, shortages,
};

extern "C" __attribute__((visibility("default"))) const struct backend_module *
rejectd_backend_module(void);

extern "C" const struct backend_module *rejectd_backend_module(void)
{
    return &module;
}
