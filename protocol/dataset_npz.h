/*
 * A dataset as one .npz, for whoever has NumPy and nothing else:
 *
 *   data            (E, C, T) float32 or float64, V or T or T/m; either byte order, C or Fortran
 *   ch_names        (C,) text
 *   ch_types        (C,) text: "eeg", "mag", ...
 *   sfreq           scalar, Hz
 *   tmin            scalar, s; 0 when left out
 *   positions       (C, 3) m, head coordinates; NaN for none; may be left out, as all below
 *   bads            (any,) text: names of bad channels
 *   loc             (C, 12) as MNE-Python has it
 *   coil_type       (C,) integers, FIFF codes
 *   device_to_head  (4, 4)
 *   events          (E, 3) integers: sample, 0, id
 *
 * Other members are ignored. Errors name the member: "data", "ch_types[3]", ...
 */
#ifndef PROTOCOL_DATASET_NPZ_H
#define PROTOCOL_DATASET_NPZ_H

#include "protocol/dataset_json.h"
#include "protocol/npz.h"

/*
 * Reads everything but the samples, from a file of `length` bytes; TOO_LARGE when these would
 * take more than max_sample_bytes. The description is as checked as one of dataset_from_json();
 * its name is "". On failure it is cleared.
 */
enum rejectd_status dataset_npz_describe(const void *bytes, size_t length, size_t max_sample_bytes,
                                         struct dataset_description *description,
                                         struct rejectd_error *error);

/*
 * Gives the samples of a file that was described to the sink: dataset_sample_bytes() of them in C
 * order, little-endian, in the description's dtype, each finite. Holds a piece of them in memory;
 * for data in Fortran order at most 256 MiB, an eighth of the samples or one epoch, whichever is
 * most, and expands the member up to 8 times.
 *
 * A CRC-32 that is wrong is seen at the end only: what was given before a failure is worthless.
 */
enum rejectd_status dataset_npz_samples(const void *bytes, size_t length,
                                        const struct dataset_description *description,
                                        npz_sink *sink, void *context, struct rejectd_error *error);

#endif
