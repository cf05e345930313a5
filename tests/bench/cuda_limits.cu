/*
 * What a GPU can do at most, measured: copies within its memory and from the host, products of the
 * shape that predictions have. Prints one JSON object.
 */
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "cuda_limits: %s failed: %s\n", what, cudaGetErrorString(cudaGetLastError()));
    exit(1);
}

/* Milliseconds of the fastest of some repetitions. */
template <typename Function> static float fastest(Function run)
{
    cudaEvent_t begin, end;
    float least = 1e30f;
    check(cudaEventCreate(&begin) == cudaSuccess && cudaEventCreate(&end) == cudaSuccess, "events");
    for (int i = 0; i < 8; i++) {
        float milliseconds;
        cudaEventRecord(begin, nullptr);
        run();
        cudaEventRecord(end, nullptr);
        check(cudaEventSynchronize(end) == cudaSuccess, "a measurement");
        cudaEventElapsedTime(&milliseconds, begin, end);
        least = milliseconds < least ? milliseconds : least;
    }
    return least;
}

int main(void)
{
    const size_t bytes = (size_t)2 << 30;
    const int m = 1024, n = 128, k = 128, batch = 512;
    void *from, *to, *host;
    cublasHandle_t blas;
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, 0) == cudaSuccess, "the device");
    check(cudaMalloc(&from, bytes) == cudaSuccess && cudaMalloc(&to, bytes) == cudaSuccess &&
              cudaMallocHost(&host, bytes / 2) == cudaSuccess,
          "memory");
    check(cublasCreate(&blas) == CUBLAS_STATUS_SUCCESS, "cuBLAS");
    cudaMemset(from, 0, bytes);
    const double copy =
        2.0 * (double)bytes /
        fastest([&] { cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, nullptr); }) * 1e3;
    const double link =
        (double)(bytes / 2) /
        fastest([&] { cudaMemcpyAsync(to, host, bytes / 2, cudaMemcpyHostToDevice, nullptr); }) *
        1e3;
    const double flop = 2.0 * m * n * k * batch;
    const double one = 1.0, zero = 0.0;
    const float onef = 1.0f, zerof = 0.0f;
    const double dgemm =
        flop / fastest([&] {
            cublasDgemmStridedBatched(blas, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, (double *)from,
                                      m, (long long)m * k, (double *)from, k, 0, &zero,
                                      (double *)to, m, (long long)m * n, batch);
        }) *
        1e3;
    const double sgemm =
        flop / fastest([&] {
            cublasSgemmStridedBatched(blas, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &onef, (float *)from,
                                      m, (long long)m * k, (float *)from, k, 0, &zerof, (float *)to,
                                      m, (long long)m * n, batch);
        }) *
        1e3;
    printf("{\"device\": \"%s\", \"copy_bytes_per_s\": %.4g, \"link_bytes_per_s\": %.4g, "
           "\"dgemm_flop_per_s\": %.4g, \"sgemm_flop_per_s\": %.4g}\n",
           properties.name, copy, link, dgemm, sgemm);
    return 0;
}
