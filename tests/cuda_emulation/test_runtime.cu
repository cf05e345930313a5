/* The runtime API: memory, copies, errors, streams. */
#include "checks.h"

#include <stdint.h>
#include <string.h>

#ifdef REJECTD_CUDA_EMULATION
#include "cuda_emulation/control.h"
#endif

namespace
{

__global__ void add(int *x, int value)
{
    x[threadIdx.x] += value;
}

__global__ void nothing()
{
}

void device_properties()
{
    int device = -1, value = 0, driver = 0, runtime = 0;
    cudaDeviceProp p;
    CHECK_CUDA(cudaSetDevice(0));
    CHECK_CUDA(cudaGetDevice(&device));
    CHECK(device == 0);
    CHECK_CUDA(cudaGetDeviceProperties(&p, 0));
    CHECK(strlen(p.name) > 0 && p.totalGlobalMem > 0 && p.multiProcessorCount > 0);
    CHECK(p.major >= 7 && p.warpSize == 32 && p.sharedMemPerBlock == 48 * 1024);
    CHECK(p.sharedMemPerBlockOptin >= 64 * 1024 && p.l2CacheSize > 0);
    CHECK_CUDA(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0));
    CHECK(value == p.major);
    CHECK_CUDA(cudaDriverGetVersion(&driver));
    CHECK_CUDA(cudaRuntimeGetVersion(&runtime));
    CHECK(driver >= 12000 && runtime >= 12000);
    CHECK_ERROR(cudaSetDevice(1000), cudaErrorInvalidDevice);
    CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidDevice);
    CHECK(strcmp(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress") == 0);
    CHECK(strcmp(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory") == 0);
}

/* The launch was refused: as CUDA documents it, or as some of its versions do. */
bool is_refusal(cudaError_t error)
{
    return error == cudaErrorInvalidConfiguration || error == cudaErrorInvalidValue;
}

/* It is the thread's last error, until it is taken. */
void expect_refusal(const char *what)
{
    const cudaError_t seen = cudaPeekAtLastError();
    if (seen != cudaErrorInvalidConfiguration)
        printf("%s: %s\n", what, cudaGetErrorName(seen));
#ifdef REJECTD_CUDA_EMULATION
    CHECK_ERROR(seen, cudaErrorInvalidConfiguration);
#endif
    CHECK(is_refusal(seen));
    CHECK_ERROR(cudaGetLastError(), seen);
    CHECK_ERROR(cudaGetLastError(), cudaSuccess);
}

void errors_of_launches()
{
    CUDA_LAUNCH(nothing, 1, 2048, 0, nullptr);
    expect_refusal("2048 threads in a block");
    CUDA_LAUNCH(nothing, 0, 32, 0, nullptr);
    expect_refusal("no blocks");
    CUDA_LAUNCH(nothing, dim3(1, 70000), 32, 0, nullptr);
    expect_refusal("70000 blocks in y");
    CUDA_LAUNCH(nothing, 1, 32, 0, nullptr);
    CHECK_CUDA(cudaGetLastError());
    CHECK_CUDA(cudaDeviceSynchronize());
}

void too_much_memory()
{
    void *pointer = nullptr;
    CHECK_ERROR(cudaMalloc(&pointer, size_t(1) << 46), cudaErrorMemoryAllocation);
    CHECK_ERROR(cudaGetLastError(), cudaErrorMemoryAllocation);
    CHECK_CUDA(cudaDeviceSynchronize()); /* it is not sticky */
    size_t free_bytes = 0, total = 0;
    CHECK_CUDA(cudaMemGetInfo(&free_bytes, &total));
    CHECK(free_bytes > 0 && free_bytes <= total);
    CHECK_CUDA(cudaMalloc(&pointer, 1000));
    CHECK(reinterpret_cast<uintptr_t>(pointer) % 256 == 0);
    CHECK_CUDA(cudaFree(pointer));
    CHECK_CUDA(cudaFree(nullptr));
}

void copies()
{
    std::vector<int> rows(12), back(12, 0);
    for (int i = 0; i < 12; i++)
        rows[i] = i;
    DeviceArray<int> device(20, 99), other(20, 0);
    /* Three rows of four, in rows of five. */
    CHECK_CUDA(cudaMemcpy2D(device, 20, rows.data(), 16, 16, 3, cudaMemcpyHostToDevice));
    CHECK_CUDA(cudaMemcpy(other, device, 20 * sizeof(int), cudaMemcpyDeviceToDevice));
    const std::vector<int> host = other.read();
    for (int i = 0; i < 20; i++)
        CHECK(host[i] == (i < 15 && i % 5 < 4 ? i / 5 * 4 + i % 5 : 99));
    CHECK_CUDA(
        cudaMemcpy2DAsync(back.data(), 16, other, 20, 16, 3, cudaMemcpyDeviceToHost, nullptr));
    CHECK_CUDA(cudaDeviceSynchronize());
    CHECK(back == rows);
    CHECK_CUDA(cudaMemset(device, 0, 8));
    CHECK_CUDA(cudaMemsetAsync(device + 2, 0xff, 4, nullptr));
    CHECK_CUDA(cudaMemcpy(back.data(), device, 16, cudaMemcpyDefault));
    CHECK(back[0] == 0 && back[1] == 0 && back[2] == -1 && back[3] == 3);
}

void pinned_memory()
{
    int *pinned = nullptr, *device_view = nullptr;
    CHECK_CUDA(cudaHostAlloc(&pinned, 64 * sizeof(int), cudaHostAllocDefault));
    for (int i = 0; i < 64; i++)
        pinned[i] = i;
    DeviceArray<int> device(64);
    CHECK_CUDA(cudaMemcpyAsync(device, pinned, 256, cudaMemcpyHostToDevice, nullptr));
    CUDA_LAUNCH(add, 1, 64, 0, nullptr, device, 5);
    CHECK_CUDA(cudaMemcpyAsync(pinned, device, 256, cudaMemcpyDeviceToHost, nullptr));
    CHECK_CUDA(cudaDeviceSynchronize());
    CHECK(pinned[0] == 5 && pinned[63] == 68);
    device_view = pinned; /* a kernel can reach it, too */
    CUDA_LAUNCH(add, 1, 64, 0, nullptr, device_view, 1);
    CHECK_CUDA(cudaDeviceSynchronize());
    CHECK(pinned[0] == 6);
    CHECK_CUDA(cudaFreeHost(pinned));

    std::vector<int> registered(4096, 1);
    CHECK_CUDA(cudaHostRegister(registered.data(), 4096 * sizeof(int), cudaHostRegisterDefault));
    CHECK_ERROR(cudaHostRegister(registered.data(), 4096 * sizeof(int), cudaHostRegisterDefault),
                cudaErrorHostMemoryAlreadyRegistered);
    CHECK_ERROR(cudaGetLastError(), cudaErrorHostMemoryAlreadyRegistered);
    CHECK_CUDA(cudaMemcpy(device, registered.data(), 256, cudaMemcpyHostToDevice));
    CHECK(device.read()[63] == 1);
    CHECK_CUDA(cudaHostUnregister(registered.data()));
}

/* What the host gets through streams that it waits for, by way of another, and through pinned
 * memory that is used in both directions. */
void order_of_copies()
{
    cudaStream_t first, second;
    cudaEvent_t event;
    int *pinned = nullptr;
    CHECK_CUDA(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
    CHECK_CUDA(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    CHECK_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    CHECK_CUDA(cudaMallocHost(&pinned, 32 * sizeof(int)));
    DeviceArray<int> x(8, 1), y(8, 0);
    CHECK_CUDA(cudaDeviceSynchronize());
    /* x to pinned[0..8], from there to y, then to pinned[8..16]: in order, without the host. */
    CHECK_CUDA(cudaMemcpyAsync(pinned, x, 32, cudaMemcpyDeviceToHost, first));
    CHECK_CUDA(cudaMemcpyAsync(y, pinned, 32, cudaMemcpyHostToDevice, first));
    CUDA_LAUNCH(add, 1, 8, 0, first, y, 1);
    CHECK_CUDA(cudaMemcpyAsync(pinned, y, 32, cudaMemcpyDeviceToHost, first));
    CHECK_CUDA(cudaEventRecord(event, first));
    CHECK_CUDA(cudaStreamWaitEvent(second, event, 0));
    CUDA_LAUNCH(add, 1, 8, 0, second, y, 1);
    CHECK_CUDA(cudaMemcpy2DAsync(pinned + 8, 8, y, 4, 4, 8, cudaMemcpyDeviceToHost, second));
    CHECK_CUDA(cudaEventSynchronize(event));
    CHECK(pinned[0] == 2 && pinned[7] == 2);
    CHECK_CUDA(cudaStreamSynchronize(second));
    CHECK(pinned[8] == 3 && pinned[22] == 3);
    /* Waiting for the second stream is waiting for what it waits for. */
    CHECK_CUDA(cudaMemcpyAsync(pinned, x, 32, cudaMemcpyDeviceToHost, first));
    CHECK_CUDA(cudaEventRecord(event, first));
    CHECK_CUDA(cudaStreamWaitEvent(second, event, 0));
    CHECK_CUDA(cudaStreamSynchronize(second));
    CHECK(pinned[0] == 1 && pinned[7] == 1);
    CHECK_CUDA(cudaEventDestroy(event));
    CHECK_CUDA(cudaStreamDestroy(first));
    CHECK_CUDA(cudaStreamDestroy(second));
    CHECK_CUDA(cudaFreeHost(pinned));
}

void streams_and_events()
{
    cudaStream_t first, second;
    cudaEvent_t start, end;
    CHECK_CUDA(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
    CHECK_CUDA(cudaStreamCreate(&second));
    CHECK_CUDA(cudaEventCreate(&start));
    CHECK_CUDA(cudaEventCreate(&end));
    DeviceArray<int> x(32, 0);
    CHECK_CUDA(cudaDeviceSynchronize());
    CHECK_CUDA(cudaEventRecord(start, first));
    CUDA_LAUNCH(add, 1, 32, 0, first, x, 1);
    CHECK_CUDA(cudaEventRecord(end, first));
    CHECK_CUDA(cudaStreamWaitEvent(second, end, 0));
    CUDA_LAUNCH(add, 1, 32, 0, second, x, 2);
    CHECK_CUDA(cudaStreamSynchronize(second));
    CHECK_CUDA(cudaStreamQuery(first));
    CHECK_CUDA(cudaEventSynchronize(end));
    CHECK_CUDA(cudaEventQuery(end));
    float milliseconds = -1;
    CHECK_CUDA(cudaEventElapsedTime(&milliseconds, start, end));
    CHECK(milliseconds >= 0);
    CHECK(x.read()[31] == 3);
    CHECK_CUDA(cudaEventDestroy(start));
    CHECK_CUDA(cudaEventDestroy(end));
    CHECK_CUDA(cudaStreamDestroy(first));
    CHECK_CUDA(cudaStreamDestroy(second));
}

void memory_of_streams()
{
    cudaMemPool_t pool;
    cudaStream_t stream;
    unsigned long long keep = ~0ull;
    CHECK_CUDA(cudaDeviceGetDefaultMemPool(&pool, 0));
    CHECK_CUDA(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
    CHECK_CUDA(cudaStreamCreate(&stream));
    int *x = nullptr, host[4];
    CHECK_CUDA(cudaMallocAsync(&x, sizeof host, stream));
    CHECK_CUDA(cudaMemsetAsync(x, 0, sizeof host, stream));
    CUDA_LAUNCH(add, 1, 4, 0, stream, x, 9);
    CHECK_CUDA(cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost, stream));
    CHECK_CUDA(cudaFreeAsync(x, stream));
    CHECK_CUDA(cudaStreamSynchronize(stream));
    CHECK(host[0] == 9 && host[3] == 9);
    CHECK_CUDA(cudaMemPoolTrimTo(pool, 0));
    CHECK_CUDA(cudaStreamDestroy(stream));
}

#ifdef REJECTD_CUDA_EMULATION

void budget_of_memory()
{
    setenv("REJECTD_EMULATED_MEMORY", "1000000", 1);
    setenv("REJECTD_EMULATED_DEVICES", "2", 1);
    cuda_emulation::control_reset();
    int n = 0;
    CHECK_CUDA(cudaGetDeviceCount(&n));
    CHECK(n == 2);
    size_t free_bytes = 0, total = 0;
    char *x = nullptr, *y = nullptr;
    CHECK_CUDA(cudaMalloc(&x, 600000));
    CHECK_ERROR(cudaMalloc(&y, 500000), cudaErrorMemoryAllocation);
    CHECK_ERROR(cudaGetLastError(), cudaErrorMemoryAllocation);
    CHECK_CUDA(cudaMemGetInfo(&free_bytes, &total));
    CHECK(free_bytes == 400000 && total == 1000000);
    CHECK_CUDA(cudaSetDevice(1));
    CHECK_CUDA(cudaMalloc(&y, 500000));
    CHECK_CUDA(cudaMemset(x, 1, 1));
    int can = 0;
    CHECK_CUDA(cudaDeviceCanAccessPeer(&can, 0, 1));
    CHECK(can == 1);
    CHECK_CUDA(cudaMemcpyPeerAsync(y, 1, x, 0, 1, nullptr));
    CHECK_ERROR(cudaMemcpyPeerAsync(y, 0, x, 0, 1, nullptr), cudaErrorInvalidValue);
    CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
    CHECK_CUDA(cudaFree(x));
    CHECK_CUDA(cudaFree(y));
    setenv("REJECTD_EMULATED_DEVICES", "0", 1);
    cuda_emulation::control_reset();
    CHECK(cudaGetDeviceCount(&n) == cudaErrorNoDevice && n == 0);
    CHECK_ERROR(cudaMalloc(&x, 1), cudaErrorNoDevice);
    unsetenv("REJECTD_EMULATED_MEMORY");
    unsetenv("REJECTD_EMULATED_DEVICES");
    cuda_emulation::control_reset();
    CHECK(cuda_emulation::control_live_allocations() == 0);
}

void memory_nobody_wrote()
{
    DeviceArray<double> x(1000);
    DeviceArray<float> y(1000);
    for (const double value : x.read())
        CHECK(value != value);
    for (const float value : y.read())
        CHECK(value != value);
}

void copies_nobody_waited_for()
{
    cudaStream_t stream, other;
    float *pinned = nullptr;
    CHECK_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    CHECK_CUDA(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    CHECK_CUDA(cudaMallocHost(&pinned, 16));
    DeviceArray<float> x(4, 1.f);
    CHECK_CUDA(cudaMemcpyAsync(pinned, x, 16, cudaMemcpyDeviceToHost, stream));
    CHECK(pinned[3] != pinned[3]);
    CHECK_CUDA(cudaStreamSynchronize(other));
    CHECK(pinned[3] != pinned[3]);
    CHECK_CUDA(cudaStreamSynchronize(stream));
    CHECK(pinned[3] == 1);
    CHECK_CUDA(cudaFreeHost(pinned));
    CHECK_CUDA(cudaStreamDestroy(stream));
    CHECK_CUDA(cudaStreamDestroy(other));
}

void kinds_of_copies()
{
    std::vector<char> host(100);
    DeviceArray<char> device(100), other(100);
    const auto refused = [&](void *to, const void *from, size_t n, cudaMemcpyKind kind) {
        return cudaMemcpy(to, from, n, kind) == cudaErrorInvalidValue &&
               cudaGetLastError() == cudaErrorInvalidValue;
    };
    CHECK(refused(host.data(), host.data() + 50, 10, cudaMemcpyHostToDevice));
    CHECK(refused(device, other, 10, cudaMemcpyHostToDevice));
    CHECK(refused(device, other, 10, cudaMemcpyDeviceToHost));
    CHECK(refused(host.data(), device, 10, cudaMemcpyHostToDevice));
    CHECK(refused(device, host.data(), 10, cudaMemcpyDeviceToDevice));
    CHECK(refused(device, host.data(), 101, cudaMemcpyHostToDevice));
    CHECK(refused(device + 50, host.data(), 51, cudaMemcpyHostToDevice));
    CHECK(refused(nullptr, host.data(), 1, cudaMemcpyHostToDevice));
    CHECK_ERROR(cudaFree(host.data()), cudaErrorInvalidValue);
    CHECK_ERROR(cudaFree(device + 1), cudaErrorInvalidValue);
    CHECK_ERROR(cudaFreeHost(static_cast<char *>(device)), cudaErrorInvalidValue);
    CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
}

void failures_that_are_asked_for()
{
    void *x = nullptr, *y = nullptr;
    cuda_emulation::control_fail_allocation(1);
    CHECK_CUDA(cudaMalloc(&x, 10));
    CHECK_ERROR(cudaMalloc(&y, 10), cudaErrorMemoryAllocation);
    CHECK_CUDA(cudaMallocHost(&y, 10));
    CHECK_CUDA(cudaFreeHost(y));
    cuda_emulation::control_fail_launch(1, cudaErrorIllegalAddress);
    CUDA_LAUNCH(nothing, 1, 1, 0, nullptr);
    CHECK_ERROR(cudaGetLastError(), cudaErrorMemoryAllocation);
    CHECK_CUDA(cudaGetLastError());
    CUDA_LAUNCH(nothing, 1, 1, 0, nullptr);
    CHECK_CUDA(cudaGetLastError()); /* it fails while it runs, not when it is asked for */
    CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
    CHECK_ERROR(cudaGetLastError(), cudaErrorIllegalAddress);
    CHECK_CUDA(cudaGetLastError());
    CHECK_ERROR(cudaMalloc(&y, 10), cudaErrorIllegalAddress);
    CHECK_ERROR(cudaFree(x), cudaErrorIllegalAddress); /* it is gone all the same */
    cuda_emulation::control_reset();
    CHECK(cuda_emulation::control_live_allocations() == 0);

    setenv("REJECTD_EMULATED_LAUNCH_LIMIT", "2", 1);
    cuda_emulation::control_reset();
    CUDA_LAUNCH(nothing, 1, 1, 0, nullptr);
    CUDA_LAUNCH(nothing, 1, 1, 0, nullptr);
    CHECK_CUDA(cudaGetLastError());
    CUDA_LAUNCH(nothing, 1, 1, 0, nullptr);
    CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    unsetenv("REJECTD_EMULATED_LAUNCH_LIMIT");
    cuda_emulation::control_reset();
    CHECK_CUDA(cudaGetLastError());
}

#endif

__global__ void traps(int *x, int when)
{
    __syncthreads();
    if (int(blockIdx.x * blockDim.x + threadIdx.x) == when)
        __trap();
    __syncthreads();
    x[0] = 1;
}

/* What a kernel met is told by the calls that wait for it, and by every later one that has to do
 * with the device. The last error is taken like any other. */
void sticky_error()
{
    int *x = nullptr;
    void *y = nullptr;
    CHECK_CUDA(cudaMalloc(&x, sizeof *x));
    CUDA_LAUNCH(traps, 4, 64, 0, nullptr, x, 100);
    const cudaError_t met = cudaDeviceSynchronize();
    printf("a trap: %s\n", cudaGetErrorName(met));
    CHECK(met != cudaSuccess);
    CHECK_ERROR(cudaPeekAtLastError(), met);
    CHECK_ERROR(cudaGetLastError(), met);
    const cudaError_t left = cudaGetLastError();
    printf("taken twice: %s\n", cudaGetErrorName(left));
    CHECK(left == cudaSuccess || left == met);
    CHECK_ERROR(cudaDeviceSynchronize(), met);
    CHECK_ERROR(cudaMalloc(&y, 1), met);
    CHECK_ERROR(cudaGetLastError(), met);
    CUDA_LAUNCH(nothing, 1, 1, 0, nullptr);
    CHECK_ERROR(cudaGetLastError(), met);
    cudaFree(x);
#ifdef REJECTD_CUDA_EMULATION
    CHECK_ERROR(met, cudaErrorLaunchFailure);
    CHECK_ERROR(left, cudaSuccess);
    cuda_emulation::control_reset();
    DeviceArray<int> z(64, 0);
    CUDA_LAUNCH(traps, 4, 64, 0, nullptr, z, -1); /* the threads are as good as new */
    CHECK(z.read()[0] == 1);
#endif
}

} // namespace

const Case runtime_cases[] = {
    {"device_properties", device_properties},
    {"errors_of_launches", errors_of_launches},
    {"too_much_memory", too_much_memory},
    {"copies", copies},
    {"pinned_memory", pinned_memory},
    {"order_of_copies", order_of_copies},
    {"streams_and_events", streams_and_events},
    {"memory_of_streams", memory_of_streams},
#ifdef REJECTD_CUDA_EMULATION
    {"budget_of_memory", budget_of_memory},
    {"memory_nobody_wrote", memory_nobody_wrote},
    {"copies_nobody_waited_for", copies_nobody_waited_for},
    {"kinds_of_copies", kinds_of_copies},
    {"failures_that_are_asked_for", failures_that_are_asked_for},
#endif
    {nullptr, nullptr},
};

const Case last_cases[] = {
    {"sticky_error", sticky_error},
    {nullptr, nullptr},
};
