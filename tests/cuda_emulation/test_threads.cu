/* Grids, blocks, barriers, shared memory. */
#include "checks.h"

#include <thread>

#ifdef REJECTD_CUDA_EMULATION
#include "cuda_emulation/control.h"
#endif

namespace
{

__global__ void coordinates(unsigned *seen)
{
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned n_threads = blockDim.x * blockDim.y * blockDim.z;
    seen[block * n_threads + thread] += block * 1000 + threadIdx.x * 100 + threadIdx.y * 10 +
                                        threadIdx.z + (thread == 0 ? gridDim.z * 100000 : 0);
}

void grid_of_three_dimensions()
{
    const dim3 grid(3, 2, 4), block(4, 3, 5);
    DeviceArray<unsigned> seen(24 * 60, 0u);
    CUDA_LAUNCH(coordinates, grid, block, 0, nullptr, seen);
    const std::vector<unsigned> host = seen.read();
    for (unsigned i = 0; i < host.size(); i++) {
        const unsigned t = i % 60;
        CHECK(host[i] ==
              i / 60 * 1000 + t % 4 * 100 + t / 4 % 3 * 10 + t / 12 + (t == 0 ? 400000 : 0));
    }
}

template <typename T> __global__ void __launch_bounds__(256, 2) reduce(const T *x, T *sums, int n)
{
    __shared__ T partial[256];
    T sum = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        sum += x[i];
    partial[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            partial[threadIdx.x] += partial[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0)
        sums[blockIdx.x] = partial[0];
}

template <typename T> void check_reduce(int n)
{
    std::vector<T> x(n);
    T total = 0;
    for (int i = 0; i < n; i++)
        total += x[i] = T(i % 1000);
    DeviceArray<T> device(x), sums(7);
    CUDA_LAUNCH((reduce<T>), 7, 256, 0, nullptr, device, sums, n);
    T sum = 0;
    for (const T part : sums.read())
        sum += part;
    CHECK(sum == total);
}

void reduction_in_shared_memory()
{
    check_reduce<int>(10000);
    check_reduce<double>(12345);
    check_reduce<float>(100);
}

__global__ void transpose(const double *in, double *out, int n)
{
    __shared__ double tile[32][33];
    for (int y = threadIdx.y; y < 32; y += blockDim.y)
        if (blockIdx.y * 32 + y < n && blockIdx.x * 32 + threadIdx.x < n)
            tile[y][threadIdx.x] = in[(blockIdx.y * 32 + y) * n + blockIdx.x * 32 + threadIdx.x];
    __syncthreads();
    for (int y = threadIdx.y; y < 32; y += blockDim.y)
        if (blockIdx.x * 32 + y < n && blockIdx.y * 32 + threadIdx.x < n)
            out[(blockIdx.x * 32 + y) * n + blockIdx.y * 32 + threadIdx.x] = tile[threadIdx.x][y];
}

void tile_of_two_dimensions()
{
    const int n = 75;
    std::vector<double> x(n * n);
    for (int i = 0; i < n * n; i++)
        x[i] = i;
    DeviceArray<double> in(x), out(n * n);
    CUDA_LAUNCH(transpose, dim3(3, 3), dim3(32, 8), 0, nullptr, in, out, n);
    const std::vector<double> host = out.read();
    for (int i = 0; i < n * n; i++)
        CHECK(host[i] == x[i % n * n + i / n]);
}

__global__ void reverse_in_dynamic(const float *in, float *out, int n)
{
    CUDA_DYNAMIC_SHARED(float, copy);
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        copy[i] = in[i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        out[i] = copy[n - 1 - i];
    if (threadIdx.x == 0)
        out[n] = float(reinterpret_cast<size_t>(copy) % 16);
}

void check_dynamic(int n)
{
    std::vector<float> x(n);
    for (int i = 0; i < n; i++)
        x[i] = float(i);
    DeviceArray<float> in(x), out(n + 1);
    CUDA_LAUNCH(reverse_in_dynamic, 1, 96, n * sizeof(float), nullptr, in, out, n);
    const std::vector<float> host = out.read();
    for (int i = 0; i < n; i++)
        CHECK(host[i] == x[n - 1 - i]);
    CHECK(host[n] == 0);
}

void dynamic_shared_memory()
{
    check_dynamic(100);
    check_dynamic(12 * 1024); /* 48 KiB */

    int optin = 0;
    CHECK_CUDA(cudaDeviceGetAttribute(&optin, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    CHECK(optin >= 64 * 1024);
    DeviceArray<float> x(16000, 1.f), out(16001);
    CUDA_LAUNCH(reverse_in_dynamic, 1, 96, 16000 * sizeof(float), nullptr, x, out, 16000);
    CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
    CHECK_ERROR(cudaGetLastError(), cudaSuccess);
    CHECK_CUDA(cudaFuncSetAttribute(reverse_in_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    64000));
    check_dynamic(16000);
    CHECK_ERROR(cudaFuncSetAttribute(reverse_in_dynamic,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, optin + 16),
                cudaErrorInvalidValue);
    CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
    int blocks = 0;
    CHECK_CUDA(
        cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, reverse_in_dynamic, 96, 60000));
    CHECK(blocks >= 1);
}

__global__ void barrier_votes(int *results, int bound)
{
    const int t = threadIdx.x;
    const int any = __syncthreads_or(t == bound);
    const int all = __syncthreads_and(t < bound);
    const int count = __syncthreads_count(t < bound);
    results[t] = (any != 0) * 10000 + (all != 0) * 20000 + count;
}

void barriers_that_vote()
{
    for (const int bound : {0, 5, 99, 100}) {
        DeviceArray<int> results(100);
        CUDA_LAUNCH(barrier_votes, 1, 100, 0, nullptr, results, bound);
        for (const int result : results.read())
            CHECK(result == (bound < 100) * 10000 + (bound == 100) * 20000 + bound);
    }
}

__global__ void early_return(int *sums, int n)
{
    __shared__ int values[128];
    if (int(threadIdx.x) >= n)
        return;
    values[threadIdx.x] = threadIdx.x;
    __syncthreads();
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += values[i];
    __syncthreads();
    if (threadIdx.x == 1)
        return;
    values[threadIdx.x] = sum;
    __syncthreads();
    sums[threadIdx.x] = values[n - 1];
}

void threads_that_return_before_a_barrier()
{
    DeviceArray<int> sums(128, -1);
    CUDA_LAUNCH(early_return, 3, 128, 0, nullptr, sums, 70);
    const std::vector<int> host = sums.read();
    for (int i = 0; i < 128; i++)
        CHECK(host[i] == (i < 70 && i != 1 ? 70 * 69 / 2 : -1));
}

__device__ double helper_sum(double x)
{
    __shared__ double values[64];
    values[threadIdx.x] = x;
    __syncthreads();
    double sum = 0;
    for (unsigned i = 0; i < blockDim.x; i++)
        sum += values[i];
    __syncthreads();
    return sum;
}

__global__ void calls_helper(double *out)
{
    const double first = helper_sum(threadIdx.x);
    out[blockIdx.x * blockDim.x + threadIdx.x] = helper_sum(first + threadIdx.x);
}

void shared_memory_of_a_device_function()
{
    DeviceArray<double> out(4 * 64);
    CUDA_LAUNCH(calls_helper, 4, 64, 0, nullptr, out);
    for (const double x : out.read())
        CHECK(x == 2016 * 64 + 2016);
}

__global__ void touch(int *counts)
{
    atomicAdd(&counts[blockIdx.x % 16], 1);
}

void many_blocks()
{
    DeviceArray<int> counts(16, 0);
    CUDA_LAUNCH(touch, 5000, 1, 0, nullptr, counts);
    int total = 0;
    for (const int count : counts.read())
        total += count;
    CHECK(total == 5000);
}

/* Each host thread has a stream, and shared memory of its blocks. */
void launches_of_several_host_threads()
{
    constexpr int n_hosts = 4, n = 1000;
    bool good[n_hosts] = {};
    const auto host = [&good](int number) {
        std::vector<int> x(n, number + 1), sums(3);
        int *device = nullptr, *device_sums = nullptr;
        cudaStream_t stream;
        bool all = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess &&
                   cudaMalloc(&device, n * sizeof(int)) == cudaSuccess &&
                   cudaMalloc(&device_sums, 3 * sizeof(int)) == cudaSuccess;
        for (int round = 0; round < 20 && all; round++) {
            all = cudaMemcpyAsync(device, x.data(), n * sizeof(int), cudaMemcpyHostToDevice,
                                  stream) == cudaSuccess;
            CUDA_LAUNCH((reduce<int>), 3, 256, 0, stream, device, device_sums, n);
            all = all && cudaGetLastError() == cudaSuccess &&
                  cudaMemcpyAsync(sums.data(), device_sums, 3 * sizeof(int), cudaMemcpyDeviceToHost,
                                  stream) == cudaSuccess &&
                  cudaStreamSynchronize(stream) == cudaSuccess &&
                  sums[0] + sums[1] + sums[2] == n * (number + 1);
        }
        cudaFree(device);
        cudaFree(device_sums);
        cudaStreamDestroy(stream);
        good[number] = all;
    };
    std::vector<std::thread> hosts;
    for (int i = 0; i < n_hosts; i++)
        hosts.emplace_back(host, i);
    for (std::thread &thread : hosts)
        thread.join();
    for (const bool each : good)
        CHECK(each);
}

#ifdef REJECTD_CUDA_EMULATION

/* What is planted: a barrier between writing and reading is missing. */
__global__ void racy(int *out)
{
    __shared__ int values[256];
    values[threadIdx.x] = int(blockIdx.x) + 1;
    out[blockIdx.x * blockDim.x + threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];
}

__global__ void racy_in_a_warp(int *out)
{
    __shared__ int values[32];
    values[threadIdx.x] = int(blockIdx.x) + 1;
    out[blockIdx.x * 32 + threadIdx.x] = values[threadIdx.x ^ 1];
}

template <typename T, typename Run> std::vector<T> in_order(cuda_emulation::Order order, Run run)
{
    cuda_emulation::control_order(order, 7);
    const std::vector<T> result = run();
    cuda_emulation::control_reset();
    return result;
}

template <typename T, typename Run> bool depends_on_order(Run run)
{
    using cuda_emulation::Order;
    const std::vector<T> forward = in_order<T>(Order::forward, run);
    const std::vector<T> reverse = in_order<T>(Order::reverse, run);
    const std::vector<T> shuffled = in_order<T>(Order::shuffled, run);
    CHECK((forward == reverse) == (forward == shuffled));
    return forward != reverse;
}

void order_tells_races()
{
    CHECK(depends_on_order<int>([] {
        DeviceArray<int> out(4 * 256);
        CUDA_LAUNCH(racy, 4, 256, 0, nullptr, out);
        return out.read();
    }));
    CHECK(depends_on_order<int>([] {
        DeviceArray<int> out(4 * 32);
        CUDA_LAUNCH(racy_in_a_warp, 4, 32, 0, nullptr, out);
        return out.read();
    }));
    CHECK(!depends_on_order<double>([] {
        std::vector<double> x(4321);
        for (unsigned i = 0; i < x.size(); i++)
            x[i] = test_number(i);
        DeviceArray<double> in(x), sums(5);
        CUDA_LAUNCH((reduce<double>), 5, 256, 0, nullptr, in, sums, int(x.size()));
        return sums.read();
    }));
}

#endif

} // namespace

const Case thread_cases[] = {
    {"grid_of_three_dimensions", grid_of_three_dimensions},
    {"reduction_in_shared_memory", reduction_in_shared_memory},
    {"tile_of_two_dimensions", tile_of_two_dimensions},
    {"dynamic_shared_memory", dynamic_shared_memory},
    {"barriers_that_vote", barriers_that_vote},
    {"threads_that_return_before_a_barrier", threads_that_return_before_a_barrier},
    {"shared_memory_of_a_device_function", shared_memory_of_a_device_function},
    {"many_blocks", many_blocks},
    {"launches_of_several_host_threads", launches_of_several_host_threads},
#ifdef REJECTD_CUDA_EMULATION
    {"order_tells_races", order_tells_races},
#endif
    {nullptr, nullptr},
};
