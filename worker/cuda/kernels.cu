#include "worker/cuda/kernels.h"

/* Written only while the module is loaded, by the constructors of its entries. */
static const struct kernel_entry *known = nullptr;

kernel_entry::kernel_entry(cudaError_t (*load_it)(void)) : load(load_it), next(known)
{
    known = this;
}

void kernels_load(void)
{
    for (const struct kernel_entry *entry = known; entry != nullptr; entry = entry->next)
        if (entry->load() != cudaSuccess)
            cudaGetLastError();
}
