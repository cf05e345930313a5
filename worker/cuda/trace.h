/*
 * Where the device's time goes, for benchmarks: with REJECTD_CUDA_TRACE in the environment, every
 * launch is marked by an event, and when a session is closed a line per kernel goes to stderr:
 *   trace NAME CALLS MILLISECONDS
 * Time between two marks counts for the latter, so that gaps are somebody's, too.
 */
#ifndef WORKER_CUDA_TRACE_H
#define WORKER_CUDA_TRACE_H

#include <cuda_runtime.h>

struct trace;

/* NULL when nobody asked for it. */
struct trace *trace_open(void);
void trace_close(struct trace *trace);
void trace_mark(struct trace *trace, cudaStream_t stream, const char *what);
/* Prints and forgets the marks. The stream must have come to its end. */
void trace_print(struct trace *trace);

#endif
