/*
 * What the files of the cuda backend share: the session and the ways into its samples.
 *
 * Samples live on the device as [E][C][pitch] of the type that the precision keeps them as
 * (storage.h): the picks alone, rows padded with zeros to a multiple of 32 samples, so that every
 * warp reads whole lines and zero columns add nothing to any sum of squares.
 *
 * float16 has no range for volts or tesla: there a sample is the value kept times the session's
 * unit, a power of two, so that nothing is rounded by it. What is reckoned stays in that unit;
 * amplitudes, losses and rows that leave are multiplied by it. Elsewhere the unit is 1.
 *
 * Where they fit, a session holds them all ("whole"). Where they don't, they stay on the host and
 * pass through the device in pieces: blocks of picks for what is done channel by channel, chunks
 * of epochs for what is done epoch by epoch. Every operation is written for a piece and run over
 * pieces; one piece is all there is to a whole session. Results don't depend on the pieces.
 */
#ifndef WORKER_CUDA_SESSION_H
#define WORKER_CUDA_SESSION_H

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "worker/cuda/device.h"
#include "worker/cuda/residents.h"
#include "worker/cuda/sizes.h"
#include "worker/cuda/storage.h"

/* Repaired rows, value by value, epoch by epoch, in the order of the lists. */
struct repaired_rows {
    std::vector<size_t> offsets;  /* [E + 1] of the lists */
    std::vector<uint16_t> picks;  /* [offsets[E]] */
    std::vector<uint16_t> prefix; /* [n_values][E] */
    size_t n_values;
    std::vector<size_t> first_row;         /* [E + 1] first row of each epoch, of all values */
    device_array<unsigned char> on_device; /* [rows][pitch] as samples are kept, or empty */
    std::vector<unsigned char> on_host;    /* the same, where there was no room or it was read */
    std::shared_ptr<struct repair_lists> lists; /* what the device may still be copying */
};

struct backend_session {
    struct backend_device *device;
    struct backend_samples samples;
    std::vector<size_t> picks;
    struct backend_options options;
    enum rejectd_dtype storage; /* what samples, predictions and repaired rows are kept as */
    double unit;
    size_t sample_size, work_size; /* bytes of what is kept, and of what is reckoned with */
    size_t n_epochs, n_picks, n_times, pitch;
    std::shared_ptr<resident> shared; /* has the samples, unless streamed */
    bool whole;
    const unsigned char *first_sample; /* of a whole session, in `shared` */
    bool reused;                       /* the samples were there before */

    std::vector<double> ptp; /* [E][C], after peak_to_peak(); of a streamed session */

    std::vector<double> weights; /* [count][C] of the last predict(); empty: none */
    size_t first, count;         /* its picks */
    bool foreseen;     /* `predictions` has those of `weights`, which nobody has asked for yet */
    bool materialised; /* `predictions` has them all */
    device_array<unsigned char> predictions; /* [E][count][pitch] */
    size_t product_epochs; /* that products had room for at a time; 0: as many as they like */
    device_array<unsigned char> block; /* picks of a streamed session: [E][count][pitch] */
    std::shared_ptr<struct foreseen_folds> foreseen_folds; /* of the search; or null */

    struct repaired_rows repaired;
};

/* The rows of a block of picks, for kernels: row r < n_epochs is an epoch, the others predictions.
 */
template <typename Sample> struct row_view {
    const Sample *samples; /* of the block's first pick in the first epoch */
    size_t samples_stride; /* from epoch to epoch, in samples */
    const Sample *predictions;
    size_t predictions_stride;
    uint32_t n_epochs;
    uint32_t pitch;

    __device__ const Sample *row(uint32_t row, uint32_t pick) const
    {
        return row < n_epochs
                   ? samples + row * samples_stride + (size_t)pick * pitch
                   : predictions + (row - n_epochs) * predictions_stride + (size_t)pick * pitch;
    }
};

/* Whether what is computed from the samples may be kept with them: all epochs of a resident. */
static inline bool session_remembers(const struct backend_session *session)
{
    return session->whole && session->n_epochs == session->shared->n_epochs;
}

/* Tells how much of the call is done; CANCELLED when the caller wants to stop. */
enum rejectd_status session_advance(const struct backend_session *session, double fraction,
                                    struct rejectd_error *error);

enum rejectd_status session_open(const struct backend_samples *samples,
                                 const struct backend_options *options,
                                 struct backend_session **session, struct rejectd_error *error);
void session_close(struct backend_session *session);
/* What samples are kept as where these options ask for a precision. */
enum rejectd_dtype cuda_precision(const struct backend_options *options);

/* Copies picks first..first+count-1 of epochs e..e+n-1 from the host to `to` [n][count][pitch] of
 * what samples are kept as. They are there for what is queued on the compute stream next. */
enum rejectd_status session_fetch(struct backend_session *session, size_t e, size_t n, size_t first,
                                  size_t count, void *to, struct rejectd_error *error);

/* Predictions are not asked for any more: their memory is for what follows that needs it. */
void session_forget_predictions(struct backend_session *session);

/* How many picks to work on at a time when each takes `pick_bytes` of the device beside its
 * samples, and `aside` is not for them: all, or a multiple of PANEL_PICKS where that fits, else
 * what fits. At least 1. Fewer than all count as a shortage. */
size_t session_block(struct backend_session *session, size_t pick_bytes, size_t aside);

/* How many epochs to work on at a time when each takes `epoch_bytes` beside its samples: all of a
 * whole session's where that fits, else a multiple of PANEL_EPOCHS, else what fits. At least 1.
 * Fewer than all count as a shortage. */
size_t session_chunk(struct backend_session *session, size_t epoch_bytes);

/* The samples of a block of picks, brought here if need be; valid until the next call. */
template <typename Sample>
enum rejectd_status session_rows(struct backend_session *session, size_t first, size_t count,
                                 struct row_view<Sample> *view, struct rejectd_error *error)
{
    const size_t n = session->n_epochs;
    if (session->whole) {
        *view = row_view<Sample>{(const Sample *)session->first_sample + first * session->pitch,
                                 session->n_picks * session->pitch,
                                 nullptr,
                                 0,
                                 (uint32_t)n,
                                 (uint32_t)session->pitch};
        return REJECTD_OK;
    }
    TRY(session->block.reserve(session->device, n * count * session->pitch * sizeof(Sample),
                               error));
    TRY(session_fetch(session, 0, n, first, count, session->block.get(), error));
    *view = row_view<Sample>{(const Sample *)session->block.get(),
                             count * session->pitch,
                             nullptr,
                             0,
                             (uint32_t)n,
                             (uint32_t)session->pitch};
    return REJECTD_OK;
}

/* All picks of a chunk of epochs [n][C][pitch]: in place, or brought to `buffer`. */
template <typename Sample>
enum rejectd_status session_epochs(struct backend_session *session, size_t e, size_t n,
                                   device_array<unsigned char> *buffer, const Sample **samples,
                                   struct rejectd_error *error)
{
    const size_t epoch = session->n_picks * session->pitch;
    if (session->whole) {
        *samples = (const Sample *)session->first_sample + e * epoch;
        return REJECTD_OK;
    }
    TRY(buffer->reserve(session->device, n * epoch * sizeof(Sample), error));
    TRY(session_fetch(session, e, n, 0, session->n_picks, buffer->get(), error));
    *samples = (const Sample *)buffer->get();
    return REJECTD_OK;
}

/* Calls a template of what samples are kept as. */
#define FOR_STORAGE(session, function, ...)                                                        \
    ((session)->storage == REJECTD_FLOAT64   ? function<double>(__VA_ARGS__)                       \
     : (session)->storage == REJECTD_FLOAT32 ? function<float>(__VA_ARGS__)                        \
     : (session)->storage == REJECTD_FLOAT16 ? function<__half>(__VA_ARGS__)                       \
                                             : function<__nv_bfloat16>(__VA_ARGS__))

/* The operations of backend.h, one file each. */
enum rejectd_status cuda_peak_to_peak(struct backend_session *session, double *ptp,
                                      struct rejectd_error *error);
enum rejectd_status cuda_predict(struct backend_session *session, const double *weights,
                                 size_t first, size_t count, double *ptp,
                                 struct rejectd_error *error);
enum rejectd_status cuda_read_predictions(struct backend_session *session, size_t pick,
                                          double *rows, struct rejectd_error *error);
enum rejectd_status cuda_threshold_losses(struct backend_session *session,
                                          const struct backend_splits *splits,
                                          const uint32_t *order, const double *ptp, double *losses,
                                          struct rejectd_error *error);
enum rejectd_status cuda_search_thresholds(struct backend_session *session,
                                           const struct backend_splits *splits,
                                           const struct backend_search *search, double *thresholds,
                                           double *losses, struct rejectd_error *error);
bool cuda_recall_thresholds(struct backend_session *session, const struct backend_search *search,
                            double *thresholds, double *losses);
enum rejectd_status cuda_interpolate_epochs(struct backend_session *session,
                                            const double *precision,
                                            const struct backend_repairs *repairs,
                                            struct rejectd_error *error);
enum rejectd_status cuda_weigh_epochs(struct backend_session *session,
                                      const struct backend_weights *weights,
                                      const struct backend_repairs *repairs,
                                      struct rejectd_error *error);
enum rejectd_status cuda_map_sets(struct backend_session *session,
                                  const struct backend_map_sets *sets, double *rows,
                                  uint8_t *solved, struct rejectd_error *error);
enum rejectd_status cuda_read_repaired(struct backend_session *session, size_t epoch, size_t value,
                                       double *rows, struct rejectd_error *error);
enum rejectd_status cuda_local_cv_losses(struct backend_session *session,
                                         const struct backend_local_cv *cv, double *losses,
                                         struct rejectd_error *error);
enum rejectd_status cuda_ransac_correlations(struct backend_session *session,
                                             const struct backend_mappings *mappings, double *corr,
                                             struct rejectd_error *error);
enum rejectd_status cuda_global_losses(struct backend_session *session,
                                       const struct backend_global *global, double *test_losses,
                                       double *train_losses, struct rejectd_error *error);

#endif
