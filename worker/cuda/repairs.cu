/*
 * Repaired rows: every one is a row of weights times the samples of its epoch.
 *
 * For splines the weights of a set B of sensors are -inverse(P_BB) P_B. outside B (algorithms of
 * partitioned inverses: worker/algorithm/spline.h); a block factors one set by Cholesky and solves
 * for all its rows. Given weights are the caller's, those that a chunk of epochs uses at a time.
 * From there on both are the same: up to 16 rows of one epoch, of whatever set, are made together,
 * so that the epoch's samples are read once for them.
 */
#include "worker/cuda/pieces.h"
#include "worker/cuda/repair_lists.h"
#include "worker/cuda/staging.h"

enum {
    SOLVE_THREADS = 128,
    APPLY_THREADS = 128,
    SAMPLES = 2, /* of a thread */
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

/* rows[first + i] = weights[numbers[first + i]] . samples of the epoch; without numbers
 * weights[first + i]. */
template <typename Sample>
__global__ void __launch_bounds__(APPLY_THREADS)
    apply_weights(const Sample *samples, uint32_t n_picks, uint32_t pitch, const double *weights,
                  const uint32_t *numbers, const struct task *tasks, Sample *rows)
{
    typedef work_of<Sample> Work;
    enum {
        PANEL = 128, /* channels whose weights are shared at a time */
        AHEAD = 4,   /* channels whose samples are on their way at a time */
        ROWS = 4,    /* that are made, or left out, together */
        /* Threads write weights of neighbouring channels: into other banks. */
        STRIDE = TASK_ROWS + 16 / sizeof(Work),
    };
    __shared__ Work panel[PANEL][STRIDE];
    const struct task task = tasks[blockIdx.x];
    const uint32_t t = blockIdx.y * APPLY_THREADS * SAMPLES + threadIdx.x;
    const bool first = t < pitch, second = t + APPLY_THREADS < pitch;
    const Sample *x = samples + (size_t)task.epoch * n_picks * pitch;
    Work sum[TASK_ROWS][SAMPLES];
#pragma unroll
    for (int i = 0; i < TASK_ROWS; i++)
        sum[i][0] = sum[i][1] = 0;
    for (uint32_t c0 = 0; c0 < n_picks; c0 += PANEL) {
        __syncthreads();
        const uint32_t end = n_picks - c0 < PANEL ? n_picks - c0 : (uint32_t)PANEL;
        for (uint32_t i = 0; i < (task.n + ROWS - 1) / ROWS * ROWS; i++) {
            const uint32_t row = task.first + (i < task.n ? i : 0);
            const size_t from = (size_t)(numbers != nullptr ? numbers[row] : row) * n_picks + c0;
            for (uint32_t c = threadIdx.x; c < PANEL; c += APPLY_THREADS)
                panel[c][i] = i < task.n && c < end ? (Work)weights[from + c] : (Work)0;
        }
        __syncthreads();
        for (uint32_t c = 0; c < end; c += AHEAD) {
            Work a[AHEAD], b[AHEAD];
#pragma unroll
            for (uint32_t k = 0; k < AHEAD; k++) {
                const Sample *row = x + (size_t)(c0 + c + k) * pitch;
                a[k] = first && c + k < end ? widen(row[t]) : (Work)0;
                b[k] = second && c + k < end ? widen(row[t + APPLY_THREADS]) : (Work)0;
            }
#pragma unroll
            for (int rows = 0; rows < TASK_ROWS; rows += ROWS) {
                if ((uint32_t)rows >= task.n)
                    break;
#pragma unroll
                for (uint32_t k = 0; k < AHEAD; k++)
#pragma unroll
                    for (int i = rows; i < rows + ROWS; i++) {
                        sum[i][0] += panel[c + k][i] * a[k];
                        sum[i][1] += panel[c + k][i] * b[k];
                    }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < TASK_ROWS; i++) {
        if ((uint32_t)i >= task.n)
            continue;
        Sample *out = rows + (size_t)(task.first + (uint32_t)i) * pitch;
        if (first)
            out[t] = narrow<Sample>(sum[i][0]);
        if (second)
            out[t + APPLY_THREADS] = narrow<Sample>(sum[i][1]);
    }
}

/* What makes the repairs, and a chunk of epochs on its way. */
struct chunk_work {
    struct repair_lists *lists;          /* the session's */
    const struct backend_weights *given; /* NULL: weights are made from `precision` */
    device_array<double> precision;
    device_array<struct set> sets;
    device_array<uint16_t> picks;
    device_array<struct task> tasks;
    device_array<uint32_t> numbers;
    device_array<double> scratch, weights;
    device_array<unsigned char> samples, rows;
};

/* Makes the weights of all sets of a chunk that begins at epoch e. */
static enum rejectd_status solve_chunk(struct backend_session *session, size_t e, size_t n,
                                       struct chunk_work *work, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const struct repaired_rows &repaired = session->repaired;
    const struct repair_lists &lists = *work->lists;
    const size_t first_pick = repaired.offsets[e], n_listed = repaired.offsets[e + n] - first_pick;
    TRY(work->sets.upload(device, lists.sets.data(), lists.sets.size(), error));
    TRY(work->picks.upload(device, repaired.picks.data() + first_pick, n_listed, error));
    TRY(work->scratch.reserve(device, lists.matrices + 1, error));
    TRY(work->weights.reserve(device, lists.n_rows * session->n_picks, error));
    CUDA_LAUNCH(solve_sets, dim3((unsigned)lists.sets.size()), dim3(SOLVE_THREADS), 0,
                device->compute, work->precision.get(), (uint32_t)session->n_picks,
                work->sets.get(), work->picks.get(), work->scratch.get(), work->weights.get());
    CUDA_LAUNCHED("solve_sets");
    return REJECTD_OK;
}

/* Brings those of the given weights that a chunk uses. */
static enum rejectd_status bring_weights(struct backend_session *session, struct chunk_work *work,
                                         struct rejectd_error *error)
{
    const std::vector<uint32_t> &used = work->lists->used;
    TRY(work->weights.reserve(session->device, used.size() * session->n_picks, error));
    return staging_gather(session, work->given->rows, session->n_picks, used.data(), used.size(),
                          work->weights.get(), error);
}

/* Repairs one chunk into rows [of the chunk][pitch]. */
template <typename Sample>
static enum rejectd_status repair_chunk(struct backend_session *session, const Sample *samples,
                                        struct chunk_work *work, Sample *rows,
                                        struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const struct repair_lists &lists = *work->lists;
    const uint32_t c = (uint32_t)session->n_picks, pitch = (uint32_t)session->pitch;
    TRY(work->tasks.upload(device, lists.tasks.data(), lists.tasks.size(), error));
    if (!lists.numbers.empty())
        TRY(work->numbers.upload(device, lists.numbers.data(), lists.numbers.size(), error));
    CUDA_LAUNCH((apply_weights<Sample>),
                dim3((unsigned)lists.tasks.size(), blocks_for(pitch, APPLY_THREADS * SAMPLES)),
                dim3(APPLY_THREADS), 0, device->compute, samples, c, pitch, work->weights.get(),
                lists.numbers.empty() ? nullptr : work->numbers.get(), work->tasks.get(), rows);
    CUDA_LAUNCHED("apply_weights");
    return REJECTD_OK;
}

/* How many epochs of rows and weights to make at a time, and whether all rows are to stay. */
static size_t plan_chunks(struct backend_session *session, bool *stay)
{
    const struct repaired_rows &repaired = session->repaired;
    const size_t rows = repaired.first_row.back();
    const size_t row_bytes = session->pitch * session->sample_size;
    const size_t weight_bytes = session->n_picks * sizeof(double);
    const size_t per_epoch = rows / session->n_epochs + 1;
    /* Half at most: the grid needs its cells as well. */
    *stay = rows * row_bytes <= device_available(session->device) / 2;
    return session_chunk(session, per_epoch * (weight_bytes + (*stay ? 2 : 3) * row_bytes));
}

/* Repairs n epochs, which may have found no room before: nothing is read of an earlier try. */
template <typename Sample>
static enum rejectd_status repair_epochs(struct backend_session *session, size_t e, size_t n,
                                         bool stay, struct chunk_work *work,
                                         struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    struct repaired_rows &repaired = session->repaired;
    const size_t pitch = session->pitch;
    const size_t first = repaired.first_row[e], rows = repaired.first_row[e + n] - first;
    const Sample *samples;
    if (rows == 0)
        return REJECTD_OK;
    repairs_list(session, e, n, work->given, work->lists);
    CUDA_LAUNCHED("lists_of_repairs");
    TRY(session_epochs<Sample>(session, e, n, &work->samples, &samples, error));
    Sample *out = (Sample *)repaired.on_device.get() + first * pitch;
    if (!stay) {
        TRY(work->rows.reserve(device, rows * pitch * sizeof(Sample), error));
        out = (Sample *)work->rows.get();
    }
    if (work->given == nullptr)
        TRY(solve_chunk(session, e, n, work, error));
    else
        TRY(bring_weights(session, work, error));
    TRY(repair_chunk<Sample>(session, samples, work, out, error));
    if (!stay)
        TRY(download(device, (Sample *)repaired.on_host.data() + first * pitch, out, rows * pitch,
                     error));
    /* The lists stay; nobody waits for the last chunk. */
    return e + n < session->n_epochs ? device_wait(device, error) : REJECTD_OK;
}

/* After a chunk found no room: what it took is for a smaller one. */
static void clear_chunk(struct chunk_work *work)
{
    work->sets.clear();
    work->picks.clear();
    work->tasks.clear();
    work->numbers.clear();
    work->scratch.clear();
    work->weights.clear();
    work->samples.clear();
    work->rows.clear();
}

template <typename Sample>
static enum rejectd_status repair_all(struct backend_session *session, const double *precision,
                                      const struct backend_weights *given,
                                      struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    struct repaired_rows &repaired = session->repaired;
    const size_t n_epochs = session->n_epochs;
    const size_t n_samples = repaired.first_row.back() * session->pitch;
    struct chunk_work work = {};
    bool stay;
    if (n_samples == 0)
        return session_advance(session, 1.0, error);
    CUDA_LAUNCHED("until_the_repairs");
    repaired.lists.reset(new struct repair_lists());
    work.lists = repaired.lists.get();
    work.given = given;
    if (given == nullptr) {
        std::vector<double> &kept = work.lists->precision;
        kept.assign(precision, precision + session->n_picks * session->n_picks);
        TRY(work.precision.upload(device, kept.data(), kept.size(), error));
    }
    const size_t chunk = plan_chunks(session, &stay);
    if (stay) {
        const enum rejectd_status status =
            repaired.on_device.reserve(device, n_samples * sizeof(Sample), error);
        if (device_is_short(device, status))
            stay = false;
        else
            TRY(status);
    }
    if (!stay)
        repaired.on_host.resize(n_samples * sizeof(Sample));
    const auto repair = [&](size_t e, size_t n) {
        TRY(repair_epochs<Sample>(session, e, n, stay, &work, error));
        return session_advance(session, (double)(e + n) / (double)n_epochs, error);
    };
    const auto make_room = [&](size_t n, size_t *piece) {
        clear_chunk(&work);
        return halve(n, piece);
    };
    return in_pieces(session, n_epochs, chunk, repair, make_room, error);
}

/* Takes over the lists of repairs, when the device needs those of before no more. */
static enum rejectd_status begin(struct backend_session *session,
                                 const struct backend_repairs *repairs, struct rejectd_error *error)
{
    if (session->repaired.lists)
        TRY(device_wait(session->device, error));
    session_forget_predictions(session);
    repairs_take(session, repairs);
    return REJECTD_OK;
}

enum rejectd_status cuda_interpolate_epochs(struct backend_session *session,
                                            const double *precision,
                                            const struct backend_repairs *repairs,
                                            struct rejectd_error *error)
{
    TRY(begin(session, repairs, error));
    return FOR_STORAGE(session, repair_all, session, precision, nullptr, error);
}

enum rejectd_status cuda_weigh_epochs(struct backend_session *session,
                                      const struct backend_weights *weights,
                                      const struct backend_repairs *repairs,
                                      struct rejectd_error *error)
{
    TRY(begin(session, repairs, error));
    return FOR_STORAGE(session, repair_all, session, nullptr, weights, error);
}

template <typename Sample>
static void copy_repaired(const struct backend_session *session, size_t first, size_t n,
                          double *rows)
{
    const Sample *from = (const Sample *)session->repaired.on_host.data() + first * session->pitch;
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < session->n_times; t++)
            rows[i * session->n_times + t] =
                (double)widen(from[i * session->pitch + t]) * session->unit;
}

enum rejectd_status cuda_read_repaired(struct backend_session *session, size_t epoch, size_t value,
                                       double *rows, struct rejectd_error *error)
{
    struct repaired_rows &repaired = session->repaired;
    const size_t n = repairs_prefix(repaired, value, epoch);
    if (n == 0)
        return REJECTD_OK;
    if (repaired.on_host.empty()) {
        /* Whoever reads one epoch reads the others, too. */
        repaired.on_host.resize(repaired.first_row.back() * session->pitch * session->sample_size);
        TRY(staging_receive(session, session->device->compute, repaired.on_device.get(),
                            repaired.on_host.size(), repaired.on_host.data(), error));
    }
    size_t first = repaired.first_row[epoch];
    for (size_t v = 0; v < value; v++)
        first += repairs_prefix(repaired, v, epoch);
    FOR_STORAGE(session, copy_repaired, session, first, n, rows);
    return REJECTD_OK;
}
