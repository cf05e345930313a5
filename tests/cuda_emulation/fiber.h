/*
 * Fibres: stacks that one operating system thread switches between.
 *
 * A fibre belongs to the thread that made it. Its entry function must not return. AddressSanitizer
 * is told of every switch.
 */
#ifndef CUDA_EMULATION_FIBER_H
#define CUDA_EMULATION_FIBER_H

#include <stddef.h>

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(CUDA_EMULATION_UCONTEXT)
#define CUDA_EMULATION_UCONTEXT 1
#endif

#ifdef CUDA_EMULATION_UCONTEXT
#include <ucontext.h>
#endif

namespace cuda_emulation
{

struct Fiber {
    void *stack_pointer = nullptr; /* while it is not running */
    char *stack = nullptr;         /* lowest usable byte; below it lies a guard page */
    size_t stack_bytes = 0;
    void *fake_stack = nullptr; /* AddressSanitizer's */
#ifdef CUDA_EMULATION_UCONTEXT
    ucontext_t context;
#endif
};

/* Makes `fiber` stand for the calling thread's own stack. */
void fiber_adopt_thread(Fiber &fiber);

/* Gives the fibre a stack. False when there is no memory for it. */
bool fiber_allocate(Fiber &fiber);
void fiber_free(Fiber &fiber);

/* The next switch to the fibre calls entry(); what it was in before is forgotten. `colour` shifts
 * the stack's first byte, because stacks at equal offsets share few cache lines. */
void fiber_prepare(Fiber &fiber, void (*entry)(), unsigned colour);

/* Returns when something switches back to `from`, which must be the one that runs. */
void fiber_switch(Fiber &from, Fiber &to);

/* The first thing that an entry function does. */
void fiber_entered();

} // namespace cuda_emulation

#endif
