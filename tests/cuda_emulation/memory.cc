#include "memory.h"

#include "cuda_emulation/control.h"
#include "cuda_emulation/launch.h"
#include "pending.h"
#include "state.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CUDA_EMULATION_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace cuda_emulation
{

namespace
{

constexpr size_t alignment = 256;
constexpr size_t poisoned_bytes = size_t(64) << 20;
constexpr uint32_t pattern = 0x7ffda5a5;

enum class Origin { allocated, registered, symbol };

struct Allocation {
    size_t bytes;
    Home kind;
    Origin origin;
    int device;
};

struct Registry {
    std::mutex mutex;
    std::map<char *, Allocation> allocations; /* by first byte */
    size_t used[max_devices] = {};
    unsigned n_accesses = 0;
};

/* Never destroyed: see state.cc. */
Registry &registry()
{
    static Registry *own = new Registry;
    return *own;
}

/* With the mutex held. */
std::map<char *, Allocation>::iterator find(Registry &r, const void *pointer)
{
    char *byte = static_cast<char *>(const_cast<void *>(pointer));
    auto next = r.allocations.upper_bound(byte);
    if (next == r.allocations.begin())
        return r.allocations.end();
    --next;
    return byte <= next->first + next->second.bytes ? next : r.allocations.end();
}

/* Takes the first bytes out of the host's reach, or gives them back: all would take too long. */
void set_hidden(char *base, const Allocation &allocation, bool hidden)
{
#ifdef CUDA_EMULATION_ASAN
    constexpr size_t hidden_bytes = 4096;
    if (allocation.kind != Home::device || allocation.origin != Origin::allocated)
        return;
    if (hidden)
        __asan_poison_memory_region(base, std::min(hidden_bytes, allocation.bytes));
    else
        __asan_unpoison_memory_region(base, std::min(hidden_bytes, allocation.bytes));
#else
    (void)base;
    (void)allocation;
    (void)hidden;
#endif
}

cudaError_t allocate(void **pointer, size_t bytes, Home kind)
{
    CUDA_EMULATION_BEGIN();
    if (!pointer)
        return end_call(cudaErrorInvalidValue);
    *pointer = nullptr;
    if (bytes == 0)
        return cudaSuccess;
    if (count_allocation())
        return end_call(cudaErrorMemoryAllocation);
    const int device = current_device();
    const size_t budget = settings().memory_bytes;
    const bool on_device = kind == Home::device;
    Registry &r = registry();
    {
        const std::lock_guard<std::mutex> lock(r.mutex);
        if (on_device && (r.used[device] > budget || bytes > budget - r.used[device]))
            return end_call(cudaErrorMemoryAllocation);
        if (on_device)
            r.used[device] += bytes;
    }
    char *memory = static_cast<char *>(aligned_memory(bytes));
    if (memory)
        poison(memory, std::min(bytes, poisoned_bytes));
    const std::lock_guard<std::mutex> lock(r.mutex);
    if (!memory) {
        if (on_device)
            r.used[device] -= bytes;
        return end_call(cudaErrorMemoryAllocation);
    }
    const Allocation made{bytes, kind, Origin::allocated, device};
    r.allocations[memory] = made;
    if (r.n_accesses == 0)
        set_hidden(memory, made, true);
    *pointer = memory;
    return cudaSuccess;
}

cudaError_t release(void *pointer, Home kind, Origin origin, cudaError_t unknown)
{
    /* Done even when the device is lost, so that what is left over is a leak of the caller's. */
    const cudaError_t before = begin_call();
    if (!pointer)
        return origin == Origin::allocated ? before : end_call(cudaErrorInvalidValue);
    Registry &r = registry();
    if (kind == Home::pinned)
        settle_range(pointer, find_region(pointer).bytes);
    {
        const std::lock_guard<std::mutex> lock(r.mutex);
        const auto found = r.allocations.find(static_cast<char *>(pointer));
        if (found == r.allocations.end() || found->second.kind != kind ||
            found->second.origin != origin)
            return end_call(unknown);
        if (kind == Home::device)
            r.used[found->second.device] -= found->second.bytes;
        set_hidden(found->first, found->second, false);
        r.allocations.erase(found);
    }
    if (origin == Origin::allocated)
        free(pointer);
    return before;
}

} // namespace

void *aligned_memory(size_t bytes)
{
    void *memory = nullptr;
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : nullptr;
}

void poison(void *memory, size_t bytes)
{
    char *to = static_cast<char *>(memory);
    size_t i = 0;
    for (; i + sizeof pattern <= bytes; i += sizeof pattern)
        memcpy(to + i, &pattern, sizeof pattern);
    memcpy(to + i, &pattern, bytes - i);
}

Region find_region(const void *pointer)
{
    Registry &r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    const auto found = find(r, pointer);
    Region region;
    if (found != r.allocations.end()) {
        region.kind = found->second.kind;
        region.base = found->first;
        region.bytes = found->second.bytes;
        region.device = found->second.device;
    }
    return region;
}

bool is_device_range(const void *pointer, size_t bytes)
{
    const Region region = find_region(pointer);
    return region.kind == Home::device &&
           bytes <= size_t(region.base + region.bytes - static_cast<const char *>(pointer));
}

void require_device_range(const char *function, const char *argument, const void *pointer,
                          size_t bytes)
{
    const Region region = find_region(pointer);
    if (region.kind == Home::pageable) {
        fprintf(stderr, "cuda emulation: %s: %s is %p, which is no memory of a device\n", function,
                argument, pointer);
        abort();
    }
    const size_t left = size_t(region.base + region.bytes - static_cast<const char *>(pointer));
    if (bytes > left) {
        fprintf(stderr,
                "cuda emulation: %s: %s takes %zu bytes from %p on, where its allocation has %zu\n",
                function, argument, bytes, pointer, left);
        abort();
    }
}

void check_argument(const char *kernel, size_t position, const void *pointer)
{
    if (!pointer)
        return;
    char name[32];
    snprintf(name, sizeof name, "argument %zu", position);
    require_device_range(kernel, name, pointer, 0);
    const Region region = find_region(pointer);
    if (region.kind == Home::pinned)
        settle_range(region.base, region.bytes);
}

size_t used_bytes(int device)
{
    Registry &r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    return r.used[device];
}

void free_device(int device)
{
    Registry &r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    for (auto entry = r.allocations.begin(); entry != r.allocations.end();) {
        if (entry->second.kind == Home::device && entry->second.origin == Origin::allocated &&
            entry->second.device == device) {
            set_hidden(entry->first, entry->second, false);
            free(entry->first);
            entry = r.allocations.erase(entry);
        } else {
            ++entry;
        }
    }
    r.used[device] = 0;
}

uint64_t control_live_allocations(void)
{
    Registry &r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    uint64_t n = 0;
    for (const auto &entry : r.allocations)
        n += entry.second.origin == Origin::allocated;
    return n;
}

DeviceAccess::DeviceAccess()
{
#ifdef CUDA_EMULATION_ASAN
    Registry &r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    if (r.n_accesses++ == 0)
        for (const auto &entry : r.allocations)
            set_hidden(entry.first, entry.second, false);
#endif
}

DeviceAccess::~DeviceAccess()
{
#ifdef CUDA_EMULATION_ASAN
    Registry &r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    if (--r.n_accesses == 0)
        for (const auto &entry : r.allocations)
            set_hidden(entry.first, entry.second, true);
#endif
}

cudaError_t symbol_address(void **pointer, const void *symbol, size_t symbol_bytes)
{
    CUDA_EMULATION_BEGIN();
    char *base = static_cast<char *>(const_cast<void *>(symbol));
    Registry &r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    r.allocations[base] = Allocation{symbol_bytes, Home::device, Origin::symbol, 0};
    *pointer = base;
    return cudaSuccess;
}

} // namespace cuda_emulation

using namespace cuda_emulation;

cudaError_t cudaMalloc(void **pointer, size_t bytes)
{
    return allocate(pointer, bytes, Home::device);
}

cudaError_t cudaFree(void *pointer)
{
    return release(pointer, Home::device, Origin::allocated, cudaErrorInvalidValue);
}

cudaError_t cudaMallocAsync(void **pointer, size_t bytes, cudaStream_t)
{
    return allocate(pointer, bytes, Home::device);
}

cudaError_t cudaMallocFromPoolAsync(void **pointer, size_t bytes, cudaMemPool_t, cudaStream_t)
{
    return allocate(pointer, bytes, Home::device);
}

cudaError_t cudaFreeAsync(void *pointer, cudaStream_t)
{
    return release(pointer, Home::device, Origin::allocated, cudaErrorInvalidValue);
}

cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned)
{
    return allocate(pointer, bytes, Home::pinned);
}

cudaError_t cudaMallocHost(void **pointer, size_t bytes)
{
    return allocate(pointer, bytes, Home::pinned);
}

cudaError_t cudaFreeHost(void *pointer)
{
    return release(pointer, Home::pinned, Origin::allocated, cudaErrorInvalidValue);
}

cudaError_t cudaHostRegister(void *pointer, size_t bytes, unsigned)
{
    CUDA_EMULATION_BEGIN();
    if (!pointer || bytes == 0)
        return end_call(cudaErrorInvalidValue);
    char *base = static_cast<char *>(pointer);
    Registry &r = registry();
    const std::lock_guard<std::mutex> lock(r.mutex);
    for (const auto &entry : r.allocations)
        if (base < entry.first + entry.second.bytes && entry.first < base + bytes)
            return end_call(cudaErrorHostMemoryAlreadyRegistered);
    r.allocations[base] = Allocation{bytes, Home::pinned, Origin::registered, 0};
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *pointer)
{
    return release(pointer, Home::pinned, Origin::registered, cudaErrorHostMemoryNotRegistered);
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer)
{
    CUDA_EMULATION_BEGIN();
    const Region region = find_region(pointer);
    void *address = const_cast<void *>(pointer);
    attributes->device = region.kind == Home::pageable ? -2 : region.device;
    attributes->type = region.kind == Home::device   ? cudaMemoryTypeDevice
                       : region.kind == Home::pinned ? cudaMemoryTypeHost
                                                     : cudaMemoryTypeUnregistered;
    attributes->devicePointer = region.kind == Home::pageable ? nullptr : address;
    attributes->hostPointer = region.kind == Home::device ? nullptr : address;
    return cudaSuccess;
}
