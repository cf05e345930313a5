/* Medians of the cpu kernels against sorting, to the last bit: every instruction set and work type,
 * few and many rows, and the columns that make searching by keys hard. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run_suite.h"
#include "worker/cpu/kernels.h"

enum { N_FOLDS = 3, MOST_ROWS = 2600 };

static uint64_t state;

/* Uniform in [0, 1): xorshift64*. */
static double uniform(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (double)((state * 2685821657736338717u) >> 11) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2.0 * log(1.0 - uniform())) * cos(6.283185307179586 * uniform());
}

/* Columns as recordings have them. The last kind is dense about its middle: several samples share a
 * key, though never many. */
static double usual_sample(size_t column)
{
    const double x = normal();
    switch (column % 4) {
    case 0:
        return 1e-5 * x;
    case 1:
        return 1e-5 * (uniform() - 0.3);
    case 2:
        return 1e-6 * exp(0.7 * x);
    default:
        return 1e-5 * x * (0.02 + x * x);
    }
}

/* Columns that make searching by keys hard: one of them sends its whole group to the exact search.
 */
static double hard_sample(size_t column)
{
    switch (column % 8) {
    case 0:
        return 1e-5 * normal();
    case 1:
        return 1e-5 * round(3.0 * normal()); /* ties */
    case 2:
        return 4e-6; /* flat */
    case 3:
        return 1e-5 * normal() * (uniform() < 0.02 ? 1e4 : 1.0); /* outliers beyond all keys */
    case 4:
        return 1.0 + 1e-9 * normal(); /* an offset that leaves few digits */
    case 5:
        return uniform() < 0.5 ? -1e-5 : 1e-5; /* two values: the middle may lie between */
    case 6:
        return exp(3.0 * normal()); /* skewed */
    default:
        return uniform() < 0.5 ? 0.0 : 1e-5 * normal(); /* half of it one value */
    }
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double read_work(const void *values, enum rejectd_dtype work, size_t index)
{
    return work == REJECTD_FLOAT32 ? (double)((const float *)values)[index]
                                   : ((const double *)values)[index];
}

static double median_by_sorting(const void *group, const struct cpu_kernels *kernels,
                                const uint32_t *rows, size_t n, size_t column)
{
    static double sorted[MOST_ROWS];
    for (size_t i = 0; i < n; i++)
        sorted[i] = read_work(group, kernels->work, rows[i] * kernels->group + column);
    qsort(sorted, n, sizeof *sorted, by_value);
    if (n % 2 == 1)
        return sorted[n / 2];
    return kernels->work == REJECTD_FLOAT32
               ? (double)(((float)sorted[n / 2 - 1] + (float)sorted[n / 2]) / 2)
               : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* Folds of about a half, a third and all of the rows. */
static void make_folds(size_t n_rows, size_t *offsets, uint32_t *rows)
{
    static const double share[N_FOLDS] = {0.5, 0.3, 1.1};
    size_t n = 0;
    for (size_t f = 0; f < N_FOLDS; f++) {
        offsets[f] = n;
        rows[n++] = 0; /* never empty */
        for (uint32_t row = 1; row < n_rows; row++)
            if (uniform() < share[f])
                rows[n++] = row;
    }
    offsets[N_FOLDS] = n;
}

static void check_medians(const struct cpu_kernels *kernels, size_t n_rows, bool hard)
{
    const size_t group = kernels->group;
    const size_t item = kernels->work == REJECTD_FLOAT32 ? sizeof(float) : sizeof(double);
    char *samples = aligned_alloc(64, (n_rows * group * item + 63) / 64 * 64);
    int16_t *keys = aligned_alloc(64, (2 * n_rows * group * sizeof *keys + 63) / 64 * 64);
    char *medians = aligned_alloc(64, (N_FOLDS * group * item + 63) / 64 * 64);
    uint32_t *rows = malloc(N_FOLDS * (n_rows + 1) * sizeof *rows);
    size_t offsets[N_FOLDS + 1];
    ck_assert(samples != NULL && keys != NULL && medians != NULL && rows != NULL);
    for (size_t i = 0; i < n_rows * group; i++) {
        const double value = hard ? hard_sample(i % group) : usual_sample(i % group);
        const float single = (float)value;
        memcpy(samples + i * item, item == sizeof(float) ? (const void *)&single : &value, item);
    }
    make_folds(n_rows, offsets, rows);
    const struct fold_rows folds = {N_FOLDS, offsets, rows};
    kernels->medians(samples, n_rows, &folds, keys, medians);
    for (size_t f = 0; f < N_FOLDS; f++)
        for (size_t column = 0; column < group; column++) {
            const double wanted = median_by_sorting(samples, kernels, rows + offsets[f],
                                                    offsets[f + 1] - offsets[f], column);
            const double found = read_work(medians, kernels->work, f * group + column);
            ck_assert_msg(found == wanted, "%s, %zu rows, fold %zu, column %zu: %.17g not %.17g",
                          kernels->name, n_rows, f, column, found, wanted);
        }
    free(samples);
    free(keys);
    free(medians);
    free(rows);
}

START_TEST(test_medians_are_exact)
{
    static const size_t few[] = {1, 2, 3, 7, 40, 199, 200, 201, 333, 399, 401, 402, 1000, 2599};
    state = 88172645463325252u + (uint64_t)_i;
    for (size_t i = 0; kernels_name_at(i) != NULL; i++)
        for (size_t n = 0; n < sizeof few / sizeof few[0]; n++) {
            check_medians(kernels_select(kernels_name_at(i), REJECTD_FLOAT64), few[n], _i % 2);
            check_medians(kernels_select(kernels_name_at(i), REJECTD_FLOAT32), few[n], _i % 2);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("medians");
    TCase *tests = tcase_create("kernels");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_medians_are_exact, 0, 12);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
