/*
 * The backend for processors: OpenMP over channels and epochs, OpenBLAS for the matrix products,
 * and kernels written once with vector types and compiled for several instruction sets, of which
 * the best that the processor has is chosen when a session opens (options.instruction_set forces
 * one: "x86-64", "x86-64-v3", "x86-64-v4", or "generic" on other architectures).
 *
 * Opening a session sets OpenBLAS to one thread: parallelism is over epochs and channels, and
 * results must not depend on how a library would cut a product.
 */
#ifndef WORKER_CPU_CPU_BACKEND_H
#define WORKER_CPU_CPU_BACKEND_H

#include "worker/backend.h"

extern const struct backend cpu_backend;

#endif
