/*
 * Opening a session, and the way of samples from the host to the device.
 *
 * Samples go through pinned staging buffers: while one is copied to the device, host threads fill
 * the next, and a kernel spreads the one before into rows, rounding them. On the way in the
 * amplitudes of whole sessions are taken, while the rows are in the cache.
 */
#include "worker/cuda/session.h"

#include <cstring>
#include <new>
#include <omp.h>

#include "worker/cuda/amplitudes.h"
#include "worker/cuda/foresight.h"
#include "worker/cuda/units.h"

enum { SPREAD_THREADS = 256, COPY_THREADS = 16 };

enum rejectd_status session_advance(const struct backend_session *session, double fraction,
                                    struct rejectd_error *error)
{
    const struct backend_progress *progress = &session->options.progress;
    if (progress->advance != nullptr && !progress->advance(progress->context, fraction))
        return REJECTD_FAIL(error, REJECTD_CANCELLED, "", "the work was cancelled");
    return REJECTD_OK;
}

/* A sample of a dataset, as it is kept: rounded once. */
template <typename Sample, typename From> __device__ Sample keep(From x, double scale)
{
    if constexpr (sizeof(Sample) == 2)
        return narrow<Sample>((double)x * scale);
    else
        return (Sample)x;
}

/* to [rows][pitch] = from [rows][n_times] times scale, zero beyond. */
template <typename Sample, typename From>
__global__ void __launch_bounds__(SPREAD_THREADS)
    spread(const From *from, size_t n_rows, uint32_t n_times, uint32_t pitch, double scale,
           Sample *to)
{
    const size_t n = n_rows * pitch, step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const size_t row = i / pitch;
        const uint32_t t = (uint32_t)(i - row * pitch);
        to[i] = keep<Sample>(t < n_times ? from[row * n_times + t] : (From)0, scale);
    }
}

/* Which rows a transfer takes. */
struct transfer {
    size_t first_pick, n_picks;
    size_t row_bytes; /* on the host */
    bool adjacent;    /* its picks are neighbouring channels */
};

/* Copies rows first..first+n-1 of the epochs of a transfer to a staging buffer. */
static void fill_slot(const struct backend_session *session, const struct transfer *transfer,
                      size_t first_epoch, size_t first, size_t n, char *slot)
{
    const struct backend_samples *s = &session->samples;
    const int threads =
        session->options.n_threads < COPY_THREADS ? session->options.n_threads : COPY_THREADS;
    /* Runs of rows that are neighbours on the host; long enough to be worth a turn each. */
    const size_t run = transfer->adjacent ? transfer->n_picks : 1;
    (void)threads; /* nvcc's own front end doesn't look into the pragma */
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t row = first / run * run; row < first + n; row += run) {
        const size_t from = row < first ? first : row;
        const size_t end = row + run < first + n ? row + run : first + n;
        const size_t epoch = first_epoch + from / transfer->n_picks;
        const size_t pick = transfer->first_pick + from % transfer->n_picks;
        const size_t at = epoch * s->n_channels + session->picks[pick];
        memcpy(slot + (from - first) * transfer->row_bytes,
               (const char *)s->data + at * transfer->row_bytes,
               (end - from) * transfer->row_bytes);
    }
}

template <typename Sample>
static enum rejectd_status spread_slot(struct backend_session *session, const void *slot, size_t n,
                                       void *to, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const unsigned blocks = blocks_for(n * session->pitch, 4 * SPREAD_THREADS);
    const uint32_t n_times = (uint32_t)session->n_times, pitch = (uint32_t)session->pitch;
    const double scale = 1.0 / session->unit;
    if (session->samples.dtype == REJECTD_FLOAT32)
        CUDA_LAUNCH((spread<Sample, float>), dim3(blocks), dim3(SPREAD_THREADS), 0, device->compute,
                    (const float *)slot, n, n_times, pitch, scale, (Sample *)to);
    else
        CUDA_LAUNCH((spread<Sample, double>), dim3(blocks), dim3(SPREAD_THREADS), 0,
                    device->compute, (const double *)slot, n, n_times, pitch, scale, (Sample *)to);
    CUDA_LAUNCHED("spread");
    return REJECTD_OK;
}

template <typename Sample>
static enum rejectd_status amplitudes_there(struct backend_session *session, const void *rows,
                                            size_t n, double *ptp, struct rejectd_error *error)
{
    return amplitudes_of_rows<Sample>(session->device, session->device->compute,
                                      (const Sample *)rows, n, session->pitch, session->n_times,
                                      session->unit, ptp, error);
}

/* Takes the amplitudes of rows that are there, if somebody wants them. */
static enum rejectd_status take_amplitudes(struct backend_session *session, const void *rows,
                                           size_t n, double *ptp, struct rejectd_error *error)
{
    if (ptp == nullptr)
        return REJECTD_OK;
    return FOR_STORAGE(session, amplitudes_there, session, rows, n, ptp, error);
}

/* Sends rows of a transfer to `to`, through one slot after the other. The copy stream does nothing
 * but copy, so that the link is never idle. ptp: theirs, or null; foresight: of a whole session. */
static enum rejectd_status send_rows(struct backend_session *session,
                                     const struct transfer *transfer, size_t first_epoch,
                                     size_t n_rows, void *to, double *ptp,
                                     struct foresight *foresight, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t per_slot = STAGING_BYTES / transfer->row_bytes;
    const size_t row_bytes = session->pitch * session->sample_size;
    for (size_t first = 0, turn = 0; first < n_rows; first += per_slot, turn++) {
        const size_t n = n_rows - first < per_slot ? n_rows - first : per_slot;
        struct staging_slot *slot = &device->slots[turn % STAGING_SLOTS];
        char *rows = (char *)to + first * row_bytes;
        CUDA_TRY(cudaEventSynchronize(slot->copied));
        fill_slot(session, transfer, first_epoch, first, n, (char *)slot->host);
        CUDA_TRY(cudaStreamWaitEvent(device->copy, slot->taken, 0));
        CUDA_TRY(cudaMemcpyAsync(slot->device, slot->host, n * transfer->row_bytes,
                                 cudaMemcpyHostToDevice, device->copy));
        CUDA_TRY(cudaEventRecord(slot->copied, device->copy));
        CUDA_TRY(cudaStreamWaitEvent(device->compute, slot->copied, 0));
        TRY(FOR_STORAGE(session, spread_slot, session, slot->device, n, rows, error));
        CUDA_TRY(cudaEventRecord(slot->taken, device->compute));
        TRY(take_amplitudes(session, rows, n, ptp != nullptr ? ptp + first : nullptr, error));
        if (foresight != nullptr)
            TRY(foresight_arrived(session, foresight, (first + n) / transfer->n_picks, error));
    }
    return REJECTD_OK;
}

/* A row longer than a slot goes by itself, to the device and then into its place. */
static enum rejectd_status send_long_rows(struct backend_session *session,
                                          const struct transfer *transfer, size_t first_epoch,
                                          size_t n_rows, void *to, double *ptp,
                                          struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const struct backend_samples *s = &session->samples;
    device_array<char> raw;
    TRY(raw.reserve(device, transfer->row_bytes, error));
    for (size_t row = 0; row < n_rows; row++) {
        const size_t epoch = first_epoch + row / transfer->n_picks;
        const size_t pick = transfer->first_pick + row % transfer->n_picks;
        const size_t at = epoch * s->n_channels + session->picks[pick];
        CUDA_TRY(cudaMemcpyAsync(raw.get(), (const char *)s->data + at * transfer->row_bytes,
                                 transfer->row_bytes, cudaMemcpyHostToDevice, device->compute));
        char *place = (char *)to + row * session->pitch * session->sample_size;
        TRY(FOR_STORAGE(session, spread_slot, session, raw.get(), 1, place, error));
        TRY(take_amplitudes(session, place, 1, ptp != nullptr ? ptp + row : nullptr, error));
    }
    return device_wait(device, error);
}

static enum rejectd_status fetch(struct backend_session *session, size_t e, size_t n, size_t first,
                                 size_t count, void *to, double *ptp, struct foresight *foresight,
                                 struct rejectd_error *error)
{
    const size_t item = session->samples.dtype == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
    const struct transfer transfer = {
        first,
        count,
        session->n_times * item,
        session->picks[first + count - 1] - session->picks[first] == count - 1,
    };
    if (transfer.row_bytes > STAGING_BYTES) {
        TRY(send_long_rows(session, &transfer, e, n * count, to, ptp, error));
        return foresight != nullptr ? foresight_arrived(session, foresight, n, error) : REJECTD_OK;
    }
    return send_rows(session, &transfer, e, n * count, to, ptp, foresight, error);
}

enum rejectd_status session_fetch(struct backend_session *session, size_t e, size_t n, size_t first,
                                  size_t count, void *to, struct rejectd_error *error)
{
    return fetch(session, e, n, first, count, to, nullptr, nullptr, error);
}

/* What a session needs beside its samples to get anywhere: a block of one panel or so. */
static size_t working_bytes(const struct backend_session *session, size_t sample_bytes)
{
    const size_t pick = 3 * session->n_epochs * session->pitch * session->sample_size;
    const size_t some = PANEL_PICKS / 4;
    return session->n_picks > some ? some * pick : session->n_picks * pick + sample_bytes / 8;
}

/* Brings all samples to the device, into a resident of their own. */
static enum rejectd_status bring_samples(struct backend_session *session,
                                         struct rejectd_error *error)
{
    const struct backend_samples *s = &session->samples;
    const size_t rows = session->n_epochs * session->n_picks;
    std::shared_ptr<resident> made(new (std::nothrow) resident());
    if (!made)
        return REJECTD_FAIL_MEMORY(error, sizeof(resident));
    made->dtype = s->dtype;
    made->storage = session->storage;
    made->unit = session->unit;
    made->n_epochs = session->n_epochs;
    made->n_times = session->n_times;
    made->pitch = session->pitch;
    made->picks = session->picks;
    TRY(made->samples.reserve(session->device, rows * session->pitch * session->sample_size,
                              error));
    TRY(made->ptp.reserve(session->device, rows, error));
    const bool complete = s->content_first == 0 && s->n_epochs == s->content_epochs;
    const bool listed = s->content != nullptr && complete;
    if (listed)
        strncpy(made->content, s->content, REJECTD_CONTENT_SIZE - 1);
    session->shared = made;
    session->first_sample = made->samples.get();
    session->whole = true;
    struct foresight foresight;
    TRY(foresight_begin(session, &foresight, error));
    TRY(fetch(session, 0, session->n_epochs, 0, session->n_picks, made->samples.get(),
              made->ptp.get(), &foresight, error));
    foresight_end(session, &foresight);
    if (listed)
        residents_add(session->device, made);
    return REJECTD_OK;
}

/* Finds the samples on the device, or brings them, or leaves them on the host. */
static enum rejectd_status place_samples(struct backend_session *session,
                                         struct rejectd_error *error)
{
    const struct backend_samples *s = &session->samples;
    const size_t epoch_bytes = session->n_picks * session->pitch * session->sample_size;
    const size_t bytes = session->n_epochs * epoch_bytes;
    if (s->content != nullptr)
        session->shared = residents_take(session->device, s, session->storage);
    if (session->shared) {
        session->first_sample = session->shared->samples.get() + s->content_first * epoch_bytes;
        session->unit = session->shared->unit;
        session->whole = session->reused = true;
        return REJECTD_OK;
    }
    if (session->storage == REJECTD_FLOAT16)
        session->unit = unit_for_float16(s, session->options.n_threads);
    if (bytes + working_bytes(session, bytes) > device_available(session->device))
        return REJECTD_OK;
    const enum rejectd_status status = bring_samples(session, error);
    if (status != REJECTD_DEVICE_MEMORY)
        return status;
    /* There was less room than it seemed: without any. */
    session->whole = session->foreseen = false;
    session->predictions.clear();
    session->shared.reset();
    return REJECTD_OK;
}

/* cuBLAS multiplies bfloat16 from compute capability 8.0 on; elsewhere float32 is better still. */
enum rejectd_dtype cuda_precision(const struct backend_options *options)
{
    return options->precision == REJECTD_BFLOAT16 && !options->device->multiplies_bfloat16
               ? REJECTD_FLOAT32
               : options->precision;
}

enum rejectd_status session_open(const struct backend_samples *samples,
                                 const struct backend_options *options,
                                 struct backend_session **session, struct rejectd_error *error)
{
    struct backend_device *device = options->device;
    *session = nullptr;
    if (device == nullptr)
        return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "device", "no device was opened");
    CUDA_TRY(cudaSetDevice(device->ordinal));
    std::unique_ptr<backend_session, decltype(&session_close)> made(
        new (std::nothrow) backend_session(), session_close);
    if (!made)
        return REJECTD_FAIL_MEMORY(error, sizeof(backend_session));
    made->device = device;
    made->samples = *samples;
    made->picks.assign(samples->picks, samples->picks + samples->n_picks);
    made->options = *options;
    made->storage = cuda_precision(options);
    made->sample_size = storage_bytes(made->storage);
    made->work_size = arithmetic_bytes(made->storage);
    made->unit = 1.0;
    made->n_epochs = samples->n_epochs;
    made->n_picks = samples->n_picks;
    made->n_times = samples->n_times;
    made->pitch = (samples->n_times + PITCH_SAMPLES - 1) / PITCH_SAMPLES * PITCH_SAMPLES;
    trace_mark(device->trace, device->compute, "open");
    TRY(place_samples(made.get(), error));
    made->options.foresight = nullptr; /* the caller's, during this call */
    *session = made.release();
    return REJECTD_OK;
}

void session_close(struct backend_session *session)
{
    if (session == nullptr)
        return;
    cudaSetDevice(session->device->ordinal);
    /* The host's samples may still be on their way. */
    cudaStreamSynchronize(session->device->copy);
    if (session->device->trace != nullptr) {
        cudaStreamSynchronize(session->device->compute);
        trace_print(session->device->trace);
    }
    if (session->shared && session->shared->n_uses > 0)
        residents_leave(session->device, session->shared, !session->device->failed);
    delete session;
}

void session_forget_predictions(struct backend_session *session)
{
    session->predictions.clear();
    session->block.clear();
    session->materialised = session->foreseen = false;
    session->count = 0;
}

/* The largest count of whole panels, or else of picks, that fits. */
static size_t fitting(size_t available, size_t item_bytes, size_t n, size_t panel)
{
    const size_t fits = item_bytes > 0 ? available / item_bytes : n;
    if (fits >= n)
        return n;
    return fits >= panel ? fits / panel * panel : fits;
}

size_t session_block(struct backend_session *session, size_t pick_bytes)
{
    size_t available = device_available(session->device);
    const size_t row_bytes = session->n_epochs * session->pitch * session->sample_size;
    if (!session->whole) {
        pick_bytes += row_bytes;
        available += session->block.bytes();
    }
    const size_t count = fitting(available, pick_bytes, session->n_picks, PANEL_PICKS);
    return count > 0 ? count : 1;
}

size_t session_chunk(struct backend_session *session, size_t epoch_bytes)
{
    if (!session->whole)
        epoch_bytes += session->n_picks * session->pitch * session->sample_size;
    /* Some is left for the tables that go with a chunk. */
    const size_t available = device_available(session->device) / 4 * 3;
    const size_t n = fitting(available, epoch_bytes, session->n_epochs, PANEL_EPOCHS);
    return n > PANEL_EPOCHS ? n : (size_t)PANEL_EPOCHS;
}
