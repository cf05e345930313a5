/*
 * A block a pick.
 *
 * The points that a search starts with are known beforehand, and are added together: first the
 * columns of the points themselves, which need nothing else, then every candidate goes through all
 * points, eight at a time, so that what it has of the points before is read once for eight.
 *
 * The Gaussian process is that of algorithm/gaussian_process.c, operation by operation, each
 * rounded by itself (no fused multiply-add): what it chooses next is decided by the last bits of
 * the variances, and must be what the host would choose. Threads share the candidates; what is
 * done for a candidate is done in the order of the points.
 */
#include "worker/cuda/search.h"

#include <cmath>

enum {
    THREADS = 512,
    START_CANDIDATES = 40,
    STEPS = 10,
    START_POINTS = START_CANDIDATES + 1,
    MOST_POINTS = START_POINTS + STEPS,
    TOGETHER = 8,
    ROWS_AHEAD = 8, /* rows of the process that are on their way at a time */
    PADDED_POINTS = (START_POINTS + TOGETHER - 1) / TOGETHER * TOGETHER,
};

struct choice {
    double threshold, loss;
};

/* A process of one pick; the arrays in global memory, the rest in shared memory. */
struct process {
    double *rows;            /* [MOST_POINTS][n] */
    double *mean, *variance; /* [n] */
    double factor[MOST_POINTS], targets[MOST_POINTS];
    double diagonal, target;
    uint32_t n_points;
};

/* What is known of the points of the start, in shared memory. */
struct start_points {
    uint32_t n;
    uint32_t index[START_POINTS];
    double y[START_POINTS];
    double x[PADDED_POINTS], diagonal[PADDED_POINTS];
    bool near[PADDED_POINTS];
    double columns[START_POINTS][PADDED_POINTS]; /* [j][p]: row j of the process at point p */
};

/* The best candidate so far; every thread keeps it for itself. */
struct best_candidate {
    double loss;
    uint32_t index;
};

/* The block's least value and, among equals, its first index. NaN is never the least. */
__device__ static void least_of_block(double value, uint32_t index, double *least, uint32_t *first)
{
    __shared__ double values[THREADS / 32];
    __shared__ uint32_t indices[THREADS / 32];
    for (int step = 16; step > 0; step /= 2) {
        const double other = __shfl_xor_sync(0xffffffffu, value, step);
        const uint32_t other_index = __shfl_xor_sync(0xffffffffu, index, step);
        if (other < value || (other == value && other_index < index)) {
            value = other;
            index = other_index;
        }
    }
    if (threadIdx.x % 32 == 0) {
        values[threadIdx.x / 32] = value;
        indices[threadIdx.x / 32] = index;
    }
    __syncthreads();
    *least = values[0];
    *first = indices[0];
    for (int w = 1; w < THREADS / 32; w++)
        if (values[w] < *least || (values[w] == *least && indices[w] < *first)) {
            *least = values[w];
            *first = indices[w];
        }
    __syncthreads();
}

/* exp(-d^2 / 2) of a candidate to x, as gaussian_process.c's kernel_row(). */
__device__ static double kernel_of(double candidate, double x, bool near)
{
    const double distance = __dsub_rn(candidate, x);
    const double half_square = __dmul_rn(0.5, __dmul_rn(distance, distance));
    if (!near)
        return exp(-half_square);
    const double inner = __dsub_rn(0.5, __ddiv_rn(half_square, 6.0));
    const double outer = __dsub_rn(1.0, __dmul_rn(half_square, inner));
    return __dsub_rn(1.0, __dmul_rn(half_square, outer));
}

__device__ static double half_square_of(double candidate, double x)
{
    const double distance = __dsub_rn(candidate, x);
    return __dmul_rn(0.5, __dmul_rn(distance, distance));
}

/* Adds an observation. `y` and `index` are the same in all threads. */
__device__ static void add_point(struct process *process, const double *candidates, uint32_t n,
                                 uint32_t index, double y)
{
    const double noise = 1e-10;
    const uint32_t points = process->n_points;
    if (threadIdx.x < points)
        process->factor[threadIdx.x] = process->rows[(size_t)threadIdx.x * n + index];
    __syncthreads();
    if (threadIdx.x == 0) {
        double diagonal = 1.0 + noise, target = y;
        for (uint32_t j = 0; j < points; j++) {
            const double factor = process->factor[j];
            diagonal = __dsub_rn(diagonal, __dmul_rn(factor, factor));
            target = __dsub_rn(target, __dmul_rn(factor, process->targets[j]));
        }
        process->diagonal = sqrt(diagonal > 0.0 ? diagonal : noise);
        process->target = __ddiv_rn(target, process->diagonal);
        process->targets[points] = process->target;
    }
    __syncthreads();
    const double x = candidates[index];
    const double first = half_square_of(candidates[0], x);
    const double last = half_square_of(candidates[n - 1], x);
    const bool near = (first > last ? first : last) < 1e-4;
    const double diagonal = process->diagonal, target = process->target;
    double *row = process->rows + (size_t)points * n;
    for (uint32_t i = threadIdx.x; i < n; i += THREADS) {
        double value = kernel_of(candidates[i], x, near);
#pragma unroll ROWS_AHEAD
        for (uint32_t j = 0; j < points; j++)
            value =
                __dsub_rn(value, __dmul_rn(process->factor[j], process->rows[j * (size_t)n + i]));
        value = __ddiv_rn(value, diagonal);
        row[i] = value;
        process->mean[i] = __dadd_rn(process->mean[i], __dmul_rn(value, target));
        process->variance[i] = __dsub_rn(process->variance[i], __dmul_rn(value, value));
    }
    __syncthreads();
    if (threadIdx.x == 0)
        process->n_points++;
    __syncthreads();
}

/* Lists the points of the start: an infinite loss is no observation. One thread. */
__device__ static void list_start(struct start_points *start, const double *candidates,
                                  const double *losses, uint32_t n)
{
    const double step = __ddiv_rn((double)n, (double)START_CANDIDATES);
    uint32_t before = n, count = 0;
    for (int i = 0; i <= START_CANDIDATES; i++) {
        const uint32_t index = i < START_CANDIDATES ? (uint32_t)__dmul_rn((double)i, step) : n - 1;
        if (index != before && !isinf(losses[index])) {
            const double x = candidates[index];
            const double first = half_square_of(candidates[0], x);
            const double last = half_square_of(candidates[n - 1], x);
            start->index[count] = index;
            start->y[count] = losses[index];
            start->x[count] = x;
            start->near[count] = (first > last ? first : last) < 1e-4;
            count++;
        }
        before = index;
    }
    start->n = count;
}

/* What add_point() would find at the points themselves, one after the other. */
__device__ static void solve_start(struct process *process, struct start_points *start)
{
    const double noise = 1e-10;
    for (uint32_t p = 0; p < start->n; p++) {
        if (threadIdx.x == 0) {
            double diagonal = 1.0 + noise, target = start->y[p];
            for (uint32_t j = 0; j < p; j++) {
                const double factor = start->columns[j][p];
                diagonal = __dsub_rn(diagonal, __dmul_rn(factor, factor));
                target = __dsub_rn(target, __dmul_rn(factor, process->targets[j]));
            }
            start->diagonal[p] = sqrt(diagonal > 0.0 ? diagonal : noise);
            process->targets[p] = __ddiv_rn(target, start->diagonal[p]);
        }
        __syncthreads();
        const uint32_t q = threadIdx.x;
        if (q > p && q < start->n) {
            double value = kernel_of(start->x[q], start->x[p], start->near[p]);
            for (uint32_t j = 0; j < p; j++)
                value = __dsub_rn(value, __dmul_rn(start->columns[j][p], start->columns[j][q]));
            start->columns[p][q] = __ddiv_rn(value, start->diagonal[p]);
        }
        __syncthreads();
    }
}

/* Takes one candidate through the points of the start. */
__device__ static void pass_start(struct process *process, const struct start_points *start,
                                  double candidate, uint32_t n, uint32_t i)
{
    double mean = 0.0, variance = 1.0;
    for (uint32_t first = 0; first < start->n; first += TOGETHER) {
        double value[TOGETHER];
#pragma unroll
        for (uint32_t g = 0; g < TOGETHER; g++)
            value[g] = kernel_of(candidate, start->x[first + g], start->near[first + g]);
#pragma unroll ROWS_AHEAD
        for (uint32_t j = 0; j < first; j++) {
            const double row = process->rows[(size_t)j * n + i];
#pragma unroll
            for (uint32_t g = 0; g < TOGETHER; g++)
                value[g] = __dsub_rn(value[g], __dmul_rn(start->columns[j][first + g], row));
        }
#pragma unroll
        for (uint32_t g = 0; g < TOGETHER; g++) {
            if (first + g >= start->n)
                continue;
#pragma unroll
            for (uint32_t h = 0; h < g; h++)
                value[g] =
                    __dsub_rn(value[g], __dmul_rn(start->columns[first + h][first + g], value[h]));
            value[g] = __ddiv_rn(value[g], start->diagonal[first + g]);
            process->rows[(size_t)(first + g) * n + i] = value[g];
            mean = __dadd_rn(mean, __dmul_rn(value[g], process->targets[first + g]));
            variance = __dsub_rn(variance, __dmul_rn(value[g], value[g]));
        }
    }
    process->mean[i] = mean;
    process->variance[i] = variance;
}

/* Adds a point, unless its loss is infinite. */
__device__ static void visit(struct process *process, struct best_candidate *best,
                             const double *candidates, const double *losses, uint32_t n,
                             uint32_t index)
{
    const double loss = losses[index];
    if (isinf(loss))
        return;
    add_point(process, candidates, n, index, loss);
    if (loss < best->loss)
        *best = {loss, index};
}

/* The candidate that the process finds most promising: gaussian_process_next(). */
__device__ static uint32_t next_candidate(const struct process *process, double best, uint32_t n)
{
    double least = INFINITY;
    uint32_t chosen = 0;
    for (uint32_t i = threadIdx.x; i < n; i += THREADS) {
        const double variance = process->variance[i];
        const double sd = variance > 0.0 ? sqrt(variance) : 0.0;
        const double excess = __dsub_rn(process->mean[i], best);
        const double z = __ddiv_rn(excess, __dadd_rn(sd, 1e-12));
        const double density =
            __ddiv_rn(exp(__dmul_rn(__dmul_rn(-0.5, z), z)), sqrt(2.0 * 3.14159265358979323846));
        const double tail = erfc(__ddiv_rn(-z, 1.41421356237309504880));
        const double value =
            __dadd_rn(__dmul_rn(__dmul_rn(excess, 0.5), tail), __dmul_rn(sd, density));
        if (value < least) {
            least = value;
            chosen = i;
        }
    }
    double value;
    uint32_t first;
    least_of_block(least, isinf(least) ? 0 : chosen, &value, &first);
    return first;
}

__global__ void __launch_bounds__(THREADS)
    search_bayesian(const double *all_candidates, size_t stride, const double *all_losses,
                    uint32_t n, double *scratch, struct choice *choices)
{
    __shared__ struct process process;
    __shared__ struct start_points start;
    const double *candidates = all_candidates + blockIdx.x * stride;
    const double *losses = all_losses + (size_t)blockIdx.x * n;
    double *own = scratch + (size_t)blockIdx.x * (MOST_POINTS + 2) * n;
    if (threadIdx.x == 0) {
        process.rows = own;
        process.mean = own + (size_t)MOST_POINTS * n;
        process.variance = process.mean + n;
        list_start(&start, candidates, losses, n);
        process.n_points = start.n;
    }
    /* What is computed beyond the last point is of no use, but is a number. */
    for (uint32_t p = threadIdx.x; p < PADDED_POINTS; p += THREADS)
        for (uint32_t j = 0; j < START_POINTS; j++)
            start.columns[j][p] = 0.0;
    __syncthreads();
    for (uint32_t p = start.n + threadIdx.x; p < PADDED_POINTS; p += THREADS) {
        start.x[p] = candidates[0];
        start.near[p] = true;
    }
    solve_start(&process, &start);
    for (uint32_t i = threadIdx.x; i < n; i += THREADS)
        pass_start(&process, &start, candidates[i], n, i);
    __syncthreads();
    struct best_candidate best = {INFINITY, 0};
    for (uint32_t p = 0; p < start.n; p++)
        if (start.y[p] < best.loss)
            best = {start.y[p], start.index[p]};
    for (int i = 0; i < STEPS; i++)
        visit(&process, &best, candidates, losses, n, next_candidate(&process, best.loss, n));
    if (threadIdx.x == 0)
        choices[blockIdx.x] = {candidates[best.index], best.loss};
}

__global__ void __launch_bounds__(THREADS)
    search_exact(const double *all_candidates, size_t stride, const double *all_losses, uint32_t n,
                 struct choice *choices)
{
    const double *losses = all_losses + (size_t)blockIdx.x * n;
    double least = losses[0];
    uint32_t chosen = 0;
    for (uint32_t i = threadIdx.x; i < n; i += THREADS)
        if (losses[i] < least || (losses[i] == least && i < chosen)) {
            least = losses[i];
            chosen = i;
        }
    double loss;
    uint32_t first;
    least_of_block(least, chosen, &loss, &first);
    if (threadIdx.x == 0)
        choices[blockIdx.x] = {all_candidates[blockIdx.x * stride + first], loss};
}

/* Rank of the largest candidate <= value; 0 when there is none. */
__device__ static uint32_t rank_of(const double *candidates, uint32_t n, double value)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (candidates[middle] <= value)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

__global__ void search_random(const double *all_candidates, size_t stride, const double *all_losses,
                              uint32_t n, const double *draws, uint32_t n_draws, uint32_t n_picks,
                              struct choice *choices)
{
    const uint32_t pick = blockIdx.x * blockDim.x + threadIdx.x;
    if (pick >= n_picks)
        return;
    const double *candidates = all_candidates + pick * stride;
    struct choice best = {NAN, INFINITY};
    for (uint32_t i = 0; i < n_draws; i++) {
        const double value = __dadd_rn(__dmul_rn(draws[i], candidates[n - 1]), candidates[0]);
        const double loss = all_losses[(size_t)pick * n + rank_of(candidates, n, value)];
        if (i == 0 || loss < best.loss)
            best = {value, loss};
    }
    choices[pick] = best;
}

size_t search_pick_bytes(const struct backend_search *search, size_t n_rows)
{
    return search->method == REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION
               ? (MOST_POINTS + 2) * n_rows * sizeof(double)
               : 0;
}

enum rejectd_status search_picks(struct backend_session *session, const struct ranks *ranks,
                                 size_t count, const double *losses,
                                 const struct backend_search *search, double *thresholds,
                                 double *chosen_losses, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const double *candidates = ranks->ptp.get();
    const size_t stride = ranks->capacity;
    const uint32_t n = (uint32_t)ranks->n_rows;
    std::vector<struct choice> choices(count);
    device_array<struct choice> found;
    device_array<double> scratch;
    TRY(found.reserve(device, count, error));
    switch (search->method) {
    case REJECTD_THRESHOLD_RANDOM_SEARCH:
        TRY(scratch.upload(device, search->draws, search->n_draws, error));
        CUDA_LAUNCH(search_random, dim3(blocks_for(count, 32)), dim3(32), 0, device->compute,
                    candidates, stride, losses, n, scratch.get(), (uint32_t)search->n_draws,
                    (uint32_t)count, found.get());
        break;
    case REJECTD_THRESHOLD_EXACT:
        CUDA_LAUNCH(search_exact, dim3((unsigned)count), dim3(THREADS), 0, device->compute,
                    candidates, stride, losses, n, found.get());
        break;
    default:
        TRY(scratch.reserve(device, count * (MOST_POINTS + 2) * n, error));
        CUDA_LAUNCH(search_bayesian, dim3((unsigned)count), dim3(THREADS), 0, device->compute,
                    candidates, stride, losses, n, scratch.get(), found.get());
        break;
    }
    CUDA_LAUNCHED("search");
    TRY(download(device, choices.data(), found.get(), count, error));
    for (size_t i = 0; i < count; i++) {
        thresholds[i] = choices[i].threshold;
        chosen_losses[i] = choices[i].loss;
    }
    return REJECTD_OK;
}
