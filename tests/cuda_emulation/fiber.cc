/*
 * A switch saves what the calling convention says a function must keep, and loads the same from
 * the other stack. The floating-point control words are the same for all, and stay.
 */
#include "fiber.h"

#include "cuda_emulation/types.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef CUDA_EMULATION_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace
{

/* Pages are only taken when touched. AddressSanitizer's frames are larger. */
#ifdef CUDA_EMULATION_ASAN
constexpr size_t stack_bytes = 512 * 1024;
#else
constexpr size_t stack_bytes = 256 * 1024;
#endif
constexpr size_t colours = 32;
constexpr size_t colour_bytes = 192;

} // namespace

#ifndef CUDA_EMULATION_UCONTEXT

/* Saves into *from the stack pointer of the caller, and goes on where `to` was saved. */
extern "C" void cuda_emulation_swap(void **from, void *to);

#if defined(__x86_64__)

/* A return, not a jump: threads of a warp mostly wait at the same place, so that where one was
 * called from is where the next returns to, as the processor predicts, all the way up. */
asm(R"(
    .text
    .p2align 4
    .globl cuda_emulation_swap
    .hidden cuda_emulation_swap
    .type cuda_emulation_swap, @function
cuda_emulation_swap:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size cuda_emulation_swap, .-cuda_emulation_swap
)");

/* Six registers, where to go, and a return address of 0 that ends a walk up the stack. */
static void *first_frame(char *top, void (*entry)())
{
    void **frame = reinterpret_cast<void **>(top) - 10;
    memset(frame, 0, 10 * sizeof *frame);
    frame[6] = reinterpret_cast<void *>(entry);
    return frame;
}

#else

asm(R"(
    .text
    .p2align 4
    .globl cuda_emulation_swap
    .hidden cuda_emulation_swap
    .type cuda_emulation_swap, %function
cuda_emulation_swap:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    mov x9, x30
    mov x30, xzr
    br x9
    .size cuda_emulation_swap, .-cuda_emulation_swap
)");

static void *first_frame(char *top, void (*entry)())
{
    void **frame = reinterpret_cast<void **>(top) - 20;
    memset(frame, 0, 20 * sizeof *frame);
    frame[11] = reinterpret_cast<void *>(entry);
    return frame;
}

#endif
#endif

namespace cuda_emulation
{

void fiber_adopt_thread(Fiber &fiber)
{
#ifdef CUDA_EMULATION_ASAN
    pthread_attr_t attributes;
    void *stack = nullptr;
    size_t bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &stack, &bytes);
        pthread_attr_destroy(&attributes);
    }
    fiber.stack = static_cast<char *>(stack);
    fiber.stack_bytes = bytes;
#else
    (void)fiber;
#endif
}

bool fiber_allocate(Fiber &fiber)
{
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    void *memory = mmap(nullptr, stack_bytes + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    mprotect(memory, page, PROT_NONE);
    fiber.stack = static_cast<char *>(memory) + page;
    fiber.stack_bytes = stack_bytes;
    return true;
}

void fiber_free(Fiber &fiber)
{
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
#ifdef CUDA_EMULATION_ASAN
    __asan_unpoison_memory_region(fiber.stack, fiber.stack_bytes);
#endif
    munmap(fiber.stack - page, fiber.stack_bytes + page);
    fiber.stack = nullptr;
}

void fiber_prepare(Fiber &fiber, void (*entry)(), unsigned colour)
{
#ifdef CUDA_EMULATION_ASAN
    __asan_unpoison_memory_region(fiber.stack, fiber.stack_bytes);
    fiber.fake_stack = nullptr;
#endif
    const size_t bytes = fiber.stack_bytes - colour % colours * colour_bytes;
#ifdef CUDA_EMULATION_UCONTEXT
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = bytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
#else
    fiber.stack_pointer = first_frame(fiber.stack + bytes, entry);
#endif
}

void fiber_switch(Fiber &from, Fiber &to)
{
#ifdef CUDA_EMULATION_ASAN
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
#endif
#ifdef CUDA_EMULATION_UCONTEXT
    swapcontext(&from.context, &to.context);
#else
    cuda_emulation_swap(&from.stack_pointer, to.stack_pointer);
#endif
#ifdef CUDA_EMULATION_ASAN
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void fiber_entered()
{
#ifdef CUDA_EMULATION_ASAN
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

} // namespace cuda_emulation
