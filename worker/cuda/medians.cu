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
    Work low, high;  /* the median lies within; values equal to either are kept */
    uint32_t below;  /* values below low */
    uint32_t within; /* values within, kept or not */
    uint32_t listed; /* tries to keep one: those beyond the list's end were lost */
    uint32_t every;  /* of how many values within one is to be kept */
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

/* A value on its way: counted, and kept if it is its turn. ALL: every one is to be kept. */
template <bool ALL, typename Work> struct reader {
    Work low, high;
    uint32_t every, below, within, turn;
    uint32_t *listed;
    Work *list;
    uint32_t capacity;

    __device__ void look_at(Work x)
    {
        below += x < low;
        if (!(x >= low && x <= high))
            return;
        within++;
        if (!ALL) {
            if (++turn < every)
                return;
            turn = 0;
        }
        const uint32_t at = atomicAdd(listed, 1u);
        if (at < capacity)
            list[at] = x;
    }
};

/* Reads rows first, first + step, ... of the set, all columns and groups of the block together.
 * rows: where each begins in the first pick; `offset`: from there to the sample. */
template <bool ALL, typename Sample, typename Work>
__device__ void read_rows(const unsigned long long *rows, uint32_t n, uint32_t step, size_t offset,
                          struct column_state<Work> *state, Work *list, uint32_t capacity)
{
    enum { GROUPS = line<Work>::GROUPS, UNROLL = 8 };
    const uint32_t group = threadIdx.x / line<Work>::COLUMNS, stride = GROUPS * step;
    struct reader<ALL, Work> reader = {
        state->low, state->high, state->every, 0, 0, group % state->every, &state->listed, list,
            capacity
    };
    uint32_t i = group * step;
    for (; i + (UNROLL - 1) * stride < n; i += UNROLL * stride) {
        Work x[UNROLL];
#pragma unroll
        for (uint32_t u = 0; u < UNROLL; u++)
            x[u] = widen(((const Sample *)rows[i + u * stride])[offset]);
#pragma unroll
        for (uint32_t u = 0; u < UNROLL; u++)
            reader.look_at(x[u]);
    }
    for (; i < n; i += stride)
        reader.look_at(widen(((const Sample *)rows[i])[offset]));
    if (reader.below != 0)
        atomicAdd(&state->below, reader.below);
    if (reader.within != 0)
        atomicAdd(&state->within, reader.within);
}

/* New bounds from a sample of what is within the old ones. `rank`: of the lower middle value among
 * what is within. */
template <int K, typename Work>
__device__ void bound_by_sample(struct column_state<Work> *state,
                                const struct warp_values<K, Work> &sample, uint32_t within,
                                uint32_t rank, uint32_t capacity)
{
    const double n = (double)sample.n, share = n / (double)within;
    const double place = ((double)rank + 0.5) * share;
    /* How far off the median's place in the sample may be: four standard deviations. */
    const double slack = 4.0 * sqrt(place * (1.0 - place / n) * (1.0 - share) + 0.25) + 1.5;
    const int from = (int)floor(place - slack), to = (int)ceil(place + slack) + 1;
    const int give = 1 + (int)(slack / 4);
    Work low = state->low, high = state->high;
    int kept = (int)sample.n;
    if (from > 0) {
        const struct bound<Work> bound = warp_bound(sample, from, give, true);
        low = bound.value > low ? bound.value : low;
        kept -= bound.below;
    }
    if (to < (int)sample.n) {
        const struct bound<Work> bound = warp_bound(sample, to, give, false);
        high = bound.value < high ? bound.value : high;
        kept -= (int)sample.n - bound.below;
    }
    __syncwarp(); /* all lanes have read the old ones */
    if (threadIdx.x % 32 != 0)
        return;
    state->low = low;
    state->high = high;
    state->every = 1 + (uint32_t)((double)kept / share * 1.05 / (double)capacity);
}

/* What the values that were kept tell, with K of them in a lane. */
template <int K, typename Work>
__device__ void judge_kept(struct column_state<Work> *state, const Work *list, uint32_t listed,
                           uint32_t within, uint32_t rank, bool odd, bool complete,
                           uint32_t capacity)
{
    struct warp_values<K, Work> values;
    values.load(list, listed);
    if (!complete) {
        bound_by_sample(state, values, within, rank, capacity);
        return;
    }
    const struct order_statistics<Work> middle = warp_select(values, rank, !odd);
    if (threadIdx.x % 32 == 0) {
        state->median = odd ? middle.at : (middle.at + middle.next) / 2;
        state->done = 1;
    }
}

/* Bounds that the median does not lie within: what is beyond them has it. */
template <typename Work>
__device__ void correct_bounds(struct column_state<Work> *state, uint32_t below, uint32_t within,
                               uint32_t lower, uint32_t upper, uint32_t every)
{
    if (threadIdx.x % 32 != 0)
        return;
    if (below > lower) {
        state->high = below > upper ? state->low : state->high;
        state->low = (Work)-INFINITY;
    } else {
        state->low = below + within <= lower ? state->high : state->low;
        state->high = (Work)INFINITY;
    }
    state->every = every;
}

/* One warp: what a pass tells of a column of n values. */
template <typename Work>
__device__ void judge(struct column_state<Work> *state, const Work *list, uint32_t capacity,
                      uint32_t n, bool sampled)
{
    const bool odd = (n & 1) != 0;
    /* Ranks of the middle values; of an odd number both are the same. */
    const uint32_t lower = odd ? n / 2 : n / 2 - 1, upper = n / 2;
    /* In a sample of all rows nothing was counted. */
    const uint32_t below = sampled ? 0 : state->below, within = sampled ? n : state->within;
    const uint32_t listed = state->listed < capacity ? state->listed : capacity;
    const bool complete = !sampled && state->every == 1 && listed == within;
    const bool equal = !sampled && state->low == state->high;
    __syncwarp();
    if (below > lower || below + within <= upper) {
        correct_bounds(state, below, within, lower, upper, 1 + n / capacity);
    } else if (equal) {
        if (threadIdx.x % 32 == 0) {
            state->median = state->low;
            state->done = 1;
        }
    } else if (listed > 4 * 32) {
        judge_kept<16>(state, list, listed, within, lower - below, odd, complete, capacity);
    } else if (listed > 32) {
        judge_kept<4>(state, list, listed, within, lower - below, odd, complete, capacity);
    } else if (listed > 0) {
        judge_kept<1>(state, list, listed, within, lower - below, odd, complete, capacity);
    }
    __syncwarp();
    if (threadIdx.x % 32 == 0)
        state->below = state->within = state->listed = 0;
}

template <typename Sample>
__global__ void __launch_bounds__(THREADS, 3)
    select_medians(const unsigned long long *rows, const uint32_t *offsets, uint32_t pitch,
                   uint32_t n_sets, uint32_t first, uint32_t capacity, work_of<Sample> *medians,
                   uint8_t *unfinished)
{
    typedef work_of<Sample> Work;
    enum { COLUMNS = line<Work>::COLUMNS };
    CUDA_DYNAMIC_SHARED(Work, values);
    const struct column_lists<Work> lists = {
        values, capacity
    };
    __shared__ struct column_state<Work> states[COLUMNS];
    const uint32_t set = blockIdx.x % n_sets, tile = blockIdx.x / n_sets, pick = blockIdx.y;
    const uint32_t column = threadIdx.x % COLUMNS, warp = threadIdx.x / 32;
    const uint32_t t = first + tile * COLUMNS + column;
    const size_t offset = (size_t)pick * pitch + t;
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
        if (!states[column].done && states[column].every == 1)
            read_rows<true, Sample>(rows, n, sampled ? step : 1, offset, &states[column],
                                    lists.of(column), capacity);
        else if (!states[column].done)
            read_rows<false, Sample>(rows, n, 1, offset, &states[column], lists.of(column),
                                     capacity);
        __syncthreads();
        for (uint32_t c = warp; c < COLUMNS; c += THREADS / 32)
            if (!states[c].done)
                judge(&states[c], lists.of(c), capacity, n, sampled);
        __syncthreads();
        all_done = __syncthreads_and(states[column].done != 0);
    }
    if (threadIdx.x < COLUMNS)
        medians[((size_t)pick * n_sets + set) * pitch + t] = states[column].median;
    if (threadIdx.x == 0)
        unfinished[(size_t)pick * gridDim.x + blockIdx.x] = !all_done;
}

/* What a group of threads counted of a column. */
template <typename Work> struct group_counts {
    uint32_t n[line<Work>::GROUPS][line<Work>::COLUMNS];
    Work below[line<Work>::GROUPS][line<Work>::COLUMNS];
    Work above[line<Work>::GROUPS][line<Work>::COLUMNS];
    Work pivot[line<Work>::COLUMNS];
};

/* The other way, for what select_medians() did not finish: turns over all rows. */
template <typename Sample>
__global__ void __launch_bounds__(THREADS)
    count_medians(const unsigned long long *rows, const uint32_t *offsets, uint32_t pitch,
                  uint32_t n_sets, uint32_t first, work_of<Sample> *medians,
                  const uint8_t *unfinished)
{
    typedef work_of<Sample> Work;
    enum { COLUMNS = line<Work>::COLUMNS, GROUPS = line<Work>::GROUPS };
    __shared__ struct group_counts<Work> counts;
    const uint32_t set = blockIdx.x % n_sets, tile = blockIdx.x / n_sets, pick = blockIdx.y;
    if (!unfinished[(size_t)pick * gridDim.x + blockIdx.x])
        return;
    const uint32_t column = threadIdx.x % COLUMNS, group = threadIdx.x / COLUMNS;
    const uint32_t t = first + tile * COLUMNS + column;
    const size_t offset = (size_t)pick * pitch + t;
    const uint32_t n = offsets[set + 1] - offsets[set];
    rows += offsets[set];
    struct median_search<Work> search;
    search.begin(widen(((const Sample *)rows[n / 2])[offset]), 0, n);
    for (;;) {
        if (group == 0)
            counts.pivot[column] = search.pivot;
        __syncthreads();
        const Work pivot = counts.pivot[column];
        uint32_t n_below = 0;
        Work below = (Work)-INFINITY, above = (Work)INFINITY;
        for (uint32_t i = group; i < n; i += GROUPS) {
            const Work x = widen(((const Sample *)rows[i])[offset]);
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
        medians[((size_t)pick * n_sets + set) * pitch + t] = search.pivot;
}

/* Where each row begins in the first pick of a view. */
template <typename Sample>
__global__ void __launch_bounds__(THREADS)
    place_rows(struct row_view<Sample> view, const uint32_t *rows, uint32_t n,
               unsigned long long *places)
{
    const uint32_t i = blockIdx.x * THREADS + threadIdx.x;
    if (i < n)
        places[i] = (unsigned long long)view.row(rows[i], 0);
}

/* The rows of each set, one set after the other, offsets [n_sets + 1] into them. Which rows are in
 * a set is anybody's guess: each is written down, and written over unless it is. */
static std::vector<uint32_t> list_rows(const uint8_t *in_set, size_t n_sets, size_t n_rows,
                                       std::vector<uint32_t> *offsets)
{
    offsets->assign(1, 0);
    for (size_t s = 0; s < n_sets; s++) {
        uint32_t n = 0;
        for (size_t row = 0; row < n_rows; row++)
            n += in_set[s * n_rows + row] != 0;
        offsets->push_back(offsets->back() + n);
    }
    std::vector<uint32_t> rows(offsets->back() + 1);
    uint32_t *next = rows.data();
    for (size_t s = 0; s < n_sets; s++)
        for (size_t row = 0; row < n_rows; row++) {
            *next = (uint32_t)row;
            next += in_set[s * n_rows + row] != 0;
        }
    rows.pop_back();
    return rows;
}

enum rejectd_status median_sets::open(struct backend_device *device, const uint8_t *in_set,
                                      size_t n_sets, size_t n_rows, struct rejectd_error *error)
{
    std::vector<uint32_t> offsets;
    const std::vector<uint32_t> rows = list_rows(in_set, n_sets, n_rows, &offsets);
    n_sets_ = n_sets;
    n_listed_ = rows.size();
    largest_ = 0;
    for (size_t s = 0; s < n_sets; s++) {
        const size_t n = offsets[s + 1] - offsets[s];
        largest_ = n > largest_ ? n : largest_;
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

template <typename Sample>
enum rejectd_status median_sets::place(struct backend_device *device,
                                       const struct row_view<Sample> &view,
                                       struct rejectd_error *error)
{
    TRY(places_.reserve(device, n_listed_, error));
    CUDA_LAUNCH((place_rows<Sample>), dim3(blocks_for(n_listed_, THREADS)), dim3(THREADS), 0,
                device->compute, view, rows_.get(), (uint32_t)n_listed_, places_.get());
    CUDA_LAUNCHED("place_rows");
    return REJECTD_OK;
}

template <typename Sample>
enum rejectd_status median_sets::compute_columns(struct backend_device *device, size_t pitch,
                                                 size_t count, size_t first, size_t n,
                                                 work_of<Sample> *medians,
                                                 struct rejectd_error *error)
{
    typedef work_of<Sample> Work;
    enum { COLUMNS = line<Work>::COLUMNS };
    const size_t tiles = n / COLUMNS, most = list_capacity<Work>(device);
    const size_t capacity = largest_ < most ? largest_ : most;
    const size_t shared = COLUMNS * (capacity + 1) * sizeof(Work);
    const dim3 grid((unsigned)(n_sets_ * tiles), (unsigned)count);
    TRY(unfinished_.reserve(device, n_sets_ * tiles * count, error));
    CUDA_TRY(cudaFuncSetAttribute((const void *)select_medians<Sample>,
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
    CUDA_LAUNCH((select_medians<Sample>), grid, dim3(THREADS), shared, device->compute,
                places_.get(), offsets_.get(), (uint32_t)pitch, (uint32_t)n_sets_, (uint32_t)first,
                (uint32_t)capacity, medians, unfinished_.get());
    CUDA_LAUNCHED("select_medians");
    CUDA_LAUNCH((count_medians<Sample>), grid, dim3(THREADS), 0, device->compute, places_.get(),
                offsets_.get(), (uint32_t)pitch, (uint32_t)n_sets_, (uint32_t)first, medians,
                unfinished_.get());
    CUDA_LAUNCHED("count_medians");
    return REJECTD_OK;
}

#define INSTANCE(Sample)                                                                           \
    template enum rejectd_status median_sets::place<Sample>(                                       \
        struct backend_device *, const struct row_view<Sample> &, struct rejectd_error *);         \
    template enum rejectd_status median_sets::compute_columns<Sample>(                             \
        struct backend_device *, size_t, size_t, size_t, size_t, work_of<Sample> *,                \
        struct rejectd_error *);
FOR_EACH_STORAGE(INSTANCE)
