/*
 * A block finds the medians of 32 neighbouring samples of one pick for up to 10 sets of rows
 * together. Each of its warps walks over a share of the rows, lanes being samples: a row is read
 * once in a turn, however many sets it is in. Turns end when all 320 searches have ended; sets
 * that are through are skipped, and so are rows that no other set wants.
 */
#include "worker/cuda/medians.h"

#include "worker/cuda/median_search.h"

enum { SETS = 10, COLUMNS = 32, WARPS = 8, START_ROWS = 8 /* a warp */ };

struct set_sizes {
    uint32_t n[SETS];
};

/* Where a warp's counts meet those of the others. */
template <typename Work> struct partial_counts {
    uint32_t n[WARPS][SETS][COLUMNS];
    Work below[WARPS][SETS][COLUMNS], above[WARPS][SETS][COLUMNS];
    Work pivot[SETS][COLUMNS];
    uint32_t unfinished[SETS]; /* 1 or 0 */
};

/* Where most values of a column lie: the middle of the means of a few rows each, and how far those
 * lie apart. Every warp comes to the same. */
template <typename Work>
__device__ void guess(const struct row_view<Work> &view, const uint32_t *rows, uint32_t n_rows,
                      uint32_t pick, uint32_t t, Work (*means)[COLUMNS], Work *middle, Work *spread)
{
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    Work sum = 0;
    for (uint32_t i = 0; i < START_ROWS; i++) {
        const uint32_t at =
            (uint32_t)((uint64_t)(warp * START_ROWS + i) * n_rows / (WARPS * START_ROWS));
        sum += view.row(rows[at], pick)[t];
    }
    means[warp][lane] = sum / START_ROWS;
    __syncthreads();
    Work sorted[WARPS];
    for (int i = 0; i < WARPS; i++) {
        const Work value = means[i][lane];
        int at = i;
        for (; at > 0 && sorted[at - 1] > value; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = value;
    }
    *middle = (sorted[WARPS / 2 - 1] + sorted[WARPS / 2]) / 2;
    /* Six of eight means of eight lie within about 1.7 / sqrt(8) standard deviations. */
    *spread = (sorted[WARPS - 2] - sorted[1]) * (Work)1.7;
    __syncthreads();
}

/* One warp's counts of its rows, into its part of `counts`. */
template <typename Work>
__device__ void count_rows(const struct row_view<Work> &view, const uint32_t *rows,
                           const uint16_t *masks, uint32_t n_rows, uint32_t unfinished,
                           uint32_t pick, uint32_t t, struct partial_counts<Work> *counts)
{
    enum { UNROLL = 4 };
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    uint32_t n[SETS];
    Work below[SETS], above[SETS], pivot[SETS];
#pragma unroll
    for (int s = 0; s < SETS; s++) {
        n[s] = 0;
        below[s] = (Work)-INFINITY;
        above[s] = (Work)INFINITY;
        pivot[s] = counts->pivot[s][lane];
    }
    for (uint32_t i = warp; i < n_rows; i += WARPS * UNROLL) {
        uint32_t wanted[UNROLL];
        Work x[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            const uint32_t at = i + (uint32_t)u * WARPS;
            wanted[u] = at < n_rows ? masks[at] & unfinished : 0;
            x[u] = 0;
            if (wanted[u] != 0)
                x[u] = view.row(rows[at], pick)[t];
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            if (wanted[u] == 0)
                continue;
#pragma unroll
            for (int s = 0; s < SETS; s++) {
                if ((wanted[u] >> s & 1) == 0)
                    continue;
                if (x[u] < pivot[s]) {
                    n[s]++;
                    below[s] = x[u] > below[s] ? x[u] : below[s];
                } else {
                    above[s] = x[u] < above[s] ? x[u] : above[s];
                }
            }
        }
    }
#pragma unroll
    for (int s = 0; s < SETS; s++) {
        counts->n[warp][s][lane] = n[s];
        counts->below[warp][s][lane] = below[s];
        counts->above[warp][s][lane] = above[s];
    }
}

/* Adds the warps' counts of one set up and takes one turn of its search. */
template <typename Work>
__device__ void take_turn(struct partial_counts<Work> *counts, uint32_t set,
                          struct median_search<Work> *search)
{
    const uint32_t lane = threadIdx.x % 32;
    uint32_t n = 0;
    Work below = (Work)-INFINITY, above = (Work)INFINITY;
    for (int w = 0; w < WARPS; w++) {
        n += counts->n[w][set][lane];
        below = counts->below[w][set][lane] > below ? counts->below[w][set][lane] : below;
        above = counts->above[w][set][lane] < above ? counts->above[w][set][lane] : above;
    }
    search->turn(n, below, above);
    counts->pivot[set][lane] = search->pivot;
}

template <typename Work>
__global__ void __launch_bounds__(WARPS * 32, 2)
    find_medians(struct row_view<Work> view, const uint32_t *rows, const uint16_t *masks,
                 uint32_t n_rows, struct set_sizes sizes, uint32_t n_sets, Work *medians,
                 size_t pick_stride)
{
    CUDA_DYNAMIC_SHARED(partial_counts<Work>, counts);
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const uint32_t t = blockIdx.x * COLUMNS + lane, pick = blockIdx.y;
    enum { OWN = (SETS + WARPS - 1) / WARPS }; /* searches of a thread: of sets warp, warp + 8 */
    struct median_search<Work> searches[OWN];
    Work middle, spread;
    guess(view, rows, n_rows, pick, t, counts->below[0], &middle, &spread);
#pragma unroll
    for (int i = 0; i < OWN; i++) {
        const uint32_t set = warp + (uint32_t)i * WARPS;
        searches[i].done = true;
        if (set < n_sets)
            searches[i].begin(middle, spread, sizes.n[set]);
        if (set < SETS)
            counts->pivot[set][lane] = middle;
    }
    if (threadIdx.x < SETS)
        counts->unfinished[threadIdx.x] = threadIdx.x < n_sets;
    __syncthreads();
    for (;;) {
        uint32_t unfinished = 0;
        for (uint32_t s = 0; s < SETS; s++)
            unfinished |= counts->unfinished[s] << s;
        if (unfinished == 0)
            break;
        count_rows(view, rows, masks, n_rows, unfinished, pick, t, counts);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < OWN; i++) {
            const uint32_t set = warp + (uint32_t)i * WARPS;
            if (set < n_sets && !searches[i].done)
                take_turn(counts, set, &searches[i]);
            const bool through = __all_sync(0xffffffffu, searches[i].done);
            if (lane == 0 && set < n_sets && through)
                counts->unfinished[set] = 0;
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < OWN; i++) {
        const uint32_t set = warp + (uint32_t)i * WARPS;
        if (set < n_sets)
            medians[pick * pick_stride + (size_t)set * view.pitch + t] = searches[i].pivot;
    }
}

enum rejectd_status median_sets::open(struct backend_device *device, const uint8_t *in_set,
                                      size_t n_sets, size_t n_rows, struct rejectd_error *error)
{
    std::vector<uint32_t> rows;
    std::vector<uint16_t> masks;
    n_sets_ = n_sets;
    groups_.clear();
    for (size_t first = 0; first < n_sets; first += GROUP) {
        const size_t n = n_sets - first < GROUP ? n_sets - first : (size_t)GROUP;
        group made = {rows.size(), 0, {0}};
        for (size_t row = 0; row < n_rows; row++) {
            uint16_t mask = 0;
            for (size_t s = 0; s < n; s++)
                if (in_set[(first + s) * n_rows + row] != 0) {
                    mask = (uint16_t)(mask | 1u << s);
                    made.sizes[s]++;
                }
            if (mask == 0)
                continue;
            rows.push_back((uint32_t)row);
            masks.push_back(mask);
        }
        made.n_rows = (uint32_t)(rows.size() - made.offset);
        groups_.push_back(made);
    }
    TRY(rows_.upload(device, rows.data(), rows.size(), error));
    TRY(masks_.upload(device, masks.data(), masks.size(), error));
    return device_wait(device, error);
}

template <typename Work>
enum rejectd_status median_sets::compute(struct backend_device *device,
                                         const struct row_view<Work> &view, size_t count,
                                         Work *medians, struct rejectd_error *error) const
{
    static_assert((int)GROUP == (int)SETS, "a launch is a group");
    const size_t shared = sizeof(partial_counts<Work>);
    CUDA_TRY(cudaFuncSetAttribute((const void *)find_medians<Work>,
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
    for (size_t g = 0; g < groups_.size(); g++) {
        const group &one = groups_[g];
        const size_t first = g * GROUP, left = n_sets_ - first;
        struct set_sizes sizes;
        memcpy(sizes.n, one.sizes, sizeof sizes.n);
        CUDA_LAUNCH((find_medians<Work>), dim3(view.pitch / COLUMNS, (unsigned)count),
                    dim3(WARPS * 32), shared, device->compute, view, rows_.get() + one.offset,
                    masks_.get() + one.offset, one.n_rows, sizes,
                    (uint32_t)(left < GROUP ? left : (size_t)GROUP), medians + first * view.pitch,
                    n_sets_ * view.pitch);
        CUDA_LAUNCHED("medians");
    }
    return REJECTD_OK;
}

template enum rejectd_status median_sets::compute<float>(struct backend_device *,
                                                         const struct row_view<float> &, size_t,
                                                         float *, struct rejectd_error *) const;
template enum rejectd_status median_sets::compute<double>(struct backend_device *,
                                                          const struct row_view<double> &, size_t,
                                                          double *, struct rejectd_error *) const;
