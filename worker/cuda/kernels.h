/* All kernels of the module, so that none is loaded by the first job that needs it. */
#ifndef WORKER_CUDA_KERNELS_H
#define WORKER_CUDA_KERNELS_H

#include <cuda_runtime.h>

/*
 * A kernel that something launches. CUDA_LAUNCH (launch.h) mentions its entry, which is listed
 * while the module is loaded: what is launched anywhere is known before anything is.
 */
struct kernel_entry {
    cudaError_t (*load)(void);
    const struct kernel_entry *next;

    explicit kernel_entry(cudaError_t (*load_it)(void));
};

/* Hidden, because a module whose templates others could share is never unloaded. */
template <auto kernel> struct __attribute__((visibility("hidden"))) known_kernel {
    /* The driver loads a kernel when it is first launched, or asked about. */
    static cudaError_t load(void)
    {
        cudaFuncAttributes attributes;
        return cudaFuncGetAttributes(&attributes, kernel);
    }
    static inline const kernel_entry entry = kernel_entry(load);
    static void mention(void)
    {
        (void)&entry;
    }
};

/* Loads all of them on the current device. What cannot be loaded is left for its launch to tell. */
void kernels_load(void);

#endif
