/* Operations of warps. */
#include "checks.h"

namespace
{

constexpr unsigned all_lanes = 0xffffffffu;

template <typename T> __global__ void shuffles(T *out)
{
    const int t = threadIdx.x;
    const T x = T(t * 3 + 1);
    out[t] = __shfl_sync(all_lanes, x, 5);
    out[64 + t] = __shfl_sync(all_lanes, x, t + 9);
    out[128 + t] = __shfl_up_sync(all_lanes, x, 3);
    out[192 + t] = __shfl_down_sync(all_lanes, x, 7);
    out[256 + t] = __shfl_xor_sync(all_lanes, x, 21);
    out[320 + t] = __shfl_sync(all_lanes, x, 2, 8);
    out[384 + t] = __shfl_up_sync(all_lanes, x, 3, 16);
    out[448 + t] = __shfl_down_sync(all_lanes, x, 3, 4);
    out[512 + t] = __shfl_xor_sync(all_lanes, x, 6, 8);
}

template <typename T> void check_shuffles()
{
    DeviceArray<T> out(9 * 64);
    CUDA_LAUNCH((shuffles<T>), 1, 64, 0, nullptr, out);
    const std::vector<T> host = out.read();
    const auto of = [](int t) { return T(t * 3 + 1); };
    for (int t = 0; t < 64; t++) {
        const int warp = t & ~31, lane = t & 31;
        CHECK(host[t] == of(warp + 5));
        CHECK(host[64 + t] == of(warp + (t + 9) % 32));
        CHECK(host[128 + t] == of(lane < 3 ? t : t - 3));
        CHECK(host[192 + t] == of(lane + 7 > 31 ? t : t + 7));
        CHECK(host[256 + t] == of(t ^ 21));
        CHECK(host[320 + t] == of((t & ~7) + 2));
        CHECK(host[384 + t] == of(lane % 16 < 3 ? t : t - 3));
        CHECK(host[448 + t] == of(lane % 4 == 0 ? t + 3 : t));
        CHECK(host[512 + t] == of(t ^ 6));
    }
}

void shuffles_of_every_type()
{
    check_shuffles<int>();
    check_shuffles<unsigned>();
    check_shuffles<long long>();
    check_shuffles<unsigned long long>();
    check_shuffles<float>();
    check_shuffles<double>();
}

__global__ void votes(unsigned *out)
{
    const int lane = threadIdx.x;
    out[lane] = __ballot_sync(all_lanes, lane % 3 == 0);
    out[32 + lane] = __any_sync(all_lanes, lane == 40) != 0;
    out[64 + lane] = __any_sync(all_lanes, lane == 31) != 0;
    out[96 + lane] = __all_sync(all_lanes, lane < 32) != 0;
    out[128 + lane] = __all_sync(all_lanes, lane < 31) != 0;
    out[160 + lane] = __match_any_sync(all_lanes, lane % 4);
    out[192 + lane] = __activemask() >> lane & 1u;
}

void ballots_and_votes()
{
    DeviceArray<unsigned> out(7 * 32);
    CUDA_LAUNCH(votes, 1, 32, 0, nullptr, out);
    const std::vector<unsigned> host = out.read();
    for (int lane = 0; lane < 32; lane++) {
        CHECK(host[lane] == 0x49249249u);
        CHECK(host[32 + lane] == 0);
        CHECK(host[64 + lane] == 1);
        CHECK(host[96 + lane] == 1);
        CHECK(host[128 + lane] == 0);
        CHECK(host[160 + lane] == 0x11111111u << lane % 4);
        CHECK(host[192 + lane] == 1);
    }
}

/* Halves of a warp do different things at the same time, and loops of different lengths. */
__global__ void divergent(int *out)
{
    const int lane = threadIdx.x;
    int value = lane;
    if (lane < 16) {
        for (int step = 8; step; step /= 2)
            value += __shfl_xor_sync(0x0000ffffu, value, step);
    } else if (lane < 24) {
        value = int(__ballot_sync(0x00ff0000u, lane % 2) >> 16);
        __syncwarp(0x00ff0000u);
        value += __shfl_sync(0x00ff0000u, lane, 23);
    } else {
        __syncwarp(1u << lane);
    }
    __syncwarp();
    out[lane] = value + __shfl_sync(all_lanes, value, 31);
}

void parts_of_a_warp()
{
    DeviceArray<int> out(32);
    CUDA_LAUNCH(divergent, 1, 32, 0, nullptr, out);
    const std::vector<int> host = out.read();
    for (int lane = 0; lane < 32; lane++)
        CHECK(host[lane] == 31 + (lane < 16 ? 120 : lane < 24 ? 0xaa + 23 : lane));
}

__global__ void lanes_return(unsigned *out)
{
    const unsigned lane = threadIdx.x % 32;
    if (lane >= 20)
        return;
    out[threadIdx.x] = __ballot_sync(all_lanes, 1);
    if (lane % 2)
        return;
    __syncthreads();
    out[64 + threadIdx.x] = __ballot_sync(all_lanes, lane != 4);
    out[128 + threadIdx.x] = __shfl_sync(all_lanes, lane, 18) + __all_sync(all_lanes, 1);
}

void lanes_that_return_count_as_arrived()
{
    DeviceArray<unsigned> out(192, 7u);
    CUDA_LAUNCH(lanes_return, 1, 64, 0, nullptr, out);
    const std::vector<unsigned> host = out.read();
    for (unsigned t = 0; t < 64; t++) {
        const unsigned lane = t % 32;
        CHECK(host[t] == (lane < 20 ? 0xfffffu : 7));
        CHECK(host[64 + t] == (lane < 20 && lane % 2 == 0 ? 0x55545u : 7));
        CHECK(host[128 + t] == (lane < 20 && lane % 2 == 0 ? 19 : 7));
    }
}

/* A last warp of 8 lanes. */
__global__ void short_warp(unsigned *out)
{
    out[threadIdx.x] = __ballot_sync(all_lanes, threadIdx.x % 2);
    __syncwarp();
    out[threadIdx.x] += __shfl_xor_sync(all_lanes, threadIdx.x, 1);
}

void warp_with_few_lanes()
{
    DeviceArray<unsigned> out(40);
    CUDA_LAUNCH(short_warp, 1, 40, 0, nullptr, out);
    const std::vector<unsigned> host = out.read();
    for (unsigned t = 0; t < 40; t++)
        CHECK(host[t] == (t < 32 ? 0xaaaaaaaau : 0xaau) + (t ^ 1u));
}

/* Sums of warps through shared memory, more than once, so that a stale value would show. */
__global__ void block_sums(const double *x, double *out, int n_rounds)
{
    __shared__ double parts[32];
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const unsigned n_warps = blockDim.x / 32;
    for (int round = 0; round < n_rounds; round++) {
        double sum = x[threadIdx.x] * (round + 1);
        for (int step = 16; step; step /= 2)
            sum += __shfl_down_sync(all_lanes, sum, step);
        if (lane == 0)
            parts[warp] = sum;
        __syncthreads();
        if (warp == 0) {
            sum = lane < n_warps ? parts[lane] : 0;
            for (int step = 16; step; step /= 2)
                sum += __shfl_down_sync(all_lanes, sum, step);
            if (lane == 0)
                out[round] = sum;
        }
        __syncthreads();
    }
}

void sums_of_a_block()
{
    for (const unsigned n : {32u, 256u, 1024u}) {
        std::vector<double> x(n);
        double total = 0;
        for (unsigned i = 0; i < n; i++)
            total += x[i] = i * 0.25;
        DeviceArray<double> in(x), out(5);
        CUDA_LAUNCH(block_sums, 1, n, 0, nullptr, in, out, 5);
        const std::vector<double> host = out.read();
        for (int round = 0; round < 5; round++)
            CHECK(host[round] == total * (round + 1));
    }
}

} // namespace

const Case warp_cases[] = {
    {"shuffles_of_every_type", shuffles_of_every_type},
    {"ballots_and_votes", ballots_and_votes},
    {"parts_of_a_warp", parts_of_a_warp},
    {"lanes_that_return_count_as_arrived", lanes_that_return_count_as_arrived},
    {"warp_with_few_lanes", warp_with_few_lanes},
    {"sums_of_a_block", sums_of_a_block},
    {nullptr, nullptr},
};
