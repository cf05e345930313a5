#include "worker/cuda/staging.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <omp.h>
#include <thread>

#include "worker/cuda/amplitudes.h"

enum { SPREAD_THREADS = 256, COPY_THREADS = 16 };

/* What a thread copies at a time: long enough to be worth a turn, short enough that the thread
 * that sends is soon back. */
enum { PIECE_BYTES = 128 << 10, SLOT_PIECES = STAGING_BYTES / PIECE_BYTES };

/* Rows of a transfer that go together. */
struct slot_rows {
    size_t transfer, first, n;
    bool last; /* of the transfer */
};

/* Slots in the order in which they are sent, and how far they are filled. */
struct filling {
    const struct backend_session *session;
    const std::vector<struct transfer> &transfers;
    std::vector<struct slot_rows> slots;
    std::atomic<size_t> next_piece{0};                /* of all slots, SLOT_PIECES each */
    std::atomic<size_t> n_free{0};                    /* slots before this one may be filled */
    std::atomic<size_t> n_filled[STAGING_SLOTS] = {}; /* pieces of the slots on their way */
    std::atomic<bool> stopped{false};
};

/* A sample of a dataset, as it is kept: rounded once. */
template <typename Sample, typename From> __device__ Sample keep(From x, double scale)
{
    if constexpr (sizeof(Sample) == 2)
        return narrow<Sample>((double)x * scale);
    else
        return (Sample)x;
}

/* The first `width` samples of rows `pitch` apart = from [rows][n_times] times scale, zero beyond.
 */
template <typename Sample, typename From>
__global__ void __launch_bounds__(SPREAD_THREADS)
    spread(const From *from, size_t n_rows, uint32_t n_times, uint32_t width, size_t pitch,
           double scale, Sample *to)
{
    const size_t n = n_rows * width, step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const size_t row = i / width;
        const uint32_t t = (uint32_t)(i - row * width);
        to[row * pitch + t] = keep<Sample>(t < n_times ? from[row * n_times + t] : (From)0, scale);
    }
}

static int copy_threads(const struct backend_session *session)
{
    return session->options.n_threads < COPY_THREADS ? session->options.n_threads : COPY_THREADS;
}

static size_t host_item(const struct backend_session *session)
{
    return session->samples.dtype == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
}

static void list_slots(const struct backend_session *session, struct filling *filling)
{
    for (size_t i = 0; i < filling->transfers.size(); i++) {
        const struct transfer &transfer = filling->transfers[i];
        const size_t per_slot = STAGING_BYTES / (transfer.host * host_item(session));
        const size_t n_rows = transfer.n_epochs * transfer.n_picks;
        for (size_t first = 0; first < n_rows; first += per_slot) {
            const size_t n = n_rows - first < per_slot ? n_rows - first : per_slot;
            filling->slots.push_back({i, first, n, first + n == n_rows});
        }
    }
}

/* Copies one of the SLOT_PIECES pieces of a slot, if it has so many. */
static void fill_piece(const struct filling *filling, size_t slot, size_t piece)
{
    const struct backend_session *session = filling->session;
    const struct backend_samples *s = &session->samples;
    const struct slot_rows &rows = filling->slots[slot];
    const struct transfer &transfer = filling->transfers[rows.transfer];
    const size_t item = host_item(session), bytes = transfer.host * item;
    const size_t from = rows.n * piece / SLOT_PIECES, end = rows.n * (piece + 1) / SLOT_PIECES;
    char *to = (char *)session->device->slots[slot % STAGING_SLOTS].host;
    for (size_t i = from; i < end; i++) {
        const size_t row = rows.first + i;
        const size_t epoch = transfer.first_epoch + row / transfer.n_picks;
        const size_t pick = transfer.first_pick + row % transfer.n_picks;
        const size_t at = (epoch * s->n_channels + session->picks[pick]) * s->n_times;
        memcpy(to + i * bytes, (const char *)s->data + (at + transfer.time) * item, bytes);
    }
}

/* Fills the next piece, if its slot is free. */
static bool fill_next(struct filling *filling)
{
    size_t piece = filling->next_piece.load(std::memory_order_relaxed);
    do {
        if (piece / SLOT_PIECES >= filling->n_free.load(std::memory_order_acquire))
            return false;
    } while (!filling->next_piece.compare_exchange_weak(piece, piece + 1));
    const size_t slot = piece / SLOT_PIECES;
    fill_piece(filling, slot, piece % SLOT_PIECES);
    filling->n_filled[slot % STAGING_SLOTS].fetch_add(1, std::memory_order_release);
    return true;
}

/* What threads do that don't send. */
static void fill_all(struct filling *filling)
{
    const size_t n_pieces = filling->slots.size() * SLOT_PIECES;
    while (filling->next_piece.load(std::memory_order_relaxed) < n_pieces &&
           !filling->stopped.load(std::memory_order_relaxed))
        if (!fill_next(filling))
            std::this_thread::yield();
}

template <typename Sample>
static enum rejectd_status spread_rows(struct backend_session *session,
                                       const struct transfer &transfer, const void *from,
                                       size_t first, size_t n, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const unsigned blocks = blocks_for(n * transfer.width, 4 * SPREAD_THREADS);
    const uint32_t host = (uint32_t)transfer.host, width = (uint32_t)transfer.width;
    const double scale = 1.0 / session->unit;
    Sample *rows = (Sample *)transfer.to + first * session->pitch;
    if (session->samples.dtype == REJECTD_FLOAT32)
        CUDA_LAUNCH((spread<Sample, float>), dim3(blocks), dim3(SPREAD_THREADS), 0,
                    device->arrivals, (const float *)from, n, host, width, session->pitch, scale,
                    rows + transfer.time);
    else
        CUDA_LAUNCH((spread<Sample, double>), dim3(blocks), dim3(SPREAD_THREADS), 0,
                    device->arrivals, (const double *)from, n, host, width, session->pitch, scale,
                    rows + transfer.time);
    CUDA_TRY(cudaGetLastError());
    return transfer.ptp == nullptr
               ? REJECTD_OK
               : amplitudes_of_rows<Sample>(device, device->arrivals, rows, n, session->pitch,
                                            session->n_times, session->unit, transfer.ptp + first,
                                            error);
}

/* Sends a slot that is full. */
static enum rejectd_status send_slot(struct backend_session *session, const struct filling *filling,
                                     size_t at, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const struct slot_rows &rows = filling->slots[at];
    const struct transfer &transfer = filling->transfers[rows.transfer];
    struct staging_slot *slot = &device->slots[at % STAGING_SLOTS];
    CUDA_TRY(cudaStreamWaitEvent(device->copy, slot->taken, 0));
    CUDA_TRY(cudaMemcpyAsync(slot->device, slot->host, rows.n * transfer.host * host_item(session),
                             cudaMemcpyHostToDevice, device->copy));
    CUDA_TRY(cudaEventRecord(slot->copied, device->copy));
    CUDA_TRY(cudaStreamWaitEvent(device->arrivals, slot->copied, 0));
    TRY(FOR_STORAGE(session, spread_rows, session, transfer, slot->device, rows.first, rows.n,
                    error));
    CUDA_TRY(cudaEventRecord(slot->taken, device->arrivals));
    return REJECTD_OK;
}

/* Frees slots, in their order, that have left the host; waits for those before `needed`. */
static enum rejectd_status free_slots(struct backend_session *session, struct filling *filling,
                                      size_t n_sent, size_t needed, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t most = std::min(n_sent + STAGING_SLOTS, filling->slots.size());
    size_t n_free = filling->n_free.load(std::memory_order_relaxed);
    for (; n_free < most; n_free++) {
        /* The one that was in this buffer before: of this sending, or of an earlier one. */
        const cudaEvent_t copied = device->slots[n_free % STAGING_SLOTS].copied;
        if (n_free < needed) {
            CUDA_TRY(cudaEventSynchronize(copied));
        } else {
            /* How often this is asked depends on the clock: only a failure counts as a call. */
            const cudaError_t state = cudaEventQuery(copied);
            if (state == cudaErrorNotReady)
                break;
            if (state != cudaSuccess)
                CUDA_TRY(state);
        }
        filling->n_filled[n_free % STAGING_SLOTS].store(0, std::memory_order_relaxed);
        filling->n_free.store(n_free + 1, std::memory_order_release);
    }
    return REJECTD_OK;
}

static enum rejectd_status send_all(struct backend_session *session, struct filling *filling,
                                    const std::function<enum rejectd_status(size_t i)> &sent,
                                    struct rejectd_error *error)
{
    for (size_t at = 0; at < filling->slots.size(); at++) {
        TRY(free_slots(session, filling, at, at + 1, error));
        while (filling->n_filled[at % STAGING_SLOTS].load(std::memory_order_acquire) <
               SLOT_PIECES) {
            if (!fill_next(filling))
                std::this_thread::yield();
            TRY(free_slots(session, filling, at, 0, error));
        }
        TRY(send_slot(session, filling, at, error));
        if (filling->slots[at].last)
            TRY(sent(filling->slots[at].transfer));
    }
    return REJECTD_OK;
}

enum rejectd_status staging_send(struct backend_session *session,
                                 const std::vector<struct transfer> &transfers,
                                 const std::function<enum rejectd_status(size_t i)> &sent,
                                 struct rejectd_error *error)
{
    struct filling filling = {session, transfers, {}};
    enum rejectd_status status = REJECTD_OK;
    std::exception_ptr thrown;
    const int threads = copy_threads(session);
    list_slots(session, &filling);
    (void)threads; /* nvcc's own front end doesn't look into the pragma */
#pragma omp parallel num_threads(threads)
    {
        if (omp_get_thread_num() == 0) {
            try {
                status = send_all(session, &filling, sent, error);
            } catch (...) {
                thrown = std::current_exception();
            }
            filling.stopped.store(true, std::memory_order_relaxed);
        } else {
            fill_all(&filling);
        }
    }
    if (thrown)
        std::rethrow_exception(thrown);
    return status;
}

/* Memory of the host that nobody has touched yet costs more than the copy: all threads share it. */
static void copy_out(const struct backend_session *session, const char *from, size_t bytes,
                     char *to)
{
    const size_t n_pieces = (bytes + PIECE_BYTES - 1) / PIECE_BYTES;
    const int threads = copy_threads(session);
    (void)threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t i = 0; i < n_pieces; i++) {
        const size_t at = i * PIECE_BYTES, left = bytes - at;
        memcpy(to + at, from + at, left < PIECE_BYTES ? left : (size_t)PIECE_BYTES);
    }
}

enum rejectd_status staging_receive(const struct backend_session *session, cudaStream_t after,
                                    const void *from, size_t bytes, void *to,
                                    struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t n_slots = (bytes + STAGING_BYTES - 1) / STAGING_BYTES;
    TRY(device_put_in_order(device, after, device->copy, error));
    for (size_t asked = 0, i = 0; i < n_slots; i++) {
        for (; asked < n_slots && asked < i + STAGING_SLOTS; asked++) {
            struct staging_slot *slot = &device->slots[asked % STAGING_SLOTS];
            const size_t at = asked * STAGING_BYTES, left = bytes - at;
            CUDA_TRY(cudaMemcpyAsync(slot->host, (const char *)from + at,
                                     left < STAGING_BYTES ? left : (size_t)STAGING_BYTES,
                                     cudaMemcpyDeviceToHost, device->copy));
            CUDA_TRY(cudaEventRecord(slot->copied, device->copy));
        }
        struct staging_slot *slot = &device->slots[i % STAGING_SLOTS];
        const size_t at = i * STAGING_BYTES, left = bytes - at;
        CUDA_TRY(cudaEventSynchronize(slot->copied));
        copy_out(session, (const char *)slot->host,
                 left < STAGING_BYTES ? left : (size_t)STAGING_BYTES, (char *)to + at);
    }
    return REJECTD_OK;
}

static void gather_rows(const struct backend_session *session, const double *from, size_t width,
                        const uint32_t *numbers, size_t n, double *to)
{
    const int threads = copy_threads(session);
    (void)threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * width, from + numbers[i] * width, width * sizeof *to);
}

enum rejectd_status staging_gather(const struct backend_session *session, const double *from,
                                   size_t width, const uint32_t *numbers, size_t n, double *to,
                                   struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t per_slot = STAGING_BYTES / (width * sizeof *to);
    /* The memory may be in use until now. */
    TRY(device_put_in_order(device, device->compute, device->copy, error));
    for (size_t first = 0, at = 0; first < n; first += per_slot, at++) {
        struct staging_slot *slot = &device->slots[at % STAGING_SLOTS];
        const size_t count = std::min(n - first, per_slot);
        CUDA_TRY(cudaEventSynchronize(slot->copied));
        gather_rows(session, from, width, numbers + first, count, (double *)slot->host);
        CUDA_TRY(cudaMemcpyAsync(to + first * width, slot->host, count * width * sizeof *to,
                                 cudaMemcpyHostToDevice, device->copy));
        CUDA_TRY(cudaEventRecord(slot->copied, device->copy));
    }
    return device_put_in_order(device, device->copy, device->compute, error);
}
