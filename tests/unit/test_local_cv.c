/*
 * The choice of consensus and n_interpolate: what the backend is asked, and which cell wins. The
 * backend is a fake that returns the losses it is told to.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run_suite.h"
#include "worker/algorithm/local_cv.h"
#include "worker/algorithm/numpy_mean.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* E epochs of C sensors, of which epoch e has exactly e bad ones, up to all of them. */
enum { C = 10, E = C + 1, MOST_CELLS = 200 };

/* What the fake backend was given, and what it gives; the algorithms take it for a session. */
struct backend_session {
    size_t n_values, n_consensus, n_folds;
    uint16_t prefix[8 * E], first_good[E], fold[E];
    double losses[MOST_CELLS];
};

static enum rejectd_status fake_interpolate_epochs(struct backend_session *session,
                                                   const double *precision,
                                                   const struct backend_repairs *repairs,
                                                   struct rejectd_error *error)
{
    (void)precision;
    (void)error;
    ck_assert_uint_eq(repairs->n_epochs, E);
    session->n_values = repairs->n_values;
    memcpy(session->prefix, repairs->prefix, repairs->n_values * E * sizeof(uint16_t));
    return REJECTD_OK;
}

static enum rejectd_status fake_local_cv_losses(struct backend_session *session,
                                                const struct backend_local_cv *cv, double *losses,
                                                struct rejectd_error *error)
{
    (void)error;
    session->n_consensus = cv->n_consensus;
    session->n_folds = cv->n_folds;
    memcpy(session->first_good, cv->first_good, sizeof session->first_good);
    memcpy(session->fold, cv->fold, sizeof session->fold);
    memcpy(losses, session->losses,
           cv->n_consensus * session->n_values * cv->n_folds * sizeof(double));
    return REJECTD_OK;
}

static const struct backend fake = {
    .version = BACKEND_VERSION,
    .name = "fake",
    .interpolate_epochs = fake_interpolate_epochs,
    .local_cv_losses = fake_local_cv_losses,
};

static void run(struct backend_session *session, const struct local_cv_grid *grid, double *losses,
                struct local_cv_choice *choice)
{
    double ptp[E * C], thresholds[C];
    for (size_t c = 0; c < C; c++) {
        thresholds[c] = 1.0;
        for (size_t e = 0; e < E; e++)
            ptp[e * C + c] = c < e ? 2.0 : 0.5;
    }
    const struct rejectd_monitor monitor = {NULL, NULL};
    struct progress progress = {.monitor = &monitor};
    struct votes votes;
    struct rejectd_error error;
    ck_assert_int_eq(votes_init(&votes, ptp, thresholds, E, C, 2, &error), REJECTD_OK);
    double precision[C * C] = {0}; /* nobody reads it */
    struct interpolation interpolation = {
        .kind = INTERPOLATION_SPLINE, .n = C, .precision = precision};
    ck_assert_int_eq(local_cv_run(&fake, session, &votes, &interpolation, grid, &progress, 0.0, 1.0,
                                  losses, choice, &error),
                     REJECTD_OK);
    votes_free(&votes);
}

/* Consensus in descending order, n_interpolate in no order: the backend counts upwards. */
static const double consensus[3] = {1.0, 0.55, 0.2};
static const int n_interpolate[2] = {4, 1};
static const struct local_cv_grid small_grid = {consensus, 3, n_interpolate, 2, 2};

START_TEST(test_what_the_backend_is_asked)
{
    struct backend_session session = {0};
    struct local_cv_choice choice;
    double losses[12];
    run(&session, &small_grid, losses, &choice);
    ck_assert_uint_eq(session.n_consensus, 3);
    ck_assert_uint_eq(session.n_folds, 2);
    for (size_t e = 0; e < E; e++) {
        /* ascending: 0.2 keeps fewer than 2 bad sensors, 0.55 fewer than 5.5, 1.0 fewer than 10 */
        ck_assert_uint_eq(session.first_good[e], e < 2 ? 0 : e <= 5 ? 1 : e < C ? 2 : 3);
        ck_assert_uint_eq(session.fold[e], e < 6 ? 0 : 1);
        /* nobody keeps the last epoch, of which no sensor is left to repair from */
        size_t bad = e == C ? 0 : e;
        ck_assert_uint_eq(session.prefix[e], bad < 4 ? bad : 4);
        ck_assert_uint_eq(session.prefix[E + e], bad < 5 ? bad : 5);
    }
}
END_TEST

/* The losses come back in the order of the grid; consensus * C has to exceed n_interpolate. */
START_TEST(test_losses_are_in_the_order_of_the_grid)
{
    struct backend_session session = {0};
    struct local_cv_choice choice;
    double losses[12];
    for (size_t i = 0; i < 12; i++)
        session.losses[i] = 100.0 + (double)i;
    run(&session, &small_grid, losses, &choice);
    for (size_t i = 0; i < 8; i++)
        ck_assert_double_eq(losses[i], i < 4 ? 108.0 + (double)i : 100.0 + (double)i);
    ck_assert(isinf(losses[8]) && isinf(losses[9])); /* 0.2 * 10 sensors do not allow 4 */
    ck_assert_double_eq(losses[10], 102.0);
    ck_assert_double_eq(losses[11], 103.0);
    ck_assert_uint_eq(choice.consensus, 2);
    ck_assert_uint_eq(choice.n_interpolate, 1);
    ck_assert(choice.finite);
}
END_TEST

/* As many repairs as the consensus allows bad sensors is one too many: 0.4 * 10 <= 4. */
START_TEST(test_a_consensus_that_equals_n_interpolate_is_out)
{
    static const double equal[1] = {0.4};
    const struct local_cv_grid grid = {equal, 1, n_interpolate, 2, 2};
    struct backend_session session = {0};
    struct local_cv_choice choice;
    double losses[4];
    run(&session, &grid, losses, &choice);
    ck_assert(isinf(losses[0]) && isinf(losses[1]));
    ck_assert_double_eq(losses[2], 0.0);
    ck_assert_uint_eq(choice.n_interpolate, 1);
}
END_TEST

/* Losses of four consensus values (ascending) x two values of n_interpolate, one fold. */
static const struct {
    double losses[8];
    size_t consensus, n_interpolate;
    bool finite;
} choice_cases[] = {
    {{5, 5, 5, 3, 5, 5, 5, 5}, 1, 1, true},
    {{5, 5, 3, 3, 3, 3, 3, 3}, 1, 0, true}, /* the first of equals, consensus before the other */
    {{5, 3, 3, 5, 5, 5, 5, 5}, 0, 1, true},
    {{INFINITY, INFINITY, INFINITY, INFINITY, INFINITY, 9, 9, 9}, 2, 1, true},
    {{INFINITY, INFINITY, INFINITY, INFINITY, INFINITY, INFINITY, INFINITY, INFINITY}, 0, 0, false},
    {{0, 0, 0, 0, 0, 0, 0, 0}, 0, 0, true},
};

START_TEST(test_the_first_smallest_cell_wins)
{
    static const double ascending[4] = {0.7, 0.8, 0.9, 1.0};
    static const int few[2] = {0, 1};
    const struct local_cv_grid grid = {ascending, 4, few, 2, 1};
    struct backend_session session = {0};
    struct local_cv_choice choice;
    double losses[8];
    memcpy(session.losses, choice_cases[_i].losses, sizeof losses);
    run(&session, &grid, losses, &choice);
    ck_assert_mem_eq(losses, choice_cases[_i].losses, sizeof losses);
    ck_assert_uint_eq(choice.consensus, choice_cases[_i].consensus);
    ck_assert_uint_eq(choice.n_interpolate, choice_cases[_i].n_interpolate);
    ck_assert(choice.finite == choice_cases[_i].finite);
}
END_TEST

/* A fold without a loss spoils its cell, whatever the others are. */
START_TEST(test_the_mean_is_over_all_folds)
{
    static const double ascending[3] = {0.8, 0.9, 1.0};
    static const int none[1] = {0};
    const struct local_cv_grid grid = {ascending, 3, none, 1, 3};
    struct backend_session session = {.losses = {0.0, 0.0, INFINITY, 1.0, 9.0, 2.0, 5.0, 5.0, 1.0}};
    struct local_cv_choice choice;
    double losses[9];
    run(&session, &grid, losses, &choice);
    ck_assert_uint_eq(choice.consensus, 2);
}
END_TEST

/* numpy.mean() of x[i] = ((7919 i) mod 1000 + 1) / 1000 * 10 ** ((31 i) mod 7 - 3), lengths on both
 * sides of where its order of additions changes; adding up from the left ends in other bits. */
static const struct {
    size_t n;
    double mean;
} mean_cases[] = {
    {3, 279.97333366666663},  {7, 130.40739442857142},  {8, 114.10652437499999},
    {9, 101.46724388888887},  {10, 118.5205195},        {16, 75.40571575000001},
    {127, 73.23218214173227}, {128, 72.66563384375},    {129, 77.0093111007752},
    {200, 78.24526723500001}, {300, 78.41795203999999},
};

START_TEST(test_means_are_numpy_s)
{
    static const double powers[7] = {1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3};
    double values[300];
    for (size_t i = 0; i < LENGTH(values); i++)
        values[i] = (double)(7919 * i % 1000 + 1) / 1000.0 * powers[31 * i % 7];
    ck_assert_double_eq(numpy_mean(values, mean_cases[_i].n), mean_cases[_i].mean);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("local cv");
    TCase *grid = tcase_create("grid");
    tcase_add_test(grid, test_what_the_backend_is_asked);
    tcase_add_test(grid, test_losses_are_in_the_order_of_the_grid);
    tcase_add_test(grid, test_a_consensus_that_equals_n_interpolate_is_out);
    tcase_add_loop_test(grid, test_the_first_smallest_cell_wins, 0, LENGTH(choice_cases));
    tcase_add_test(grid, test_the_mean_is_over_all_folds);
    tcase_add_loop_test(grid, test_means_are_numpy_s, 0, LENGTH(mean_cases));
    suite_add_tcase(suite, grid);
    return run_suite_in_process(suite);
}
