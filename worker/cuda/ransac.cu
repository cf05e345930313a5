/*
 * Correlations of RANSAC.
 *
 * A thread predicts one sample of PICKS picks by every resample, keeps the predictions in shared
 * memory (or, of very many resamples, in global memory), and finds their medians by counting. A
 * block takes a number of neighbouring samples and picks of one epoch; products with what was
 * measured are added up over its samples, and over blocks in order. The unit of the samples
 * cancels.
 */
#include <cmath>

#include "worker/cuda/median_search.h"
#include "worker/cuda/pieces.h"

enum { THREADS = RANSAC_THREADS, PICKS = RANSAC_PICKS };

struct resampling {
    uint32_t n_resample, n_samples, n_picks, pitch;
    const uint32_t *subsets; /* [n_resample][n_samples] */
};

/* The median of a thread's own n predictions, `stride` apart. */
template <typename Work>
__device__ Work median_of(const Work *predictions, uint32_t n, uint32_t stride)
{
    Work least = predictions[0], most = least, sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const Work x = predictions[i * stride];
        least = x < least ? x : least;
        most = x > most ? x : most;
        sum += x;
    }
    struct median_search<Work> search;
    search.begin(sum / (Work)n, (most - least) / 4, n);
    while (!search.done) {
        uint32_t n_below = 0;
        Work below = (Work)-INFINITY, above = (Work)INFINITY;
        for (uint32_t i = 0; i < n; i++) {
            const Work x = predictions[i * stride];
            if (x < search.pivot) {
                n_below++;
                below = x > below ? x : below;
            } else {
                above = x < above ? x : above;
            }
        }
        search.turn(n_below, below, above);
    }
    return search.pivot;
}

/* sums [epoch][part][pick][3] = over a block's samples: x y, x x, y y. */
template <typename Sample>
__global__ void __launch_bounds__(THREADS)
    correlate(const Sample *samples, struct resampling resampling, const work_of<Sample> *weights,
              work_of<Sample> *scratch, double *sums)
{
    typedef work_of<Sample> Work;
    CUDA_DYNAMIC_SHARED(Work, shared);
    __shared__ double totals[THREADS / 32][PICKS][3];
    const uint32_t n = resampling.n_resample, pitch = resampling.pitch;
    const uint32_t t = blockIdx.x * THREADS + threadIdx.x, first = blockIdx.y * PICKS;
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const bool inside = t < pitch;
    const size_t block =
        (size_t)blockIdx.x + gridDim.x * (blockIdx.y + (size_t)gridDim.y * blockIdx.z);
    Work *predictions =
        (scratch != nullptr ? scratch + block * n * PICKS * THREADS : shared) + threadIdx.x;
    const Sample *x = samples + (size_t)blockIdx.z * resampling.n_picks * pitch;
    for (uint32_t r = 0; r < n; r++) {
        Work sum[PICKS] = {0};
        for (uint32_t j = 0; j < resampling.n_samples; j++) {
            const size_t at = (size_t)r * resampling.n_samples + j;
            const Work value =
                inside ? widen(x[(size_t)resampling.subsets[at] * pitch + t]) : (Work)0;
#pragma unroll
            for (int p = 0; p < PICKS; p++) {
                /* Weights of a last, odd pick's neighbour are there, and are zero. */
                sum[p] += weights[at * (size_t)(gridDim.y * PICKS) + first + (uint32_t)p] * value;
            }
        }
#pragma unroll
        for (int p = 0; p < PICKS; p++)
            predictions[(r * PICKS + (uint32_t)p) * THREADS] = sum[p];
    }
    for (uint32_t p = 0; p < PICKS; p++) {
        const Work y = median_of(predictions + p * THREADS, n, PICKS * THREADS);
        const Work measured = inside && first + p < resampling.n_picks
                                  ? widen(x[(size_t)(first + p) * pitch + t])
                                  : (Work)0;
        double product[3] = {(double)measured * (double)y, (double)measured * (double)measured,
                             (double)y * (double)y};
        for (int i = 0; i < 3; i++) {
            for (int step = 16; step > 0; step /= 2)
                product[i] += __shfl_xor_sync(0xffffffffu, product[i], step);
            if (lane == 0)
                totals[warp][p][i] = product[i];
        }
    }
    __syncthreads();
    if (threadIdx.x >= PICKS * 3 || first + threadIdx.x / 3 >= resampling.n_picks)
        return;
    double total = 0.0;
    for (int w = 0; w < THREADS / 32; w++)
        total += totals[w][threadIdx.x / 3][threadIdx.x % 3];
    sums[(((size_t)blockIdx.z * gridDim.x + blockIdx.x) * resampling.n_picks + first) * 3 +
         threadIdx.x] = total;
}

__global__ void finish_correlations(const double *sums, size_t n, uint32_t n_picks,
                                    uint32_t n_parts, double *corr)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const size_t epoch = i / n_picks, pick = i % n_picks;
    double xy = 0.0, xx = 0.0, yy = 0.0;
    for (uint32_t part = 0; part < n_parts; part++) {
        const double *sum = sums + ((epoch * n_parts + part) * n_picks + pick) * 3;
        xy += sum[0];
        xx += sum[1];
        yy += sum[2];
    }
    corr[i] = xy / (sqrt(xx) * sqrt(yy));
}

/* No launch takes seconds: whoever cancels waits for it, and so does a display, if the device has
 * one. And a grid is no deeper than 65535. */
static size_t most_epochs(const struct backend_session *session,
                          const struct backend_mappings *mappings)
{
    static const double products = 2e11; /* half a second where there are 4e11 in one */
    const double epoch = (double)session->n_picks * (double)session->pitch *
                         (double)mappings->n_resample * (double)mappings->n_samples;
    return (size_t)fmin(32768.0, fmax(1.0, products / epoch));
}

/* Weights as [resample][sample][pick], picks rounded up: neighbours are read together. */
template <typename Work>
static std::vector<Work> turn_weights(const struct backend_mappings *mappings, size_t n_picks)
{
    const size_t n = mappings->n_samples, wide = (n_picks + PICKS - 1) / PICKS * PICKS;
    std::vector<Work> turned(mappings->n_resample * n * wide, (Work)0);
    for (size_t r = 0; r < mappings->n_resample; r++)
        for (size_t c = 0; c < n_picks; c++)
            for (size_t j = 0; j < n; j++)
                turned[(r * n + j) * wide + c] = (Work)mappings->weights[(r * n_picks + c) * n + j];
    return turned;
}

/* How many epochs to work on at a time when each takes `epoch_bytes` beside its samples, `most` at
 * most: no product is made of them, so that it may be any number. */
static size_t chunk_of(struct backend_session *session, size_t epoch_bytes, size_t most)
{
    if (!session->whole)
        epoch_bytes += session->n_picks * session->pitch * session->sample_size;
    const size_t fits = device_available(session->device) / 4 * 3 / epoch_bytes;
    return fits > most ? most : (fits > 0 ? fits : 1);
}

/* What a call works with; the arrays of a chunk serve the next one. */
template <typename Work> struct ransac_work {
    struct resampling resampling;
    unsigned parts, pairs; /* blocks of an epoch */
    size_t own;            /* bytes of a block's predictions, */
    bool shared;           /* which fit into shared memory */
    device_array<uint32_t> subsets;
    device_array<Work> weights, scratch;
    device_array<double> sums, found;
    device_array<unsigned char> samples;
};

template <typename Sample>
static enum rejectd_status
open_resampling(struct backend_session *session, const struct backend_mappings *mappings,
                struct ransac_work<work_of<Sample>> *work, struct rejectd_error *error)
{
    typedef work_of<Sample> Work;
    struct backend_device *device = session->device;
    const std::vector<Work> turned = turn_weights<Work>(mappings, session->n_picks);
    const size_t n_listed = mappings->n_resample * mappings->n_samples;
    work->parts = blocks_for(session->pitch, THREADS);
    work->pairs = blocks_for(session->n_picks, PICKS);
    work->own = ransac_block_bytes(sizeof(Work), mappings->n_resample);
    work->shared = work->own + RANSAC_OTHER_BYTES <= device->shared_limit;
    /* Before anything is on its way from what ends with this function. */
    TRY(work->subsets.reserve(device, n_listed, error));
    TRY(work->weights.reserve(device, turned.size(), error));
    TRY(work->subsets.upload(device, mappings->subsets, n_listed, error));
    TRY(work->weights.upload(device, turned.data(), turned.size(), error));
    work->resampling = {(uint32_t)mappings->n_resample, (uint32_t)mappings->n_samples,
                        (uint32_t)session->n_picks, (uint32_t)session->pitch, work->subsets.get()};
    if (work->shared)
        CUDA_TRY(cudaFuncSetAttribute((const void *)correlate<Sample>,
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, (int)work->own));
    return device_wait(device, error);
}

template <typename Sample>
static enum rejectd_status correlate_epochs(struct backend_session *session, size_t e, size_t n,
                                            struct ransac_work<work_of<Sample>> *work, double *corr,
                                            struct rejectd_error *error)
{
    struct backend_device *device = session->device;
    const size_t c = session->n_picks, parts = work->parts;
    const Sample *x;
    TRY(session_epochs<Sample>(session, e, n, &work->samples, &x, error));
    TRY(work->sums.reserve(device, n * parts * c * 3, error));
    TRY(work->found.reserve(device, n * c, error));
    if (!work->shared)
        TRY(work->scratch.reserve(
            device, n * parts * work->pairs * work->own / sizeof(work_of<Sample>), error));
    CUDA_LAUNCH((correlate<Sample>), dim3(work->parts, work->pairs, (unsigned)n), dim3(THREADS),
                work->shared ? work->own : 0, device->compute, x, work->resampling,
                work->weights.get(), work->shared ? nullptr : work->scratch.get(),
                work->sums.get());
    CUDA_LAUNCHED("correlate");
    CUDA_LAUNCH(finish_correlations, dim3(blocks_for(n * c, 128)), dim3(128), 0, device->compute,
                work->sums.get(), n * c, (uint32_t)c, work->parts, work->found.get());
    CUDA_LAUNCHED("finish_correlations");
    TRY(download(device, corr + e * c, work->found.get(), n * c, error));
    return session_advance(session, (double)(e + n) / (double)session->n_epochs, error);
}

template <typename Sample>
static enum rejectd_status correlations(struct backend_session *session,
                                        const struct backend_mappings *mappings, double *corr,
                                        struct rejectd_error *error)
{
    struct ransac_work<work_of<Sample>> work = {
    };
    const size_t c = session->n_picks;
    TRY(open_resampling<Sample>(session, mappings, &work, error));
    const size_t epoch_bytes = (work.parts * c * 3 + c) * sizeof(double) +
                               (work.shared ? 0 : work.own * work.parts * work.pairs);
    const size_t most = most_epochs(session, mappings);
    const size_t chunk = chunk_of(session, epoch_bytes, most);
    /* Scratch of many resamples is for few epochs on any card. */
    if (work.shared)
        session->device->n_shortages += chunk < most && chunk < session->n_epochs;
    const auto correlate = [&](size_t e, size_t n) {
        return correlate_epochs<Sample>(session, e, n, &work, corr, error);
    };
    const auto make_room = [&](size_t n, size_t *piece) {
        work.samples.clear();
        work.sums.clear();
        work.found.clear();
        work.scratch.clear();
        return halve(n, piece);
    };
    return in_pieces(session, session->n_epochs, chunk, correlate, make_room, error);
}

enum rejectd_status cuda_ransac_correlations(struct backend_session *session,
                                             const struct backend_mappings *mappings, double *corr,
                                             struct rejectd_error *error)
{
    return FOR_STORAGE(session, correlations, session, mappings, corr, error);
}
