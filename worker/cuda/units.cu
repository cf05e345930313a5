#include "worker/cuda/units.h"

#include <cmath>

enum { LARGEST_BITS = 8, MOST_THREADS = 16, TOGETHER = 8, MOST_EXPONENT = 1000 };

/* The largest magnitude of n samples; several at a time, so that none waits for the one before. */
template <typename From> static From largest_of(const From *x, size_t n)
{
    From most[TOGETHER] = {};
    size_t i = 0;
    for (; i + TOGETHER <= n; i += TOGETHER)
        for (int k = 0; k < TOGETHER; k++) {
            const From magnitude = std::fabs(x[i + (size_t)k]);
            most[k] = magnitude > most[k] ? magnitude : most[k];
        }
    for (; i < n; i++)
        most[0] = std::fabs(x[i]) > most[0] ? std::fabs(x[i]) : most[0];
    for (int k = 1; k < TOGETHER; k++)
        most[0] = most[k] > most[0] ? most[k] : most[0];
    return most[0];
}

template <typename From>
static double largest_of_picks(const struct backend_samples *s, int n_threads)
{
    const size_t rows = s->n_epochs * s->n_picks;
    const int threads = n_threads < MOST_THREADS ? n_threads : (int)MOST_THREADS;
    double largest = 0.0;
    (void)threads; /* nvcc's own front end doesn't look into the pragma */
#pragma omp parallel for schedule(static) num_threads(threads) reduction(max : largest)
    for (size_t row = 0; row < rows; row++) {
        const size_t channel = row / s->n_picks * s->n_channels + s->picks[row % s->n_picks];
        const double one =
            (double)largest_of((const From *)s->data + channel * s->n_times, s->n_times);
        largest = one > largest ? one : largest;
    }
    return largest;
}

double unit_for_float16(const struct backend_samples *samples, int n_threads)
{
    const double largest = samples->dtype == REJECTD_FLOAT64
                               ? largest_of_picks<double>(samples, n_threads)
                               : largest_of_picks<float>(samples, n_threads);
    int exponent;
    if (!(largest > 0.0))
        return 1.0;
    std::frexp(largest, &exponent);
    /* Beyond, the unit or what it divides by would be no number. */
    exponent = exponent < -MOST_EXPONENT ? -MOST_EXPONENT : exponent;
    return std::ldexp(1.0, exponent - LARGEST_BITS);
}
