/*
 * Streams and events. Nothing is ever pending, so they only keep who they belong to and when an
 * event was recorded.
 */
#include "cuda_emulation/host_api.h"
#include "state.h"

#include <chrono>

using Clock = std::chrono::steady_clock;

struct CUstream_st {
    int device;
};

struct CUevent_st {
    bool has_time;
    bool recorded;
    Clock::time_point time;
};

using namespace cuda_emulation;

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned, int)
{
    CUDA_EMULATION_BEGIN();
    *stream = new CUstream_st{current_device()};
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    /* Freed even when the device is lost, so that what is left over is a leak of the caller's. */
    if (!stream)
        return end_call(cudaErrorInvalidResourceHandle);
    delete stream;
    CUDA_EMULATION_BEGIN();
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    return begin_call();
}

cudaError_t cudaStreamQuery(cudaStream_t)
{
    return begin_call();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t event, unsigned)
{
    CUDA_EMULATION_BEGIN();
    return event ? cudaSuccess : end_call(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    CUDA_EMULATION_BEGIN();
    *event = new CUevent_st{!(flags & cudaEventDisableTiming), false, Clock::time_point()};
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (!event)
        return end_call(cudaErrorInvalidResourceHandle);
    delete event;
    CUDA_EMULATION_BEGIN();
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t)
{
    CUDA_EMULATION_BEGIN();
    if (!event)
        return end_call(cudaErrorInvalidResourceHandle);
    event->recorded = true;
    event->time = Clock::now();
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    CUDA_EMULATION_BEGIN();
    return event ? cudaSuccess : end_call(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return cudaEventSynchronize(event);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    CUDA_EMULATION_BEGIN();
    if (!start || !end || !start->has_time || !end->has_time || !start->recorded || !end->recorded)
        return end_call(cudaErrorInvalidResourceHandle);
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return cudaSuccess;
}
