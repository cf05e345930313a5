/*
 * Repaired rows: every one is a row of weights times the samples of its epoch.
 *
 * For splines the weights of a set B of sensors are -inverse(P_BB) P_B. outside B (algorithms of
 * partitioned inverses: worker/algorithm/spline.h); a block factors one set by Cholesky and solves
 * for all its rows. For given weights they are the caller's. From there on both are the same: up
 * to 16 rows of one epoch, of whatever set, are made together, so that the epoch's samples are
 * read once for them.
 */
#include "worker/cuda/session.h"

enum {
    SOLVE_THREADS = 128,
    SHARED_SET = 64, /* sensors of a set whose matrix fits into shared memory */
    TASK_ROWS = 16,
    APPLY_THREADS = 128,
    SAMPLES = 2, /* of a thread */
};

/* A set to repair in one epoch. */
struct set {
    uint32_t first_weights; /* its first row of weights */
    uint32_t first_pick;    /* in the list of picks */
    uint32_t n;
    uint32_t pad;
    size_t matrix; /* where its matrix lies in the scratch, in samples; of large sets */
};

/* Rows of one epoch that are made together. */
struct task {
    uint32_t epoch; /* in the chunk */
    uint32_t n;
    uint32_t first; /* in the list of row numbers of weights; row i of the task is row first + i */
    uint32_t pad;
};

/*
 * weights[row] = -inverse(P_BB) P_B., zero within B. A thread a column: the triangle is solved for
 * all columns at once.
 */
__global__ void __launch_bounds__(SOLVE_THREADS)
    solve_sets(const double *precision, uint32_t n_picks, const struct set *sets,
               const uint16_t *picks, double *scratch, double *weights)
{
    __shared__ double shared[SHARED_SET * (SHARED_SET + 1)];
    const struct set set = sets[blockIdx.x];
    const uint16_t *b = picks + set.first_pick;
    const uint32_t n = set.n;
    const uint32_t stride = n <= SHARED_SET ? (uint32_t)SHARED_SET + 1 : n;
    double *l = n <= SHARED_SET ? shared : scratch + set.matrix;
    for (uint32_t i = threadIdx.x; i < n * n; i += SOLVE_THREADS)
        l[i / n * stride + i % n] = precision[(size_t)b[i / n] * n_picks + b[i % n]];
    __syncthreads();
    for (uint32_t j = 0; j < n; j++) {
        if (threadIdx.x == 0)
            l[j * stride + j] = sqrt(l[j * stride + j]);
        __syncthreads();
        const double diagonal = l[j * stride + j];
        for (uint32_t i = j + 1 + threadIdx.x; i < n; i += SOLVE_THREADS)
            l[i * stride + j] /= diagonal;
        __syncthreads();
        const uint32_t left = n - j - 1;
        for (uint32_t at = threadIdx.x; at < left * left; at += SOLVE_THREADS) {
            const uint32_t i = j + 1 + at / left, k = j + 1 + at % left;
            if (k <= i)
                l[i * stride + k] -= l[i * stride + j] * l[k * stride + j];
        }
        __syncthreads();
    }
    double *w = weights + (size_t)set.first_weights * n_picks;
    for (uint32_t c = threadIdx.x; c < n_picks; c += SOLVE_THREADS) {
        bool inside = false;
        for (uint32_t i = 0; i < n; i++)
            inside |= b[i] == c;
        for (uint32_t i = 0; i < n; i++) {
            double value = inside ? 0.0 : -precision[(size_t)b[i] * n_picks + c];
            for (uint32_t k = 0; k < i; k++)
                value -= l[i * stride + k] * w[(size_t)k * n_picks + c];
            w[(size_t)i * n_picks + c] = value / l[i * stride + i];
        }
        for (uint32_t i = n; i-- > 0;) {
            double value = w[(size_t)i * n_picks + c];
            for (uint32_t k = i + 1; k < n; k++)
                value -= l[k * stride + i] * w[(size_t)k * n_picks + c];
            w[(size_t)i * n_picks + c] = value / l[i * stride + i];
        }
    }
}

/* rows[first + i] = weights[numbers[first + i]] . samples of the epoch. */
template <typename Work>
__global__ void __launch_bounds__(APPLY_THREADS)
    apply_weights(const Work *samples, uint32_t n_picks, uint32_t pitch, const double *weights,
                  const uint32_t *numbers, const struct task *tasks, Work *rows)
{
    enum { PANEL = 32 };
    __shared__ Work panel[PANEL][TASK_ROWS];
    const struct task task = tasks[blockIdx.x];
    const uint32_t t = blockIdx.y * APPLY_THREADS * SAMPLES + threadIdx.x;
    const bool first = t < pitch, second = t + APPLY_THREADS < pitch;
    const Work *x = samples + (size_t)task.epoch * n_picks * pitch;
    Work sum[TASK_ROWS][SAMPLES];
#pragma unroll
    for (int i = 0; i < TASK_ROWS; i++)
        sum[i][0] = sum[i][1] = 0;
    for (uint32_t c0 = 0; c0 < n_picks; c0 += PANEL) {
        __syncthreads();
        for (uint32_t at = threadIdx.x; at < PANEL * TASK_ROWS; at += APPLY_THREADS) {
            const uint32_t i = at / PANEL, c = at % PANEL;
            Work weight = 0;
            if (i < task.n && c0 + c < n_picks)
                weight = (Work)weights[(size_t)numbers[task.first + i] * n_picks + c0 + c];
            panel[c][i] = weight;
        }
        __syncthreads();
        const uint32_t end = n_picks - c0 < PANEL ? n_picks - c0 : (uint32_t)PANEL;
        for (uint32_t c = 0; c < end; c++) {
            const Work *row = x + (size_t)(c0 + c) * pitch;
            const Work a = first ? row[t] : (Work)0;
            const Work b = second ? row[t + APPLY_THREADS] : (Work)0;
#pragma unroll
            for (int i = 0; i < TASK_ROWS; i++) {
                sum[i][0] += panel[c][i] * a;
                sum[i][1] += panel[c][i] * b;
            }
        }
    }
#pragma unroll
    for (int i = 0; i < TASK_ROWS; i++) {
        if ((uint32_t)i >= task.n)
            continue;
        Work *out = rows + (size_t)(task.first + (uint32_t)i) * pitch;
        if (first)
            out[t] = sum[i][0];
        if (second)
            out[t + APPLY_THREADS] = sum[i][1];
    }
}

static size_t prefix_of(const struct repaired_rows &repaired, size_t value, size_t epoch)
{
    return repaired.prefix[value * (repaired.first_row.size() - 1) + epoch];
}

/* Copies the lists: they are asked for long after the call. */
static void take_lists(struct backend_session *session, const struct backend_repairs *repairs)
{
    struct repaired_rows &repaired = session->repaired;
    const size_t n = repairs->n_epochs, listed = repairs->offsets[n];
    repaired.offsets.assign(repairs->offsets, repairs->offsets + n + 1);
    repaired.picks.assign(repairs->channels, repairs->channels + listed);
    repaired.prefix.assign(repairs->prefix, repairs->prefix + repairs->n_values * n);
    repaired.n_values = repairs->n_values;
    repaired.first_row.assign(n + 1, 0);
    for (size_t e = 0; e < n; e++) {
        size_t rows = 0;
        for (size_t v = 0; v < repairs->n_values; v++)
            rows += repairs->prefix[v * n + e];
        repaired.first_row[e + 1] = repaired.first_row[e] + rows;
    }
    repaired.on_device.clear();
    repaired.on_host.clear();
}

/* A chunk of epochs on its way. */
struct chunk_work {
    std::vector<struct set> sets;
    std::vector<uint16_t> picks;
    std::vector<struct task> tasks;
    std::vector<uint32_t> numbers; /* of weights, row by row */
    size_t matrices;               /* of large sets, in samples */
    device_array<struct set> device_sets;
    device_array<uint16_t> device_picks;
    device_array<struct task> device_tasks;
    device_array<uint32_t> device_numbers;
    device_array<double> scratch, weights;
    device_array<unsigned char> samples, rows;
};

/* Lists the tasks of epochs e..e+n-1, and with sets (their weights are made here) those too. */
static void list_chunk(const struct backend_session *session, size_t e, size_t n,
                       const struct backend_weights *given, struct chunk_work *work)
{
    const struct repaired_rows &repaired = session->repaired;
    const size_t base = repaired.first_row[e], listed = repaired.picks.size();
    work->sets.clear();
    work->picks.clear();
    work->tasks.clear();
    work->numbers.clear();
    work->matrices = 0;
    for (size_t i = e; i < e + n; i++) {
        for (size_t v = 0; v < repaired.n_values; v++) {
            const size_t size = prefix_of(repaired, v, i), from = repaired.offsets[i];
            if (size == 0)
                continue;
            const uint32_t row = (uint32_t)work->numbers.size();
            for (size_t b = 0; b < size; b++)
                work->numbers.push_back(given != nullptr ? given->row[v * listed + from + b]
                                                         : row + (uint32_t)b);
            if (given != nullptr)
                continue;
            work->sets.push_back({row, (uint32_t)work->picks.size(), (uint32_t)size, 0,
                                  size > SHARED_SET ? work->matrices : 0});
            work->matrices += size > SHARED_SET ? size * size : 0;
            work->picks.insert(work->picks.end(), repaired.picks.begin() + (ptrdiff_t)from,
                               repaired.picks.begin() + (ptrdiff_t)(from + size));
        }
        const size_t end = repaired.first_row[i + 1] - base;
        for (size_t row = repaired.first_row[i] - base; row < end; row += TASK_ROWS)
            work->tasks.push_back(
                {(uint32_t)(i - e),
                 (uint32_t)(end - row < TASK_ROWS ? end - row : (size_t)TASK_ROWS), (uint32_t)row,
                 0});
    }
}

/* Repairs one chunk into rows [of the chunk][pitch]. */
template <typename Work>
static enum rejectd_status repair_chunk(struct backend_session *session, const Work *samples,
                                        const double *precision, const double *given_weights,
                                        struct chunk_work *work, Work *rows,
                                        struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const uint32_t c = (uint32_t)session->n_picks, pitch = (uint32_t)session->pitch;
    const double *weights = given_weights;
    TRY(work->device_tasks.upload(device, work->tasks.data(), work->tasks.size(), error));
    TRY(work->device_numbers.upload(device, work->numbers.data(), work->numbers.size(), error));
    if (given_weights == nullptr) {
        TRY(work->device_sets.upload(device, work->sets.data(), work->sets.size(), error));
        TRY(work->device_picks.upload(device, work->picks.data(), work->picks.size(), error));
        TRY(work->scratch.reserve(device, work->matrices + 1, error));
        TRY(work->weights.reserve(device, work->numbers.size() * c, error));
        CUDA_LAUNCH(solve_sets, dim3((unsigned)work->sets.size()), dim3(SOLVE_THREADS), 0,
                    device->compute, precision, c, work->device_sets.get(),
                    work->device_picks.get(), work->scratch.get(), work->weights.get());
        CUDA_LAUNCHED("solve_sets");
        weights = work->weights.get();
    }
    CUDA_LAUNCH((apply_weights<Work>),
                dim3((unsigned)work->tasks.size(), blocks_for(pitch, APPLY_THREADS * SAMPLES)),
                dim3(APPLY_THREADS), 0, device->compute, samples, c, pitch, weights,
                work->device_numbers.get(), work->device_tasks.get(), rows);
    CUDA_LAUNCHED("apply_weights");
    return REJECTD_OK;
}

/* How many epochs of rows and weights to make at a time, and whether all rows stay. */
static size_t plan_chunks(struct backend_session *session, bool *stay)
{
    const struct repaired_rows &repaired = session->repaired;
    const size_t rows = repaired.first_row.back();
    const size_t row_bytes = session->pitch * session->work_size;
    const size_t weight_bytes = session->n_picks * sizeof(double);
    const size_t per_epoch = rows / session->n_epochs + 1;
    /* Half at most: the grid needs its cells as well. */
    *stay = rows * row_bytes <= device_available(session->device) / 2;
    return session_chunk(session, per_epoch * (weight_bytes + (*stay ? 2 : 3) * row_bytes));
}

template <typename Work>
static enum rejectd_status repair_all(struct backend_session *session, const double *precision,
                                      const struct backend_weights *given,
                                      struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    struct repaired_rows &repaired = session->repaired;
    const size_t n_epochs = session->n_epochs, c = session->n_picks, pitch = session->pitch;
    const size_t n_rows = repaired.first_row.back();
    device_array<double> device_precision, device_weights;
    struct chunk_work work;
    bool stay;
    if (n_rows == 0)
        return session_advance(session, 1.0, error);
    CUDA_LAUNCHED("until_the_repairs");
    if (given != nullptr)
        TRY(device_weights.upload(device, given->rows, given->n_rows * c, error));
    else
        TRY(device_precision.upload(device, precision, c * c, error));
    const size_t chunk = plan_chunks(session, &stay);
    if (stay)
        TRY(repaired.on_device.reserve(device, n_rows * pitch * sizeof(Work), error));
    else
        repaired.on_host.resize(n_rows * pitch * sizeof(Work));
    for (size_t e = 0; e < n_epochs; e += chunk) {
        const size_t left = n_epochs - e, n = left < chunk ? left : chunk;
        const size_t first = repaired.first_row[e], rows = repaired.first_row[e + n] - first;
        const Work *samples;
        if (rows == 0)
            continue;
        list_chunk(session, e, n, given, &work);
        CUDA_LAUNCHED("lists_of_repairs");
        TRY(session_epochs<Work>(session, e, n, &work.samples, &samples, error));
        Work *out = (Work *)repaired.on_device.get() + first * pitch;
        if (!stay) {
            TRY(work.rows.reserve(device, rows * pitch * sizeof(Work), error));
            out = (Work *)work.rows.get();
        }
        TRY(repair_chunk<Work>(session, samples, device_precision.get(),
                               given != nullptr ? device_weights.get() : nullptr, &work, out,
                               error));
        if (!stay)
            TRY(download(device, (Work *)repaired.on_host.data() + first * pitch, out, rows * pitch,
                         error));
        TRY(device_wait(device, error));
        TRY(session_advance(session, (double)(e + n) / (double)n_epochs, error));
    }
    return REJECTD_OK;
}

enum rejectd_status cuda_interpolate_epochs(struct backend_session *session,
                                            const double *precision,
                                            const struct backend_repairs *repairs,
                                            struct rejectd_error *error)
{
    session_forget_predictions(session);
    take_lists(session, repairs);
    return FOR_WORK(session, repair_all, session, precision, nullptr, error);
}

enum rejectd_status cuda_weigh_epochs(struct backend_session *session,
                                      const struct backend_weights *weights,
                                      const struct backend_repairs *repairs,
                                      struct rejectd_error *error)
{
    session_forget_predictions(session);
    take_lists(session, repairs);
    return FOR_WORK(session, repair_all, session, nullptr, weights, error);
}

template <typename Work>
static void copy_repaired(const struct backend_session *session, size_t first, size_t n,
                          double *rows)
{
    const Work *from = (const Work *)session->repaired.on_host.data() + first * session->pitch;
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < session->n_times; t++)
            rows[i * session->n_times + t] = (double)from[i * session->pitch + t];
}

enum rejectd_status cuda_read_repaired(struct backend_session *session, size_t epoch, size_t value,
                                       double *rows, struct rejectd_error *error)
{
    struct repaired_rows &repaired = session->repaired;
    const size_t n = prefix_of(repaired, value, epoch);
    if (n == 0)
        return REJECTD_OK;
    if (repaired.on_host.empty()) {
        /* Whoever reads one epoch reads the others, too. */
        repaired.on_host.resize(repaired.first_row.back() * session->pitch * session->work_size);
        TRY(download(session->device, repaired.on_host.data(), repaired.on_device.get(),
                     repaired.on_host.size(), error));
    }
    size_t first = repaired.first_row[epoch];
    for (size_t v = 0; v < value; v++)
        first += prefix_of(repaired, v, epoch);
    if (session->work == REJECTD_FLOAT32)
        copy_repaired<float>(session, first, n, rows);
    else
        copy_repaired<double>(session, first, n, rows);
    return REJECTD_OK;
}
