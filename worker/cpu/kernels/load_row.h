/* Samples of one row, wherever and in whichever type they are. */
#ifndef WORKER_CPU_KERNELS_LOAD_ROW_H
#define WORKER_CPU_KERNELS_LOAD_ROW_H

#include "worker/cpu/kernels/kernel_table.h"

/* length samples of a row from `start` on, less the offset, in the work type. */
static inline void load_row(work *restrict out, const struct row_source *row, size_t start,
                            size_t length, work offset)
{
    if (row->dtype == REJECTD_FLOAT64) {
        const double *restrict in = (const double *)row->samples + start;
        for (size_t l = 0; l < length; l++)
            out[l] = (work)(in[l] - (double)offset);
    } else {
        const float *restrict in = (const float *)row->samples + start;
        for (size_t l = 0; l < length; l++)
            out[l] = (work)in[l] - offset;
    }
}

#endif
