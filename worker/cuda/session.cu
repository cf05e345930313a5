/*
 * Opening a session, and the way of samples from the host to the device.
 *
 * Samples go through pinned staging buffers: while one is copied to the device, host threads fill
 * the next, and a kernel spreads the one before into rows, rounding them. All samples of a whole
 * session come by columns, so that there is something to compute on all the while (foresight.h).
 */
#include "worker/cuda/session.h"

#include <cstring>
#include <new>
#include <omp.h>

#include "worker/cuda/amplitudes.h"
#include "worker/cuda/foresight.h"
#include "worker/cuda/units.h"

enum { SPREAD_THREADS = 256, COPY_THREADS = 16 };

/* Samples of all epochs that arrive at a time. */
enum { COLUMNS = PANEL_TIMES };

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

/* Samples on their way to the device: some times of some picks of some epochs. */
struct transfer {
    size_t first_epoch, n_epochs;
    size_t first_pick, n_picks;
    size_t time;  /* the first */
    size_t width; /* samples of a row as it lies there */
    size_t host;  /* and on the host, which has nothing beyond n_times */
    size_t item;  /* bytes of a sample on the host */
    void *to;     /* [n_epochs][n_picks][pitch] */
};

/* Copies rows first..first+n-1 of a transfer to a staging buffer. */
static void fill_slot(const struct backend_session *session, const struct transfer *transfer,
                      size_t first, size_t n, char *slot)
{
    const struct backend_samples *s = &session->samples;
    const int threads =
        session->options.n_threads < COPY_THREADS ? session->options.n_threads : COPY_THREADS;
    const size_t bytes = transfer->host * transfer->item;
    (void)threads; /* nvcc's own front end doesn't look into the pragma */
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t i = 0; i < n; i++) {
        const size_t row = first + i;
        const size_t epoch = transfer->first_epoch + row / transfer->n_picks;
        const size_t pick = transfer->first_pick + row % transfer->n_picks;
        const size_t at = (epoch * s->n_channels + session->picks[pick]) * s->n_times;
        memcpy(slot + i * bytes, (const char *)s->data + (at + transfer->time) * transfer->item,
               bytes);
    }
}

template <typename Sample>
static enum rejectd_status spread_slot(struct backend_session *session,
                                       const struct transfer *transfer, const void *slot,
                                       size_t first, size_t n, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const unsigned blocks = blocks_for(n * transfer->width, 4 * SPREAD_THREADS);
    const uint32_t host = (uint32_t)transfer->host, width = (uint32_t)transfer->width;
    const double scale = 1.0 / session->unit;
    Sample *to = (Sample *)transfer->to + first * session->pitch + transfer->time;
    if (session->samples.dtype == REJECTD_FLOAT32)
        CUDA_LAUNCH((spread<Sample, float>), dim3(blocks), dim3(SPREAD_THREADS), 0,
                    device->arrivals, (const float *)slot, n, host, width, session->pitch, scale,
                    to);
    else
        CUDA_LAUNCH((spread<Sample, double>), dim3(blocks), dim3(SPREAD_THREADS), 0,
                    device->arrivals, (const double *)slot, n, host, width, session->pitch, scale,
                    to);
    CUDA_TRY(cudaGetLastError());
    return REJECTD_OK;
}

/* Takes the amplitudes of rows first..first+n-1, which are complete. */
template <typename Sample>
static enum rejectd_status take_amplitudes(struct backend_session *session,
                                           const struct transfer *transfer, size_t first, size_t n,
                                           double *ptp, struct rejectd_error *error)
{
    const Sample *rows = (const Sample *)transfer->to + first * session->pitch;
    return amplitudes_of_rows<Sample>(session->device, session->device->arrivals, rows, n,
                                      session->pitch, session->n_times, session->unit, ptp + first,
                                      error);
}

/* Sends a transfer through one slot after the other. ptp: of its rows, which it completes, or null.
 */
static enum rejectd_status send(struct backend_session *session, const struct transfer *transfer,
                                double *ptp, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t row_bytes = transfer->host * transfer->item;
    const size_t per_slot = STAGING_BYTES / row_bytes;
    const size_t n_rows = transfer->n_epochs * transfer->n_picks;
    for (size_t first = 0; first < n_rows; first += per_slot) {
        const size_t n = n_rows - first < per_slot ? n_rows - first : per_slot;
        struct staging_slot *slot = &device->slots[device->next_slot++ % STAGING_SLOTS];
        CUDA_TRY(cudaEventSynchronize(slot->copied));
        fill_slot(session, transfer, first, n, (char *)slot->host);
        CUDA_TRY(cudaStreamWaitEvent(device->copy, slot->taken, 0));
        CUDA_TRY(cudaMemcpyAsync(slot->device, slot->host, n * row_bytes, cudaMemcpyHostToDevice,
                                 device->copy));
        CUDA_TRY(cudaEventRecord(slot->copied, device->copy));
        CUDA_TRY(cudaStreamWaitEvent(device->arrivals, slot->copied, 0));
        TRY(FOR_STORAGE(session, spread_slot, session, transfer, slot->device, first, n, error));
        CUDA_TRY(cudaEventRecord(slot->taken, device->arrivals));
        if (ptp != nullptr)
            TRY(FOR_STORAGE(session, take_amplitudes, session, transfer, first, n, ptp, error));
    }
    return REJECTD_OK;
}

/* What is queued on `later` from now on waits for what was queued on `earlier` before. */
static enum rejectd_status put_in_order(struct backend_device *device, cudaStream_t earlier,
                                        cudaStream_t later, struct rejectd_error *error)
{
    CUDA_TRY(cudaEventRecord(device->turn, earlier));
    CUDA_TRY(cudaStreamWaitEvent(later, device->turn, 0));
    return REJECTD_OK;
}

/* Before the host's samples, or the memory they go to, may be gone. */
static void wait_for_arrivals(struct backend_device *device)
{
    cudaStreamSynchronize(device->copy);
    cudaStreamSynchronize(device->arrivals);
}

/* Narrows a transfer to `width` columns from `time` on, or what there is of them. */
static struct transfer columns(const struct backend_session *session, struct transfer transfer,
                               size_t time, size_t width)
{
    const size_t left = session->pitch - time, host = session->n_times - time;
    transfer.time = time;
    transfer.width = width < left ? width : left;
    transfer.host = width < host ? width : host;
    return transfer;
}

static struct transfer whole_rows(const struct backend_session *session, size_t e, size_t n,
                                  size_t first, size_t count, void *to)
{
    const size_t item = session->samples.dtype == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
    return {e, n, first, count, 0, session->pitch, session->n_times, item, to};
}

enum rejectd_status session_fetch(struct backend_session *session, size_t e, size_t n, size_t first,
                                  size_t count, void *to, struct rejectd_error *error)
{
    const struct transfer all = whole_rows(session, e, n, first, count, to);
    const size_t most = STAGING_BYTES / all.item;
    struct backend_device *device = session->device;
    /* The memory may be in use until now. */
    TRY(put_in_order(device, device->compute, device->arrivals, error));
    for (size_t time = 0; time < session->pitch; time += most) {
        const struct transfer part = columns(session, all, time, most);
        TRY(send(session, &part, nullptr, error));
    }
    return put_in_order(device, device->arrivals, device->compute, error);
}

/* Brings all samples, by columns, and begins with what is there. */
static enum rejectd_status bring_columns(struct backend_session *session, struct resident *made,
                                         struct rejectd_error *error)
{
    struct foresight foresight;
    const size_t pitch = session->pitch;
    const struct transfer all =
        whole_rows(session, 0, session->n_epochs, 0, session->n_picks, made->samples.get());
    struct backend_device *device = session->device;
    foresight_ask(session, &foresight);
    TRY(put_in_order(device, device->compute, device->arrivals, error));
    for (size_t time = 0; time < pitch; time += COLUMNS) {
        const struct transfer part = columns(session, all, time, COLUMNS);
        const bool last = time + part.width == pitch;
        TRY(send(session, &part, last ? made->ptp.get() : nullptr, error));
        if (time == 0)
            TRY(foresight_begin(session, &foresight, error));
        TRY(put_in_order(device, device->arrivals, device->compute, error));
        TRY(foresight_arrived(session, &foresight, time, part.width, error));
    }
    foresight_end(session, &foresight);
    return REJECTD_OK;
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
    const enum rejectd_status status = bring_columns(session, made.get(), error);
    if (status != REJECTD_OK) {
        wait_for_arrivals(session->device);
        return status;
    }
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
    session->weights.clear();
    session->foreseen_folds.reset();
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
    made->options.foreteller = {}; /* the caller's, during this call */
    *session = made.release();
    return REJECTD_OK;
}

void session_close(struct backend_session *session)
{
    if (session == nullptr)
        return;
    cudaSetDevice(session->device->ordinal);
    wait_for_arrivals(session->device);
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
