/*
 * What a GPU would hang on, or compute nonsense from, ends the program here, with a message that
 * names the kernel, the block and the thread. Each case runs in a process of its own.
 */
#include "checks.h"

#ifdef REJECTD_CUDA_EMULATION

#include "cuda_emulation/control.h"

#include <cublas_v2.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

namespace
{

/* Whether run() ends its process and what it says holds every one of the texts. */
template <typename Run> bool ends_saying(Run run, std::initializer_list<const char *> texts)
{
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        /* Of the threads that share the blocks, fork() takes none along. */
        setenv("REJECTD_EMULATED_THREADS", "1", 1);
        cuda_emulation::control_reset();
        run();
        _exit(0);
    }
    close(ends[1]);
    char said[4096];
    size_t n = 0;
    ssize_t got;
    while (n < sizeof said - 1 && (got = read(ends[0], said + n, sizeof said - 1 - n)) > 0)
        n += size_t(got);
    said[n] = 0;
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    bool good = status != 0;
    for (const char *text : texts)
        good = good && strstr(said, text);
    if (!good)
        printf("  status %d, said: %s\n", status, said);
    return good;
}

__global__ void divergent_barriers(int)
{
    if (threadIdx.x < 40)
        __syncthreads();
    else
        __syncthreads();
}

__global__ void barrier_and_warp(int)
{
    if (threadIdx.x == 3)
        __syncthreads();
    else
        __syncwarp();
    __syncwarp();
}

__global__ void leaves_itself_out(int)
{
    __syncwarp(threadIdx.x == 7 ? 0xffff0000u : 0xffffffffu);
}

__global__ void reads_outside_of_mask(int *x)
{
    if (threadIdx.x < 16)
        x[threadIdx.x] = __shfl_sync(0xffffu, int(threadIdx.x), 20);
}

__global__ void reads_returned_lane(int *x)
{
    if (threadIdx.x >= 16)
        return;
    x[threadIdx.x] = __shfl_sync(0xffffffffu, int(threadIdx.x), 20);
}

__global__ void different_operations(int *x)
{
    if (threadIdx.x % 2)
        x[threadIdx.x] = __shfl_sync(0xffffffffu, 1, 0);
    else
        x[threadIdx.x] = __any_sync(0xffffffffu, 1);
}

__global__ void writes(int *x, int n)
{
    CUDA_DYNAMIC_SHARED(int, shared);
    __shared__ int fixed[8];
    if (n < 0) {
        shared[-n] = 1;
        x[0] = shared[-n];
    } else if (n >= 1000) {
        int *first = fixed;
        first[n - 1000 + threadIdx.x] = 1;
        x[0] = fixed[n - 1000];
    } else {
        x[n] = 1;
    }
}

void misuse_of_barriers()
{
    CHECK(ends_saying([] { CUDA_LAUNCH(divergent_barriers, 2, 64, 0, nullptr, 0); },
                      {"kernel divergent_barriers, block (", "waits at __syncthreads (",
                       "test_misuse.cu:", "while thread ("}));
    CHECK(ends_saying([] { CUDA_LAUNCH(barrier_and_warp, 1, 32, 0, nullptr, 0); },
                      {"kernel barrier_and_warp, block (0,0,0)", "wait for ever",
                       "thread (3,0,0) at __syncthreads", "thread (4,0,0) at __syncwarp",
                       "mask 0xffffffff"}));
}

void misuse_of_warp_operations()
{
    DeviceArray<int> x(64);
    int *p = x;
    CHECK(ends_saying([] { CUDA_LAUNCH(leaves_itself_out, dim3(3, 2), 32, 0, nullptr, 0); },
                      {"kernel leaves_itself_out, block (", "thread (7,0,0): calls __syncwarp",
                       "mask 0xffff0000, which leaves out its own lane 7"}));
    CHECK(ends_saying([=] { CUDA_LAUNCH(reads_outside_of_mask, 1, 32, 0, nullptr, p); },
                      {"kernel reads_outside_of_mask", "reads lane 20, which is not in the mask"}));
    CHECK(ends_saying(
        [=] { CUDA_LAUNCH(reads_returned_lane, 1, 32, 0, nullptr, p); },
        {"kernel reads_returned_lane", "reads lane 20, which is not running any more"}));
    CHECK(ends_saying([=] { CUDA_LAUNCH(different_operations, 1, 32, 0, nullptr, p); },
                      {"kernel different_operations", "a shuffle", "__any_sync"}));
}

void misuse_of_pointers()
{
    int on_host[4] = {};
    int *p = on_host;
    CHECK(ends_saying([=] { CUDA_LAUNCH(writes, 1, 1, 0, nullptr, p, 0); },
                      {"writes: argument 0", "which is no memory of a device"}));
    DeviceArray<double> a(16, 1.0), c(15);
    double *device_a = a, *device_c = c;
    CHECK(ends_saying(
        [=] {
            cublasHandle_t handle;
            const double one = 1;
            cublasCreate(&handle);
            cublasDgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, device_a, 4, device_a, 4,
                        &one, device_c, 4);
        },
        {"cublasDgemm", "C takes 128 bytes", "its allocation has 120"}));
    CHECK(ends_saying([] { __syncthreads(); }, {"outside of a kernel"}));
#ifdef CUDA_EMULATION_ASAN
    DeviceArray<int> x(64);
    p = x;
    CHECK(ends_saying([=] { CUDA_LAUNCH(writes, 1, 1, 0, nullptr, p, 64); },
                      {"heap-buffer-overflow", "writes"}));
    CHECK(ends_saying([=] { CUDA_LAUNCH(writes, 1, 1, 12, nullptr, p, -3); },
                      {"heap-buffer-overflow", "writes"}));
    CHECK(ends_saying([=] { CUDA_LAUNCH(writes, 1, 1, 0, nullptr, p, 1008); }, {"test_misuse.cu"}));
    CHECK(ends_saying([=] { p[0] = 1; }, {"use-after-poison"}));
#endif
}

void misuse_of_pinned_memory()
{
    int *pinned = nullptr;
    DeviceArray<int> x(64);
    int *p = x;
    CHECK_CUDA(cudaMallocHost(&pinned, 256));
    CHECK(ends_saying(
        [=] {
            cudaMemcpyAsync(p, pinned, 256, cudaMemcpyHostToDevice, nullptr);
            pinned[5] = 7;
            cudaDeviceSynchronize();
        },
        {"a copy of 256 bytes", "has not waited for the stream"}));
    CHECK_CUDA(cudaFreeHost(pinned));
}

} // namespace

#endif

const Case misuse_cases[] = {
#ifdef REJECTD_CUDA_EMULATION
    {"misuse_of_barriers", misuse_of_barriers},
    {"misuse_of_warp_operations", misuse_of_warp_operations},
    {"misuse_of_pointers", misuse_of_pointers},
    {"misuse_of_pinned_memory", misuse_of_pinned_memory},
#endif
    {nullptr, nullptr},
};
