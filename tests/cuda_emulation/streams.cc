/*
 * Streams and events. Everything has been done when a call returns, but the host only sees what
 * copies bring when it waits (pending.h): an event knows which they are.
 */
#include "pending.h"
#include "state.h"

#include <chrono>

using Clock = std::chrono::steady_clock;

struct CUevent_st {
    bool has_time;
    bool recorded;
    Clock::time_point time;
    std::vector<uint64_t> copies; /* that are over when it has happened */
};

using namespace cuda_emulation;

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    CUDA_EMULATION_BEGIN();
    *stream = new CUstream_st{new_stream_id(), !(flags & cudaStreamNonBlocking), {}};
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

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    CUDA_EMULATION_BEGIN();
    settle_stream(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    return cudaStreamSynchronize(stream);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    CUDA_EMULATION_BEGIN();
    if (!event)
        return end_call(cudaErrorInvalidResourceHandle);
    pending_wait(stream, event->copies);
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *context)
{
    CUDA_EMULATION_BEGIN();
    settle_stream(stream);
    function(context);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    CUDA_EMULATION_BEGIN();
    *event = new CUevent_st{!(flags & cudaEventDisableTiming), false, Clock::time_point(), {}};
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

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    CUDA_EMULATION_BEGIN();
    if (!event)
        return end_call(cudaErrorInvalidResourceHandle);
    event->recorded = true;
    event->time = Clock::now();
    event->copies = pending_of_stream(stream);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    CUDA_EMULATION_BEGIN();
    if (!event)
        return end_call(cudaErrorInvalidResourceHandle);
    settle(event->copies);
    return cudaSuccess;
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
