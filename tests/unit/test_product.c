/* Products of the cpu kernels against plain sums: every instruction set, work type and type of
 * samples, panels that are full and that are not, and every way to cut rows into tiles; rows in one
 * piece or in groups. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run_suite.h"
#include "worker/cpu/kernels.h"

enum { MOST_OUT = 15, MOST_ROWS = 9, MOST_TIMES = 200, STRIDE = MOST_TIMES + 3 };

static const size_t times[] = {1, 3, 8, 31, 32, 33, 64, 65, 127, MOST_TIMES};

/* Between -1 and 1, without a pattern that a panel's width could hide. */
static double value(size_t i)
{
    return sin(0.7 * (double)(i * i % 1009) + 0.1 * (double)i);
}

struct product_case {
    const struct cpu_kernels *kernels;
    enum rejectd_dtype source;
    size_t n_out, n_rows, n_times;
    const struct product *grouped; /* how rows are laid out, or NULL */
};

static double read_as(const void *values, enum rejectd_dtype dtype, size_t index)
{
    return dtype == REJECTD_FLOAT32 ? (double)((const float *)values)[index]
                                    : ((const double *)values)[index];
}

static void write_as(void *values, enum rejectd_dtype dtype, size_t index, double x)
{
    if (dtype == REJECTD_FLOAT32)
        ((float *)values)[index] = (float)x;
    else
        ((double *)values)[index] = x;
}

static void *allocated(size_t bytes)
{
    void *data = aligned_alloc(64, (bytes + 63) / 64 * 64);
    ck_assert_ptr_nonnull(data);
    memset(data, 0xff, (bytes + 63) / 64 * 64); /* NaN */
    return data;
}

/* weights [MOST_OUT][n_rows] and samples [MOST_ROWS][STRIDE]; out [MOST_OUT][STRIDE], which is NaN
 * where nothing was written. Rows lie one item off a cache line. */
static void multiply(const struct product_case *c, const void *weights, const void *samples,
                     void *out)
{
    const size_t item = c->source == REJECTD_FLOAT32 ? sizeof(float) : sizeof(double);
    struct row_source rows[MOST_ROWS];
    for (size_t r = 0; r < c->n_rows; r++)
        rows[r] = (struct row_source){.samples = (const char *)samples + (r * STRIDE + 1) * item,
                                      .dtype = c->source};
    void *panel = allocated(c->n_rows * c->kernels->panel_row + c->n_out * c->kernels->panel_out);
    struct product product = {
        .weights = weights,
        .n_out = c->n_out,
        .rows = rows,
        .n_rows = c->n_rows,
        .n_times = c->n_times,
        .out = out,
        .n_out_times = c->n_times,
        .stride = STRIDE,
        .group_stride = c->kernels->group,
    };
    if (c->grouped != NULL) {
        product.n_out_times = c->grouped->n_out_times;
        product.stride = c->grouped->stride;
        product.group_stride = c->grouped->group_stride;
        product.offsets = c->grouped->offsets;
        product.ptp = c->grouped->ptp;
    }
    c->kernels->multiply(&product, panel);
    free(panel);
}

static void check_sums(const struct product_case *c, const void *weights, const void *samples,
                       const void *out)
{
    const enum rejectd_dtype work = c->kernels->work;
    const double epsilon = work == REJECTD_FLOAT32 ? 1.2e-7 : 2.3e-16;
    for (size_t i = 0; i < MOST_OUT; i++)
        for (size_t t = 0; t < STRIDE; t++) {
            const double found = read_as(out, work, i * STRIDE + t);
            if (i >= c->n_out || t >= c->n_times) {
                if (!isnan(found))
                    ck_abort_msg("%zu, %zu was written", i, t);
                continue;
            }
            double sum = 0.0;
            for (size_t r = 0; r < c->n_rows; r++)
                sum += read_as(weights, work, i * c->n_rows + r) *
                       read_as(samples, c->source, r * STRIDE + 1 + t);
            if (!(fabs(found - sum) <= 4.0 * (double)c->n_rows * epsilon))
                ck_abort_msg("%s %zu x %zu x %zu: %zu, %zu is %.17g, not %.17g", c->kernels->name,
                             c->n_out, c->n_rows, c->n_times, i, t, found, sum);
        }
}

/* The same rows in groups, less a constant each, with zeros after the last sample; nothing else is
 * written. And what their peak-to-peak is. */
static void check_groups(const struct product_case *c, const void *weights, const void *samples,
                         const void *out)
{
    const enum rejectd_dtype work = c->kernels->work;
    const size_t group = c->kernels->group, n_groups = (c->n_times + group - 1) / group;
    const size_t group_stride = group + 5, stride = n_groups * group_stride;
    void *grouped = allocated(MOST_OUT * stride * sizeof(double));
    void *offsets = allocated(MOST_OUT * sizeof(double));
    double ptp[MOST_OUT];
    for (size_t i = 0; i < c->n_out; i++)
        write_as(offsets, work, i, value(i + 5));
    struct product_case in_groups = *c;
    in_groups.grouped = &(struct product){.n_out_times = n_groups * group,
                                          .stride = stride,
                                          .group_stride = group_stride,
                                          .offsets = offsets,
                                          .ptp = ptp};
    multiply(&in_groups, weights, samples, grouped);
    for (size_t i = 0; i < c->n_out; i++) {
        double least = INFINITY, most = -INFINITY;
        for (size_t at = 0; at < stride; at++) {
            const size_t t = at / group_stride * group + at % group_stride;
            const double found = read_as(grouped, work, i * stride + at);
            if (at % group_stride >= group) {
                ck_assert(isnan(found));
            } else if (t >= c->n_times) {
                ck_assert(found == 0.0);
            } else {
                double shifted[1];
                write_as(shifted, work, 0,
                         read_as(out, work, i * STRIDE + t) - read_as(offsets, work, i));
                ck_assert(found == read_as(shifted, work, 0));
                least = found < least ? found : least;
                most = found > most ? found : most;
            }
        }
        double expected[1];
        write_as(expected, work, 0, most - least);
        ck_assert(ptp[i] == read_as(expected, work, 0));
    }
    free(grouped);
    free(offsets);
}

static void check_product(const struct product_case *c)
{
    const enum rejectd_dtype work = c->kernels->work;
    void *weights = allocated(MOST_OUT * MOST_ROWS * sizeof(double));
    void *samples = allocated((MOST_ROWS * STRIDE + 1) * sizeof(double));
    void *out = allocated(MOST_OUT * STRIDE * sizeof(double));
    void *alone = allocated(MOST_OUT * STRIDE * sizeof(double));
    for (size_t i = 0; i < c->n_out * c->n_rows; i++)
        write_as(weights, work, i, value(i + 17));
    for (size_t r = 0; r < c->n_rows; r++)
        for (size_t t = 0; t < c->n_times; t++)
            write_as(samples, c->source, r * STRIDE + 1 + t, value(r * 211 + t));
    multiply(c, weights, samples, out);
    check_sums(c, weights, samples, out);
    /* A row is the same to the last bit when it is made alone. */
    struct product_case one = *c;
    one.n_out = 1;
    const size_t item = work == REJECTD_FLOAT32 ? sizeof(float) : sizeof(double);
    for (size_t i = 0; i < c->n_out; i++) {
        multiply(&one, (const char *)weights + i * c->n_rows * item, samples, alone);
        ck_assert_mem_eq((const char *)out + i * STRIDE * item, alone, c->n_times * item);
    }
    check_groups(c, weights, samples, out);
    free(weights);
    free(samples);
    free(out);
    free(alone);
}

START_TEST(test_products_are_sums)
{
    static const enum rejectd_dtype dtypes[] = {REJECTD_FLOAT32, REJECTD_FLOAT64};
    for (size_t k = 0; kernels_name_at(k) != NULL; k++)
        for (size_t n_out = 1; n_out <= MOST_OUT; n_out++)
            for (size_t t = 0; t < sizeof times / sizeof times[0]; t++)
                check_product(&(struct product_case){
                    .kernels = kernels_select(kernels_name_at(k), dtypes[_i / 2]),
                    .source = dtypes[_i % 2],
                    .n_out = n_out,
                    .n_rows = 1 + (n_out + t) % MOST_ROWS,
                    .n_times = times[t]});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("products");
    TCase *all = tcase_create("sums");
    tcase_add_loop_test(all, test_products_are_sums, 0, 4);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
