/*
 * The search for a threshold among its candidates: the exact one against brute force, the random
 * and the Bayesian one against scikit-learn and autoreject, and what must hold for any table.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/processor.h"
#include "run_suite.h"
#include "worker/algorithm/gaussian_process_rows.h"
#include "worker/algorithm/ranking.h"
#include "worker/algorithm/threshold_search.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { MOST = 700 };

static uint64_t random_state;

static double random_value(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53;
}

/* Candidates and their losses, of which the first m are used. */
struct table {
    size_t m;
    double candidates[MOST], losses[MOST];
};

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* A table as the backends make it: equal candidates have equal losses. Few levels make many ties,
 * among candidates and among the losses of different candidates. */
static void random_table(struct table *table, uint64_t seed)
{
    random_state = seed;
    table->m = 6 + (size_t)(random_value() * (random_value() < 0.3 ? 35.0 : MOST - 6.0));
    const double levels = random_value() < 0.5 ? 5.0 : 1e6,
                 unit = random_value() < 0.5 ? 1e-5 : 1.0;
    for (size_t i = 0; i < table->m; i++)
        table->candidates[i] = floor(1.0 + levels * random_value()) * unit;
    qsort(table->candidates, table->m, sizeof(double), ascending);
    for (size_t i = 0; i < table->m; i++)
        table->losses[i] = i > 0 && table->candidates[i] == table->candidates[i - 1]
                               ? table->losses[i - 1]
                               : floor(1.0 + levels * random_value()) * unit;
}

/* A valley around one candidate, with or without a rough floor. */
static void valley_table(struct table *table, size_t m, size_t least, size_t factor, size_t modulus,
                         double step, double first)
{
    table->m = m;
    for (size_t i = 0; i < m; i++) {
        double distance = ((double)i - (double)least) / (double)m;
        double rough = (double)(i * factor % modulus) / (double)modulus;
        table->candidates[i] = first + (double)i * step;
        table->losses[i] = 0.5 + distance * distance + rough * 0.0625;
    }
}

static struct threshold search_bayesian(const struct table *table)
{
    struct gaussian_process process;
    ck_assert_int_eq(gaussian_process_init(&process, table->m), 0);
    struct threshold found =
        threshold_search_bayesian(table->candidates, table->losses, table->m, &process);
    gaussian_process_free(&process);
    return found;
}

static double smallest_loss(const struct table *table)
{
    double least = INFINITY;
    for (size_t i = 0; i < table->m; i++)
        least = fmin(least, table->losses[i]);
    return least;
}

START_TEST(test_exact_is_the_first_minimum)
{
    static struct table table;
    random_table(&table, (uint64_t)_i);
    struct threshold found = threshold_search_exact(table.candidates, table.losses, table.m);
    const double least = smallest_loss(&table);
    size_t first = 0;
    while (table.losses[first] != least)
        first++;
    ck_assert_double_eq(found.loss, least);
    ck_assert_double_eq(found.value, table.candidates[first]);
}
END_TEST

/* Loss of a threshold that is between candidates: that of the largest candidate below it. */
static double loss_at(const struct table *table, double value)
{
    size_t i = table->m - 1;
    while (i > 0 && table->candidates[i] > value)
        i--;
    return table->losses[i];
}

START_TEST(test_random_search_stays_in_its_range)
{
    static struct table table;
    random_table(&table, 1000 + (uint64_t)_i);
    const double low = table.candidates[0], high = low + table.candidates[table.m - 1];
    struct threshold found =
        threshold_search_random(table.candidates, table.losses, table.m, (uint32_t)_i);
    struct threshold again =
        threshold_search_random(table.candidates, table.losses, table.m, (uint32_t)_i);
    ck_assert_double_ge(found.value, low);
    ck_assert_double_lt(found.value, high);
    ck_assert_double_eq(found.loss, loss_at(&table, found.value));
    ck_assert_double_eq(found.value, again.value);
    ck_assert_double_eq(found.loss, again.loss);
}
END_TEST

/* The first best of ParameterSampler({"thresh": uniform(least, most)}, 20, random_state=seed). */
static const struct {
    size_t m, least, factor, modulus;
    double step;
    uint32_t seed;
    double value;
} random_cases[] = {
    {6, 3, 37, 101, 0.5, 0u, 2.9208472637456366},
    {6, 3, 37, 101, 0.5, 42u, 2.836647510712832},
    {6, 3, 37, 101, 0.5, 4294967295u, 2.9380770905737505},
    {90, 40, 37, 101, 0.75, 0u, 30.646533563047416},
    {90, 40, 37, 101, 0.75, 42u, 26.37509305190881},
    {90, 40, 37, 101, 0.75, 4294967295u, 34.18976106422405},
    {600, 250, 29, 607, 0.25, 0u, 58.80380896298599},
    {600, 250, 29, 607, 0.25, 42u, 80.10703206855986},
    {600, 250, 29, 607, 0.25, 4294967295u, 74.85028015397455},
};

START_TEST(test_random_search_is_scikit_learn_s)
{
    static struct table table;
    valley_table(&table, random_cases[_i].m, random_cases[_i].least, random_cases[_i].factor,
                 random_cases[_i].modulus, random_cases[_i].step, 1.0);
    struct threshold found =
        threshold_search_random(table.candidates, table.losses, table.m, random_cases[_i].seed);
    ck_assert_double_eq(found.value, random_cases[_i].value);
    ck_assert_double_eq(found.loss, loss_at(&table, found.value));
}
END_TEST

/* A channel that never moves has nothing but zeros to choose from. */
START_TEST(test_one_value_is_the_only_answer)
{
    static struct table table;
    for (int zero = 0; zero < 2; zero++) {
        table.m = 100;
        for (size_t i = 0; i < table.m; i++) {
            table.candidates[i] = zero ? 0.0 : 3e-5;
            table.losses[i] = zero ? 0.0 : 1e-6;
        }
        ck_assert_double_eq(threshold_search_exact(table.candidates, table.losses, table.m).value,
                            table.candidates[0]);
        ck_assert_double_eq(search_bayesian(&table).value, table.candidates[0]);
        double drawn = threshold_search_random(table.candidates, table.losses, table.m, 42).value;
        ck_assert_double_ge(drawn, table.candidates[0]);
        ck_assert_double_le(drawn, 2.0 * table.candidates[0]);
    }
}
END_TEST

/* Positions that autoreject starts from: numpy.unique(linspace(0, m, 40, endpoint=False), m - 1).
 */
static double best_of_the_start(const struct table *table)
{
    double least = table->losses[table->m - 1];
    for (size_t i = 0; i < 40; i++)
        least = fmin(least, table->losses[i * table->m / 40]);
    return least;
}

START_TEST(test_bayesian_search_picks_a_candidate)
{
    static struct table table;
    random_table(&table, 2000 + (uint64_t)_i);
    struct threshold found = search_bayesian(&table), again = search_bayesian(&table);
    const double *candidate =
        bsearch(&found.value, table.candidates, table.m, sizeof(double), ascending);
    ck_assert_ptr_nonnull(candidate);
    ck_assert_double_eq(found.loss, table.losses[candidate - table.candidates]);
    ck_assert_double_ge(found.loss, smallest_loss(&table));
    ck_assert_double_le(found.loss, best_of_the_start(&table));
    ck_assert_double_eq(found.value, again.value);
    if (table.m <= 40)
        ck_assert_double_eq(found.value,
                            threshold_search_exact(table.candidates, table.losses, table.m).value);
}
END_TEST

/* All of up to 41 start candidates, then ten more whatever they find. */
START_TEST(test_bayesian_search_takes_ten_steps)
{
    static const size_t sizes[] = {6, 40, 41, 42, 100}, starts[] = {6, 40, 41, 41, 41};
    static struct table table;
    struct gaussian_process process;
    ck_assert_int_eq(gaussian_process_init(&process, 100), 0);
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        valley_table(&table, sizes[i], 3, 0, 1, 0.5, 0.0);
        threshold_search_bayesian(table.candidates, table.losses, table.m, &process);
        ck_assert_uint_eq(process.n_points, starts[i] + 10);
    }
    gaussian_process_free(&process);
}
END_TEST

/* The scratch comes from other channels and may be larger: that leaves no trace. */
START_TEST(test_bayesian_search_forgets_earlier_channels)
{
    static struct table first, second;
    struct gaussian_process process;
    valley_table(&first, 600, 308, 29, 607, 0.015625, 0.0);
    valley_table(&second, 90, 50, 0, 1, 0.0625, 0.0);
    struct threshold expected = search_bayesian(&second);
    ck_assert_int_eq(gaussian_process_init(&process, MOST), 0);
    threshold_search_bayesian(first.candidates, first.losses, first.m, &process);
    struct threshold found =
        threshold_search_bayesian(second.candidates, second.losses, second.m, &process);
    ck_assert_double_eq(found.value, expected.value);
    ck_assert_double_eq(found.loss, expected.loss);
    gaussian_process_free(&process);
}
END_TEST

/* What autoreject.bayesopt.bayes_opt() chooses on these tables; half of them are found by the
 * Gaussian process and not among the start candidates. */
static const struct {
    size_t m, least, factor, modulus;
    double step;
    size_t chosen;
} bayesian_cases[] = {
    {60, 21, 0, 1, 0.5, 21},        {90, 50, 0, 1, 0.0625, 50},
    {200, 91, 77, 211, 0.5, 85},    {200, 103, 0, 1, 0.03125, 103},
    {600, 303, 29, 607, 0.25, 315}, {600, 308, 0, 1, 0.015625, 308},
    {600, 308, 0, 1, 0.125, 315},   {200, 197, 1, 300, 0.0625, 193},
    {30, 11, 13, 31, 0.5, 12},      {333, 99, 55, 401, 0.5, 124},
    {333, 99, 1, 667, 0.03125, 94}, {500, 221, 0, 1, 0.125, 225},
};

START_TEST(test_bayesian_search_is_autoreject_s)
{
    static struct table table;
    valley_table(&table, bayesian_cases[_i].m, bayesian_cases[_i].least, bayesian_cases[_i].factor,
                 bayesian_cases[_i].modulus, bayesian_cases[_i].step, 0.0);
    struct threshold found = search_bayesian(&table);
    ck_assert_double_eq(found.value, table.candidates[bayesian_cases[_i].chosen]);
    ck_assert_double_eq(found.loss, table.losses[bayesian_cases[_i].chosen]);
}
END_TEST

static void add_point(struct gaussian_process *process, size_t index, double y)
{
    gaussian_process_add(process, &index, &y, 1);
}

/* GaussianProcessRegressor(optimizer=None) fitted at 0.25 * {1, 5, 5, 9}; posterior mean and
 * variance at 0.25 * {0 .. 11}. */
START_TEST(test_the_gaussian_process_is_scikit_learn_s)
{
    static const double mean[12] = {1.6081689211458046, 1.499999999755274,  1.2963219749613293,
                                    1.0571262847681235, 0.8549083487418284, 0.7500000001021654,
                                    0.7690351095472199, 0.895837051974558,  1.0786167613214448,
                                    1.249999999784187,  1.3509380810431316, 1.3487019111891119};
    static const double variance[12] = {
        0.028042716622149296, 1.0000000827403709e-10, 0.01125912626681369,  0.01789237364450258,
        0.00787023865578529,  5.000000413701855e-11,  0.007870238655785402, 0.01789237364450247,
        0.011259126266813581, 1.0000000827403709e-10, 0.028042716622149633, 0.1330107833483405};
    double candidates[12];
    for (size_t i = 0; i < 12; i++)
        candidates[i] = 0.25 * (double)i;
    struct gaussian_process process;
    ck_assert_int_eq(gaussian_process_init(&process, 12), 0);
    gaussian_process_reset(&process, candidates, 12);
    add_point(&process, 1, 1.5);
    add_point(&process, 5, 0.75);
    add_point(&process, 5, 0.75);
    add_point(&process, 9, 1.25);
    ck_assert_uint_eq(process.n_points, 4);
    for (size_t i = 0; i < 12; i++) {
        ck_assert_double_eq_tol(process.mean[i], mean[i], 1e-9);
        ck_assert_double_eq_tol(process.variance[i], variance[i], 1e-14);
    }
    ck_assert_uint_eq(gaussian_process_next(&process, 0.75), 5);
    gaussian_process_free(&process);
}
END_TEST

static int by_ptp(const void *a, const void *b)
{
    const struct ranked_row *x = a, *y = b;
    if (x->ptp != y->ptp)
        return x->ptp < y->ptp ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static const size_t ranked_sizes[] = {1, 2, 96, 97, 600, 1999};

/* Distinct amplitudes, and few that are many times there, zero and infinity among them. */
START_TEST(test_ranking)
{
    enum { MOST_ROWS = 2000 };
    static struct ranked_row rows[MOST_ROWS], expected[MOST_ROWS], scratch[MOST_ROWS];
    const double few[4] = {0.0, INFINITY, 5e-5, 0x1p-1074};
    const size_t n = ranked_sizes[_i];
    for (int ties = 0; ties < 2; ties++) {
        memset(rows, 0, sizeof rows);
        for (size_t i = 0; i < n; i++)
            rows[i] = (struct ranked_row){
                ties ? few[i * i % 7 % 4] : (double)(i * 7919 % 2003) * 1e-7, (uint32_t)i};
        memcpy(expected, rows, sizeof rows);
        qsort(expected, n, sizeof *expected, by_ptp);
        ranking_sort(rows, scratch, n);
        for (size_t i = 0; i < n; i++) {
            ck_assert_double_eq(rows[i].ptp, expected[i].ptp);
            ck_assert_uint_eq(rows[i].number, expected[i].number);
        }
    }
}
END_TEST

/* Points at once and one by one, every way of computing rows, and the next candidate by looking at
 * all of them: the same bits. The sizes lie on both sides of whole blocks. */
static const size_t process_sizes[] = {5, 63, 64, 65, 333, 600};

static size_t next_of_all(const struct gaussian_process *process, double best)
{
    size_t chosen = 0;
    double least = INFINITY;
    for (size_t i = 0; i < process->n_candidates; i++) {
        const double variance = process->variance[i];
        const double sd = variance > 0.0 ? sqrt(variance) : 0.0;
        const double excess = process->mean[i] - best, z = excess / (sd + 1e-12);
        const double density = exp(-0.5 * z * z) / sqrt(2.0 * M_PI);
        const double value = excess * 0.5 * erfc(-z / M_SQRT2) + sd * density;
        if (value < least) {
            least = value;
            chosen = i;
        }
    }
    return chosen;
}

START_TEST(test_points_at_once)
{
    static struct table table;
    const size_t m = process_sizes[_i / 3];
    const double step = (double[]){1e-7, 0.01, 3.0}[_i % 3]; /* series; both; far apart */
    struct gaussian_process together, one_by_one;
    size_t indices[30];
    double y[30];
    valley_table(&table, m, m / 2, 29, 607, step, 0.0);
    ck_assert_int_eq(gaussian_process_init(&together, m), 0);
    ck_assert_int_eq(gaussian_process_init(&one_by_one, m), 0);
    gaussian_process_reset(&together, table.candidates, m);
    gaussian_process_reset(&one_by_one, table.candidates, m);
    for (size_t i = 0; i < LENGTH(indices); i++) {
        indices[i] = i * 7 % m;
        y[i] = table.losses[indices[i]];
        add_point(&one_by_one, indices[i], y[i]);
        ck_assert_uint_eq(gaussian_process_next(&one_by_one, y[i]), next_of_all(&one_by_one, y[i]));
    }
    gaussian_process_add(&together, indices, y, 11);
    gaussian_process_add(&together, indices + 11, y + 11, 0);
    gaussian_process_add(&together, indices + 11, y + 11, LENGTH(indices) - 11);
    ck_assert_uint_eq(together.n_points, one_by_one.n_points);
    ck_assert_mem_eq(together.mean, one_by_one.mean, m * sizeof(double));
    ck_assert_mem_eq(together.variance, one_by_one.variance, m * sizeof(double));
    gaussian_process_free(&together);
    gaussian_process_free(&one_by_one);
}
END_TEST

#if defined(__x86_64__)
START_TEST(test_instruction_sets_agree_on_rows)
{
    enum { M = 150, BLOCKS = 3 * GAUSSIAN_PROCESS_BLOCK };
    static struct table table;
    static double rows[3][BLOCKS * GAUSSIAN_PROCESS_MAX_POINTS], mean[3][BLOCKS],
        variance[3][BLOCKS];
    struct gaussian_process_step steps[4];
    const struct {
        bool is_present;
        gaussian_process_extend *extend;
    } sets[] = {
        {true, gaussian_process_extend_baseline},
        {processor_has_x86_64_v3(), gaussian_process_extend_x86_64_v3},
        {processor_has_x86_64_v4(), gaussian_process_extend_x86_64_v4},
    };
    random_table(&table, 77);
    table.m = M;
    for (size_t s = 0; s < LENGTH(steps); s++) {
        steps[s] = (struct gaussian_process_step){
            .x = table.candidates[s * 11], .series = s % 2 == 0, .diagonal = 0.3, .target = 1.7};
        for (size_t j = 0; j < s; j++)
            steps[s].factor[j] = 0.1 + 0.3 * (double)j;
    }
    for (size_t i = 0; i < LENGTH(sets); i++) {
        if (!sets[i].is_present)
            continue;
        sets[i].extend(table.candidates, M, 0, steps, LENGTH(steps), rows[i], mean[i], variance[i]);
        ck_assert_mem_eq(rows[0], rows[i], sizeof rows[0]);
        ck_assert_mem_eq(mean[0], mean[i], sizeof mean[0]);
        ck_assert_mem_eq(variance[0], variance[i], sizeof variance[0]);
    }
}
END_TEST
#endif

static const double spans[] = {2e-5, 1e-3, 0.0141, 0.0142, 0.05, 0.2, 0.5, 60.0};

/* After one observation the posterior is the kernel itself. The spans lie on both sides of where
 * its series gives way to exp(). */
START_TEST(test_the_kernel_is_exact_near_and_far)
{
    double candidates[50];
    struct gaussian_process process;
    ck_assert_int_eq(gaussian_process_init(&process, LENGTH(candidates)), 0);
    for (size_t i = 0; i < LENGTH(candidates); i++)
        candidates[i] = spans[_i] * (double)i / (LENGTH(candidates) - 1);
    gaussian_process_reset(&process, candidates, LENGTH(candidates));
    add_point(&process, 0, 1.0);
    for (size_t i = 0; i < LENGTH(candidates); i++) {
        long double d = candidates[i];
        long double expected = expl(-0.5L * d * d) / (1.0L + 1e-10L);
        ck_assert_double_eq_tol(process.mean[i], (double)expected, 4.0 * 0x1p-53);
    }
    gaussian_process_free(&process);
}
END_TEST

/* Candidates that are the same cannot be told apart: the first of them is it. */
START_TEST(test_the_next_of_equal_candidates_is_the_first)
{
    static const double candidates[6] = {1.0, 1.0, 1.0, 3.0, 3.0, 3.0};
    struct gaussian_process process;
    ck_assert_int_eq(gaussian_process_init(&process, 6), 0);
    gaussian_process_reset(&process, candidates, 6);
    ck_assert_uint_eq(gaussian_process_next(&process, 0.5), 0);
    add_point(&process, 1, 2.0);
    add_point(&process, 5, 1.0);
    ck_assert_uint_eq(gaussian_process_next(&process, 1.0), 3);
    gaussian_process_free(&process);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("search");
    TCase *search = tcase_create("search");
    tcase_add_loop_test(search, test_exact_is_the_first_minimum, 0, 200);
    tcase_add_loop_test(search, test_random_search_stays_in_its_range, 0, 100);
    tcase_add_loop_test(search, test_random_search_is_scikit_learn_s, 0, LENGTH(random_cases));
    tcase_add_test(search, test_one_value_is_the_only_answer);
    tcase_add_loop_test(search, test_bayesian_search_picks_a_candidate, 0, 100);
    tcase_add_test(search, test_bayesian_search_takes_ten_steps);
    tcase_add_test(search, test_bayesian_search_forgets_earlier_channels);
    tcase_add_loop_test(search, test_bayesian_search_is_autoreject_s, 0, LENGTH(bayesian_cases));
    suite_add_tcase(suite, search);
    TCase *process = tcase_create("gaussian process");
    tcase_add_test(process, test_the_gaussian_process_is_scikit_learn_s);
    tcase_add_loop_test(process, test_ranking, 0, LENGTH(ranked_sizes));
    tcase_add_loop_test(process, test_points_at_once, 0, 3 * LENGTH(process_sizes));
#if defined(__x86_64__)
    tcase_add_test(process, test_instruction_sets_agree_on_rows);
#endif
    tcase_add_loop_test(process, test_the_kernel_is_exact_near_and_far, 0, LENGTH(spans));
    tcase_add_test(process, test_the_next_of_equal_candidates_is_the_first);
    suite_add_tcase(suite, process);
    return run_suite_in_process(suite);
}
