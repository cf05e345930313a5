/*
 * A block finds the medians of one set of rows for one line (128 bytes) of neighbouring samples of
 * one pick.
 *
 * It keeps what lies between two bounds, column by column, in shared memory, and counts what lies
 * below. A set that fits is all kept, and its medians are found there. Of a larger one a sample is
 * kept first; two order statistics of it bound the median, almost surely, and leave little enough
 * between them to be kept whole the next time: so the rows are read about once, and a fifth of
 * them a second time. Bounds that prove wrong are corrected by what was counted.
 *
 * Columns that do not come to an end that way (many equal values, samples without an order) are
 * left to a second kernel, which counts over all rows, turn by turn.
 */
#include "worker/cuda/medians.h"

#include "worker/cuda/median_search.h"
#include "worker/cuda/warp_select.h"

enum { THREADS = 256, LINE = 128, MOST_LISTED = 512 /* of a column */, MOST_PASSES = 6 };

template <typename Work> struct line {
    enum { COLUMNS = LINE / sizeof(Work), GROUPS = THREADS / COLUMNS };
};

/* What is known of a column. */
template <typename Work> struct column_state {
    Work low, high;   /* the median lies within; values equal to either are kept */
    uint32_t below;   /* values below low */
    uint32_t within;  /* values within, kept or not */
    uint32_t listed;  /* tries to keep one: those beyond the list's end were lost */
    uint32_t every;   /* of how many values within one is to be kept */
    uint32_t started; /* bounds are from counts, not from a sample yet to be seen */
    uint32_t done;
    Work median;
};

/* The kept values of all columns. Lists are a value longer than they need be, so that columns begin
 * in different banks. */
template <typename Work> struct column_lists {
    Work *values;
    uint32_t capacity; /* of a list */

    __device__ Work *of(uint32_t column) const
    {
        return values + column * (capacity + 1);
    }
};

template <typename Work>
__device__ void look_at(Work x, Work low, Work high, uint32_t every, uint32_t *below,
                        uint32_t *within, uint32_t *turn, struct column_state<Work> *state,
                        Work *list, uint32_t capacity)
{
    if (x < low) {
        ++*below;
    } else if (x <= high) {
        ++*within;
        if (++*turn == every) {
            *turn = 0;
            const uint32_t at = atomicAdd(&state->listed, 1u);
            if (at < capacity)
                list[at] = x;
        }
    }
}

/* Reads rows first, first + step, ... of the set, all columns and groups of the block together. */
template <typename Work>
__device__ void read_rows(const struct row_view<Work> &view, const uint32_t *rows, uint32_t n,
                          uint32_t step, uint32_t pick, uint32_t t,
                          struct column_state<Work> *states,
                          const struct column_lists<Work> &lists)
{
    enum { COLUMNS = line<Work>::COLUMNS, GROUPS = line<Work>::GROUPS, UNROLL = 4 };
    const uint32_t column = threadIdx.x % COLUMNS, group = threadIdx.x / COLUMNS;
    struct column_state<Work> *state = &states[column];
    Work *list = lists.of(column);
    if (state->done)
        return;
    const Work low = state->low, high = state->high;
    const uint32_t every = state->every, stride = GROUPS * step;
    /* Groups begin their counting at different values. */
    uint32_t below = 0, within = 0, turn = group % every;
    uint32_t i = group * step;
    for (; i + (UNROLL - 1) * stride < n; i += UNROLL * stride) {
        Work x[UNROLL];
#pragma unroll
        for (uint32_t u = 0; u < UNROLL; u++)
            x[u] = view.row(rows[i + u * stride], pick)[t];
#pragma unroll
        for (uint32_t u = 0; u < UNROLL; u++)
            look_at(x[u], low, high, every, &below, &within, &turn, state, list,
                    lists.capacity);
    }
    for (; i < n; i += stride)
        look_at(view.row(rows[i], pick)[t], low, high, every, &below, &within, &turn, state, list,
                lists.capacity);
    atomicAdd(&state->below, below);
    atomicAdd(&state->within, within);
}

/* New bounds from a sample of n of what is within the old ones. `rank`: of the lower middle value
 * among what is within. */
template <typename Work>
__device__ void bound_by_sample(struct column_state<Work> *state, const Work *list, uint32_t n,
                                uint32_t within, uint32_t rank, uint32_t capacity, Work sorted)
{
    const double share = (double)n / (double)within;
    const double place = ((double)rank + 0.5) * share;
    /* How far off the median's place in the sample may be: more than four standard deviations. */
    const double slack = 4.2 * sqrt(place * (1.0 - place / (double)n) * (1.0 - share) + 0.25) + 1.5;
    const double from = place - slack, to = place + slack;
    Work low = state->low, high = state->high;
    double kept = (double)within;
    if (from >= 0.0) {
        low = warp_select(list, n, (uint32_t)from, false, sorted).at;
        kept -= floor(from) / share;
    }
    if (to < (double)(n - 1)) {
        high = warp_select(list, n, (uint32_t)ceil(to), false, sorted).at;
        kept -= ((double)n - 1.0 - ceil(to)) / share;
    }
    if (threadIdx.x % 32 != 0)
        return;
    state->low = low;
    state->high = high;
    state->every = 1 + (uint32_t)(kept * 1.05 / (double)capacity);
}

/* One warp: what a pass tells of a column of n values. */
template <typename Work>
__device__ void judge(struct column_state<Work> *state, const Work *list, uint32_t capacity,
                      uint32_t n, bool sampled)
{
    const bool first_lane = threadIdx.x % 32 == 0;
    const uint32_t lane = threadIdx.x % 32;
    const bool odd = (n & 1) != 0;
    /* Ranks of the middle values; of an odd number both are the same. */
    const uint32_t lower = odd ? n / 2 : n / 2 - 1, upper = n / 2;
    uint32_t below = state->below, within = state->within;
    const uint32_t listed = state->listed < capacity ? state->listed : capacity;
    const bool complete = !sampled && state->every == 1 && listed == within;
    if (sampled) {
        /* A sample of all: nothing was counted. */
        below = 0;
        within = n;
    }
    if (below > lower || below + within <= upper) {
        /* Wrong bounds. What was below them, or above, has the median. */
        if (first_lane && below > lower) {
            state->high = below > upper ? state->low : state->high;
            state->low = (Work)-INFINITY;
        } else if (first_lane) {
            state->low = below + within <= lower ? state->high : state->low;
            state->high = (Work)INFINITY;
        }
        if (first_lane)
            state->every = 1 + n / capacity;
    } else if (!sampled && state->low == state->high) {
        if (first_lane) {
            state->median = state->low;
            state->done = 1;
        }
    } else if (listed > 0) {
        const Work sorted = warp_sorted(list[(uint32_t)((uint64_t)lane * listed / 32)]);
        if (complete) {
            const struct order_statistics<Work> middle =
                warp_select(list, listed, lower - below, !odd, sorted);
            if (first_lane) {
                state->median = odd ? middle.at : (middle.at + middle.next) / 2;
                state->done = 1;
            }
        } else {
            bound_by_sample(state, list, listed, within, lower - below, capacity, sorted);
        }
    }
    __syncwarp();
    if (first_lane)
        state->below = state->within = state->listed = 0;
}

template <typename Work>
__global__ void __launch_bounds__(THREADS)
    select_medians(struct row_view<Work> view, const uint32_t *rows, const uint32_t *offsets,
                   uint32_t n_sets, uint32_t capacity, Work *medians, uint8_t *unfinished)
{
    enum { COLUMNS = line<Work>::COLUMNS };
    CUDA_DYNAMIC_SHARED(Work, values);
    const struct column_lists<Work> lists = {values, capacity};
    __shared__ struct column_state<Work> states[COLUMNS];
    const uint32_t set = blockIdx.x, pick = blockIdx.z;
    const uint32_t column = threadIdx.x % COLUMNS, warp = threadIdx.x / 32;
    const uint32_t t = blockIdx.y * COLUMNS + column;
    const uint32_t n = offsets[set + 1] - offsets[set];
    const uint32_t step = (n + capacity - 1) / capacity;
    rows += offsets[set];
    if (threadIdx.x < COLUMNS) {
        struct column_state<Work> *state = &states[threadIdx.x];
        state->low = (Work)-INFINITY;
        state->high = (Work)INFINITY;
        state->below = state->within = state->listed = state->done = 0;
        state->every = 1;
        state->median = 0;
    }
    __syncthreads();
    bool all_done = false;
    for (uint32_t pass = 0; pass < MOST_PASSES && !all_done; pass++) {
        const bool sampled = pass == 0 && step > 1;
        read_rows(view, rows, n, sampled ? step : 1, pick, t, states, lists);
        __syncthreads();
        for (uint32_t c = warp; c < COLUMNS; c += THREADS / 32)
            if (!states[c].done)
                judge(&states[c], lists.of(c), capacity, n, sampled);
        __syncthreads();
        all_done = __syncthreads_and(states[column].done != 0);
    }
    if (threadIdx.x < COLUMNS)
        medians[((size_t)pick * n_sets + set) * view.pitch + t] = states[column].median;
    if (threadIdx.x == 0)
        unfinished[((size_t)pick * gridDim.y + blockIdx.y) * n_sets + set] = !all_done;
}

/* What a group of threads counted of a column. */
template <typename Work> struct group_counts {
    uint32_t n[line<Work>::GROUPS][line<Work>::COLUMNS];
    Work below[line<Work>::GROUPS][line<Work>::COLUMNS];
    Work above[line<Work>::GROUPS][line<Work>::COLUMNS];
    Work pivot[line<Work>::COLUMNS];
};

/* The other way, for what select_medians() did not finish: turns over all rows. */
template <typename Work>
__global__ void __launch_bounds__(THREADS)
    count_medians(struct row_view<Work> view, const uint32_t *rows, const uint32_t *offsets,
                  uint32_t n_sets, Work *medians, const uint8_t *unfinished)
{
    enum { COLUMNS = line<Work>::COLUMNS, GROUPS = line<Work>::GROUPS };
    __shared__ struct group_counts<Work> counts;
    const uint32_t set = blockIdx.x, pick = blockIdx.z;
    if (!unfinished[((size_t)pick * gridDim.y + blockIdx.y) * n_sets + set])
        return;
    const uint32_t column = threadIdx.x % COLUMNS, group = threadIdx.x / COLUMNS;
    const uint32_t t = blockIdx.y * COLUMNS + column;
    const uint32_t n = offsets[set + 1] - offsets[set];
    rows += offsets[set];
    struct median_search<Work> search;
    search.begin(view.row(rows[n / 2], pick)[t], 0, n);
    for (;;) {
        if (group == 0)
            counts.pivot[column] = search.pivot;
        __syncthreads();
        const Work pivot = counts.pivot[column];
        uint32_t n_below = 0;
        Work below = (Work)-INFINITY, above = (Work)INFINITY;
        for (uint32_t i = group; i < n; i += GROUPS) {
            const Work x = view.row(rows[i], pick)[t];
            if (x < pivot) {
                n_below++;
                below = x > below ? x : below;
            } else {
                above = x < above ? x : above;
            }
        }
        counts.n[group][column] = n_below;
        counts.below[group][column] = below;
        counts.above[group][column] = above;
        __syncthreads();
        if (group == 0 && !search.done) {
            for (uint32_t g = 1; g < GROUPS; g++) {
                n_below += counts.n[g][column];
                below = counts.below[g][column] > below ? counts.below[g][column] : below;
                above = counts.above[g][column] < above ? counts.above[g][column] : above;
            }
            search.turn(n_below, below, above);
        }
        if (!__syncthreads_or(group == 0 && !search.done))
            break;
    }
    if (group == 0)
        medians[((size_t)pick * n_sets + set) * view.pitch + t] = search.pivot;
}

enum rejectd_status median_sets::open(struct backend_device *device, const uint8_t *in_set,
                                      size_t n_sets, size_t n_rows, struct rejectd_error *error)
{
    std::vector<uint32_t> offsets(1, 0), rows;
    n_sets_ = n_sets;
    for (size_t s = 0; s < n_sets; s++) {
        for (size_t row = 0; row < n_rows; row++)
            if (in_set[s * n_rows + row] != 0)
                rows.push_back((uint32_t)row);
        offsets.push_back((uint32_t)rows.size());
    }
    TRY(offsets_.upload(device, offsets.data(), offsets.size(), error));
    TRY(rows_.upload(device, rows.data(), rows.size(), error));
    return device_wait(device, error);
}

/* As long a list as a block's shared memory has room for, beside the states. */
template <typename Work> static size_t list_capacity(const struct backend_device *device)
{
    const size_t states = line<Work>::COLUMNS * sizeof(column_state<Work>);
    const size_t fits = (device->shared_limit - states - 256) / LINE - 1;
    return fits < MOST_LISTED ? fits : (size_t)MOST_LISTED;
}

template <typename Work>
enum rejectd_status median_sets::compute(struct backend_device *device,
                                         const struct row_view<Work> &view, size_t count,
                                         Work *medians, struct rejectd_error *error)
{
    enum { COLUMNS = line<Work>::COLUMNS };
    const size_t tiles = view.pitch / COLUMNS, capacity = list_capacity<Work>(device);
    const size_t shared = COLUMNS * (capacity + 1) * sizeof(Work);
    const dim3 grid((unsigned)n_sets_, (unsigned)tiles, (unsigned)count);
    TRY(unfinished_.reserve(device, n_sets_ * tiles * count, error));
    CUDA_TRY(cudaFuncSetAttribute((const void *)select_medians<Work>,
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
    CUDA_LAUNCH((select_medians<Work>), grid, dim3(THREADS), shared, device->compute, view,
                rows_.get(), offsets_.get(), (uint32_t)n_sets_, (uint32_t)capacity, medians,
                unfinished_.get());
    CUDA_LAUNCHED("select_medians");
    CUDA_LAUNCH((count_medians<Work>), grid, dim3(THREADS), 0, device->compute, view, rows_.get(),
                offsets_.get(), (uint32_t)n_sets_, medians, unfinished_.get());
    CUDA_LAUNCHED("count_medians");
    return REJECTD_OK;
}

template enum rejectd_status median_sets::compute<float>(struct backend_device *,
                                                         const struct row_view<float> &, size_t,
                                                         float *, struct rejectd_error *);
template enum rejectd_status median_sets::compute<double>(struct backend_device *,
                                                          const struct row_view<double> &, size_t,
                                                          double *, struct rejectd_error *);
