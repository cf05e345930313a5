/*
 * Opening a session, and bringing its samples to the device.
 *
 * All samples of a whole session come by columns, so that there is something to compute on while
 * they come (foresight.h).
 */
#include "worker/cuda/session.h"

#include <cstring>
#include <new>

#include "worker/cuda/foresight.h"
#include "worker/cuda/spare.h"
#include "worker/cuda/staging.h"
#include "worker/cuda/units.h"

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

/* Before the host's samples, or the memory they go to, may be gone. */
static void wait_for_arrivals(struct backend_device *device)
{
    cudaStreamSynchronize(device->copy);
    cudaStreamSynchronize(device->arrivals);
}

/* Rows of all their times, cut into transfers of at most `most` of them. */
static std::vector<struct transfer> cut(const struct backend_session *session, struct transfer rows,
                                        size_t most)
{
    std::vector<struct transfer> parts;
    for (size_t time = 0; time < session->pitch; time += most) {
        const size_t left = session->pitch - time, host = session->n_times - time;
        rows.time = time;
        rows.width = most < left ? most : left;
        rows.host = most < host ? most : host;
        parts.push_back(rows);
    }
    return parts;
}

enum rejectd_status session_fetch(struct backend_session *session, size_t e, size_t n, size_t first,
                                  size_t count, void *to, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const struct transfer rows = {e, n, first, count, 0, 0, 0, to, nullptr};
    const std::vector<struct transfer> parts = cut(session, rows, STAGING_BYTES / sizeof(double));
    /* The memory may be in use until now. */
    TRY(device_put_in_order(device, device->compute, device->arrivals, error));
    const enum rejectd_status status = staging_send(
        session, parts, [](size_t) { return REJECTD_OK; }, error);
    if (status != REJECTD_OK) {
        wait_for_arrivals(device);
        return status;
    }
    return device_put_in_order(device, device->arrivals, device->compute, error);
}

/* Brings all samples, by columns, and begins with what is there. */
static enum rejectd_status bring_columns(struct backend_session *session, struct resident *made,
                                         struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    struct foresight foresight;
    const struct transfer rows = {0, session->n_epochs,   0,      session->n_picks, 0, 0,
                                  0, made->samples.get(), nullptr};
    std::vector<struct transfer> parts = cut(session, rows, COLUMNS);
    parts.back().ptp = made->ptp.get();
    foresight_ask(session, &foresight);
    TRY(device_put_in_order(device, device->compute, device->arrivals, error));
    const auto begin = [&](size_t i) {
        if (i == 0)
            TRY(foresight_begin(session, &foresight, error));
        TRY(device_put_in_order(device, device->arrivals, device->compute, error));
        return foresight_arrived(session, &foresight, parts[i].time, parts[i].width, error);
    };
    TRY(staging_send(session, parts, begin, error));
    foresight_end(session, &foresight);
    return REJECTD_OK;
}

/* What a session needs beside its samples to get anywhere: a block of one panel or so. */
static size_t working_bytes(const struct backend_session *session, size_t sample_bytes)
{
    const size_t pick = 3 * session->n_epochs * session->pitch * session->sample_size;
    const size_t some = PANEL_PICKS / 4;
    const size_t epochs =
        session->n_epochs < RESIDENT_EPOCHS ? session->n_epochs : (size_t)RESIDENT_EPOCHS;
    return product_sum_bytes(session->storage, epochs, session->n_picks, session->pitch) +
           (session->n_picks > some ? some * pick : session->n_picks * pick + sample_bytes / 8);
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
    if (bytes + working_bytes(session, bytes) <= device_available(session->device)) {
        const enum rejectd_status status = bring_samples(session, error);
        if (status != REJECTD_DEVICE_MEMORY)
            return status;
    }
    /* Nothing stays of the attempt. */
    session->device->n_shortages++;
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
    cudaStreamSynchronize(session->device->compute); /* what is copied from the session's lists */
    if (session->device->trace != nullptr)
        trace_print(session->device->trace);
    spare_keep_predictions(session);
    if (session->shared && session->shared->n_uses > 0)
        residents_leave(session->device, session->shared, !session->device->failed);
    delete session;
}

void session_forget_predictions(struct backend_session *session)
{
    spare_keep_predictions(session);
    session->block.clear();
    session->foreseen = false;
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

size_t session_block(struct backend_session *session, size_t pick_bytes, size_t aside)
{
    size_t available = device_available(session->device);
    const size_t row_bytes = session->n_epochs * session->pitch * session->sample_size;
    if (!session->whole) {
        pick_bytes += row_bytes;
        available += session->block.bytes();
    }
    available -= available < aside ? available : aside;
    const size_t count = fitting(available, pick_bytes, session->n_picks, PANEL_PICKS);
    session->device->n_shortages += count < session->n_picks;
    return count > 0 ? count : 1;
}

size_t session_chunk(struct backend_session *session, size_t epoch_bytes)
{
    if (!session->whole)
        epoch_bytes += session->n_picks * session->pitch * session->sample_size;
    /* Some is left for the tables that go with a chunk. */
    const size_t available = device_available(session->device) / 4 * 3;
    const size_t n = fitting(available, epoch_bytes, session->n_epochs, PANEL_EPOCHS);
    session->device->n_shortages += n < session->n_epochs;
    return n > 0 ? n : 1;
}
