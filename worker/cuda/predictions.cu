#include "worker/cuda/predictions.h"

#include <climits>
#include <type_traits>

#include "worker/cuda/amplitudes.h"
#include "worker/cuda/pieces.h"
#include "worker/cuda/spare.h"
#include "worker/cuda/staging.h"
#include "worker/cuda/thresholds.h"

/* A product for a batch of epochs: out = x weights, of m samples each. */
struct batch {
    int m, n, k;
    long long pitch, x_stride, out_stride; /* from row to row, and from epoch to epoch */
    size_t apart;                          /* the parts of the weights are, from each other */
    int n_epochs;
    float *sums; /* [n_epochs][n][m], of samples that are kept in 16 bits */
};

enum { ROUND_THREADS = 128 };

/* Of epochs that are left, how many to multiply at a time, 3 or more at most. A batch of one alone
 * has other bits than those of several, which agree: there is none but of the only epoch. */
static size_t epochs_at_once(size_t left, size_t most)
{
    return left == most + 1 ? most - 1 : (left < most ? left : most);
}

/* What products need beside their result. */
template <typename Sample> struct product_scratch {
    device_array<Sample> partial; /* a panel, of which not all is wanted */
    device_array<float> sums;     /* of samples that are kept in 16 bits */
};

static enum rejectd_status check_product(struct backend_device *device, cublasStatus_t status,
                                         struct rejectd_error *error)
{
    return device_check_blas(device, status, "the product of predictions", error);
}

/* gemm: cuBLAS's strided batched product of the type. */
template <typename Real, typename Gemm>
static enum rejectd_status multiply_by(Gemm gemm, struct backend_device *device,
                                       const struct batch &b, const Real *x, const Real *weights,
                                       Real *out, struct rejectd_error *error)
{
    const Real one = 1, zero = 0;
    return check_product(device,
                         gemm(device->blas, CUBLAS_OP_N, CUBLAS_OP_N, b.m, b.n, b.k, &one, x,
                              (int)b.pitch, b.x_stride, weights, b.k, 0, &zero, out, (int)b.pitch,
                              b.out_stride, b.n_epochs),
                         error);
}

static enum rejectd_status multiply(struct backend_device *device, const struct batch &b,
                                    const double *x, const double *weights, double *out,
                                    struct rejectd_error *error)
{
    return multiply_by(cublasDgemmStridedBatched, device, b, x, weights, out, error);
}

static enum rejectd_status multiply(struct backend_device *device, const struct batch &b,
                                    const float *x, const float *weights, float *out,
                                    struct rejectd_error *error)
{
    return multiply_by(cublasSgemmStridedBatched, device, b, x, weights, out, error);
}

/* sums = x weights + add sums, of 16-bit numbers, on tensor cores. */
static enum rejectd_status add_product(struct backend_device *device, cudaDataType type,
                                       const struct batch &b, const void *x, const void *weights,
                                       float add, struct rejectd_error *error)
{
    const float one = 1.0f;
    return check_product(
        device,
        cublasGemmStridedBatchedEx(device->blas, CUBLAS_OP_N, CUBLAS_OP_N, b.m, b.n, b.k, &one, x,
                                   type, (int)b.pitch, b.x_stride, weights, type, b.k, 0, &add,
                                   b.sums, CUDA_R_32F, b.m, (long long)b.m * b.n, b.n_epochs,
                                   CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
        error);
}

/* out = sums, a block for each row of an epoch. */
template <typename Sample>
__global__ void __launch_bounds__(ROUND_THREADS) round_sums(struct batch batch, Sample *out)
{
    const float *sums = batch.sums + ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * batch.m;
    Sample *row = out + (size_t)blockIdx.y * batch.out_stride + (size_t)blockIdx.x * batch.pitch;
    for (int t = (int)threadIdx.x; t < batch.m; t += ROUND_THREADS)
        row[t] = narrow<Sample>(sums[t]);
}

/* The sum of both parts is rounded once: cuBLAS would round what it adds to as well. */
template <typename Sample>
static enum rejectd_status multiply(struct backend_device *device, const struct batch &b,
                                    const Sample *x, const Sample *weights, Sample *out,
                                    struct rejectd_error *error)
{
    const cudaDataType type = std::is_same<Sample, __half>::value ? CUDA_R_16F : CUDA_R_16BF;
    TRY(add_product(device, type, b, x, weights + b.apart, 0.0f, error));
    TRY(add_product(device, type, b, x, weights, 1.0f, error));
    CUDA_LAUNCH((round_sums<Sample>), dim3((unsigned)b.n, (unsigned)b.n_epochs),
                dim3(ROUND_THREADS), 0, device->compute, b, out);
    CUDA_TRY(cudaGetLastError());
    return REJECTD_OK;
}

/* Products of so many picks of so many epochs, of which only the time matters. */
template <typename Sample>
static enum rejectd_status multiply_zeros(struct backend_device *device, int n_picks, int n_epochs,
                                          struct rejectd_error *error)
{
    const long long epoch = (long long)n_picks * PANEL_TIMES;
    const size_t square = (size_t)n_picks * n_picks, n = (size_t)n_epochs * epoch;
    device_array<Sample> x, out, weights;
    device_array<float> sums;
    TRY(x.reserve(device, n, error));
    TRY(out.reserve(device, n, error));
    TRY(sums.reserve(device, n, error));
    TRY(weights.reserve(device, 2 * square, error));
    CUDA_TRY(cudaMemsetAsync(x.get(), 0, x.bytes(), device->compute));
    CUDA_TRY(cudaMemsetAsync(weights.get(), 0, weights.bytes(), device->compute));
    const struct batch batch = {PANEL_TIMES, n_picks, n_picks,  PANEL_TIMES, epoch,
                                epoch,       square,  n_epochs, sums.get()};
    TRY(multiply(device, batch, x.get(), weights.get(), out.get(), error));
    return device_wait(device, error);
}

/* cuBLAS chooses its kernels by the shape, which no one knows yet. */
template <typename Sample>
static enum rejectd_status warm_up(struct backend_device *device, struct rejectd_error *error)
{
#ifdef REJECTD_CUDA_EMULATION
    return multiply_zeros<Sample>(device, PANEL_PICKS, 2, error);
#else
    static const int picks[] = {PANEL_PICKS, PANEL_PICKS / 2, PANEL_PICKS / 4};
    static const int epochs[] = {2, PANEL_EPOCHS, RESIDENT_EPOCHS};
    for (int n_picks : picks)
        for (int n_epochs : epochs)
            TRY(multiply_zeros<Sample>(device, n_picks, n_epochs, error));
    return REJECTD_OK;
#endif
}

enum rejectd_status predictions_warm_up(struct backend_device *device, struct rejectd_error *error)
{
    enum rejectd_status status = warm_up<double>(device, error);
    if (status == REJECTD_OK)
        status = warm_up<float>(device, error);
    if (status == REJECTD_OK)
        status = warm_up<__half>(device, error);
    if (status == REJECTD_OK && device->multiplies_bfloat16)
        status = warm_up<__nv_bfloat16>(device, error);
    return status == REJECTD_DEVICE_MEMORY ? REJECTD_OK : status; /* the budget is for less */
}

template <typename Sample> std::vector<Sample> weights_in_parts(const double *weights, size_t n)
{
    std::vector<Sample> parts(weight_parts<Sample>::n * n);
    for (size_t i = 0; i < n; i++) {
        parts[i] = narrow<Sample>(weights[i]);
        if (weight_parts<Sample>::n == 2)
            parts[n + i] = narrow<Sample>(weights[i] - (double)widen(parts[i]));
    }
    return parts;
}

/* Products of one panel of picks: where it begins, how wide it is, and which of it are wanted. */
struct panel {
    size_t begin, width;
    size_t wanted, n_wanted; /* first of them, from the panel's begin, and how many */
};

/* The weights of a panel; of picks that are not predicted they are zero. */
template <typename Sample>
static enum rejectd_status upload_panel(struct backend_session *session, const struct panel *panel,
                                        std::vector<Sample> *host, device_array<Sample> *weights,
                                        struct rejectd_error *error)
{
    const size_t c = session->n_picks;
    std::vector<double> rows(panel->width * c, 0.0);
    for (size_t i = 0; i < panel->width; i++) {
        const size_t pick = panel->begin + i;
        if (pick < session->first || pick >= session->first + session->count)
            continue;
        const double *row = session->weights.data() + (pick - session->first) * c;
        for (size_t j = 0; j < c; j++)
            rows[i * c + j] = row[j];
    }
    *host = weights_in_parts<Sample>(rows.data(), rows.size());
    return weights->upload(session->device, host->data(), host->size(), error);
}

/* Samples of a chunk of epochs, and where their predictions go. */
template <typename Sample> struct chunk {
    const Sample *x; /* [n_epochs][C][pitch] */
    size_t n_epochs;
    size_t time, n_times; /* those of its samples that are predicted */
    Sample *out;          /* of the panel's first pick that is wanted */
    size_t out_stride;    /* from epoch to epoch */
};

/* Copies n rows of `width` bytes. A copy in two dimensions takes no pitch of 2 GB and more, as
 * epochs of millions of samples have. */
static enum rejectd_status copy_rows(struct backend_device *device, void *to, size_t to_pitch,
                                     const void *from, size_t from_pitch, size_t width, size_t n,
                                     enum cudaMemcpyKind kind, struct rejectd_error *error)
{
    if (to_pitch <= INT_MAX && from_pitch <= INT_MAX) {
        CUDA_TRY(
            cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, n, kind, device->compute));
        return REJECTD_OK;
    }
    for (size_t i = 0; i < n; i++)
        CUDA_TRY(cudaMemcpyAsync((char *)to + i * to_pitch, (const char *)from + i * from_pitch,
                                 width, kind, device->compute));
    return REJECTD_OK;
}

/* One panel of one chunk of epochs. Where not the whole panel is wanted, it goes through
 * `partial`: the product has its full shape, so that its bits don't depend on the block. */
template <typename Sample>
static enum rejectd_status
multiply_chunk(struct backend_session *session, const struct panel *panel,
               const struct chunk<Sample> &chunk, const Sample *weights, size_t apart,
               struct product_scratch<Sample> *scratch, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t pitch = session->pitch, end = chunk.time + chunk.n_times;
    const bool all = panel->n_wanted == panel->width;
    const size_t panel_stride = panel->width * pitch;
    if (!all)
        TRY(scratch->partial.reserve(device, chunk.n_epochs * panel_stride, error));
    const size_t sums =
        product_sum_bytes(session->storage, chunk.n_epochs, panel->width, pitch) / sizeof(float);
    TRY(scratch->sums.reserve(device, sums, error));
    Sample *out = all ? chunk.out : scratch->partial.get();
    for (size_t t = chunk.time; t < end; t += PANEL_TIMES) {
        const size_t left = end - t;
        const struct batch batch = {
            (int)(left < PANEL_TIMES ? left : (size_t)PANEL_TIMES),
            (int)panel->width,
            (int)session->n_picks,
            (long long)pitch,
            (long long)(session->n_picks * pitch),
            (long long)(all ? chunk.out_stride : panel_stride),
            apart,
            (int)chunk.n_epochs,
            scratch->sums.get(),
        };
        TRY(multiply(device, batch, chunk.x + t, weights, out + t, error));
    }
    CUDA_LAUNCHED("product");
    return all ? REJECTD_OK
               : copy_rows(device, chunk.out, chunk.out_stride * sizeof(Sample),
                           scratch->partial.get() + panel->wanted * pitch,
                           panel_stride * sizeof(Sample), panel->n_wanted * pitch * sizeof(Sample),
                           chunk.n_epochs, cudaMemcpyDeviceToDevice, error);
}

template <typename Sample>
enum rejectd_status predictions_make(struct backend_session *session, size_t first, size_t count,
                                     Sample *out, struct rejectd_error *error)
{
    const size_t pitch = session->pitch, out_stride = count * pitch;
    std::vector<Sample> host;
    struct product_scratch<Sample> scratch;
    device_array<Sample> weights;
    device_array<unsigned char> buffer;
    for (size_t begin = first / PANEL_PICKS * PANEL_PICKS; begin < first + count;
         begin += PANEL_PICKS) {
        const size_t left = session->n_picks - begin;
        const size_t width = left < PANEL_PICKS ? left : (size_t)PANEL_PICKS;
        const size_t from = begin < first ? first : begin;
        const size_t end = begin + width < first + count ? begin + width : first + count;
        const struct panel panel = {begin, width, from - begin, end - from};
        size_t most =
            session->whole && end - from == width ? (size_t)RESIDENT_EPOCHS : (size_t)PANEL_EPOCHS;
        if (session->product_epochs != 0 && session->product_epochs < most)
            most = session->product_epochs;
        TRY(upload_panel(session, &panel, &host, &weights, error));
        TRY(device_wait(session->device, error)); /* for `host`; products are queued after it */
        const auto predict = [&](size_t e, size_t n) {
            struct chunk<Sample> chunk = {
                nullptr, n, 0, pitch, out + e *out_stride + (from - first) * pitch, out_stride,
            };
            TRY(session_epochs(session, e, n, &buffer, &chunk.x, error));
            return multiply_chunk(session, &panel, chunk, weights.get(), width * session->n_picks,
                                  &scratch, error);
        };
        const auto make_room = [&](size_t n, size_t *chunk) {
            buffer.clear();
            scratch.partial.clear();
            scratch.sums.clear();
            if (!halve(n, chunk) || n <= LEAST_EPOCHS)
                return false;
            session->product_epochs = *chunk; /* of the next panel, too */
            return true;
        };
        TRY(in_pieces_of(session, session->n_epochs, most, epochs_at_once, predict, make_room,
                         error));
    }
    return REJECTD_OK;
}

template <typename Sample>
enum rejectd_status predictions_columns(struct backend_session *session, size_t time,
                                        size_t n_times, const Sample *weights, Sample *out,
                                        struct rejectd_error *error)
{
    const size_t c = session->n_picks, pitch = session->pitch, epoch = c * pitch;
    const Sample *x = (const Sample *)session->first_sample;
    struct product_scratch<Sample> scratch;
    for (size_t e = 0, n; e < session->n_epochs; e += n) {
        n = epochs_at_once(session->n_epochs - e, RESIDENT_EPOCHS);
        for (size_t begin = 0; begin < c; begin += PANEL_PICKS) {
            const size_t width = c - begin < PANEL_PICKS ? c - begin : (size_t)PANEL_PICKS;
            const struct panel panel = {begin, width, 0, width};
            const struct chunk<Sample> chunk = {
                x + e *epoch, n, time, n_times, out + e *epoch + begin *pitch, epoch,
            };
            TRY(multiply_chunk(session, &panel, chunk, weights + begin * c, c * c, &scratch,
                               error));
        }
    }
    return REJECTD_OK;
}

#define INSTANCE(Sample)                                                                           \
    template std::vector<Sample> weights_in_parts<Sample>(const double *, size_t);                 \
    template enum rejectd_status predictions_columns<Sample>(struct backend_session *, size_t,     \
                                                             size_t, const Sample *, Sample *,     \
                                                             struct rejectd_error *);              \
    template enum rejectd_status predictions_make<Sample>(                                         \
        struct backend_session *, size_t, size_t, Sample *, struct rejectd_error *);
FOR_EACH_STORAGE(INSTANCE)

template <typename Sample>
static enum rejectd_status materialise(struct backend_session *session, struct rejectd_error *error)
{
    const size_t n = session->n_epochs * session->count * session->pitch;
    TRY(session->predictions.reserve(session->device, n * sizeof(Sample), error));
    TRY(predictions_make(session, session->first, session->count,
                         (Sample *)session->predictions.get(), error));
    session->materialised = true;
    return REJECTD_OK;
}

enum rejectd_status predictions_materialise(struct backend_session *session,
                                            struct rejectd_error *error)
{
    if (session->materialised || session->weights.empty())
        return REJECTD_OK;
    session->materialised = spare_take_predictions(session);
    if (session->materialised)
        return REJECTD_OK;
    return FOR_STORAGE(session, materialise, session, error);
}

template <typename Sample>
static enum rejectd_status predicted_amplitudes(struct backend_session *session, double *ptp,
                                                struct rejectd_error *error)
{
    const size_t rows = session->n_epochs * session->count;
    device_array<double> amplitudes;
    TRY(amplitudes.reserve(session->device, rows, error));
    TRY(amplitudes_of_rows<Sample>(session->device, session->device->compute,
                                   (const Sample *)session->predictions.get(), rows, session->pitch,
                                   session->n_times, session->unit, amplitudes.get(), error));
    return download(session->device, ptp, amplitudes.get(), rows, error);
}

enum rejectd_status cuda_predict(struct backend_session *session, const double *weights,
                                 size_t first, size_t count, double *ptp,
                                 struct rejectd_error *error)
{
    const size_t n_weights = count * session->n_picks;
    session->repaired.n_values = 0;
    session->materialised =
        session->foreseen && weights != nullptr && first == 0 &&
        session->weights.size() == n_weights &&
        memcmp(session->weights.data(), weights, n_weights * sizeof *weights) == 0;
    if (session->foreseen ? !session->materialised : weights != nullptr)
        session->foreseen_folds.reset(); /* of other predictions */
    session->foreseen = false;
    session->first = first;
    session->count = count;
    if (weights == nullptr) {
        session->weights.clear();
        return session_advance(session, 1.0, error);
    }
    session->weights.assign(weights, weights + n_weights);
    if (ptp == nullptr) {
        /* The device begins, unless it may not be needed. */
        if (count != session->n_picks || thresholds_known(session) ||
            !thresholds_fit_at_once(session))
            return REJECTD_OK;
        const enum rejectd_status status = predictions_materialise(session, error);
        if (!device_is_short(session->device, status))
            return status;
        session->predictions.clear(); /* the search makes those of a block at a time */
        session->product_epochs = 0;
        return REJECTD_OK;
    }
    TRY(predictions_materialise(session, error));
    TRY(FOR_STORAGE(session, predicted_amplitudes, session, ptp, error));
    return session_advance(session, 1.0, error);
}

template <typename Sample>
static enum rejectd_status read_predictions(struct backend_session *session, size_t pick,
                                            double *rows, struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t n_times = session->n_times, row_bytes = session->pitch * sizeof(Sample);
    std::vector<Sample> host(session->n_epochs * n_times);
    const Sample *from =
        (const Sample *)session->predictions.get() + (pick - session->first) * session->pitch;
    TRY(copy_rows(device, host.data(), n_times * sizeof(Sample), from, session->count * row_bytes,
                  n_times * sizeof(Sample), session->n_epochs, cudaMemcpyDeviceToHost, error));
    TRY(device_wait(device, error));
    for (size_t i = 0; i < host.size(); i++)
        rows[i] = (double)widen(host[i]) * session->unit;
    return REJECTD_OK;
}

enum rejectd_status cuda_read_predictions(struct backend_session *session, size_t pick,
                                          double *rows, struct rejectd_error *error)
{
    TRY(predictions_materialise(session, error));
    return FOR_STORAGE(session, read_predictions, session, pick, rows, error);
}

template <typename Sample>
static enum rejectd_status streamed_amplitudes(struct backend_session *session,
                                               struct rejectd_error *error)
{
    const size_t c = session->n_picks;
    device_array<unsigned char> buffer;
    device_array<double> ptp;
    const auto take = [&](size_t e, size_t n) {
        const Sample *x;
        TRY(ptp.reserve(session->device, n * c, error));
        TRY(session_epochs(session, e, n, &buffer, &x, error));
        TRY(amplitudes_of_rows<Sample>(session->device, session->device->compute, x, n * c,
                                       session->pitch, session->n_times, session->unit, ptp.get(),
                                       error));
        TRY(download(session->device, session->ptp.data() + e * c, ptp.get(), n * c, error));
        return session_advance(session, (double)(e + n) / (double)session->n_epochs, error);
    };
    const auto make_room = [&](size_t n, size_t *chunk) {
        buffer.clear();
        ptp.clear();
        return halve(n, chunk);
    };
    return in_pieces(session, session->n_epochs, session_chunk(session, c * sizeof(double)), take,
                     make_room, error);
}

enum rejectd_status cuda_peak_to_peak(struct backend_session *session, double *ptp,
                                      struct rejectd_error *error)
{
    if (session->whole) {
        /* A resident's were taken when it came. What is computed meanwhile is not waited for. */
        const size_t first = session->samples.content_first * session->n_picks;
        const size_t n = session->n_epochs * session->n_picks;
        TRY(staging_receive(session, session->device->arrivals, session->shared->ptp.get() + first,
                            n * sizeof *ptp, ptp, error));
    } else {
        session->ptp.resize(session->n_epochs * session->n_picks);
        TRY(FOR_STORAGE(session, streamed_amplitudes, session, error));
        memcpy(ptp, session->ptp.data(), session->ptp.size() * sizeof *ptp);
    }
    return session_advance(session, 1.0, error);
}
