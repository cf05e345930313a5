/*
 * What memory there is: on devices, pinned on the host, and symbols of kernels.
 * All functions may be called from any thread.
 */
#ifndef CUDA_EMULATION_MEMORY_H
#define CUDA_EMULATION_MEMORY_H

#include "cuda_emulation/host_api.h"

#include <stddef.h>

namespace cuda_emulation
{

enum class Home { pageable, pinned, device };

/* The allocation that a pointer points into, or one past the end of. */
struct Region {
    Home kind = Home::pageable;
    char *base = nullptr;
    size_t bytes = 0;
    int device = 0;
};

Region find_region(const void *pointer);

/* True when bytes from pointer on lie in one allocation of a device. */
bool is_device_range(const void *pointer, size_t bytes);

/* Aligned as device memory is, at least; for free(). NULL without memory. */
void *aligned_memory(size_t bytes);

/* Fills with the pattern of memory that nobody has written. */
void poison(void *memory, size_t bytes);

/* Ends the program with a message, unless the pointer may be given to a kernel or a library. */
void require_device_range(const char *function, const char *argument, const void *pointer,
                          size_t bytes);

size_t used_bytes(int device);

/* Frees all memory of a device. */
void free_device(int device);

/*
 * While one exists the first bytes of device allocations can be read and written: kernels, copies
 * and libraries run inside. Elsewhere AddressSanitizer reports a host access to them.
 */
class DeviceAccess
{
  public:
    DeviceAccess();
    ~DeviceAccess();
    DeviceAccess(const DeviceAccess &) = delete;
    DeviceAccess &operator=(const DeviceAccess &) = delete;
};

} // namespace cuda_emulation

#endif
