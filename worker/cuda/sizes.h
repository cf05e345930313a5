/* Sizes of the cuda backend that others have to know, to foresee what it needs (worker/needs.h). */
#ifndef WORKER_CUDA_SIZES_H
#define WORKER_CUDA_SIZES_H

#include <rejectd/types.h>

/* Products are made of this many picks and samples at a time, from the first on, because cuBLAS may
 * add up another shape in another order, and of at least so many epochs, if there are. Blocks,
 * chunks and columns are multiples. */
enum { PANEL_PICKS = 128, PANEL_EPOCHS = 64, PANEL_TIMES = 128 };

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

/* Matrices of field maps are solved in sizes that are multiples of this, padded with zeros, so that
 * sets of about the same size share a batch; and so many of them at once at most. */
enum { MAP_RUNG = 8, MAP_BATCH = 1024 };

#endif
