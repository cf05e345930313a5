#include "worker/cpu/kernels/kernel_table.h"

const struct cpu_kernels KERNEL(kernels) = {
    .name = KERNEL_NAME,
    .description = "cpu, " KERNEL_NAME " kernels, OpenBLAS",
    .work = WORK_DTYPE,
    .group = GROUP,
    .tile = TILE,
    .panel_row = PRODUCT_WIDTH * sizeof(work),
    .panel_out = 2 * sizeof(work_vector),
    .peak_to_peak = KERNEL(peak_to_peak),
    .convert = KERNEL(convert),
    .load = KERNEL(load),
    .multiply = KERNEL(multiply),
    .medians = KERNEL(medians),
    .losses = KERNEL(losses),
    .walk = KERNEL(walk),
    .grid = KERNEL(grid),
    .resample = KERNEL(resample),
    .correlate = KERNEL(correlate),
};
