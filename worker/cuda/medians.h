/* Medians of sets of rows, sample by sample: those of folds, and of predictions. */
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
     * mean of the two middle ones. */
    template <typename Work>
    enum rejectd_status compute(struct backend_device *device, const struct row_view<Work> &view,
                                size_t count, Work *medians, struct rejectd_error *error) const;

  private:
    enum { GROUP = 10 }; /* sets that one launch looks for together */
    struct group {
        size_t offset; /* of its rows in the lists */
        uint32_t n_rows;
        uint32_t sizes[GROUP];
    };
    size_t n_sets_ = 0;
    std::vector<group> groups_;
    device_array<uint32_t> rows_;  /* rows that are in some set of a group, group after group */
    device_array<uint16_t> masks_; /* in which of its sets, as bits */
};

#endif
