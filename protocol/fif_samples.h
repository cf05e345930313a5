/* Samples as FIF files store them (big-endian, divided by a calibration) and as rejectd has them
 * (little-endian, SI units). Internal to protocol/. */
#ifndef PROTOCOL_FIF_SAMPLES_H
#define PROTOCOL_FIF_SAMPLES_H

#include <rejectd/types.h>

/* [n_epochs][n_channels][n_times], on both sides. */
struct fif_layout {
    size_t n_channels;
    size_t n_times;
    bool stored_double; /* 8 bytes each in the file, otherwise 4 */
    enum rejectd_dtype
        dtype;             /* ours; REJECTD_FLOAT32 only where stored single and not calibrated */
    const double *factors; /* [n_channels], borrowed; NULL: all are 1 */
};

static inline size_t fif_stored_size(const struct fif_layout *layout)
{
    return layout->stored_double ? 8 : 4;
}

static inline size_t fif_sample_size(const struct fif_layout *layout)
{
    return layout->dtype == REJECTD_FLOAT64 ? 8 : 4;
}

/* `count` samples from the file, the first being number `first` of the whole array, times their
 * factor in double precision. The buffers needn't be aligned and don't overlap. */
void fif_samples_from_file(const struct fif_layout *layout, size_t first, const void *stored,
                           size_t count, void *samples);
/* The way back, times the factor (1 / calibration). */
void fif_samples_to_file(const struct fif_layout *layout, size_t first, const void *samples,
                         size_t count, void *stored);

#endif
