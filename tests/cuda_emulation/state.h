/*
 * Settings and errors of the process. All functions may be called from any thread.
 */
#ifndef CUDA_EMULATION_STATE_H
#define CUDA_EMULATION_STATE_H

#include "cuda_emulation/control.h"
#include "cuda_emulation/errors.h"

#include <stddef.h>
#include <stdint.h>

namespace cuda_emulation
{

constexpr int max_devices = 16;

struct Settings {
    int n_devices; /* 0..max_devices */
    size_t memory_bytes;
    int capability; /* ten times the compute capability */
    int n_threads;
    bool has_launch_limit;
    uint64_t launch_limit;
    Order order;
    uint64_t seed;
    bool only_loaded;
};

/* Shared memory that a block may ask for, by capability: CUDA's programming guide, technical
 * specifications per compute capability. */
size_t shared_bytes_optin();
Settings settings();

/* The calling thread's device. */
int current_device();
void select_device(int device);

/* What a call that touches a device begins with: the sticky error, cudaErrorNoDevice, or success.
 * An error is the thread's last error, too. */
cudaError_t begin_call();
/* Notes the error, if it is one, as the thread's last error, and returns it. */
cudaError_t end_call(cudaError_t error);
/* From now on every call returns it. */
void set_sticky_error(cudaError_t error);

/* The thread's last error; taken: it is forgotten, even if it is sticky, as a GPU's runtime does. A
 * sticky error is noted anew by every call that begins with begin_call(). */
cudaError_t last_error(bool take);

/* Counts; cudaSuccess, or the sticky error that this launch has been given. */
cudaError_t count_launch();
/* Counts; true when this allocation has been asked to fail. */
bool count_allocation();

} // namespace cuda_emulation

/* In a function that returns cudaError_t. */
#define CUDA_EMULATION_BEGIN()                                                                     \
    do {                                                                                           \
        const cudaError_t begin_error = cuda_emulation::begin_call();                              \
        if (begin_error != cudaSuccess)                                                            \
            return begin_error;                                                                    \
    } while (0)

#endif
