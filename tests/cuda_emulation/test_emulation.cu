#include "worker/cuda/launch.h"

#include <stdio.h>

template <typename T> __global__ void block_sum(const T *x, T *sums, int n)
{
    __shared__ T parts[32];
    CUDA_DYNAMIC_SHARED(T, copy);
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    T sum = i < n ? x[i] : T(0);
    copy[threadIdx.x] = sum;
    __syncthreads();
    sum = copy[blockDim.x - 1 - threadIdx.x];
    for (int step = 16; step; step /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0)
        parts[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (unsigned w = 1; w < blockDim.x / 32; w++)
            sum += parts[w];
        sums[blockIdx.x] = sum;
    }
}

int main()
{
    const int n = 100000;
    double *x, *sums, host[n];
    for (int i = 0; i < n; i++)
        host[i] = i;
    const int blocks = (n + 255) / 256;
    cudaMalloc(&x, n * sizeof *x);
    cudaMalloc(&sums, blocks * sizeof *sums);
    cudaMemcpy(x, host, n * sizeof *x, cudaMemcpyHostToDevice);
    CUDA_LAUNCH((block_sum<double>), blocks, 256, 256 * sizeof(double), nullptr, x, sums, n);
    printf("%s\n", cudaGetErrorString(cudaGetLastError()));
    cudaMemcpy(host, sums, blocks * sizeof *sums, cudaMemcpyDeviceToHost);
    double total = 0;
    for (int i = 0; i < blocks; i++)
        total += host[i];
    printf("%.17g\n", total);
    cudaFree(x);
    cudaFree(sums);
    return total != double(n) * (n - 1) / 2;
}
