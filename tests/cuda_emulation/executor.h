/*
 * Runs blocks on one operating system thread.
 *
 * Scheduling. A thread of a block is a fibre from the moment it first waits; before that, threads
 * are called one after the other on the same stack, so that one that never waits costs a call. A
 * thread runs until it waits or returns. Then another lane of its warp that can run is taken, and
 * when there is none another warp, by the order of the launch: the first, the last, or any. When a
 * warp operation or a barrier is complete, the thread that completed it takes its place in that
 * order with the others. No thread able to run and not all returned: the block can never end, and
 * the program does, with a message.
 */
#ifndef CUDA_EMULATION_EXECUTOR_H
#define CUDA_EMULATION_EXECUTOR_H

#include "cuda_emulation/builtins.h"
#include "cuda_emulation/control.h"
#include "cuda_emulation/launch.h"
#include "fiber.h"

#include <atomic>
#include <stdint.h>
#include <vector>

namespace cuda_emulation
{

/* A launch that one or more executors take blocks from. */
struct Work {
    const Launch *launch;
    uint64_t n_blocks;
    Order order;
    uint64_t seed;
    uint64_t stride, offset; /* block i in order is (i * stride + offset) modulo n_blocks */
    std::atomic<uint64_t> next{0};
    std::atomic<cudaError_t> error{cudaSuccess};
};

constexpr unsigned max_block_threads = 1024;
constexpr unsigned max_warps = max_block_threads / 32;

/* Lanes that wait for each other in a warp operation. */
struct Gathering {
    WarpKind kind;
    uint32_t mask;
    uint32_t arrived;
};

struct Warp {
    uint32_t ready;      /* lanes that can run */
    uint32_t started;    /* lanes that are a fibre */
    uint32_t exited;     /* lanes that have returned, or do not exist */
    uint32_t at_barrier; /* lanes that wait for the block */
    unsigned n_gatherings;
    Gathering gatherings[32];
    Fiber *fibers[32];
    uint64_t values[32]; /* what a lane gives to an operation, then what it gets */
    uint8_t sources[32]; /* the lane whose value a shuffle reads */
    Place places[32];    /* where a lane waits */
};

/* What a switch runs through, which is most of the time of a test: sanitizers look into kernels,
 * and not into the few lines of the executor's own state. */
#ifdef CUDA_EMULATION_ASAN
#define CUDA_EMULATION_UNWATCHED __attribute__((no_sanitize("address", "undefined")))
#else
#define CUDA_EMULATION_UNWATCHED
#endif

/* Hidden, so that what is called from one place is part of it. */
class __attribute__((visibility("hidden"))) Executor
{
  public:
    Executor();
    ~Executor();
    Executor(const Executor &) = delete;
    Executor &operator=(const Executor &) = delete;

    /* Takes blocks of the work until there are no more. */
    void run(Work &work);

    /* For the thread that runs. */
    int barrier(BarrierKind kind, bool predicate, Place place);
    uint64_t warp_operation(WarpKind kind, unsigned mask, uint64_t value, int source, Place place);
    [[noreturn]] void trap(cudaError_t error);
    [[noreturn]] void misuse(const char *format, ...) __attribute__((format(printf, 2, 3)));

    void *dynamic_shared()
    {
        return shared_;
    }

  private:
    static void fiber_main();
    bool next_block();
    void start_block(uint64_t index);
    bool next_thread();
    bool next_warp();
    unsigned choose(uint32_t set);
    unsigned choose_any(uint32_t set);
    void thread_returned();
    void park();
    void run_others();
    Fiber *take_fiber();
    void release_barrier();
    bool complete(unsigned warp, unsigned gathering);
    void end_operation(unsigned warp, const Gathering &gathering);
    void set_coordinates();
    uint3 coordinates(unsigned thread) const;
    [[noreturn]] void deadlock();
    void describe_waiting(char *text, size_t size);
    void reset_fibers();

    Work *work_ = nullptr;
    const Launch *launch_ = nullptr;
    Warp *warp_ = nullptr; /* of the thread that runs */
    unsigned warp_index_ = 0;
    unsigned lane_ = 0;
    Fiber *running_ = nullptr;

    unsigned n_threads_ = 0;
    unsigned n_warps_ = 0;
    unsigned alive_ = 0;
    uint32_t ready_warps_ = 0;
    uint64_t random_ = 0;
    uint3 table_[max_block_threads]; /* threadIdx of each thread */
    dim3 table_block_{0, 0, 0};

    unsigned barrier_arrived_ = 0;
    unsigned barrier_count_ = 0; /* of predicates that hold */
    BarrierKind barrier_kind_ = BarrierKind::plain;
    Place barrier_place_{nullptr, 0};
    uint3 barrier_thread_{0, 0, 0}; /* the first that arrived */
    int barrier_result_ = 0;

    void *shared_ = nullptr;
    size_t shared_bytes_ = 0;

    Fiber host_;
    std::vector<Fiber *> fibers_; /* all there are */
    std::vector<Fiber *> idle_;
    std::vector<Warp> warps_;
};

/* The calling thread's executor, which is made at its first use. */
Executor &executor();
/* The one that runs the kernel which the caller is part of; a message and the end if none does. */
Executor &running_executor(const char *function);

} // namespace cuda_emulation

#endif
