/*
 * Field maps of many sets of sensors, a batch of eigenproblems at a time.
 *
 * The matrix of a set, whitened and projected, is gathered into a square whose side is the next
 * multiple of MAP_RUNG, with zeros beside it. The zeros are eigenvalues of their own, whose
 * vectors have nothing to do with the sensors, and of no magnitude: the sum that decides where to
 * cut does not notice them. The side depends on the set alone, and a batch that is too small is
 * filled up with matrices of zeros (sizes.h says why), so that the batch does not show in what is
 * found for a set.
 *
 * With P S P = S - sum over v of (b_v h_v' + h_v b_v') for the rows b_v of the basis,
 *   h_v = S b_v - 1/2 sum over w of (b_v' S b_w) b_w,
 * projecting costs a product of the matrix for each row and one pass over the matrix.
 *
 * The eigenvectors meet the columns of a set up to MAP_ROWS at a time: each is read once for all
 * of them to find their shares, and once to add it up. Neither K+ nor a product of it is made.
 */
#include "worker/cuda/map_sets.h"

#include <algorithm>
#include <cfloat>
#include <numeric>
#include <vector>

#include "worker/cuda/session.h"

#if CUDA_HAS_BATCHED_EIGENVECTORS

enum {
    MAP_THREADS = 128,
    MAP_ROWS = 8,
    WARP = 32,
};

/* What of a set's eigenvalues is kept. */
struct chosen {
    uint32_t n_low, n_high; /* from the lower and from the upper end */
    uint32_t sure;          /* 1: rounding had no part in it */
};

/* Rows of one set that are made together. */
struct map_task {
    uint32_t set;
    uint32_t first, n;
};

/* The sets of a batch on the device, and what is made of them. */
struct batch_view {
    const double *matrix, *scale; /* [n][n], [n] */
    uint32_t n, side, n_basis;
    const uint16_t *from;    /* [sets][side] the sensors that a set keeps, */
    const uint32_t *kept;    /* [sets] so many */
    const uint32_t *row_set; /* [rows] */
    const uint16_t *to;      /* [rows] */
    const double *basis;     /* [sets][n_basis][n] */
    double *rest;            /* [sets][n_basis][n]: h */
    double *squares;         /* [sets][side][side]: matrices, then eigenvectors, row by row */
    double *values;          /* [sets][side] */
    double *columns;         /* [rows][side] whitened and projected */
    double *along;           /* [rows][side] by the eigenvectors, over their eigenvalues */
    double *rows;            /* [rows][n] weights */
};

/* rest = S b, a thread for each sensor of each row of a basis. */
__global__ void __launch_bounds__(MAP_THREADS) multiply_basis(struct batch_view batch)
{
    const uint32_t c = blockIdx.y * MAP_THREADS + threadIdx.x, n = batch.n;
    const double *b = batch.basis + (size_t)blockIdx.x * n;
    double sum = 0.0;
    if (c >= n)
        return;
    for (uint32_t j = 0; j < n; j++)
        sum += batch.matrix[(size_t)j * n + c] * b[j];
    batch.rest[(size_t)blockIdx.x * n + c] = sum;
}

/* inner[v] = basis [n_basis][n] row v . x, by all threads of a block, for all of them. */
__device__ static void project(const double *basis, uint32_t n_basis, uint32_t n, const double *x,
                               double *inner)
{
    for (uint32_t v = threadIdx.x; v < n_basis; v += MAP_THREADS) {
        double sum = 0.0;
        for (uint32_t c = 0; c < n; c++)
            sum += basis[(size_t)v * n + c] * x[c];
        inner[v] = sum;
    }
    __syncthreads();
}

/* rest = h, in place; a block for each row of each basis. */
__global__ void __launch_bounds__(MAP_THREADS) finish_rest(struct batch_view batch)
{
    CUDA_DYNAMIC_SHARED(double, inner); /* [n_basis] */
    const uint32_t n = batch.n;
    const double *basis = batch.basis + (size_t)blockIdx.y * batch.n_basis * n;
    double *rest = batch.rest + ((size_t)blockIdx.y * batch.n_basis + blockIdx.x) * n;
    project(basis, batch.n_basis, n, rest, inner);
    for (uint32_t c = threadIdx.x; c < n; c += MAP_THREADS) {
        double sum = 0.0;
        for (uint32_t w = 0; w < batch.n_basis; w++)
            sum += inner[w] * basis[(size_t)w * n + c];
        rest[c] -= 0.5 * sum;
    }
}

/* The matrices K. */
__global__ void __launch_bounds__(MAP_THREADS) gather_matrices(struct batch_view batch)
{
    const uint32_t at = blockIdx.x * MAP_THREADS + threadIdx.x, set = blockIdx.y;
    const uint32_t side = batch.side, i = at / side, j = at % side, n = batch.n;
    const uint16_t *from = batch.from + (size_t)set * side;
    double value = 0.0;
    if (i >= side)
        return;
    if (i < batch.kept[set] && j < batch.kept[set]) {
        const uint32_t a = from[i], b = from[j];
        value = batch.matrix[(size_t)a * n + b];
        for (uint32_t v = 0; v < batch.n_basis; v++) {
            const size_t row = ((size_t)set * batch.n_basis + v) * n;
            value -= batch.basis[row + a] * batch.rest[row + b] +
                     batch.rest[row + a] * batch.basis[row + b];
        }
        value *= batch.scale[a] * batch.scale[b];
    }
    batch.squares[((size_t)set * side + i) * side + j] = value;
}

/* The columns W P S_Rb; a block for each. */
__global__ void __launch_bounds__(MAP_THREADS) gather_columns(struct batch_view batch)
{
    CUDA_DYNAMIC_SHARED(double, along); /* [n_basis] */
    const uint32_t set = batch.row_set[blockIdx.x], n = batch.n, side = batch.side;
    const double *column = batch.matrix + (size_t)batch.to[blockIdx.x] * n;
    const double *basis = batch.basis + (size_t)set * batch.n_basis * n;
    const uint16_t *from = batch.from + (size_t)set * side;
    project(basis, batch.n_basis, n, column, along);
    for (uint32_t i = threadIdx.x; i < side; i += MAP_THREADS) {
        double value = 0.0;
        if (i < batch.kept[set]) {
            value = column[from[i]];
            for (uint32_t v = 0; v < batch.n_basis; v++)
                value -= along[v] * basis[(size_t)v * n + from[i]];
            value *= batch.scale[from[i]];
        }
        batch.columns[(size_t)blockIdx.x * side + i] = value;
    }
}

/*
 * What to keep of each set, a thread a set: as the host does it (worker/meg/mapping.c). Eigenvalues
 * are known to some multiples of the rounding of the largest; what is decided by less than that is
 * not sure.
 */
__global__ void __launch_bounds__(MAP_THREADS)
    choose_values(struct batch_view batch, uint32_t n_sets, double miss, const int *info,
                  struct chosen *chosen)
{
    const uint32_t set = blockIdx.x * MAP_THREADS + threadIdx.x, n = batch.side;
    if (set >= n_sets)
        return;
    const double *values = batch.values + (size_t)set * n;
    double total = 0.0, sum = 0.0, last = 0.0;
    for (uint32_t i = 0; i < n; i++)
        total += fabs(values[i]);
    const double limit = (1.0 - miss) * total;
    const double rounding = 4.0 * n * DBL_EPSILON;
    uint32_t low = 0, high = 0;
    while (low + high < n && sum < limit) {
        const double below = fabs(values[low]), above = fabs(values[n - 1 - high]);
        if (below > above)
            low++;
        else
            high++;
        last = below > above ? below : above;
        sum += last;
    }
    double next = 0.0, largest = 0.0;
    if (low + high < n)
        next = fmax(fabs(values[low]), fabs(values[n - 1 - high]));
    if (n > 0)
        largest = fmax(fabs(values[0]), fabs(values[n - 1]));
    const bool possible = info[set] == 0 && total > 0.0 && isfinite(total);
    const bool clear = sum - limit > rounding * total && limit - (sum - last) > rounding * total &&
                       (low + high == n || last - next > rounding * largest);
    chosen[set] = {low, high, possible && clear ? 1u : 0u};
}

/* Eigenvector number k of those that are kept: the upper end first, as the host adds them up. */
__device__ static uint32_t kept_vector(const struct chosen &chosen, uint32_t side, uint32_t k)
{
    return k < chosen.n_high ? side - chosen.n_high + k : k - chosen.n_high;
}

/* The weights of up to MAP_ROWS rows of a set, a block for them. */
__global__ void __launch_bounds__(MAP_THREADS)
    apply_vectors(struct batch_view batch, const struct map_task *tasks,
                  const struct chosen *all_chosen)
{
    const struct map_task task = tasks[blockIdx.x];
    const struct chosen chosen = all_chosen[task.set];
    const uint32_t side = batch.side, n_kept = chosen.n_low + chosen.n_high;
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const double *vectors = batch.squares + (size_t)task.set * side * side;
    const double *values = batch.values + (size_t)task.set * side;
    const double *columns = batch.columns + (size_t)task.first * side;
    double *along = batch.along + (size_t)task.first * side;
    if (chosen.sure == 0)
        return;
    for (uint32_t k = warp; k < n_kept; k += MAP_THREADS / WARP) {
        const uint32_t number = kept_vector(chosen, side, k);
        const double *vector = vectors + (size_t)number * side;
        double sums[MAP_ROWS] = {0.0};
        for (uint32_t i = lane; i < side; i += WARP) {
            const double value = vector[i];
#pragma unroll
            for (uint32_t r = 0; r < MAP_ROWS; r++)
                if (r < task.n)
                    sums[r] += value * columns[(size_t)r * side + i];
        }
#pragma unroll
        for (uint32_t r = 0; r < MAP_ROWS; r++) {
            if (r >= task.n)
                continue;
            for (uint32_t step = WARP / 2; step > 0; step /= 2)
                sums[r] += __shfl_down_sync(0xffffffffu, sums[r], step);
            if (lane == 0)
                along[(size_t)r * side + k] = sums[r] / values[number];
        }
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < batch.kept[task.set]; i += MAP_THREADS) {
        const uint32_t sensor = batch.from[(size_t)task.set * side + i];
        double sums[MAP_ROWS] = {0.0};
        for (uint32_t k = 0; k < n_kept; k++) {
            const double value = vectors[(size_t)kept_vector(chosen, side, k) * side + i];
#pragma unroll
            for (uint32_t r = 0; r < MAP_ROWS; r++)
                if (r < task.n)
                    sums[r] += along[(size_t)r * side + k] * value;
        }
#pragma unroll
        for (uint32_t r = 0; r < MAP_ROWS; r++)
            if (r < task.n)
                batch.rows[(size_t)(task.first + r) * batch.n + sensor] =
                    sums[r] * batch.scale[sensor];
    }
}

/* ---- batches ---- */

/* The sets of a batch, listed for the device. */
struct batch_lists {
    size_t side;
    std::vector<uint16_t> from, to;
    std::vector<uint32_t> kept, row_set;
    std::vector<struct map_task> tasks;
    std::vector<double> basis;
};

struct solver_room {
    size_t device_bytes, host_bytes;
};

/* What one call works with: the sets in the order of their sides. */
struct map_work {
    struct backend_device *device;
    const struct backend_map_sets *sets;
    size_t n;
    std::vector<uint32_t> order;
    device_array<double> matrix, scale;
};

static size_t left_out_of(const struct backend_map_sets *sets, size_t set)
{
    return sets->offsets[set + 1] - sets->offsets[set];
}

static size_t side_of(const struct map_work *work, size_t set)
{
    const size_t kept = work->n - left_out_of(work->sets, set);
    return (kept + MAP_RUNG - 1) / MAP_RUNG * MAP_RUNG;
}

static enum rejectd_status ask_room(struct backend_device *device, size_t side, size_t n_sets,
                                    struct solver_room *room, struct rejectd_error *error)
{
    return device_check_solver(
        device,
        cusolverDnXsyevBatched_bufferSize(
            device->solver, device->solver_parameters, CUSOLVER_EIG_MODE_VECTOR,
            CUBLAS_FILL_MODE_LOWER, (int64_t)side, CUDA_R_64F, nullptr, (int64_t)side, CUDA_R_64F,
            nullptr, CUDA_R_64F, &room->device_bytes, &room->host_bytes, (int64_t)n_sets),
        "cusolverDnXsyevBatched_bufferSize", error);
}

/* squares <- eigenvectors; `info` tells of each matrix. `host` is in use until the next wait. */
static enum rejectd_status solve(struct backend_device *device, size_t side, size_t n_sets,
                                 double *squares, double *values, int *info,
                                 device_array<unsigned char> *memory,
                                 std::vector<unsigned char> *host, struct rejectd_error *error)
{
    struct solver_room room;
    TRY(ask_room(device, side, n_sets, &room, error));
    TRY(memory->reserve(device, room.device_bytes + 1, error));
    host->resize(room.host_bytes + 1);
    return device_check_solver(
        device,
        cusolverDnXsyevBatched(device->solver, device->solver_parameters, CUSOLVER_EIG_MODE_VECTOR,
                               CUBLAS_FILL_MODE_LOWER, (int64_t)side, CUDA_R_64F, squares,
                               (int64_t)side, CUDA_R_64F, values, CUDA_R_64F, memory->get(),
                               room.device_bytes, host->data(), room.host_bytes, info,
                               (int64_t)n_sets),
        "cusolverDnXsyevBatched", error);
}

/* Sets of one side that are solved together, and matrices that there are with those of zeros. */
struct batch_plan {
    size_t n_sets, n_matrices;
};

/* `n_sets` sets, where memory is for `most`. */
static struct batch_plan filled_up(size_t side, size_t n_sets, size_t most)
{
    const size_t whole = side <= MAP_ALIKE ? (size_t)MAP_LEAST : (size_t)MAP_TOGETHER;
    const bool possible = side <= MAP_ALIKE || most >= MAP_TOGETHER;
    return {n_sets, possible && n_sets < whole ? whole : n_sets};
}

/* Bytes of the device that a batch takes. */
static enum rejectd_status batch_bytes(const struct map_work *work, size_t first,
                                       const struct batch_plan &plan, size_t *bytes,
                                       struct rejectd_error *error)
{
    const struct backend_map_sets *sets = work->sets;
    const size_t side = side_of(work, work->order[first]), n = work->n;
    struct solver_room room;
    size_t rows = 0;
    TRY(ask_room(work->device, side, plan.n_matrices, &room, error));
    for (size_t s = 0; s < plan.n_sets; s++)
        rows += left_out_of(sets, work->order[first + s]);
    const size_t matrix = (side * side + side) * sizeof(double) + sizeof(int);
    const size_t set = side * sizeof(uint16_t) + 2 * sets->n_basis * n * sizeof(double) +
                       sizeof(struct chosen) + sizeof(uint32_t);
    const size_t row = (2 * side + n) * sizeof(double) + sizeof(struct map_task) +
                       sizeof(uint32_t) + sizeof(uint16_t);
    *bytes = room.device_bytes + plan.n_matrices * matrix + plan.n_sets * set + rows * row +
             2 * sizeof(double) + 1;
    return REJECTD_OK;
}

/* What to solve together from `first` on: sets of one side, `most` or as many as fit; one at least.
 */
static enum rejectd_status plan_batch(const struct map_work *work, size_t first, size_t most,
                                      struct batch_plan *plan, struct rejectd_error *error)
{
    const size_t side = side_of(work, work->order[first]);
    const size_t available = device_available(work->device);
    const size_t together = side <= MAP_ALIKE ? (size_t)MAP_BATCH : (size_t)MAP_TOGETHER;
    size_t n_sets = 1, bytes;
    while (n_sets < together && first + n_sets < work->order.size() &&
           side_of(work, work->order[first + n_sets]) == side)
        n_sets++;
    for (;;) {
        *plan = filled_up(side, n_sets < most ? n_sets : most, most);
        TRY(batch_bytes(work, first, *plan, &bytes, error));
        if (bytes <= available || most == 1) {
            work->device->n_shortages += plan->n_sets < n_sets;
            return REJECTD_OK;
        }
        const double share = (double)available / (double)bytes * (double)plan->n_matrices;
        most = std::max<size_t>(1, std::min(most - 1, (size_t)share));
    }
}

static void list_batch(const struct map_work *work, size_t first, size_t n_sets,
                       struct batch_lists *lists)
{
    const struct backend_map_sets *sets = work->sets;
    const size_t n = work->n, basis = sets->n_basis * n;
    lists->side = side_of(work, work->order[first]);
    lists->from.assign(n_sets * lists->side, 0);
    for (size_t s = 0; s < n_sets; s++) {
        const size_t set = work->order[first + s], count = left_out_of(sets, set);
        const uint16_t *out = sets->left_out + sets->offsets[set];
        uint16_t *from = lists->from.data() + s * lists->side;
        size_t n_from = 0, n_out = 0;
        for (size_t c = 0; c < n; c++)
            if (n_out < count && out[n_out] == c)
                n_out++;
            else
                from[n_from++] = (uint16_t)c;
        lists->kept.push_back((uint32_t)n_from);
        for (size_t b = 0; b < count; b += MAP_ROWS)
            lists->tasks.push_back({(uint32_t)s, (uint32_t)(lists->to.size() + b),
                                    (uint32_t)std::min<size_t>(count - b, MAP_ROWS)});
        lists->to.insert(lists->to.end(), out, out + count);
        lists->row_set.insert(lists->row_set.end(), count, (uint32_t)s);
        if (basis > 0)
            lists->basis.insert(lists->basis.end(), sets->basis + set * basis,
                                sets->basis + (set + 1) * basis);
    }
}

/* A batch on the device. */
struct batch_memory {
    device_array<uint16_t> from, to;
    device_array<uint32_t> kept, row_set;
    device_array<struct map_task> tasks;
    device_array<struct chosen> chosen;
    device_array<int> info;
    device_array<double> basis, rest, squares, values, columns, along, rows;
    device_array<unsigned char> solver;
};

static enum rejectd_status place_batch(const struct map_work *work, const struct batch_lists &lists,
                                       size_t n_matrices, struct batch_memory *memory,
                                       struct batch_view *view, struct rejectd_error *error)
{
    struct backend_device *device = work->device;
    const size_t n_sets = lists.kept.size(), n_rows = lists.to.size(), side = lists.side;
    TRY(memory->from.upload(device, lists.from.data(), lists.from.size(), error));
    TRY(memory->to.upload(device, lists.to.data(), n_rows, error));
    TRY(memory->kept.upload(device, lists.kept.data(), n_sets, error));
    TRY(memory->row_set.upload(device, lists.row_set.data(), n_rows, error));
    TRY(memory->tasks.upload(device, lists.tasks.data(), lists.tasks.size(), error));
    TRY(memory->basis.upload(device, lists.basis.data(), lists.basis.size(), error));
    TRY(memory->rest.reserve(device, lists.basis.size() + 1, error));
    TRY(memory->chosen.reserve(device, n_sets, error));
    TRY(memory->info.reserve(device, n_matrices, error));
    TRY(memory->squares.reserve(device, n_matrices * side * side, error));
    TRY(memory->values.reserve(device, n_matrices * side, error));
    TRY(memory->columns.reserve(device, n_rows * side, error));
    TRY(memory->along.reserve(device, n_rows * side, error));
    TRY(memory->rows.reserve(device, n_rows * work->n, error));
    *view = {work->matrix.get(),
             work->scale.get(),
             (uint32_t)work->n,
             (uint32_t)side,
             (uint32_t)work->sets->n_basis,
             memory->from.get(),
             memory->kept.get(),
             memory->row_set.get(),
             memory->to.get(),
             memory->basis.get(),
             memory->rest.get(),
             memory->squares.get(),
             memory->values.get(),
             memory->columns.get(),
             memory->along.get(),
             memory->rows.get()};
    return REJECTD_OK;
}

static enum rejectd_status gather(struct backend_device *device, const struct batch_view &view,
                                  const struct batch_plan &plan, size_t n_rows,
                                  struct rejectd_error *error)
{
    const size_t inner = view.n_basis * sizeof(double), square = (size_t)view.side * view.side;
    const size_t n_sets = plan.n_sets;
    if (view.n_basis > 0) {
        CUDA_LAUNCH(multiply_basis,
                    dim3((unsigned)(n_sets * view.n_basis), blocks_for(view.n, MAP_THREADS)),
                    dim3(MAP_THREADS), 0, device->compute, view);
        CUDA_LAUNCHED("multiply_basis");
        CUDA_LAUNCH(finish_rest, dim3(view.n_basis, (unsigned)n_sets), dim3(MAP_THREADS), inner,
                    device->compute, view);
        CUDA_LAUNCHED("finish_rest");
    }
    CUDA_LAUNCH(gather_matrices, dim3(blocks_for(square, MAP_THREADS), (unsigned)n_sets),
                dim3(MAP_THREADS), 0, device->compute, view);
    CUDA_LAUNCHED("gather_matrices");
    CUDA_TRY(cudaMemsetAsync(view.squares + n_sets * square, 0,
                             (plan.n_matrices - n_sets) * square * sizeof(double),
                             device->compute));
    CUDA_LAUNCH(gather_columns, dim3((unsigned)n_rows), dim3(MAP_THREADS), inner, device->compute,
                view);
    CUDA_LAUNCHED("gather_columns");
    return REJECTD_OK;
}

/* Solves the sets of a plan, from `first` on in the order. */
static enum rejectd_status solve_batch(const struct map_work *work, size_t first,
                                       const struct batch_plan &plan, double *rows, uint8_t *solved,
                                       struct rejectd_error *error)
{
    struct backend_device *device = work->device;
    const struct backend_map_sets *sets = work->sets;
    const size_t n = work->n, n_sets = plan.n_sets;
    struct batch_lists lists = {};
    struct batch_memory memory;
    struct batch_view view;
    std::vector<unsigned char> solver_host;
    list_batch(work, first, n_sets, &lists);
    const size_t n_rows = lists.to.size();
    std::vector<double> made(n_rows * n);
    std::vector<struct chosen> chosen(n_sets);
    /* What was queued from these lists has to be over before they go. */
    enum rejectd_status status = place_batch(work, lists, plan.n_matrices, &memory, &view, error);
    if (status != REJECTD_OK) {
        cudaStreamSynchronize(device->compute);
        return status;
    }
    TRY(device_wait(device, error));
    TRY(gather(device, view, plan, n_rows, error));
    TRY(solve(device, lists.side, plan.n_matrices, view.squares, view.values, memory.info.get(),
              &memory.solver, &solver_host, error));
    CUDA_LAUNCHED("eigenvectors");
    CUDA_LAUNCH(choose_values, dim3(blocks_for(n_sets, MAP_THREADS)), dim3(MAP_THREADS), 0,
                device->compute, view, (uint32_t)n_sets, sets->miss, memory.info.get(),
                memory.chosen.get());
    CUDA_LAUNCHED("choose_values");
    CUDA_TRY(cudaMemsetAsync(view.rows, 0, n_rows * n * sizeof(double), device->compute));
    CUDA_LAUNCH(apply_vectors, dim3((unsigned)lists.tasks.size()), dim3(MAP_THREADS), 0,
                device->compute, view, memory.tasks.get(), memory.chosen.get());
    CUDA_LAUNCHED("apply_vectors");
    TRY(download(device, chosen.data(), memory.chosen.get(), n_sets, error));
    TRY(download(device, made.data(), view.rows, n_rows * n, error));
    const double *from = made.data();
    for (size_t s = 0; s < n_sets; s++) {
        const size_t set = work->order[first + s], count = left_out_of(sets, set) * n;
        memcpy(rows + sets->offsets[set] * n, from, count * sizeof *rows);
        from += count;
        solved[set] = chosen[s].sure != 0;
    }
    return REJECTD_OK;
}

enum rejectd_status cuda_map_sets(struct backend_session *session,
                                  const struct backend_map_sets *sets, double *rows,
                                  uint8_t *solved, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    struct map_work work = {};
    size_t most = MAP_BATCH;
    session_forget_predictions(session);
    work.device = device;
    work.sets = sets;
    work.n = session->n_picks;
    work.order.resize(sets->n_sets);
    std::iota(work.order.begin(), work.order.end(), 0u);
    std::stable_sort(work.order.begin(), work.order.end(), [&work](uint32_t a, uint32_t b) {
        return side_of(&work, a) < side_of(&work, b);
    });
    CUDA_LAUNCHED("until_the_maps");
    TRY(work.matrix.upload(device, sets->matrix, work.n * work.n, error));
    TRY(work.scale.upload(device, sets->scale, work.n, error));
    for (size_t first = 0; first < sets->n_sets;) {
        struct batch_plan plan;
        TRY(plan_batch(&work, first, most, &plan, error));
        const enum rejectd_status status = solve_batch(&work, first, plan, rows, solved, error);
        if (most > 1 && device_is_short(device, status)) {
            /* There was less room than it seemed. */
            most = std::max<size_t>(1, std::min(most, plan.n_matrices) / 2);
            continue;
        }
        if (status != REJECTD_OK)
            return status;
        first += plan.n_sets;
        TRY(session_advance(session, 0.0, error)); /* to stop; the caller knows how far it is */
    }
    return REJECTD_OK;
}

/* Solves so many matrices of zeros of a side. */
static enum rejectd_status solve_zeros(struct backend_device *device, size_t side, size_t n,
                                       struct rejectd_error *error)
{
    device_array<double> squares;
    device_array<int> info;
    device_array<unsigned char> memory;
    std::vector<unsigned char> host;
    TRY(squares.reserve(device, n * (side * side + side), error));
    TRY(info.reserve(device, n, error));
    CUDA_TRY(cudaMemsetAsync(squares.get(), 0, squares.bytes(), device->compute));
    TRY(solve(device, side, n, squares.get(), squares.get() + n * side * side, info.get(), &memory,
              &host, error));
    return device_wait(device, error);
}

enum rejectd_status map_sets_warm_up(struct backend_device *device, struct rejectd_error *error)
{
    /* Each is another way of cuSOLVER's: for the least matrices, and to both sides of MAP_ALIKE. */
    static const size_t sides[] = {4 * MAP_RUNG, 5 * MAP_RUNG, MAP_ALIKE + MAP_RUNG};
    for (size_t side : sides) {
        const enum rejectd_status status = solve_zeros(device, side, MAP_LEAST, error);
        if (status == REJECTD_DEVICE_MEMORY)
            return REJECTD_OK; /* the budget is for less than this */
        if (status != REJECTD_OK)
            return status;
    }
    return REJECTD_OK;
}

#else

enum rejectd_status map_sets_warm_up(struct backend_device *, struct rejectd_error *)
{
    return REJECTD_OK;
}

#endif
