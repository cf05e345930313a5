#include "machine.h"

#include <cblas.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 4, BUFFER = 512 << 20, EPOCHS = 64, CHANNELS = 128, TIMES = 1000 };

double monotonic_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A line of /proc/self/status in bytes; 0 when it isn't there. */
static size_t status_bytes(const char *name)
{
    char line[256];
    size_t bytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            bytes = (size_t)strtoull(line + strlen(name), NULL, 10) * 1024;
    if (file != NULL)
        fclose(file);
    return bytes;
}

void peak_resident_reset(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file != NULL) {
        fputs("5", file);
        fclose(file);
    }
}

size_t peak_resident_bytes(void)
{
    return status_bytes("VmHWM:");
}

static double copy_rate(char *from, char *to, int n_threads)
{
    double best = 0.0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = monotonic_seconds();
#pragma omp parallel num_threads(n_threads)
        {
            size_t piece = (size_t)BUFFER / (size_t)omp_get_num_threads();
            memcpy(to + (size_t)omp_get_thread_num() * piece,
                   from + (size_t)omp_get_thread_num() * piece, piece);
        }
        double rate = 2.0 * BUFFER / (monotonic_seconds() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

static double read_rate(const double *from, int n_threads)
{
    double best = 0.0;
    volatile double keep = 0.0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = monotonic_seconds(), total = 0.0;
#pragma omp parallel for num_threads(n_threads) reduction(+ : total)
        for (size_t block = 0; block < BUFFER / 4096; block++) {
            double sums[8] = {0};
            for (size_t i = 0; i < 512; i += 8)
                for (size_t j = 0; j < 8; j++)
                    sums[j] += from[block * 512 + i + j];
            for (size_t j = 0; j < 8; j++)
                total += sums[j];
        }
        keep = keep + total;
        double rate = BUFFER / (monotonic_seconds() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

/* The shape of the augmentation: one 128 x 128 by 128 x 1000 product per epoch. */
static double gemm_rate(const double *from, double *to, int n_threads)
{
    double best = 0.0;
    double *weights = malloc(sizeof(double) * CHANNELS * CHANNELS);
    if (weights == NULL)
        return 0.0;
    for (size_t i = 0; i < (size_t)CHANNELS * CHANNELS; i++)
        weights[i] = 1.0 / (double)(i + 1);
    openblas_set_num_threads(1);
    const size_t epoch = (size_t)CHANNELS * TIMES;
    for (int round = 0; round < ROUNDS; round++) {
        double start = monotonic_seconds();
#pragma omp parallel for num_threads(n_threads)
        for (size_t e = 0; e < EPOCHS; e++)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, CHANNELS, TIMES, CHANNELS, 1.0,
                        weights, CHANNELS, from + e * epoch, TIMES, 0.0, to + e * epoch, TIMES);
        double flop = 2.0 * EPOCHS * CHANNELS * (double)epoch;
        double rate = flop / (monotonic_seconds() - start);
        best = rate > best ? rate : best;
    }
    free(weights);
    return best;
}

struct machine_limits machine_measure(int n_threads)
{
    struct machine_limits limits = {.n_threads = n_threads};
    char *from = aligned_alloc(4096, BUFFER), *to = aligned_alloc(4096, BUFFER);
    if (from != NULL && to != NULL) {
        memset(from, 0, BUFFER);
        memset(to, 0, BUFFER);
        limits.copy_bytes_per_s = copy_rate(from, to, n_threads);
        limits.read_bytes_per_s = read_rate((double *)(void *)from, n_threads);
        limits.gemm_flop_per_s = gemm_rate((double *)(void *)from, (double *)(void *)to, n_threads);
    }
    free(from);
    free(to);
    return limits;
}
