#include "worker/cpu/kernels.h"

#include <string.h>

#include "base/processor.h"

#if defined(__x86_64__)
extern const struct cpu_kernels kernels_x86_64_v4_f64, kernels_x86_64_v4_f32;
extern const struct cpu_kernels kernels_x86_64_v3_f64, kernels_x86_64_v3_f32;
extern const struct cpu_kernels kernels_x86_64_f64, kernels_x86_64_f32;

#else
extern const struct cpu_kernels kernels_generic_f64, kernels_generic_f32;
#endif

static bool has_baseline(void)
{
    return true;
}

static const struct {
    bool (*is_present)(void);
    const struct cpu_kernels *float64, *float32;
} sets[] = {
#if defined(__x86_64__)
    {processor_has_x86_64_v4, &kernels_x86_64_v4_f64, &kernels_x86_64_v4_f32},
    {processor_has_x86_64_v3, &kernels_x86_64_v3_f64, &kernels_x86_64_v3_f32},
    {has_baseline, &kernels_x86_64_f64, &kernels_x86_64_f32},
#else
    {has_baseline, &kernels_generic_f64, &kernels_generic_f32},
#endif
};

enum { N_SETS = sizeof sets / sizeof sets[0] };

const struct cpu_kernels *kernels_select(const char *instruction_set, enum rejectd_dtype work)
{
    for (size_t i = 0; i < N_SETS; i++) {
        const struct cpu_kernels *kernels =
            work == REJECTD_FLOAT32 ? sets[i].float32 : sets[i].float64;
        if ((instruction_set == NULL || strcmp(instruction_set, kernels->name) == 0) &&
            sets[i].is_present())
            return kernels;
    }
    return NULL;
}

const char *kernels_name_at(size_t index)
{
    for (size_t i = 0; i < N_SETS; i++)
        if (sets[i].is_present() && index-- == 0)
            return sets[i].float64->name;
    return NULL;
}

size_t kernels_grid_scratch(const struct cpu_kernels *kernels, size_t n_epochs, size_t n_consensus,
                            size_t n_folds)
{
    size_t item = kernels->work == REJECTD_FLOAT32 ? sizeof(float) : sizeof(double);
    size_t vectors = (n_consensus * n_folds + n_folds + n_folds + 1) * kernels->group * item;
    return vectors + n_consensus * n_folds * sizeof(double) + n_epochs * sizeof(uint32_t);
}

size_t kernels_resample_scratch(const struct cpu_kernels *kernels, size_t n_resample)
{
    const bool is_double = kernels->work == REJECTD_FLOAT64;
    const size_t row = n_resample * kernels->group;
    /* The predictions of a tile, and those of one row in float32. */
    return is_double ? row * (kernels->tile * sizeof(double) + sizeof(float))
                     : row * kernels->tile * sizeof(float);
}
