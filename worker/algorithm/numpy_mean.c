#include "worker/algorithm/numpy_mean.h"

/* NumPy's pairwise summation: eight running sums up to 128 values, halves above that. */
static double pairwise_sum(const double *values, size_t n)
{
    if (n < 8) {
        double sum = 0.0;
        for (size_t i = 0; i < n; i++)
            sum += values[i];
        return sum;
    }
    if (n <= 128) {
        double r[8];
        size_t i;
        for (i = 0; i < 8; i++)
            r[i] = values[i];
        for (; i + 8 <= n; i += 8)
            for (size_t j = 0; j < 8; j++)
                r[j] += values[i + j];
        double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        for (; i < n; i++)
            sum += values[i];
        return sum;
    }
    size_t half = n / 2 - (n / 2) % 8;
    return pairwise_sum(values, half) + pairwise_sum(values + half, n - half);
}

double numpy_mean(const double *values, size_t n)
{
    return pairwise_sum(values, n) / (double)n;
}
