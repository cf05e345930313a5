#include "worker/cuda/device.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "worker/cuda/residents.h"
#include "worker/cuda/warm_up.h"

/* Of the free memory, what a budget of 0 leaves to the driver, to cuBLAS and to cuSOLVER. */
static const double share_of_free = 0.92;

static struct injected_fault fault_from_environment(const char *kind)
{
    const char *fault = getenv("REJECTD_FAULT");
    if (fault == nullptr || strncmp(fault, kind, strlen(kind)) != 0)
        return {};
    return {strtoull(fault + strlen(kind), nullptr, 10), 0};
}

enum rejectd_status device_check(struct backend_device *device, cudaError_t result,
                                 const char *what, struct rejectd_error *error)
{
    struct injected_fault *fault = &device->fault;
    const bool strikes = fault->at != 0 && ++fault->calls >= fault->at;
    if ((device->failed || strikes) && result == cudaSuccess)
        result = cudaErrorLaunchFailure;
    if (result == cudaSuccess)
        return REJECTD_OK;
    if (result == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* this one doesn't stay, unless nobody takes it */
        return REJECTD_FAIL(error, REJECTD_DEVICE_MEMORY, "", "cuda:%d has no memory left (%.60s)",
                            device->ordinal, what);
    }
    device->failed = true;
    return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "", "cuda:%d failed: %s (%.60s)",
                        device->ordinal, cudaGetErrorString(result), what);
}

enum rejectd_status device_check_blas(struct backend_device *device, cublasStatus_t result,
                                      const char *what, struct rejectd_error *error)
{
    if (result == CUBLAS_STATUS_ALLOC_FAILED)
        return device_check(device, cudaErrorMemoryAllocation, what, error);
    return device_check(device, result == CUBLAS_STATUS_SUCCESS ? cudaSuccess : cudaErrorUnknown,
                        what, error);
}

enum rejectd_status device_check_solver(struct backend_device *device, cusolverStatus_t result,
                                        const char *what, struct rejectd_error *error)
{
    if (result == CUSOLVER_STATUS_ALLOC_FAILED)
        return device_check(device, cudaErrorMemoryAllocation, what, error);
    return device_check(device, result == CUSOLVER_STATUS_SUCCESS ? cudaSuccess : cudaErrorUnknown,
                        what, error);
}

enum rejectd_status device_launched(struct backend_device *device, const char *what,
                                    struct rejectd_error *error)
{
    trace_mark(device->trace, device->compute, what);
    return device_check(device, cudaGetLastError(), what, error);
}

static enum rejectd_status open_slots(struct backend_device *device, struct rejectd_error *error)
{
    for (struct staging_slot &slot : device->slots) {
        CUDA_TRY(cudaMallocHost(&slot.host, STAGING_BYTES));
        CUDA_TRY(cudaMalloc(&slot.device, STAGING_BYTES));
        CUDA_TRY(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming));
        CUDA_TRY(cudaEventCreateWithFlags(&slot.taken, cudaEventDisableTiming));
    }
    return REJECTD_OK;
}

/* Freed memory stays in the pool: the next job finds it without asking the driver. */
static enum rejectd_status keep_pool(struct backend_device *device, struct rejectd_error *error)
{
    cudaMemPool_t pool;
    uint64_t keep_all = UINT64_MAX;
    CUDA_TRY(cudaDeviceGetDefaultMemPool(&pool, device->ordinal));
    CUDA_TRY(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep_all));
    return REJECTD_OK;
}

static enum rejectd_status choose_budget(struct backend_device *device, size_t budget,
                                         struct rejectd_error *error)
{
    size_t free_bytes, total;
    CUDA_TRY(cudaMemGetInfo(&free_bytes, &total));
    const size_t most = (size_t)(share_of_free * (double)free_bytes);
    device->budget = budget != 0 && budget < most ? budget : most;
    return REJECTD_OK;
}

static enum rejectd_status open_parts(struct backend_device *device, size_t budget,
                                      struct rejectd_error *error)
{
    int shared = 0, major = 0;
    CUDA_TRY(cudaSetDevice(device->ordinal));
    CUDA_TRY(cudaStreamCreateWithFlags(&device->compute, cudaStreamNonBlocking));
    CUDA_TRY(cudaStreamCreateWithFlags(&device->copy, cudaStreamNonBlocking));
    CUDA_TRY(cudaStreamCreateWithPriority(&device->arrivals, cudaStreamNonBlocking, -1));
    CUDA_TRY(cudaEventCreateWithFlags(&device->turn, cudaEventDisableTiming));
    CUDA_TRY(
        cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device->ordinal));
    device->shared_limit = (size_t)shared;
    CUDA_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device->ordinal));
    device->multiplies_bfloat16 = major >= 8;
    TRY(device_check_blas(device, cublasCreate(&device->blas), "cublasCreate", error));
    TRY(device_check_blas(device, cublasSetStream(device->blas, device->compute), "cublasSetStream",
                          error));
    /* Parts of a product of 16 bits are added up in float32 as well. */
    TRY(device_check_blas(
        device,
        cublasSetMathMode(
            device->blas,
            (cublasMath_t)(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)),
        "cublasSetMathMode", error));
    TRY(device_check_solver(device, cusolverDnCreate(&device->solver), "cusolverDnCreate", error));
    TRY(device_check_solver(device, cusolverDnSetStream(device->solver, device->compute),
                            "cusolverDnSetStream", error));
    TRY(device_check_solver(device, cusolverDnCreateParams(&device->solver_parameters),
                            "cusolverDnCreateParams", error));
    TRY(open_slots(device, error));
    TRY(keep_pool(device, error));
    TRY(choose_budget(device, budget, error));
    return device_warm_up(device, error);
}

enum rejectd_status device_open(size_t ordinal, size_t budget, struct backend_device **device,
                                struct rejectd_error *error)
{
    *device = nullptr;
    struct backend_device *made = new (std::nothrow) backend_device();
    if (made == nullptr)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    made->ordinal = (int)ordinal;
    made->budget = SIZE_MAX;
    made->fault = fault_from_environment("cuda:");
    made->trace = trace_open();
    const enum rejectd_status status = open_parts(made, budget, error);
    if (status != REJECTD_OK) {
        device_close(made);
        if (status == REJECTD_DEVICE_MEMORY && error != nullptr)
            error->status = REJECTD_DEVICE_FAILED;
        return status == REJECTD_DEVICE_MEMORY ? REJECTD_DEVICE_FAILED : status;
    }
    made->memory_fault = fault_from_environment("cuda-memory:");
    *device = made;
    return REJECTD_OK;
}

void device_close(struct backend_device *device)
{
    if (device == nullptr)
        return;
    cudaSetDevice(device->ordinal);
    residents_clear(device);
    if (device->compute != nullptr)
        cudaStreamSynchronize(device->compute);
    for (struct staging_slot &slot : device->slots) {
        if (slot.host != nullptr)
            cudaFreeHost(slot.host);
        if (slot.device != nullptr)
            cudaFree(slot.device);
        if (slot.copied != nullptr)
            cudaEventDestroy(slot.copied);
        if (slot.taken != nullptr)
            cudaEventDestroy(slot.taken);
    }
    if (device->solver_parameters != nullptr)
        cusolverDnDestroyParams(device->solver_parameters);
    if (device->solver != nullptr)
        cusolverDnDestroy(device->solver);
    if (device->blas != nullptr)
        cublasDestroy(device->blas);
    if (device->turn != nullptr)
        cudaEventDestroy(device->turn);
    for (cudaStream_t stream : {device->copy, device->arrivals})
        if (stream != nullptr)
            cudaStreamDestroy(stream);
    if (device->compute != nullptr)
        cudaStreamDestroy(device->compute);
    trace_close(device->trace);
    delete device;
}

size_t device_available(struct backend_device *device)
{
    const size_t used = device->used, idle = residents_idle_bytes(device);
    const size_t held = used > idle ? used - idle : 0;
    return device->budget > held ? device->budget - held : 0;
}

/* The pool keeps what was freed, in pieces: the next one may fit between none of them, or only
 * where something queued earlier still is. */
static enum rejectd_status empty_pool(struct backend_device *device, struct rejectd_error *error)
{
    cudaMemPool_t pool;
    TRY(device_wait(device, error));
    CUDA_TRY(cudaDeviceGetDefaultMemPool(&pool, device->ordinal));
    CUDA_TRY(cudaMemPoolTrimTo(pool, 0));
    return REJECTD_OK;
}

enum rejectd_status device_alloc(struct backend_device *device, size_t bytes, void **memory,
                                 struct rejectd_error *error)
{
    struct injected_fault *fault = &device->memory_fault;
    bool emptied = false;
    *memory = nullptr;
    for (;;) {
        const bool strikes = fault->at != 0 && ++fault->calls == fault->at;
        if (!strikes && bytes <= device->budget && device->used <= device->budget - bytes) {
            const cudaError_t result = cudaMallocAsync(memory, bytes, device->compute);
            if (result != cudaErrorMemoryAllocation) {
                TRY(device_check(device, result, "cudaMallocAsync", error));
                device->used += bytes;
                return REJECTD_OK;
            }
            cudaGetLastError();
            if (!emptied) {
                TRY(empty_pool(device, error));
                emptied = true;
                continue;
            }
        }
        /* Nothing is given up for what finds no room even so. */
        if (bytes > device_available(device) || !residents_drop_one(device))
            return REJECTD_FAIL(error, REJECTD_DEVICE_MEMORY, "",
                                "cuda:%d has no room for %zu bytes within its budget of %zu",
                                device->ordinal, bytes, device->budget);
        emptied = false;
        TRY(device_wait(device, error));
    }
}

void device_free(struct backend_device *device, void *memory, size_t bytes)
{
    /* After a failure there is nothing to be done about one more. */
    cudaFreeAsync(memory, device->compute);
    device->used -= bytes;
}

enum rejectd_status device_put_in_order(struct backend_device *device, cudaStream_t earlier,
                                        cudaStream_t later, struct rejectd_error *error)
{
    CUDA_TRY(cudaEventRecord(device->turn, earlier));
    CUDA_TRY(cudaStreamWaitEvent(later, device->turn, 0));
    return REJECTD_OK;
}

enum rejectd_status device_wait(struct backend_device *device, struct rejectd_error *error)
{
    CUDA_TRY(cudaStreamSynchronize(device->compute));
    return REJECTD_OK;
}
