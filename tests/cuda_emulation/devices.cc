/*
 * Devices and their properties: those of the least GPU that this project runs on (compute
 * capability 7.5), but for the memory and the number of multiprocessors.
 */
#include "memory.h"
#include "pending.h"
#include "state.h"

#include <algorithm>
#include <stdio.h>
#include <string.h>

using namespace cuda_emulation;

namespace
{

struct Name {
    cudaError_t error;
    const char *name;
    const char *text;
};

const Name names[] = {
#define ERROR_NAME(name, number, text) {name, #name, text},
    CUDA_EMULATION_ERRORS(ERROR_NAME)
#undef ERROR_NAME
};

const Name *find_name(cudaError_t error)
{
    for (const Name &name : names)
        if (name.error == error)
            return &name;
    return nullptr;
}

bool is_device_number(int device)
{
    return device >= 0 && device < settings().n_devices;
}

cudaDeviceProp properties_of(int device)
{
    cudaDeviceProp p{};
    snprintf(p.name, sizeof p.name, "emulated device %d", device);
    p.totalGlobalMem = settings().memory_bytes;
    p.sharedMemPerBlock = 48 * 1024;
    p.regsPerBlock = 65536;
    p.warpSize = 32;
    p.memPitch = 0x7fffffff;
    p.maxThreadsPerBlock = 1024;
    p.maxThreadsDim[0] = 1024;
    p.maxThreadsDim[1] = 1024;
    p.maxThreadsDim[2] = 64;
    p.maxGridSize[0] = 0x7fffffff;
    p.maxGridSize[1] = 65535;
    p.maxGridSize[2] = 65535;
    p.totalConstMem = 65536;
    p.major = settings().capability / 10;
    p.minor = settings().capability % 10;
    p.multiProcessorCount = 2;
    p.canMapHostMemory = 1;
    p.concurrentKernels = 1;
    p.pciBusID = device;
    p.asyncEngineCount = 1;
    p.unifiedAddressing = 1;
    p.memoryBusWidth = 64;
    p.l2CacheSize = 1024 * 1024;
    p.maxThreadsPerMultiProcessor = 1024;
    p.sharedMemPerMultiprocessor = shared_bytes_optin();
    p.regsPerMultiprocessor = 65536;
    p.managedMemory = 1;
    p.sharedMemPerBlockOptin = shared_bytes_optin();
    p.maxBlocksPerMultiProcessor = 16;
    p.memoryPoolsSupported = 1;
    return p;
}

int attribute_of(const cudaDeviceProp &p, cudaDeviceAttr attribute, bool *known)
{
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
        return p.maxThreadsPerBlock;
    case cudaDevAttrMaxBlockDimX:
        return p.maxThreadsDim[0];
    case cudaDevAttrMaxBlockDimY:
        return p.maxThreadsDim[1];
    case cudaDevAttrMaxBlockDimZ:
        return p.maxThreadsDim[2];
    case cudaDevAttrMaxGridDimX:
        return p.maxGridSize[0];
    case cudaDevAttrMaxGridDimY:
        return p.maxGridSize[1];
    case cudaDevAttrMaxGridDimZ:
        return p.maxGridSize[2];
    case cudaDevAttrMaxSharedMemoryPerBlock:
        return int(p.sharedMemPerBlock);
    case cudaDevAttrTotalConstantMemory:
        return int(p.totalConstMem);
    case cudaDevAttrWarpSize:
        return p.warpSize;
    case cudaDevAttrMaxRegistersPerBlock:
        return p.regsPerBlock;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
        return 1000000;
    case cudaDevAttrMultiProcessorCount:
        return p.multiProcessorCount;
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrIntegrated:
    case cudaDevAttrComputeMode:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrPciDeviceId:
        return 0;
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrMemoryPoolsSupported:
        return 1;
    case cudaDevAttrPciBusId:
        return p.pciBusID;
    case cudaDevAttrGlobalMemoryBusWidth:
        return p.memoryBusWidth;
    case cudaDevAttrL2CacheSize:
        return p.l2CacheSize;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        return p.maxThreadsPerMultiProcessor;
    case cudaDevAttrAsyncEngineCount:
        return p.asyncEngineCount;
    case cudaDevAttrComputeCapabilityMajor:
        return p.major;
    case cudaDevAttrComputeCapabilityMinor:
        return p.minor;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        return int(p.sharedMemPerMultiprocessor);
    case cudaDevAttrMaxRegistersPerMultiprocessor:
        return p.regsPerMultiprocessor;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        return int(p.sharedMemPerBlockOptin);
    case cudaDevAttrMaxBlocksPerMultiprocessor:
        return p.maxBlocksPerMultiProcessor;
    }
    *known = false;
    return 0;
}

} // namespace

cudaError_t cudaGetLastError(void)
{
    return last_error(true);
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error(false);
}

const char *cudaGetErrorName(cudaError_t error)
{
    const Name *name = find_name(error);
    return name ? name->name : "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    const Name *name = find_name(error);
    return name ? name->text : "unrecognized error code";
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = settings().n_devices;
    return *count > 0 ? cudaSuccess : end_call(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device)
{
    CUDA_EMULATION_BEGIN();
    if (!is_device_number(device))
        return end_call(cudaErrorInvalidDevice);
    select_device(device);
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    CUDA_EMULATION_BEGIN();
    *device = current_device();
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned)
{
    CUDA_EMULATION_BEGIN();
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    CUDA_EMULATION_BEGIN();
    if (!is_device_number(device))
        return end_call(cudaErrorInvalidDevice);
    *properties = properties_of(device);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    CUDA_EMULATION_BEGIN();
    if (!is_device_number(device))
        return end_call(cudaErrorInvalidDevice);
    bool known = true;
    *value = attribute_of(properties_of(device), attribute, &known);
    return known ? cudaSuccess : end_call(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetPCIBusId(char *text, int length, int device)
{
    CUDA_EMULATION_BEGIN();
    if (!is_device_number(device))
        return end_call(cudaErrorInvalidDevice);
    snprintf(text, size_t(length), "0000:%02x:00.0", unsigned(device));
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    CUDA_EMULATION_BEGIN();
    settle_all();
    return cudaSuccess;
}

cudaError_t cudaDeviceReset(void)
{
    CUDA_EMULATION_BEGIN();
    settle_all();
    free_device(current_device());
    return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    CUDA_EMULATION_BEGIN();
    if (!is_device_number(device) || !is_device_number(peer))
        return end_call(cudaErrorInvalidDevice);
    *can = device != peer;
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned)
{
    CUDA_EMULATION_BEGIN();
    return is_device_number(peer) && peer != current_device() ? cudaSuccess
                                                              : end_call(cudaErrorInvalidDevice);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    CUDA_EMULATION_BEGIN();
    *total = settings().memory_bytes;
    *free_bytes = *total - std::min(*total, used_bytes(current_device()));
    return cudaSuccess;
}

/* The pool of a device is no object here: its handle is the device's number, plus one. */
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device)
{
    CUDA_EMULATION_BEGIN();
    if (!is_device_number(device))
        return end_call(cudaErrorInvalidDevice);
    *pool = reinterpret_cast<cudaMemPool_t>(uintptr_t(device) + 1);
    return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, enum cudaMemPoolAttr, void *)
{
    CUDA_EMULATION_BEGIN();
    return cudaSuccess;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value)
{
    CUDA_EMULATION_BEGIN();
    const bool is_size = attribute >= cudaMemPoolAttrReleaseThreshold;
    const uint64_t used = used_bytes(int(reinterpret_cast<uintptr_t>(pool)) - 1);
    if (is_size)
        memcpy(value, &used, sizeof used);
    else
        memset(value, 0, sizeof(int));
    return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t)
{
    CUDA_EMULATION_BEGIN();
    return cudaSuccess;
}
