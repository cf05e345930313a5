/* Whole rows: their range, their type, and their way into groups. */
#include "worker/cpu/kernels/kernel_table.h"
#include "worker/cpu/kernels/load_row.h"

double KERNEL(peak_to_peak)(const void *row, size_t n)
{
    const work *x = row;
    if (n < 2 * WORK_LANES) {
        work least = x[0], most = x[0];
        for (size_t i = 1; i < n; i++) {
            least = x[i] < least ? x[i] : least;
            most = x[i] > most ? x[i] : most;
        }
        return (double)(most - least);
    }
    work_vector least[2] = {vector_load(x), vector_load(x + WORK_LANES)};
    work_vector most[2] = {least[0], least[1]};
    for (size_t i = 2 * WORK_LANES; i < n; i += 2 * WORK_LANES) {
        /* The last step overlaps the one before: the range does not mind. */
        size_t at = i + 2 * WORK_LANES <= n ? i : n - 2 * WORK_LANES;
        const work_vector even = vector_load(x + at), odd = vector_load(x + at + WORK_LANES);
        least[0] = vector_min(least[0], even);
        least[1] = vector_min(least[1], odd);
        most[0] = vector_max(most[0], even);
        most[1] = vector_max(most[1], odd);
    }
    work_vector low = vector_min(least[0], least[1]), high = vector_max(most[0], most[1]);
    work lowest = low[0], highest = high[0];
    for (size_t l = 1; l < WORK_LANES; l++) {
        lowest = low[l] < lowest ? low[l] : lowest;
        highest = high[l] > highest ? high[l] : highest;
    }
    return (double)(highest - lowest);
}

void KERNEL(convert)(void *work_samples, const void *samples, enum rejectd_dtype dtype, size_t n)
{
    work *restrict out = work_samples;
    if (dtype == WORK_DTYPE) {
        memcpy(out, samples, n * sizeof *out);
    } else if (dtype == REJECTD_FLOAT64) {
        const double *restrict in = samples;
        for (size_t i = 0; i < n; i++)
            out[i] = (work)in[i];
    } else {
        const float *restrict in = samples;
        for (size_t i = 0; i < n; i++)
            out[i] = (work)in[i];
    }
}

static void prefetch_row(const struct row_source *row, size_t start, size_t length)
{
    size_t size = row->dtype == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
    const char *from = (const char *)row->samples + start * size;
    for (size_t byte = 0; byte < length * size; byte += 64)
        __builtin_prefetch(from + byte);
}

void KERNEL(load)(void *groups, size_t group_rows, const struct row_source *rows, size_t n_rows,
                  size_t start, size_t length, double offset)
{
    enum { ROWS_AHEAD = 6 };
    const size_t whole = length / GROUP, rest = length % GROUP;
    work *out = groups;
    for (size_t r = 0; r < n_rows; r++) {
        /* Rows lie pages apart and in no order that hardware would foresee. */
        if (r + ROWS_AHEAD < n_rows)
            prefetch_row(&rows[r + ROWS_AHEAD], start, length);
        for (size_t g = 0; g < whole; g++)
            load_row(out + (g * group_rows + r) * GROUP, &rows[r], start + g * GROUP, GROUP,
                     (work)offset);
        if (rest > 0) {
            work *last = out + (whole * group_rows + r) * GROUP;
            memset(last, 0, GROUP * sizeof *last);
            load_row(last, &rows[r], start + whole * GROUP, rest, (work)offset);
        }
    }
}
