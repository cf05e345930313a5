/*
 * The datasets that a device holds, and what has been computed from them and may serve again.
 *
 * A resident is the picks of one type of one dataset in one precision. Sessions share it; it is
 * listed when it is of a known content (backend_samples.content), so that the next session finds
 * it, and freed when it is dropped and the last session has left.
 */
#ifndef WORKER_CUDA_RESIDENTS_H
#define WORKER_CUDA_RESIDENTS_H

#include <cstring>
#include <vector>

#include "worker/cuda/device.h"

/* Thresholds that were found before, and all that they depend on beside the samples. */
struct search_memo {
    size_t first, count;         /* the picks that were searched */
    std::vector<double> weights; /* [count][C]; empty: nothing was predicted */
    enum rejectd_threshold_method method;
    uint32_t seed;
    std::vector<double> thresholds, losses; /* [count] */
};

/* Medians of the epochs of each fold. */
struct medians_memo {
    std::vector<uint16_t> fold;          /* [E]; empty: none */
    device_array<unsigned char> medians; /* [C][n_folds][pitch] of the work type */
};

/* Sums over the epochs of each cell of a grid, before any repair. */
struct cells_memo {
    size_t n_consensus, n_folds;
    std::vector<uint16_t> fold, first_good; /* [E]; empty: none */
    device_array<unsigned char> cells;      /* [C][n_consensus * n_folds][pitch] of the work type */
};

/* Spare tables (spare.h), which are dropped first. */
struct predictions_memo {
    std::vector<double> weights;      /* [C][C] */
    device_array<unsigned char> rows; /* [E][C][pitch] as samples are kept; empty: none */
};
struct losses_memo {
    std::vector<double> weights;  /* [C][C]; empty: nothing was predicted */
    std::vector<uint8_t> is_test; /* [n_folds][n_rows] */
    size_t n_rows, capacity;
    device_array<double> ptp;    /* [C][capacity] ascending */
    device_array<double> losses; /* [C][n_rows]; empty: none */
};

struct resident {
    char content[REJECTD_CONTENT_SIZE]; /* "": unlisted */
    enum rejectd_dtype dtype;           /* of the content: equal bytes may be either */
    enum rejectd_dtype storage;         /* what samples are kept as */
    double unit;                        /* a sample is the value kept times this */
    size_t n_epochs, n_times, pitch;
    std::vector<size_t> picks;
    device_array<unsigned char> samples; /* [E][C][pitch], zero beyond n_times */
    device_array<double> ptp;            /* [E][C] */
    std::vector<search_memo> searches;   /* the latest last */
    medians_memo medians;
    cells_memo cells;
    predictions_memo predictions;
    losses_memo losses;
    uint64_t serial;
    int n_sessions; /* under the device's lock, as the rest */
    uint64_t n_uses;
    bool forgotten;
};

/* The resident with the samples of a session, moved to the front and counted as in use; null when
 * there is none. */
std::shared_ptr<resident> residents_take(struct backend_device *device,
                                         const struct backend_samples *samples,
                                         enum rejectd_dtype storage);
/* Lists a resident that the session is filling; it must be complete before another session opens.
 */
void residents_add(struct backend_device *device, const std::shared_ptr<resident> &added);
/* A session leaves. With `keep` false (its samples never became complete) it is no longer listed.
 */
void residents_leave(struct backend_device *device, const std::shared_ptr<resident> &left,
                     bool keep);

/* Bytes that are there for the asking: of residents that no session uses, and of spare tables. */
size_t residents_idle_bytes(struct backend_device *device);
/* Drops the spare tables that were used longest ago, or else the idle resident; false when there is
 * none. */
bool residents_drop_one(struct backend_device *device);
/* How many residents it has dropped so. */
uint64_t residents_evictions(struct backend_device *device);
void residents_clear(struct backend_device *device);

size_t residents_list(struct backend_device *device, struct rejectd_resident *list,
                      size_t capacity);
void residents_forget(struct backend_device *device, const char *content);

#endif
