/*
 * The random numbers and the folds drawn with them: a seed must mean here what it means in
 * autoreject. Every constant was made by NumPy's RandomState or by scikit-learn.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "run_suite.h"
#include "worker/algorithm/folds.h"
#include "worker/algorithm/mt19937.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* What RandomState(seed) gives, each entry from a fresh generator. */
struct stream {
    uint32_t seed;
    uint32_t raw[4];
    double uniform[4];
    uint32_t permutation_7[7];
};

static const struct stream streams[] = {
    {0,
     {2357136044u, 2546248239u, 3071714933u, 3626093760u},
     {0.5488135039273248, 0.7151893663724195, 0.6027633760716439, 0.5448831829968969},
     {6, 2, 1, 3, 0, 5, 4}},
    {42,
     {1608637542u, 3421126067u, 4083286876u, 787846414u},
     {0.3745401188473625, 0.9507143064099162, 0.7319939418114051, 0.5986584841970366},
     {0, 1, 5, 2, 4, 3, 6}},
    {4294967295u,
     {419326371u, 479346978u, 3918654476u, 2416749639u},
     {0.0976320289940138, 0.9123828453026218, 0.78903530185164, 0.7800035981134678},
     {1, 5, 0, 6, 4, 2, 3}},
};

static const uint32_t permutation_50_of_seed_0[50] = {
    28, 11, 10, 41, 2,  27, 38, 31, 22, 4,  33, 35, 26, 34, 18, 7,  14,
    45, 48, 29, 15, 30, 32, 16, 42, 20, 43, 8,  13, 25, 5,  17, 40, 49,
    1,  12, 37, 24, 6,  23, 36, 21, 19, 9,  39, 46, 3,  0,  47, 44};

START_TEST(test_a_seed_gives_numpy_s_words)
{
    const struct stream *s = &streams[_i];
    struct mt19937 generator;
    mt19937_seed(&generator, s->seed);
    for (size_t i = 0; i < LENGTH(s->raw); i++)
        ck_assert_uint_eq(mt19937_next(&generator), s->raw[i]);
}
END_TEST

/* Past the 624 words that one refill makes, where the state wraps round. */
START_TEST(test_words_beyond_one_refill)
{
    struct mt19937 generator;
    uint32_t words[2000];
    mt19937_seed(&generator, 0);
    for (size_t i = 0; i < LENGTH(words); i++)
        words[i] = mt19937_next(&generator);
    ck_assert_uint_eq(words[623], 3791854820u);
    ck_assert_uint_eq(words[624], 341544762u);
    ck_assert_uint_eq(words[1999], 3856691381u);
}
END_TEST

START_TEST(test_uniform_is_random_sample_to_the_last_bit)
{
    const struct stream *s = &streams[_i];
    struct mt19937 generator;
    mt19937_seed(&generator, s->seed);
    for (size_t i = 0; i < LENGTH(s->uniform); i++)
        ck_assert_double_eq(mt19937_uniform(&generator), s->uniform[i]);
    for (int i = 0; i < 10000; i++) {
        double value = mt19937_uniform(&generator);
        ck_assert_double_ge(value, 0.0);
        ck_assert_double_lt(value, 1.0);
    }
}
END_TEST

static void permutation(uint32_t seed, uint32_t *values, size_t n)
{
    struct mt19937 generator;
    mt19937_seed(&generator, seed);
    for (size_t i = 0; i < n; i++)
        values[i] = (uint32_t)i;
    mt19937_permute(&generator, values, n);
}

START_TEST(test_permutations_are_numpy_s)
{
    uint32_t values[1000];
    permutation(streams[_i].seed, values, 7);
    ck_assert_mem_eq(values, streams[_i].permutation_7, sizeof streams[_i].permutation_7);
    if (streams[_i].seed == 0) {
        permutation(0, values, 50);
        ck_assert_mem_eq(values, permutation_50_of_seed_0, sizeof permutation_50_of_seed_0);
        permutation(0, values, 1000);
        ck_assert_uint_eq(values[0], 993);
        ck_assert_uint_eq(values[999], 684);
    }
}
END_TEST

/* Draws of more than 16 bits, as for the epochs of long recordings: all of it, in one sum. */
START_TEST(test_a_long_permutation)
{
    const size_t n = 300000;
    uint64_t sum = 0;
    uint32_t *values = malloc(n * sizeof *values);
    ck_assert_ptr_nonnull(values);
    permutation(0, values, n);
    for (size_t i = 0; i < n; i++)
        sum += i * values[i];
    ck_assert_uint_eq(values[0], 112692);
    ck_assert_uint_eq(values[n - 1], 117952);
    ck_assert_uint_eq(sum, 6752324316227600u);
    free(values);
}
END_TEST

/* Nothing to shuffle takes nothing from the generator; otherwise the draws go on where they were.
 */
START_TEST(test_draws_follow_each_other)
{
    static const uint32_t first[10] = {8, 1, 5, 0, 7, 2, 9, 4, 3, 6}, then[5] = {3, 1, 0, 4, 2};
    struct mt19937 generator;
    uint32_t values[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, few[5] = {0, 1, 2, 3, 4};
    mt19937_seed(&generator, 42);
    mt19937_permute(&generator, values, 0);
    mt19937_permute(&generator, values, 1);
    mt19937_permute(&generator, values, 10);
    ck_assert_mem_eq(values, first, sizeof first);
    ck_assert_double_eq(mt19937_uniform(&generator), 0.15599452033620265);
    mt19937_permute(&generator, few, 5);
    ck_assert_mem_eq(few, then, sizeof then);
}
END_TEST

/* The generator word by word, as its authors and NumPy have it. */
struct plain {
    uint32_t state[624];
    size_t position;
};

static uint32_t plain_next(struct plain *plain)
{
    uint32_t *state = plain->state;
    if (plain->position == 624) {
        for (size_t i = 0; i < 624; i++) {
            uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % 624] & 0x7fffffffu);
            state[i] = state[(i + 397) % 624] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        plain->position = 0;
    }
    uint32_t y = state[plain->position++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static void plain_seed(struct plain *plain, uint32_t seed)
{
    plain->state[0] = seed;
    for (uint32_t i = 1; i < 624; i++) {
        uint32_t before = plain->state[i - 1];
        plain->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    plain->position = 624;
}

/* values become a permutation of 0..n-1. */
static void plain_permutation(struct plain *plain, uint32_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = (uint32_t)i;
    for (uint32_t i = (uint32_t)n; i-- > 1;) {
        uint32_t mask = i, j;
        for (int shift = 1; shift < 32; shift *= 2)
            mask |= mask >> shift;
        do
            j = plain_next(plain) & mask;
        while (j > i);
        uint32_t swap = values[i];
        values[i] = values[j];
        values[j] = swap;
    }
}

enum { MOST = 20000 };

static uint32_t plain_values[MOST], values[MOST];

/* Both generators go on alike. */
static void assert_alike(struct plain *plain, struct mt19937 *generator)
{
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(mt19937_next(generator), plain_next(plain));
}

/* One after the other, so that they begin anywhere among the words of a refill. */
static void assert_permutations_are_plain(struct plain *plain, struct mt19937 *generator, size_t n)
{
    const size_t n_last[] = {0, 1, n / 5, n - n / 3, n, n + 1};
    for (size_t k = 0; k < LENGTH(n_last); k++) {
        const size_t last = n_last[k] < n ? n_last[k] : n;
        plain_permutation(plain, plain_values, n);
        for (size_t i = 0; i < n; i++)
            values[i] = (uint32_t)i;
        mt19937_permute_last(generator, values, n, n_last[k]);
        ck_assert_mem_eq(values + n - last, plain_values + n - last, last * sizeof *values);
    }
    plain_permutation(plain, plain_values, n);
    for (size_t i = 0; i < n; i++)
        values[i] = (uint32_t)i;
    mt19937_permute(generator, values, n);
    ck_assert_mem_eq(values, plain_values, n * sizeof *values);
    plain_permutation(plain, plain_values, n);
    mt19937_skip_permutation(generator, n);
    assert_alike(plain, generator);
}

START_TEST(test_permutations_of_many_sizes)
{
    static const size_t large[] = {4095, 4096, 4097, 4800, 6000, 8191, 8192, 8193, 9600, MOST};
    struct plain plain;
    struct mt19937 generator;
    plain_seed(&plain, streams[_i].seed);
    mt19937_seed(&generator, streams[_i].seed);
    for (size_t n = 0; n < 1100; n++)
        assert_permutations_are_plain(&plain, &generator, n);
    for (size_t i = 0; i < LENGTH(large); i++)
        assert_permutations_are_plain(&plain, &generator, large[i]);
}
END_TEST

/*
 * StratifiedShuffleSplit(10, test_size=0.2, random_state=seed) over n zeros and n ones: the test
 * set of each split, row r as bit r. Odd test sizes draw lots for the class that gets one more.
 */
struct split_case {
    uint32_t seed;
    size_t n_epochs;
    uint32_t test[FOLDS_SHUFFLE_SPLITS];
};

static const struct split_case split_cases[] = {
    {0u, 6, {0x821, 0x150, 0x418, 0xa01, 0x58, 0x806, 0xa08, 0x49, 0x844, 0xa8}},
    {42u, 6, {0x418, 0x288, 0x504, 0x20a, 0xa10, 0x412, 0x54, 0x814, 0x114, 0x848}},
    {42u, 3, {0xc, 0x22, 0xc, 0x11, 0x14, 0x24, 0xc, 0x12, 0x24, 0x11}},
    {4294967295u, 3, {0xc, 0x24, 0x14, 0x9, 0xa, 0x12, 0x11, 0x11, 0x14, 0x11}},
    {2147483648u, 5, {0x44, 0x201, 0x208, 0x84, 0x204, 0x88, 0x50, 0x104, 0x82, 0x81}},
    {42u,
     13,
     {0x2108448, 0x17300, 0x200b101, 0x888049, 0xe1a0, 0x98c20, 0x21808c, 0x2019402, 0x2480062,
      0x3020029}},
    {0u,
     13,
     {0xa05021, 0xc21084, 0x1a023, 0x1203408, 0x1280a10, 0x2410038, 0x2048806, 0x8a0980, 0x2804086,
      0x230882}},
    {7u,
     16,
     {0x90810250, 0xe880a, 0x20524030, 0x80c12009, 0x4050e01, 0x688080a0, 0x40620c02, 0x811840a0,
      0x1700920, 0x1833100}},
};

static uint8_t *shuffle_split(size_t n_epochs, uint32_t seed)
{
    struct rejectd_error error;
    uint8_t *is_test = NULL;
    ck_assert_int_eq(folds_shuffle_split(n_epochs, 2, seed, &is_test, &error), REJECTD_OK);
    return is_test;
}

START_TEST(test_shuffle_splits_are_scikit_learn_s)
{
    const struct split_case *s = &split_cases[_i];
    uint8_t *is_test = shuffle_split(s->n_epochs, s->seed);
    for (size_t f = 0; f < FOLDS_SHUFFLE_SPLITS; f++)
        for (size_t row = 0; row < 2 * s->n_epochs; row++)
            ck_assert_uint_eq(is_test[f * 2 * s->n_epochs + row], s->test[f] >> row & 1);
    free(is_test);
}
END_TEST

/* A usual size, told by the sums of the rows of each test set and of their squares. */
START_TEST(test_shuffle_splits_of_300_epochs)
{
    static const unsigned long sums[] = {35033, 36051, 36059, 33573, 37817,
                                         36029, 36811, 37562, 35350, 35928};
    static const unsigned long squares[] = {13636829, 14674725, 14601233, 13364945, 15902293,
                                            14311923, 14925943, 15970108, 14209024, 14123350};
    uint8_t *is_test = shuffle_split(300, 42);
    for (size_t f = 0; f < FOLDS_SHUFFLE_SPLITS; f++) {
        unsigned long sum = 0, square = 0;
        for (unsigned long row = 0; row < 600; row++)
            if (is_test[f * 600 + row]) {
                sum += row;
                square += row * row;
            }
        ck_assert_uint_eq(sum, sums[f]);
        ck_assert_uint_eq(square, squares[f]);
    }
    free(is_test);
}
END_TEST

/* The splits with every permutation made, as scikit-learn makes them. */
static void plain_shuffle_split(size_t n, size_t n_classes, uint32_t seed, uint8_t *is_test)
{
    const size_t n_test = (n_classes * n + 4) / 5, n_train = n_classes * n - n_test;
    struct plain plain;
    plain_seed(&plain, seed);
    memset(is_test, 0, FOLDS_SHUFFLE_SPLITS * n_classes * n);
    for (size_t f = 0; f < FOLDS_SHUFFLE_SPLITS; f++) {
        uint32_t order[2] = {0};
        if (n_train % n_classes != 0)
            plain_permutation(&plain, order, 2); /* who gets the odd one */
        for (size_t class = 0; class < n_classes; class ++) {
            const size_t one_more = n_train % n_classes != 0 && order[0] == class;
            plain_permutation(&plain, plain_values, n);
            for (size_t i = n_train / n_classes + one_more; i < n; i++)
                is_test[(f * n_classes + class) * n + plain_values[i]] = 1;
        }
        plain_permutation(&plain, plain_values, n_train);
        plain_permutation(&plain, plain_values, n_test);
    }
}

START_TEST(test_shuffle_splits_of_many_sizes)
{
    const size_t n_classes = (size_t)_i;
    static uint8_t plain[FOLDS_SHUFFLE_SPLITS * MOST];
    for (size_t n = 3; n_classes * n <= 12000; n += n < 600 ? 1 : n < 2000 ? 97 : 1000) {
        struct rejectd_error error;
        uint8_t *is_test;
        ck_assert_int_eq(folds_shuffle_split(n, n_classes, (uint32_t)n, &is_test, &error),
                         REJECTD_OK);
        plain_shuffle_split(n, n_classes, (uint32_t)n, plain);
        ck_assert_mem_eq(is_test, plain, FOLDS_SHUFFLE_SPLITS * n_classes * n);
        free(is_test);
    }
}
END_TEST

/* A fifth of the rows rounded up, both classes alike but for an odd one. */
START_TEST(test_shuffle_splits_are_stratified)
{
    for (size_t n = 3; n < 120; n++) {
        uint8_t *is_test = shuffle_split(n, (uint32_t)n);
        const size_t expected = (2 * n + 4) / 5;
        for (size_t f = 0; f < FOLDS_SHUFFLE_SPLITS; f++) {
            size_t count[2] = {0, 0};
            for (size_t row = 0; row < 2 * n; row++)
                count[row / n] += is_test[f * 2 * n + row];
            ck_assert_uint_eq(count[0] + count[1], expected);
            ck_assert_uint_le(count[0] > count[1] ? count[0] - count[1] : count[1] - count[0], 1);
        }
        free(is_test);
    }
}
END_TEST

/* KFold(n_folds): the fold that tests each epoch, as a digit. */
static const struct {
    size_t n_folds;
    const char *fold;
} contiguous_cases[] = {
    {10, "0123456789"}, {10, "00011122233445566778899"},
    {3, "0001122"},     {10, "00011122233344455566677788899"},
    {2, "001"},         {3, "012"},
};

START_TEST(test_contiguous_folds_are_scikit_learn_s)
{
    const char *expected = contiguous_cases[_i].fold;
    const size_t n = strlen(expected);
    uint16_t fold[32];
    folds_contiguous(n, contiguous_cases[_i].n_folds, fold);
    for (size_t e = 0; e < n; e++)
        ck_assert_uint_eq(fold[e], (unsigned)(expected[e] - '0'));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    TCase *generator = tcase_create("generator");
    tcase_add_loop_test(generator, test_a_seed_gives_numpy_s_words, 0, LENGTH(streams));
    tcase_add_test(generator, test_words_beyond_one_refill);
    tcase_add_loop_test(generator, test_uniform_is_random_sample_to_the_last_bit, 0,
                        LENGTH(streams));
    tcase_add_loop_test(generator, test_permutations_are_numpy_s, 0, LENGTH(streams));
    tcase_add_test(generator, test_a_long_permutation);
    tcase_add_test(generator, test_draws_follow_each_other);
    tcase_add_loop_test(generator, test_permutations_of_many_sizes, 0, LENGTH(streams));
    suite_add_tcase(suite, generator);
    TCase *folds = tcase_create("folds");
    tcase_add_loop_test(folds, test_shuffle_splits_are_scikit_learn_s, 0, LENGTH(split_cases));
    tcase_add_test(folds, test_shuffle_splits_of_300_epochs);
    tcase_add_loop_test(folds, test_shuffle_splits_of_many_sizes, 1, 3);
    tcase_add_test(folds, test_shuffle_splits_are_stratified);
    tcase_add_loop_test(folds, test_contiguous_folds_are_scikit_learn_s, 0,
                        LENGTH(contiguous_cases));
    suite_add_tcase(suite, folds);
    /* The library brings OpenMP along, whose tool for ThreadSanitizer does not survive a fork. */
    return run_suite_in_process(suite);
}
