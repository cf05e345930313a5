/*
 * From a launch to blocks on operating system threads.
 */
#include "executor.h"
#include "memory.h"
#include "state.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <omp.h>
#include <set>

namespace cuda_emulation
{

namespace
{

constexpr size_t shared_bytes_per_block = 48 * 1024;

std::mutex attributes_mutex;

std::map<const void *, int> &dynamic_limits()
{
    static auto *own = new std::map<const void *, int>;
    return *own;
}

size_t dynamic_limit(const void *kernel)
{
    const std::lock_guard<std::mutex> lock(attributes_mutex);
    const auto found = dynamic_limits().find(kernel);
    return found == dynamic_limits().end() ? shared_bytes_per_block : size_t(found->second);
}

/* Kernels that were asked about, which loads them. */
std::set<const void *> &loaded_kernels()
{
    static auto *own = new std::set<const void *>;
    return *own;
}

bool is_loaded(const void *kernel)
{
    const std::lock_guard<std::mutex> lock(attributes_mutex);
    return loaded_kernels().count(kernel) != 0;
}

cudaError_t check(const Launch &launch)
{
    if (settings().only_loaded && !is_loaded(launch.kernel))
        return cudaErrorInvalidDeviceFunction;
    const dim3 grid = launch.grid, block = launch.block;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 ||
        grid.z > 65535)
        return cudaErrorInvalidConfiguration;
    if (block.x == 0 || block.y == 0 || block.z == 0 || block.x > 1024 || block.y > 1024 ||
        block.z > 64 || uint64_t(block.x) * block.y * block.z > max_block_threads)
        return cudaErrorInvalidConfiguration;
    if (launch.shared_bytes > dynamic_limit(launch.kernel))
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

/* A pseudo-random order without a table: i * stride + offset, stride prime to n. */
void order_blocks(Work &work)
{
    const uint64_t n = work.n_blocks;
    work.stride = 1;
    work.offset = 0;
    if (work.order == Order::reverse) {
        work.stride = n - 1;
        work.offset = n - 1;
        if (n == 1)
            work.stride = 1;
    } else if (work.order == Order::shuffled) {
        const uint64_t mixed = (work.seed + 1) * 0x9e3779b97f4a7c15u;
        work.offset = (mixed >> 17) % n;
        work.stride = (mixed >> 5) % n;
        while (std::gcd(work.stride, n) != 1)
            work.stride++;
    }
}

#ifdef CUDA_EMULATION_ASAN
/* Shared memory is static then (types.h): one block at a time. */
std::mutex one_at_a_time;
#endif

void run(Work &work, int n_threads)
{
#ifdef CUDA_EMULATION_ASAN
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    n_threads = 1;
#endif
    if (n_threads <= 1 || work.n_blocks == 1) {
        executor().run(work);
        return;
    }
#pragma omp parallel num_threads(n_threads)
    executor().run(work);
}

} // namespace

void run_launch(const Launch &launch)
{
    if (begin_call() != cudaSuccess)
        return;
    const cudaError_t refused = check(launch);
    if (refused != cudaSuccess) {
        end_call(refused);
        return;
    }
    const cudaError_t lost = count_launch();
    if (lost != cudaSuccess) {
        /* On a GPU it fails later than this call: the next one is the first to tell. */
        set_sticky_error(lost);
        return;
    }
    const Settings now = settings();
    Work work;
    work.launch = &launch;
    work.n_blocks = uint64_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    work.order = now.order;
    work.seed = now.seed;
    order_blocks(work);
    const DeviceAccess access;
    run(work, now.n_threads);
    if (work.error != cudaSuccess)
        set_sticky_error(work.error);
}

cudaError_t set_function_attribute(const void *kernel, cudaFuncAttribute attribute, int value)
{
    CUDA_EMULATION_BEGIN();
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
        return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        size_t(value) > shared_bytes_optin())
        return end_call(cudaErrorInvalidValue);
    const std::lock_guard<std::mutex> lock(attributes_mutex);
    dynamic_limits()[kernel] = value;
    return cudaSuccess;
}

cudaError_t function_attributes(cudaFuncAttributes *attributes, const void *kernel)
{
    CUDA_EMULATION_BEGIN();
    {
        const std::lock_guard<std::mutex> lock(attributes_mutex);
        loaded_kernels().insert(kernel);
    }
    *attributes = cudaFuncAttributes{};
    attributes->maxThreadsPerBlock = int(max_block_threads);
    attributes->numRegs = 32;
    attributes->ptxVersion = 75;
    attributes->binaryVersion = 75;
    attributes->maxDynamicSharedSizeBytes = int(dynamic_limit(kernel));
    return cudaSuccess;
}

cudaError_t occupancy(int *blocks, const void *kernel, int block_size, size_t shared_bytes)
{
    CUDA_EMULATION_BEGIN();
    if (block_size < 1)
        return end_call(cudaErrorInvalidValue);
    *blocks = 0;
    if (block_size > int(max_block_threads) || shared_bytes > dynamic_limit(kernel))
        return cudaSuccess;
    const int by_threads = 1024 / block_size;
    const int by_shared = shared_bytes ? int(shared_bytes_optin() / shared_bytes) : 16;
    *blocks = std::min({by_threads, by_shared, 16});
    return cudaSuccess;
}

} // namespace cuda_emulation
