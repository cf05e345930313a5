#include "executor.h"

#include "memory.h"

#include <algorithm>
#include <memory>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

CUDA_EMULATION_TLS uint3 threadIdx;
CUDA_EMULATION_TLS uint3 blockIdx;
CUDA_EMULATION_TLS cuda_emulation::Dimensions blockDim;
CUDA_EMULATION_TLS cuda_emulation::Dimensions gridDim;

namespace cuda_emulation
{

CUDA_EMULATION_TLS int lane_index;

namespace
{

CUDA_EMULATION_TLS Executor *running; /* while the thread runs blocks */

uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

} // namespace

Executor &executor()
{
    static thread_local std::unique_ptr<Executor> own;
    if (!own)
        own = std::make_unique<Executor>();
    return *own;
}

CUDA_EMULATION_UNWATCHED Executor &running_executor(const char *function)
{
    if (!running) {
        fprintf(stderr, "cuda emulation: %s outside of a kernel\n", function);
        abort();
    }
    return *running;
}

Executor::Executor() : warps_(max_warps)
{
    fiber_adopt_thread(host_);
}

Executor::~Executor()
{
    for (Fiber *fiber : fibers_) {
        fiber_free(*fiber);
        delete fiber;
    }
    free(shared_);
}

void Executor::run(Work &work)
{
    work_ = &work;
    launch_ = work.launch;
    const dim3 block = launch_->block;
    n_threads_ = block.x * block.y * block.z;
    n_warps_ = (n_threads_ + 31) / 32;
    if (block.x != table_block_.x || block.y != table_block_.y || block.z != table_block_.z) {
        for (unsigned i = 0; i < n_threads_; i++)
            table_[i] = uint3{i % block.x, i / block.x % block.y, i / block.x / block.y};
        table_block_ = block;
    }
    blockDim = Dimensions{block.x, block.y, block.z};
    gridDim = Dimensions{launch_->grid.x, launch_->grid.y, launch_->grid.z};
    if (launch_->shared_bytes != shared_bytes_) {
        /* Of exactly that size, so that AddressSanitizer sees an access beyond it. */
        free(shared_);
        shared_ = launch_->shared_bytes ? aligned_memory(launch_->shared_bytes) : nullptr;
        shared_bytes_ = launch_->shared_bytes;
    }
    running = this;
    alive_ = 0;
    warp_ = nullptr;
    ready_warps_ = 0;
    if (next_thread()) {
        running_ = take_fiber();
        fiber_switch(host_, *running_);
    }
    running = nullptr;
    if (work.error.load() != cudaSuccess)
        reset_fibers();
}

/* The next block of the work begins; false when there is none. */
bool Executor::next_block()
{
    if (work_->error.load(std::memory_order_relaxed) != cudaSuccess)
        return false;
    const uint64_t i = work_->next.fetch_add(1, std::memory_order_relaxed);
    if (i >= work_->n_blocks)
        return false;
    start_block(uint64_t(((unsigned __int128)i * work_->stride + work_->offset) % work_->n_blocks));
    return true;
}

void Executor::start_block(uint64_t index)
{
    const dim3 grid = launch_->grid;
    blockIdx = uint3{unsigned(index % grid.x), unsigned(index / grid.x % grid.y),
                     unsigned(index / grid.x / grid.y)};
    random_ = mix(work_->seed ^ mix(index));
    alive_ = n_threads_;
    barrier_arrived_ = 0;
    for (unsigned w = 0; w < n_warps_; w++) {
        const unsigned lanes = std::min(32u, n_threads_ - w * 32);
        Warp &warp = warps_[w];
        warp.ready = lanes == 32 ? ~0u : (1u << lanes) - 1;
        warp.exited = ~warp.ready;
        warp.started = 0;
        warp.at_barrier = 0;
        warp.n_gatherings = 0;
    }
    ready_warps_ = n_warps_ == 32 ? ~0u : (1u << n_warps_) - 1;
    warp_ = nullptr;
    if (shared_)
        poison(shared_, shared_bytes_);
}

CUDA_EMULATION_UNWATCHED __attribute__((noinline)) unsigned Executor::choose_any(uint32_t set)
{
    random_ = mix(random_);
    for (unsigned skip = unsigned(random_ >> 33) % unsigned(__builtin_popcount(set)); skip; skip--)
        set &= set - 1;
    return unsigned(__builtin_ctz(set));
}

CUDA_EMULATION_UNWATCHED inline unsigned Executor::choose(uint32_t set)
{
    switch (work_->order) {
    case Order::forward:
        break;
    case Order::reverse:
        return 31 - unsigned(__builtin_clz(set));
    case Order::shuffled:
        return choose_any(set);
    }
    return unsigned(__builtin_ctz(set));
}

/* Makes a warp with a thread that can run the current one; false when all blocks have ended. */
__attribute__((noinline)) bool Executor::next_warp()
{
    do {
        if (ready_warps_) {
            warp_index_ = choose(ready_warps_);
            warp_ = &warps_[warp_index_];
        } else if (alive_) {
            deadlock();
        } else if (!next_block()) {
            return false;
        }
    } while (!warp_ || !warp_->ready);
    return true;
}

/* Makes the thread that is to run now the current one; false when all blocks have ended. */
CUDA_EMULATION_UNWATCHED inline bool Executor::next_thread()
{
    if ((!warp_ || !warp_->ready) && !next_warp())
        return false;
    lane_ = choose(warp_->ready);
    warp_->ready &= ~(1u << lane_);
    if (!warp_->ready)
        ready_warps_ &= ~(1u << warp_index_);
    return true;
}

CUDA_EMULATION_UNWATCHED void Executor::set_coordinates()
{
    lane_index = int(lane_);
    threadIdx = table_[warp_index_ * 32 + lane_];
}

uint3 Executor::coordinates(unsigned thread) const
{
    return table_[thread];
}

Fiber *Executor::take_fiber()
{
    if (idle_.empty()) {
        Fiber *fiber = new Fiber;
        if (!fiber_allocate(*fiber)) {
            fprintf(stderr, "cuda emulation: no memory for the stack of a thread\n");
            abort();
        }
        fiber_prepare(*fiber, fiber_main, unsigned(fibers_.size()));
        fibers_.push_back(fiber);
        idle_.reserve(fibers_.size());
        return fiber;
    }
    Fiber *fiber = idle_.back();
    idle_.pop_back();
    return fiber;
}

/* A fibre calls threads that have not begun; it goes when the next one to run has. */
void Executor::fiber_main()
{
    fiber_entered();
    Executor &self = *running;
    for (;;) {
        self.set_coordinates();
        self.launch_->thread(self.launch_->context);
        self.thread_returned();
        const bool any = self.next_thread();
        Fiber *own = self.running_;
        if (any && !(self.warp_->started >> self.lane_ & 1u))
            continue;
        self.idle_.push_back(own);
        self.running_ = any ? self.warp_->fibers[self.lane_] : nullptr;
        fiber_switch(*own, any ? *self.running_ : self.host_);
    }
}

/* The current thread will wait in its fibre. */
CUDA_EMULATION_UNWATCHED void Executor::park()
{
    warp_->started |= 1u << lane_;
    warp_->fibers[lane_] = running_;
}

/* Another thread runs; returns when the one that was parked runs again. */
CUDA_EMULATION_UNWATCHED void Executor::run_others()
{
    Fiber *own = running_;
    next_thread();
    running_ = warp_->started >> lane_ & 1u ? warp_->fibers[lane_] : take_fiber();
    if (running_ != own)
        fiber_switch(*own, *running_);
    set_coordinates();
}

void Executor::thread_returned()
{
    warp_->exited |= 1u << lane_;
    alive_--;
    if (barrier_arrived_ && barrier_arrived_ == alive_)
        release_barrier();
    else
        for (unsigned g = 0; g < warp_->n_gatherings;)
            if (!complete(warp_index_, g))
                g++;
}

void Executor::trap(cudaError_t error)
{
    cudaError_t none = cudaSuccess;
    work_->error.compare_exchange_strong(none, error);
    fiber_switch(*running_, host_);
    abort(); /* the fibre is prepared anew */
}

/* After a block that was abandoned: its fibres are in the middle of a kernel. */
void Executor::reset_fibers()
{
    idle_.clear();
    for (size_t i = 0; i < fibers_.size(); i++) {
        fiber_prepare(*fibers_[i], fiber_main, unsigned(i));
        idle_.push_back(fibers_[i]);
    }
}

} // namespace cuda_emulation
