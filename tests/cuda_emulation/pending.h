/*
 * Asynchronous copies between the device and pinned host memory that the host has not waited for.
 *
 * On a GPU such a copy happens some time before the stream is next waited for. Here it is taken at
 * the call; but the host sees what it brings only when it has waited, and until then the pattern
 * of memory nobody wrote. What it takes to the device must still be there unchanged by then: if
 * not, the GPU might have copied either, and the program ends with a message.
 *
 * All functions may be called from any thread.
 */
#ifndef CUDA_EMULATION_PENDING_H
#define CUDA_EMULATION_PENDING_H

#include "cuda_emulation/host_api.h"

#include <stdint.h>
#include <vector>

struct CUstream_st {
    uint64_t id;
    bool blocking;               /* waits for the default stream, and it for this */
    std::vector<uint64_t> waits; /* copies of other streams that come before what is to come */
};

namespace cuda_emulation
{

/* Rows of host memory. */
struct HostRows {
    char *first;
    size_t pitch;
    size_t width;
    size_t height;
};

uint64_t new_stream_id();

/* `rows` will hold what they hold now; from here on they hold the pattern. */
void pending_to_host(cudaStream_t stream, const HostRows &rows);
/* `rows` have been copied to the device. */
void pending_from_host(cudaStream_t stream, const HostRows &rows);

/* The copies that are over when what the stream has been given so far is. */
std::vector<uint64_t> pending_of_stream(cudaStream_t stream);
/* The stream goes on when these are over. */
void pending_wait(cudaStream_t stream, const std::vector<uint64_t> &copies);

/* The host has waited: for these copies, for all, for those of a range of its memory. */
void settle(const std::vector<uint64_t> &copies);
void settle_all();
void settle_range(const void *first, size_t bytes);
/* Of a range, those that the stream's next copy comes after. */
void settle_range_of(cudaStream_t stream, const void *first, size_t bytes);
/* What the stream has been given so far. */
void settle_stream(cudaStream_t stream);
/* Nothing is pending any more, and nobody looks at it. */
void forget_pending();

} // namespace cuda_emulation

#endif
