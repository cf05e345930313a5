/* Medians of sets of rows, sample by sample: those of folds. */
#ifndef WORKER_CUDA_MEDIANS_H
#define WORKER_CUDA_MEDIANS_H

#include "worker/cuda/session.h"

/* Which rows are in which of a number of sets, on the device. Made once for all picks. */
class median_sets
{
  public:
    /* in_set [n_sets][n_rows]: 1 or 0; no set is empty. */
    enum rejectd_status open(struct backend_device *device, const uint8_t *in_set, size_t n_sets,
                             size_t n_rows, struct rejectd_error *error);
    size_t size() const
    {
        return n_sets_;
    }

    /* medians [count][n_sets][pitch]: of each pick of a view, exactly: one of the values, or the
     * mean of the two middle ones, in the work type. */
    template <typename Sample>
    enum rejectd_status compute(struct backend_device *device, const struct row_view<Sample> &view,
                                size_t count, work_of<Sample> *medians, struct rejectd_error *error)
    {
        TRY(place<Sample>(device, view, error));
        return compute_columns<Sample>(device, view.pitch, count, 0, view.pitch, medians, error);
    }

    /* The same in two steps: first all rows are told where they will be, then the medians of
     * columns first..first+n-1, multiples of PITCH_SAMPLES, are computed, once these are there. */
    template <typename Sample>
    enum rejectd_status place(struct backend_device *device, const struct row_view<Sample> &view,
                              struct rejectd_error *error);
    template <typename Sample>
    enum rejectd_status compute_columns(struct backend_device *device, size_t pitch, size_t count,
                                        size_t first, size_t n, work_of<Sample> *medians,
                                        struct rejectd_error *error);

  private:
    size_t n_sets_ = 0;
    size_t n_listed_ = 0, largest_ = 0;
    device_array<uint32_t> offsets_;          /* [n_sets + 1] */
    device_array<uint32_t> rows_;             /* [n_listed] of each set */
    device_array<unsigned long long> places_; /* [n_listed] where they are in a view */
    device_array<uint8_t> unfinished_;        /* [count][tiles][n_sets] */
};

#endif
