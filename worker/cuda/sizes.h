/* Sizes of the cuda backend that others have to know, to foresee what it needs (worker/needs.h). */
#ifndef WORKER_CUDA_SIZES_H
#define WORKER_CUDA_SIZES_H

#include <rejectd/types.h>

/* A device with less is not opened. */
enum { DEVICE_LEAST_BYTES = 128 << 10 };

/* Products are made of this many picks and samples at a time, from the first on, because cuBLAS may
 * add up another shape in another order. Blocks and columns are multiples. Batches of epochs, which
 * it adds up alike, are larger where all are on the device; chunks are multiples of the small. */
enum { PANEL_PICKS = 128, PANEL_TIMES = 128, PANEL_EPOCHS = 64, RESIDENT_EPOCHS = 256 };

/* Where there is no room for as many, batches of more than this are halved. */
enum { LEAST_EPOCHS = 5 };

/* Rows are padded to a multiple of so many samples. */
enum { PITCH_SAMPLES = 32 };

/* Buffers through which samples go to the device. Small enough that what host threads write is
 * still in their caches when the device fetches it. */
enum { STAGING_SLOTS = 4, STAGING_BYTES = 8 << 20 };

/* Bytes of a sample that is kept, and of one that is reckoned with. */
static inline size_t storage_bytes(enum rejectd_dtype precision)
{
    return precision == REJECTD_FLOAT64 ? 8 : (precision == REJECTD_FLOAT32 ? 4 : 2);
}
static inline size_t arithmetic_bytes(enum rejectd_dtype precision)
{
    return precision == REJECTD_FLOAT64 ? 8 : 4;
}

/* Bytes of the float32 sums that a product of so many epochs goes through on its way to 16 bits. */
static inline size_t product_sum_bytes(enum rejectd_dtype precision, size_t n_epochs,
                                       size_t n_picks, size_t pitch)
{
    const size_t picks = n_picks < PANEL_PICKS ? n_picks : (size_t)PANEL_PICKS;
    const size_t times = pitch < PANEL_TIMES ? pitch : (size_t)PANEL_TIMES;
    return storage_bytes(precision) == 2 ? n_epochs * picks * times * sizeof(float) : 0;
}

/* A block of RANSAC predicts so many samples of so many picks by every resample, and keeps that in
 * shared memory or, where there is not enough of it, in the device's. A block may have so much of
 * it on every device; some more is for what else it shares. */
enum {
    RANSAC_THREADS = 64,
    RANSAC_PICKS = 2,
    RANSAC_SHARED_BYTES = 64 << 10,
    RANSAC_OTHER_BYTES = 8 << 10
};

/* Bytes of the predictions of a block. */
static inline size_t ransac_block_bytes(size_t work_bytes, size_t n_resample)
{
    return n_resample * RANSAC_PICKS * RANSAC_THREADS * work_bytes;
}

/* Matrices of field maps are solved in sizes that are multiples of MAP_RUNG, padded with zeros, so
 * that sets of about the same size share a batch; MAP_BATCH of them at once at most. What cuSOLVER
 * finds for one of a batch depends on how many there are: up to a side of MAP_ALIKE on whether it
 * is alone, beyond that on the very number, so that there are always MAP_TOGETHER, if there is
 * memory for them (measured with cuSOLVER 12 on an H200). */
enum { MAP_RUNG = 8, MAP_BATCH = 1024, MAP_ALIKE = 128, MAP_LEAST = 2, MAP_TOGETHER = 256 };

#endif
