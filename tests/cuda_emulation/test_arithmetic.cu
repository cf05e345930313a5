/* Atomics, arithmetic, conversions, constants. */
#include "checks.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>

namespace
{

struct Totals {
    int add, max, min, bits, exchanged;
    unsigned unsigned_add, unsigned_max, unsigned_min, swapped;
    unsigned long long long_add, long_max, long_bits, long_swapped;
    float float_add;
    double double_add;
};

__global__ void atomics(Totals *t)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(&t->add, i);
    atomicMax(&t->max, i - 100);
    atomicMin(&t->min, 50 - i);
    atomicOr(&t->bits, 1 << i % 20);
    atomicExch(&t->exchanged, 77);
    atomicAdd(&t->unsigned_add, 3u);
    atomicMax(&t->unsigned_max, unsigned(i));
    atomicMin(&t->unsigned_min, unsigned(i + 9));
    for (unsigned seen = t->swapped, before;; seen = before) {
        before = atomicCAS(&t->swapped, seen, seen + 2);
        if (before == seen)
            break;
    }
    atomicAdd(&t->long_add, 1ull << 33);
    atomicMax(&t->long_max, 1ull << i % 50);
    atomicOr(&t->long_bits, 1ull << i % 60);
    unsigned long long seen = t->long_swapped, before;
    while ((before = atomicCAS(&t->long_swapped, seen, seen + 1)) != seen)
        seen = before;
    atomicAdd(&t->float_add, 0.5f);
    atomicAdd(&t->double_add, 0.25);
    __threadfence();
}

void atomics_of_every_type()
{
    DeviceArray<Totals> totals(1, Totals{});
    CUDA_LAUNCH(atomics, 10, 100, 0, nullptr, totals);
    const Totals t = totals.read()[0];
    CHECK(t.add == 999 * 500);
    CHECK(t.max == 899);
    CHECK(t.min == 50 - 999);
    CHECK(t.bits == (1 << 20) - 1);
    CHECK(t.exchanged == 77);
    CHECK(t.unsigned_add == 3000);
    CHECK(t.unsigned_max == 999);
    CHECK(t.unsigned_min == 0);
    CHECK(t.swapped == 2000);
    CHECK(t.long_add == 1000ull << 33);
    CHECK(t.long_max == 1ull << 49);
    CHECK(t.long_bits == (1ull << 60) - 1);
    CHECK(t.long_swapped == 1000);
    CHECK(t.float_add == 500);
    CHECK(t.double_add == 250);
}

__global__ void numbers(double *out, const double *x)
{
    /* Two products whose rounding a fused multiply-add would leave out. */
    const double a = 1 + x[0] * 0x1p-30;
    out[0] = __dsub_rn(__dmul_rn(a, a), 1 + 0x1p-29);
    out[1] = __fma_rn(a, a, -(1 + 0x1p-29));
    out[2] = __ddiv_rn(x[0], 3.0);
    out[3] = __dsqrt_rn(2 * x[0]);
    out[4] = __dadd_rn(x[0], 0x1p-60);
    const float f = 1 + float(x[0]) * 0x1p-13f;
    out[5] = __fsub_rn(__fmul_rn(f, f), 1 + 0x1p-12f);
    out[6] = __fmaf_rn(f, f, -(1 + 0x1p-12f));
    out[7] = __fdiv_rn(float(x[0]), 3.f);
    out[8] = __fsqrt_rn(2 * float(x[0]));
    out[9] = __fadd_rn(float(x[0]), 0x1p-30f);
    out[10] = exp(x[0]);
    out[11] = erfc(x[0]);
    out[12] = rsqrt(4 * x[0]);
    out[13] = fabs(-x[0]);
    out[14] = isnan(x[1]) + 10 * isinf(x[0] / (x[0] - 1));
    out[15] = __longlong_as_double(__double_as_longlong(x[0]) + 1);
    out[16] = __int_as_float(__float_as_int(1.5f) | 0x80000000);
    out[17] = __uint_as_float(__float_as_uint(float(x[0])) + 1);
    out[18] = min(3, 5) + max(2u, 7u) + min(1.5, 0.5) + max(-1.f, -2.f) + max(3ll, 4ll);
    out[19] = fmin(x[1], 3.0) + fmax(2.0, x[1]) + min(x[1], 1.0);
    out[20] =
        __popc(0xf0f0u) + 100 * __popcll(~0ull) + 10000 * __ffs(8) + 1000000 * __ffsll(1ll << 40);
    out[21] = __clz(1) + 100 * __clzll(1) + 10000 * __clz(0) + 1000000 * __clzll(0);
    out[22] = __ldg(x) + warpSize;
}

void arithmetic()
{
    DeviceArray<double> x(std::vector<double>{1, NAN}), out(23);
    CUDA_LAUNCH(numbers, 1, 1, 0, nullptr, out, x);
    const std::vector<double> host = out.read();
    const double expected[] = {0,          0x1p-60,
                               1.0 / 3,    sqrt(2.0),
                               1,          0,
                               0x1p-26,    1.f / 3,
                               sqrtf(2.f), 1,
                               exp(1.0),   erfc(1.0),
                               0.5,        1,
                               11,         nextafter(1.0, 2.0),
                               -1.5,       nextafterf(1.f, 2.f),
                               13.5,       6,
                               41046408,   64326331,
                               33};
    for (int i = 0; i < 23; i++) {
        if (i == 10 || i == 11 || i == 12)
            CHECK(fabs(host[i] - expected[i]) <= 2e-15 * expected[i]);
        else
            CHECK(host[i] == expected[i]);
        if (failed_checks)
            printf("  number %d: %.17g, expected %.17g\n", i, host[i], expected[i]),
                failed_checks++;
    }
}

__global__ void convert(const float *x, unsigned short *halves, unsigned short *bfloats,
                        float *back, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const __half h = __float2half_rn(x[i]);
    const __nv_bfloat16 b = __float2bfloat16_rn(x[i]);
    halves[i] = __half_as_ushort(h);
    bfloats[i] = __bfloat16_as_ushort(b);
    back[i] = __half2float(h);
    back[n + i] = __bfloat162float(b);
}

void small_floats()
{
    const std::vector<float> x = {
        0,          -0.f,        1,          -2.5f,          65504,          65519.996f,
        65520,      1e30f,       -INFINITY,  0x1p-14f,       0x1p-24f,       0x1p-25f,
        0x1.8p-25f, 0x1.8p-24f,  1.0009766f, 1.00048828125f, 1.00146484375f, 0x1.01p0f,
        0x1.03p0f,  3.14159265f, 1e-40f};
    const std::vector<unsigned short> halves = {
        0, 0x8000, 0x3c00, 0xc100, 0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x0400, 1,
        0, 1,      2,      0x3c01, 0x3c00, 0x3c02, 0x3c04, 0x3c0c, 0x4248, 0};
    const std::vector<unsigned short> bfloats = {
        0,      0x8000, 0x3f80, 0xc020, 0x4780, 0x4780, 0x4780, 0x714a, 0xff80, 0x3880, 0x3380,
        0x3300, 0x3340, 0x33c0, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f82, 0x4049, 0x0001};
    const int n = int(x.size());
    DeviceArray<float> in(x), back(2 * n);
    DeviceArray<unsigned short> h(n), b(n);
    CUDA_LAUNCH(convert, 1, 32, 0, nullptr, in, h, b, back, n);
    const std::vector<unsigned short> host_h = h.read(), host_b = b.read();
    const std::vector<float> host = back.read();
    for (int i = 0; i < n; i++) {
        CHECK(host_h[i] == halves[i]);
        CHECK(host_b[i] == bfloats[i]);
        if (host_h[i] != halves[i] || host_b[i] != bfloats[i])
            printf("  %g: half 0x%04x, bfloat16 0x%04x\n", x[i], host_h[i], host_b[i]);
    }
    CHECK(host[3] == -2.5f && host[n + 3] == -2.5f);
    CHECK(host[5] == 65504 && host[8] == -INFINITY && host[10] == 0x1p-24f);
    CHECK(__half2float(__float2half_rn(0.1f)) == 0.0999755859375f);
    CHECK(__half2float(__half(0.1)) == 0.0999755859375f);
    /* By way of a float these would be ties, and rounded to even. */
    CHECK(__half2float(__double2half(1 + 0x1p-11 + 0x1p-40)) == 1.0009765625f);
    CHECK(__bfloat162float(__double2bfloat16(1 + 0x1p-8 + 0x1p-40)) == 1.0078125f);
    CHECK(__bfloat162float(__float2bfloat16_rn(0.1f)) == 0.10009765625f);
}

__constant__ double weights[16];
__device__ int counter;

__global__ void use_constants(double *out)
{
    out[threadIdx.x] = weights[threadIdx.x] * 2;
    atomicAdd(&counter, 1);
}

void constants_and_device_variables()
{
    double host[16];
    for (int i = 0; i < 16; i++)
        host[i] = i + 0.5;
    const int start = 5;
    cudaStream_t stream;
    CHECK_CUDA(cudaStreamCreate(&stream));
    CHECK_CUDA(cudaMemcpyToSymbol(weights, host, sizeof host));
    CHECK_CUDA(cudaMemcpyToSymbolAsync(weights, host, sizeof(double), 15 * sizeof(double),
                                       cudaMemcpyHostToDevice, stream));
    CHECK_CUDA(cudaMemcpyToSymbol(counter, &start, sizeof start));
    CHECK_ERROR(cudaMemcpyToSymbol(weights, host, sizeof host, 8), cudaErrorInvalidValue);
    CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
    DeviceArray<double> out(16);
    CUDA_LAUNCH(use_constants, 1, 16, 0, stream, out);
    CHECK_CUDA(cudaStreamSynchronize(stream));
    const std::vector<double> result = out.read();
    for (int i = 0; i < 16; i++)
        CHECK(result[i] == (i == 15 ? 1 : 2 * i + 1));
    int count = 0;
    CHECK_CUDA(cudaMemcpyFromSymbol(&count, counter, sizeof count));
    CHECK(count == 21);
    CHECK_CUDA(cudaStreamDestroy(stream));
}

__global__ void vectors(float4 *quads, double2 *pairs, const uint4 *words)
{
    const int i = threadIdx.x;
    const float4 q = quads[i];
    quads[i] = make_float4(q.w, q.z, q.y, q.x);
    pairs[i] = make_double2(q.x, words[i].z);
}

void vector_types()
{
    DeviceArray<float4> quads(4, make_float4(1, 2, 3, 4));
    DeviceArray<double2> pairs(4);
    DeviceArray<uint4> words(4, make_uint4(5, 6, 7, 8));
    CUDA_LAUNCH(vectors, 1, 4, 0, nullptr, quads, pairs, words);
    const float4 q = quads.read()[3];
    const double2 p = pairs.read()[2];
    CHECK(q.x == 4 && q.y == 3 && q.z == 2 && q.w == 1);
    CHECK(p.x == 1 && p.y == 7);
    CHECK(sizeof(float3) == 12 && alignof(float4) == 16 && alignof(uint2) == 8);
    CHECK(alignof(double2) == 16);
}

} // namespace

const Case arithmetic_cases[] = {
    {"atomics_of_every_type", atomics_of_every_type},
    {"arithmetic", arithmetic},
    {"small_floats", small_floats},
    {"constants_and_device_variables", constants_and_device_variables},
    {"vector_types", vector_types},
    {nullptr, nullptr},
};
