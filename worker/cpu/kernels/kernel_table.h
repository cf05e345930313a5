/* The functions of one compilation of the kernels; see worker/cpu/kernels.h for what they do. */
#ifndef WORKER_CPU_KERNELS_KERNEL_TABLE_H
#define WORKER_CPU_KERNELS_KERNEL_TABLE_H

#include "worker/cpu/kernels.h"
#include "worker/cpu/kernels/vector.h"

double KERNEL(peak_to_peak)(const void *row, size_t n);
void KERNEL(convert)(void *work_samples, const void *samples, enum rejectd_dtype dtype, size_t n);
void KERNEL(load)(void *groups, size_t group_rows, const struct row_source *rows, size_t n_rows,
                  size_t start, size_t length, double offset);
void KERNEL(medians)(const void *group, size_t n_rows, const struct fold_rows *folds, int16_t *keys,
                     void *medians);
void KERNEL(losses)(const void *group, const struct train_ranks *train, const void *medians,
                    const double *weights, double *sums);
void KERNEL(walk)(const void *group, const struct row_walk *walk, const double *before,
                  const void *medians, double *squares, double *sums);
void KERNEL(grid)(const struct grid_group *group, void *scratch, double *sums);
void KERNEL(resample)(const void *group, const struct resampling *resampling, const void *weights,
                      void *scratch, void *medians);
void KERNEL(multiply)(const struct product *product, void *panel);
void KERNEL(correlate)(const void *x, const void *y, double *sums);

extern const struct cpu_kernels KERNEL(kernels);

#endif
