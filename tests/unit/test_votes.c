/* The votes of the sensors: who is bad, who is repaired first, and what a consensus rejects. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run_suite.h"
#include "worker/algorithm/votes.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { GOOD = REJECTD_LABEL_GOOD, BAD = REJECTD_LABEL_BAD, REPAIRED = REJECTD_LABEL_INTERPOLATED };

static void make_votes(struct votes *votes, const double *ptp, const double *thresholds,
                       size_t n_epochs, size_t n_picks)
{
    struct rejectd_error error;
    ck_assert_int_eq(votes_init(votes, ptp, thresholds, n_epochs, n_picks, 2, &error), REJECTD_OK);
    ck_assert_uint_eq(votes->n_epochs, n_epochs);
    ck_assert_uint_eq(votes->n_picks, n_picks);
}

static void expect_list(const struct votes *votes, size_t epoch, size_t n, const uint16_t *list)
{
    ck_assert_uint_eq(votes_count(votes, epoch), n);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(votes->channels[votes->offsets[epoch] + i], list[i]);
}

/* Strictly above its own threshold, the largest first, of equal ones the higher pick first. */
START_TEST(test_bad_sensors_are_listed_worst_first)
{
    static const double thresholds[4] = {1.0, 2.0, 3.0, 0.0};
    static const double ptp[5][4] = {
        {1.0, 2.0, 3.0, 0.0}, /* nobody: equal to the threshold is good */
        {1.5, 2.5, 9.0, 0.5}, /* everybody */
        {5.0, 5.0, 5.0, 5.0}, /* everybody, all alike */
        {4.0, 0.0, 4.0, 4.0}, /* ties beside a good one */
        {0.0, 2.1, 0.0, 7.0},
    };
    struct votes votes;
    make_votes(&votes, ptp[0], thresholds, 5, 4);
    expect_list(&votes, 0, 0, NULL);
    expect_list(&votes, 1, 4, (const uint16_t[]){2, 1, 0, 3});
    expect_list(&votes, 2, 4, (const uint16_t[]){3, 2, 1, 0});
    expect_list(&votes, 3, 3, (const uint16_t[]){3, 2, 0});
    expect_list(&votes, 4, 2, (const uint16_t[]){3, 1});
    votes_free(&votes);
    ck_assert_ptr_null(votes.offsets);
    ck_assert_ptr_null(votes.channels);
}
END_TEST

static const double *sorted_ptp; /* for qsort() */

static int worst_first(const void *a, const void *b)
{
    const uint16_t x = *(const uint16_t *)a, y = *(const uint16_t *)b;
    if (sorted_ptp[x] != sorted_ptp[y])
        return sorted_ptp[x] > sorted_ptp[y] ? -1 : 1;
    return x > y ? -1 : 1;
}

/* As many as there are, with few values, so that many are equal, and with many. */
START_TEST(test_lists_of_any_length)
{
    enum { EPOCHS = 7, MOST = 520 };
    const size_t n_values = _i == 0 ? 5 : 100000;
    static double ptp[EPOCHS * MOST], thresholds[MOST];
    uint32_t state = 1;
    for (size_t n = 1; n <= MOST; n += n < 150 ? 1 : 37) {
        struct votes votes;
        for (size_t i = 0; i < n; i++)
            thresholds[i] = (double)(i % 3) / 8.0;
        for (size_t i = 0; i < EPOCHS * n; i++) {
            state = state * 1664525u + 1013904223u;
            ptp[i] = (double)((state >> 8) % n_values) / (double)(n_values - 1);
        }
        ptp[0] = INFINITY;
        make_votes(&votes, ptp, thresholds, EPOCHS, n);
        for (size_t e = 0; e < EPOCHS; e++) {
            uint16_t expected[MOST];
            size_t n_bad = 0;
            sorted_ptp = ptp + e * n;
            for (size_t i = 0; i < n; i++)
                if (sorted_ptp[i] > thresholds[i])
                    expected[n_bad++] = (uint16_t)i;
            qsort(expected, n_bad, sizeof *expected, worst_first);
            expect_list(&votes, e, n_bad, expected);
        }
        votes_free(&votes);
    }
}
END_TEST

START_TEST(test_no_bad_sensor_anywhere)
{
    static const double thresholds[2] = {1.0, 1.0}, ptp[6] = {0};
    struct votes votes;
    make_votes(&votes, ptp, thresholds, 3, 2);
    for (size_t e = 0; e < 3; e++)
        ck_assert_uint_eq(votes_count(&votes, e), 0);
    votes_free(&votes);
}
END_TEST

/*
 * The fewest bad sensors that make an epoch bad for numpy.linspace(0, 1, 11) times n_picks: 0.3 of
 * 10 is 3.0000000000000004 there, which three sensors do not reach.
 */
static const struct {
    size_t n_picks, fewest[11];
} consensus_cases[] = {
    {10, {0, 1, 2, 4, 4, 5, 7, 8, 8, 9, 10}},
    {32, {0, 4, 7, 10, 13, 16, 20, 23, 26, 29, 32}},
    {7, {0, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7}},
};

START_TEST(test_consensus_is_reckoned_in_double)
{
    const size_t n_picks = consensus_cases[_i].n_picks;
    for (size_t k = 0; k <= 10; k++)
        for (size_t n_bad = 0; n_bad <= n_picks; n_bad++)
            ck_assert(votes_epoch_is_bad(n_bad, (double)k * 0.1, n_picks) ==
                      (n_bad >= consensus_cases[_i].fewest[k]));
}
END_TEST

/* autoreject carries repairs over from value to value, so 1, 4, 31 repair 1, 5, 36 sensors. */
static const struct {
    int values[3];
    uint16_t repaired[3]; /* of 6 bad sensors */
} repair_cases[] = {
    {{1, 4, 31}, {1, 5, 6}}, {{0, 0, 0}, {0, 0, 0}}, {{0, 2, 0}, {0, 2, 2}},
    {{4, 1, 2}, {4, 5, 6}},  {{6, 1, 1}, {6, 6, 6}}, {{31, 4, 1}, {6, 6, 6}},
};

START_TEST(test_repairs_add_up)
{
    double ptp[3][8] = {{0}}, thresholds[8];
    for (size_t c = 0; c < 8; c++) {
        thresholds[c] = 1.0;
        ptp[0][c] = ptp[2][c] = c < 6 ? 2.0 : 0.0;
    }
    const bool skip[3] = {false, false, true};
    uint16_t prefix[9];
    struct votes votes;
    make_votes(&votes, ptp[0], thresholds, 3, 8);
    votes_cumulative_repairs(&votes, repair_cases[_i].values, 3, skip, prefix);
    for (size_t v = 0; v < 3; v++) {
        ck_assert_uint_eq(prefix[v * 3], repair_cases[_i].repaired[v]);
        ck_assert_uint_eq(prefix[v * 3 + 1], 0);
        ck_assert_uint_eq(prefix[v * 3 + 2], 0);
    }
    votes_free(&votes);
}
END_TEST

/* One epoch of six channels, of which the picks are 1, 2, 4, 5; every threshold is 1. */
static const struct {
    double ptp[4];
    double consensus;
    int n_interpolate;
    int8_t labels[6];
    uint8_t bad;
} log_cases[] = {
    /* no bad sensor */
    {{0, 1, 0, 1}, 0.5, 2, {-1, GOOD, GOOD, -1, GOOD, GOOD}, 0},
    {{0, 1, 0, 1}, 0.0, 2, {-1, GOOD, GOOD, -1, GOOD, GOOD}, 1},
    /* all bad: 1.0 still rejects, and the worst two are labelled as repaired all the same */
    {{5, 4, 3, 2}, 1.0, 2, {-1, REPAIRED, REPAIRED, -1, BAD, BAD}, 1},
    {{5, 4, 3, 2}, 1.0, 9, {-1, REPAIRED, REPAIRED, -1, REPAIRED, REPAIRED}, 1},
    /* n_interpolate 0 repairs nobody */
    {{5, 0, 3, 0}, 0.75, 0, {-1, BAD, GOOD, -1, BAD, GOOD}, 0},
    /* exactly the consensus is bad, one less is not */
    {{0, 4, 3, 0}, 0.5, 1, {-1, GOOD, REPAIRED, -1, BAD, GOOD}, 1},
    {{0, 4, 0, 0}, 0.5, 1, {-1, GOOD, REPAIRED, -1, GOOD, GOOD}, 0},
    /* of equal ones the higher pick is repaired first */
    {{2, 2, 2, 0}, 1.0, 1, {-1, BAD, BAD, -1, REPAIRED, GOOD}, 0},
    {{2, 2, 2, 3}, 1.0, 2, {-1, BAD, BAD, -1, REPAIRED, REPAIRED}, 1},
};

START_TEST(test_the_log_of_one_epoch)
{
    static const size_t picks[4] = {1, 2, 4, 5};
    static const double thresholds[4] = {1.0, 1.0, 1.0, 1.0};
    int8_t labels[6];
    uint8_t bad[1] = {0};
    struct rejectd_reject_log log = {1, 6, labels, bad};
    struct votes votes;
    memset(labels, REJECTD_LABEL_NOT_CONSIDERED, sizeof labels);
    make_votes(&votes, log_cases[_i].ptp, thresholds, 1, 4);
    votes_fill_log(&votes, picks, log_cases[_i].consensus, log_cases[_i].n_interpolate, 2, &log);
    ck_assert_mem_eq(labels, log_cases[_i].labels, sizeof labels);
    ck_assert_uint_eq(bad[0], log_cases[_i].bad);
    votes_free(&votes);
}
END_TEST

/* The log may hold another type's verdict: an epoch bad there stays bad. */
START_TEST(test_an_epoch_that_is_bad_stays_bad)
{
    static const size_t picks[2] = {0, 1};
    static const double thresholds[2] = {1.0, 1.0}, ptp[4] = {0};
    int8_t labels[4] = {0};
    uint8_t bad[2] = {1, 0};
    struct rejectd_reject_log log = {2, 2, labels, bad};
    struct votes votes;
    make_votes(&votes, ptp, thresholds, 2, 2);
    votes_fill_log(&votes, picks, 0.5, 1, 2, &log);
    ck_assert_uint_eq(bad[0], 1);
    ck_assert_uint_eq(bad[1], 0);
    votes_free(&votes);
}
END_TEST

static uint64_t random_state;

static double random_value(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53;
}

/* The label of pick c by its rank alone: how many bad picks go before it. */
static int8_t expected_label(const double *ptp, const double *thresholds, size_t n_picks, size_t c,
                             int n_interpolate)
{
    if (!(ptp[c] > thresholds[c]))
        return GOOD;
    int before = 0;
    for (size_t other = 0; other < n_picks; other++)
        before += ptp[other] > thresholds[other] &&
                  (ptp[other] > ptp[c] || (ptp[other] == ptp[c] && other > c));
    return before < n_interpolate ? REPAIRED : BAD;
}

START_TEST(test_random_logs_by_brute_force)
{
    enum { E = 40, C = 23 };
    static double ptp[E][C];
    double thresholds[C];
    size_t picks[C];
    int8_t labels[E * C];
    uint8_t bad[E] = {0};
    struct rejectd_reject_log log = {E, C, labels, bad};
    struct votes votes;
    random_state = (uint64_t)_i;
    const int n_interpolate = (int)(random_value() * C);
    const double consensus = random_value();
    for (size_t c = 0; c < C; c++) {
        picks[c] = c;
        thresholds[c] = (double)(int)(6.0 * random_value());
        for (size_t e = 0; e < E; e++)
            ptp[e][c] = (double)(int)(8.0 * random_value());
    }
    make_votes(&votes, ptp[0], thresholds, E, C);
    votes_fill_log(&votes, picks, consensus, n_interpolate, 2, &log);
    for (size_t e = 0; e < E; e++) {
        size_t n_bad = 0;
        for (size_t c = 0; c < C; c++) {
            n_bad += ptp[e][c] > thresholds[c];
            ck_assert_int_eq(labels[e * C + c],
                             expected_label(ptp[e], thresholds, C, c, n_interpolate));
        }
        ck_assert_uint_eq(bad[e], (double)n_bad >= consensus * C);
    }
    votes_free(&votes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("votes");
    TCase *votes = tcase_create("votes");
    tcase_add_test(votes, test_bad_sensors_are_listed_worst_first);
    tcase_add_loop_test(votes, test_lists_of_any_length, 0, 2);
    tcase_add_test(votes, test_no_bad_sensor_anywhere);
    tcase_add_loop_test(votes, test_consensus_is_reckoned_in_double, 0, LENGTH(consensus_cases));
    tcase_add_loop_test(votes, test_repairs_add_up, 0, LENGTH(repair_cases));
    suite_add_tcase(suite, votes);
    TCase *log = tcase_create("log");
    tcase_add_loop_test(log, test_the_log_of_one_epoch, 0, LENGTH(log_cases));
    tcase_add_test(log, test_an_epoch_that_is_bad_stays_bad);
    tcase_add_loop_test(log, test_random_logs_by_brute_force, 0, 50);
    suite_add_tcase(suite, log);
    return run_suite_in_process(suite);
}
