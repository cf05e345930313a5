/* What the program finds when it loads the module. */
#include "worker/module.h"

#include <cstdio>
#include <cstring>

#include "worker/cuda/device.h"
#include "worker/cuda/residents.h"
#include "worker/cuda/session.h"

static const char *describe(void)
{
    return "cuda, float64 and float32, cuBLAS";
}

static const struct backend cuda_backend = {
    BACKEND_VERSION,
    "cuda",
    describe,
    session_open,
    session_close,
    cuda_peak_to_peak,
    cuda_predict,
    cuda_read_predictions,
    cuda_threshold_losses,
    cuda_search_thresholds,
    cuda_recall_thresholds,
    cuda_interpolate_epochs,
    cuda_weigh_epochs,
    cuda_read_repaired,
    cuda_local_cv_losses,
    cuda_ransac_correlations,
    cuda_global_losses,
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

static const struct backend_module module = {
    BACKEND_VERSION, &cuda_backend, count_devices, inform, device_open,
    device_close,    memory,        residents,     forget,
};

extern "C" __attribute__((visibility("default"))) const struct backend_module *
rejectd_backend_module(void);

extern "C" const struct backend_module *rejectd_backend_module(void)
{
    return &module;
}
