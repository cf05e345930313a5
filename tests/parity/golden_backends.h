/*
 * The backends that are compared with reference data: those of the processor, and the CUDA
 * module's where one is found: $REJECTD_CUDA_MODULE, or the one that was built, with a GPU.
 *
 * An emulated GPU takes a thousand times as long as a real one. There a part of a case is compared
 * only up to a size; what is left out is told in a line that begins with "note:".
 */
#ifndef TESTS_PARITY_GOLDEN_BACKENDS_H
#define TESTS_PARITY_GOLDEN_BACKENDS_H

#include "golden_case.h"
#include "worker/backend.h"

struct golden_backend {
    const char *name; /* "reference", "cpu", "cuda": for reports, and rejectd_compute_options */
    const struct backend *backend;
    struct rejectd_device *device; /* for rejectd_compute_options; NULL: the processor */
    struct backend_device *opened; /* for backend_options; likewise */
    bool emulated;
};

/* Entry `index`; NULL beyond the last. Ends the program when a module is named that can't be used.
 */
const struct golden_backend *golden_backend_at(size_t index);

/*
 * Whether a part of a case is worth its time on the backend: always, but on an emulated GPU.
 * n_medians: how many medians the part takes. $REJECTD_PARITY_MEDIANS: how many an emulated GPU may
 * take for a part; see the source for the default.
 */
bool golden_affordable(const struct golden_backend *backend, const struct golden_case *golden,
                       const char *part, double n_medians);

/* Medians over the rows of each of some folds, for every sample of so many picks. */
double golden_medians(const struct golden_case *golden, size_t n_picks, size_t n_folds);

/* RANSAC takes one for every sample of every epoch; a thread does it alone, so that it counts a
 * tenth. */
double golden_medians_of_ransac(const struct golden_case *golden, size_t n_picks);

#endif
