/*
 * Copies and fills. A kind that contradicts what the pointers are is cudaErrorInvalidValue, and so
 * is a range that leaves its allocation. What the host sees of asynchronous copies: pending.h.
 */
#include "memory.h"
#include "pending.h"
#include "state.h"

#include <string.h>

using namespace cuda_emulation;

namespace
{

/* Whether `bytes` from the pointer on are host memory, or device memory, as the kind says. */
bool is_home(const void *pointer, size_t bytes, bool device)
{
    const Region region = find_region(pointer);
    if (!device) {
        /* One past the end of another allocation may be the first byte of this one. */
        return region.kind != Home::device || pointer == region.base + region.bytes;
    }
    return region.kind == Home::device &&
           bytes <= size_t(region.base + region.bytes - static_cast<const char *>(pointer));
}

bool is_device(const void *pointer)
{
    return !is_home(pointer, 0, false);
}

/* Bytes from the first to the last of `height` rows. */
size_t extent(size_t pitch, size_t width, size_t height)
{
    return pitch * (height - 1) + width;
}

/* `stream`: of an asynchronous copy. NULL: the host waits for it. */
cudaError_t copy(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                 size_t height, cudaMemcpyKind kind, const cudaStream_t *stream)
{
    CUDA_EMULATION_BEGIN();
    if (width == 0 || height == 0)
        return cudaSuccess;
    if (!to || !from)
        return end_call(cudaErrorInvalidValue);
    constexpr size_t most_pitch = 0x7fffffff;
    if (height > 1 && (to_pitch < width || from_pitch < width || to_pitch > most_pitch ||
                       from_pitch > most_pitch))
        return end_call(cudaErrorInvalidPitchValue);
    bool to_device, from_device;
    switch (kind) {
    case cudaMemcpyHostToHost:
        to_device = from_device = false;
        break;
    case cudaMemcpyHostToDevice:
        to_device = true;
        from_device = false;
        break;
    case cudaMemcpyDeviceToHost:
        to_device = false;
        from_device = true;
        break;
    case cudaMemcpyDeviceToDevice:
        to_device = from_device = true;
        break;
    case cudaMemcpyDefault:
        to_device = is_device(to);
        from_device = is_device(from);
        break;
    default:
        return end_call(cudaErrorInvalidMemcpyDirection);
    }
    if (!is_home(to, extent(to_pitch, width, height), to_device) ||
        !is_home(from, extent(from_pitch, width, height), from_device))
        return end_call(cudaErrorInvalidValue);
    const size_t to_bytes = extent(to_pitch, width, height);
    const size_t from_bytes = extent(from_pitch, width, height);
    if (!stream)
        settle_stream(nullptr);
    else if (!from_device)
        settle_range_of(*stream, from, from_bytes);
    if (!to_device)
        settle_range(to, to_bytes);
    const DeviceAccess access;
    for (size_t row = 0; row < height; row++)
        memmove(static_cast<char *>(to) + row * to_pitch,
                static_cast<const char *>(from) + row * from_pitch, width);
    if (stream && to_device && find_region(from).kind == Home::pinned)
        pending_from_host(*stream, HostRows{const_cast<char *>(static_cast<const char *>(from)),
                                            from_pitch, width, height});
    if (stream && from_device && find_region(to).kind == Home::pinned)
        pending_to_host(*stream, HostRows{static_cast<char *>(to), to_pitch, width, height});
    return cudaSuccess;
}

cudaError_t fill(void *to, size_t pitch, int value, size_t width, size_t height)
{
    CUDA_EMULATION_BEGIN();
    if (width == 0 || height == 0)
        return cudaSuccess;
    if (height > 1 && pitch < width)
        return end_call(cudaErrorInvalidPitchValue);
    const Region region = find_region(to);
    if (region.kind == Home::pageable ||
        extent(pitch, width, height) > size_t(region.base + region.bytes - static_cast<char *>(to)))
        return end_call(cudaErrorInvalidValue);
    settle_range(to, extent(pitch, width, height));
    const DeviceAccess access;
    for (size_t row = 0; row < height; row++)
        memset(static_cast<char *>(to) + row * pitch, value, width);
    return cudaSuccess;
}

} // namespace

cudaError_t cuda_emulation::copy_symbol(void *to, const void *from, size_t bytes,
                                        const void *symbol, size_t symbol_bytes, size_t offset,
                                        bool to_symbol, cudaMemcpyKind kind)
{
    CUDA_EMULATION_BEGIN();
    (void)symbol;
    if (offset > symbol_bytes || bytes > symbol_bytes - offset)
        return end_call(cudaErrorInvalidValue);
    const bool device = kind == cudaMemcpyDeviceToDevice;
    const void *other = to_symbol ? from : to;
    if (kind != cudaMemcpyDefault) {
        if (!device && kind != (to_symbol ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost))
            return end_call(cudaErrorInvalidMemcpyDirection);
        if (!is_home(other, bytes, device))
            return end_call(cudaErrorInvalidValue);
    }
    const DeviceAccess access;
    if (to_symbol)
        memcpy(static_cast<char *>(to) + offset, from, bytes);
    else
        memcpy(to, static_cast<const char *>(from) + offset, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    return copy(to, bytes, from, bytes, bytes, 1, kind, nullptr);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return copy(to, bytes, from, bytes, bytes, 1, kind, &stream);
}

cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                         size_t width, size_t height, enum cudaMemcpyKind kind)
{
    return copy(to, to_pitch, from, from_pitch, width, height, kind, nullptr);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    return copy(to, to_pitch, from, from_pitch, width, height, kind, &stream);
}

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                                size_t bytes, cudaStream_t stream)
{
    CUDA_EMULATION_BEGIN();
    const int n = settings().n_devices;
    if (to_device < 0 || to_device >= n || from_device < 0 || from_device >= n)
        return end_call(cudaErrorInvalidDevice);
    if (bytes && (find_region(to).device != to_device || find_region(from).device != from_device))
        return end_call(cudaErrorInvalidValue);
    return copy(to, bytes, from, bytes, bytes, 1, cudaMemcpyDeviceToDevice, &stream);
}

cudaError_t cudaMemcpyPeer(void *to, int to_device, const void *from, int from_device, size_t bytes)
{
    return cudaMemcpyPeerAsync(to, to_device, from, from_device, bytes, nullptr);
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    return fill(to, bytes, value, bytes, 1);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t)
{
    return fill(to, bytes, value, bytes, 1);
}

cudaError_t cudaMemset2D(void *to, size_t pitch, int value, size_t width, size_t height)
{
    return fill(to, pitch, value, width, height);
}

cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t)
{
    return fill(to, pitch, value, width, height);
}
