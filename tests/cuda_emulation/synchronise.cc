/*
 * Barriers of a block and operations of a warp, and what is said of their misuse.
 */
#include "executor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace cuda_emulation
{

namespace
{

const char *name_of(BarrierKind kind)
{
    switch (kind) {
    case BarrierKind::plain:
        return "__syncthreads";
    case BarrierKind::any:
        return "__syncthreads_or";
    case BarrierKind::all:
        return "__syncthreads_and";
    case BarrierKind::count:
        return "__syncthreads_count";
    }
    return "?";
}

const char *name_of(WarpKind kind)
{
    switch (kind) {
    case WarpKind::sync:
        return "__syncwarp";
    case WarpKind::shuffle:
        return "a shuffle";
    case WarpKind::ballot:
        return "__ballot_sync";
    case WarpKind::any:
        return "__any_sync";
    case WarpKind::all:
        return "__all_sync";
    case WarpKind::match:
        return "__match_any_sync";
    }
    return "?";
}

bool same_place(Place a, Place b)
{
    return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

} // namespace

void Executor::release_barrier()
{
    switch (barrier_kind_) {
    case BarrierKind::plain:
    case BarrierKind::count:
        barrier_result_ = int(barrier_count_);
        break;
    case BarrierKind::any:
        barrier_result_ = barrier_count_ > 0;
        break;
    case BarrierKind::all:
        barrier_result_ = barrier_count_ == barrier_arrived_;
        break;
    }
    barrier_arrived_ = 0;
    for (unsigned w = 0; w < n_warps_; w++) {
        Warp &warp = warps_[w];
        warp.ready |= warp.at_barrier;
        warp.at_barrier = 0;
        if (warp.ready)
            ready_warps_ |= 1u << w;
    }
    warp_ = nullptr; /* the next one is chosen among all */
}

CUDA_EMULATION_UNWATCHED int Executor::barrier(BarrierKind kind, bool predicate, Place place)
{
    if (barrier_arrived_ == 0) {
        barrier_kind_ = kind;
        barrier_place_ = place;
        barrier_thread_ = threadIdx;
        barrier_count_ = 0;
    } else if (kind != barrier_kind_ || !same_place(place, barrier_place_)) {
        misuse("waits at %s (%s:%d) while thread (%u,%u,%u) waits at %s (%s:%d)", name_of(kind),
               place.file, place.line, barrier_thread_.x, barrier_thread_.y, barrier_thread_.z,
               name_of(barrier_kind_), barrier_place_.file, barrier_place_.line);
    }
    warp_->at_barrier |= 1u << lane_;
    warp_->places[lane_] = place;
    barrier_count_ += predicate;
    barrier_arrived_++;
    park();
    if (barrier_arrived_ == alive_)
        release_barrier();
    run_others();
    return barrier_result_;
}

/* Ends the gathering if all lanes that it names are there or have returned. */
CUDA_EMULATION_UNWATCHED bool Executor::complete(unsigned w, unsigned g)
{
    Warp &warp = warps_[w];
    if (warp.gatherings[g].arrived != (warp.gatherings[g].mask & ~warp.exited))
        return false;
    const Gathering gathering = warp.gatherings[g];
    warp.gatherings[g] = warp.gatherings[--warp.n_gatherings];
    end_operation(w, gathering);
    return true;
}

/* Gives the lanes of the gathering what they get; they can run. */
CUDA_EMULATION_UNWATCHED __attribute__((noinline)) void
Executor::end_operation(unsigned w, const Gathering &gathering)
{
    Warp &warp = warps_[w];
    const uint32_t arrived = gathering.arrived;
    uint64_t given[32];
    uint32_t ballot = 0;
    for (uint32_t rest = arrived; rest; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        given[lane] = warp.values[lane];
        ballot |= uint32_t(given[lane] & 1u) << lane;
    }
    for (uint32_t rest = arrived; rest; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        uint64_t &result = warp.values[lane];
        switch (gathering.kind) {
        case WarpKind::sync:
            break;
        case WarpKind::shuffle:
            if (!(arrived >> warp.sources[lane] & 1u)) {
                lane_ = unsigned(lane);
                warp_index_ = w;
                set_coordinates();
                misuse("a shuffle (%s:%d, mask 0x%08x) reads lane %d, which is %s",
                       warp.places[lane].file, warp.places[lane].line, gathering.mask,
                       warp.sources[lane],
                       gathering.mask >> warp.sources[lane] & 1u ? "not running any more"
                                                                 : "not in the mask");
            }
            result = given[warp.sources[lane]];
            break;
        case WarpKind::ballot:
            result = ballot;
            break;
        case WarpKind::any:
            result = ballot != 0;
            break;
        case WarpKind::all:
            result = ballot == arrived;
            break;
        case WarpKind::match:
            result = 0;
            for (uint32_t others = arrived; others; others &= others - 1) {
                const int other = __builtin_ctz(others);
                result |= uint64_t(given[other] == given[lane]) << other;
            }
            break;
        }
    }
    warp.ready |= arrived;
    ready_warps_ |= 1u << w;
}

CUDA_EMULATION_UNWATCHED uint64_t Executor::warp_operation(WarpKind kind, unsigned mask,
                                                           uint64_t value, int source, Place place)
{
    const unsigned lane = lane_;
    Warp &warp = *warp_;
    if (!(mask >> lane & 1u))
        misuse("calls %s (%s:%d) with mask 0x%08x, which leaves out its own lane %u", name_of(kind),
               place.file, place.line, mask, lane);
    if (source < 0 || source > 31)
        misuse("calls %s (%s:%d) for lane %d", name_of(kind), place.file, place.line, source);
    unsigned g = 0;
    while (g < warp.n_gatherings && warp.gatherings[g].mask != mask)
        g++;
    if (g == warp.n_gatherings)
        warp.gatherings[warp.n_gatherings++] = Gathering{kind, mask, 0};
    Gathering &gathering = warp.gatherings[g];
    if (gathering.kind != kind) {
        const Place other = warp.places[__builtin_ctz(gathering.arrived)];
        misuse("calls %s (%s:%d) while lane %d calls %s (%s:%d) with the same mask 0x%08x",
               name_of(kind), place.file, place.line, __builtin_ctz(gathering.arrived),
               name_of(gathering.kind), other.file, other.line, mask);
    }
    gathering.arrived |= 1u << lane;
    warp.values[lane] = value;
    warp.sources[lane] = uint8_t(source);
    warp.places[lane] = place;
    park();
    complete(warp_index_, g);
    run_others();
    return warp.values[lane];
}

void Executor::misuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char text[512];
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "cuda emulation: kernel %s, block (%u,%u,%u), thread (%u,%u,%u): %s\n",
            launch_->name, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
            threadIdx.z, text);
    fflush(stderr);
    abort();
}

void Executor::deadlock()
{
    constexpr unsigned max_told = 8;
    unsigned told = 0;
    fprintf(stderr,
            "cuda emulation: kernel %s, block (%u,%u,%u): the threads that have not returned wait "
            "for ever:\n",
            launch_->name, blockIdx.x, blockIdx.y, blockIdx.z);
    for (unsigned i = 0; i < n_threads_; i++) {
        const Warp &warp = warps_[i / 32];
        const unsigned lane = i % 32;
        if (warp.exited >> lane & 1u)
            continue;
        const Place place = warp.places[lane];
        const char *what = name_of(barrier_kind_);
        uint32_t mask = 0;
        for (unsigned g = 0; g < warp.n_gatherings; g++)
            if (warp.gatherings[g].arrived >> lane & 1u) {
                what = name_of(warp.gatherings[g].kind);
                mask = warp.gatherings[g].mask;
            }
        if (told++ == max_told)
            break;
        fprintf(stderr, "  thread (%u,%u,%u) at %s (%s:%d)", table_[i].x, table_[i].y, table_[i].z,
                what, place.file, place.line);
        if (mask)
            fprintf(stderr, ", mask 0x%08x", mask);
        fputc('\n', stderr);
    }
    if (told > max_told)
        fprintf(stderr, "  ... (%u threads in all)\n", alive_);
    fflush(stderr);
    abort();
}

CUDA_EMULATION_UNWATCHED int barrier(BarrierKind kind, bool predicate, Place place)
{
    return running_executor("a barrier").barrier(kind, predicate, place);
}

CUDA_EMULATION_UNWATCHED uint64_t warp_operation(WarpKind kind, unsigned mask, uint64_t value,
                                                 int source, Place place)
{
    return running_executor("a warp operation").warp_operation(kind, mask, value, source, place);
}

void *dynamic_shared(void)
{
    return running_executor("dynamic shared memory").dynamic_shared();
}

void trap(cudaError_t error)
{
    running_executor("__trap").trap(error);
}

} // namespace cuda_emulation
