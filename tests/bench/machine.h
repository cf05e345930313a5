/* What this machine can do at most, measured in the same run as what is compared with it. */
#ifndef TESTS_BENCH_MACHINE_H
#define TESTS_BENCH_MACHINE_H

#include <stddef.h>

struct machine_limits {
    int n_threads;
    double copy_bytes_per_s; /* bytes read plus bytes written, per second */
    double read_bytes_per_s;
    double gemm_flop_per_s; /* float64, 128 x 1000 x 128 from memory, one product per thread */
};

/* Measures with n_threads OpenMP threads; about two seconds. Needs 1 GiB for a moment. */
struct machine_limits machine_measure(int n_threads);

double monotonic_seconds(void);

/* Largest resident set of this process since the reset (or the start), bytes. */
void peak_resident_reset(void);
size_t peak_resident_bytes(void);

#endif
