/* Who gets which share of a search that several GPUs do together. */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "run_suite.h"
#include "server/jobs/split.h"

enum { CHANNELS = 5 };

static struct rejectd_error error;
static struct split *split;

static struct split *opened(size_t n_shares)
{
    ck_assert_int_eq(split_open(n_shares, CHANNELS, &split, &error), REJECTD_OK);
    return split;
}

/* Finds `value` for one channel. */
static void give(size_t index, const char *device, size_t channel, double value)
{
    double thresholds[CHANNELS], losses[CHANNELS];
    const struct rejectd_thresholds found = {CHANNELS, thresholds, losses, REJECTD_FLOAT64};
    for (size_t c = 0; c < CHANNELS; c++) {
        thresholds[c] = c == channel ? value : NAN;
        losses[c] = c == channel ? 2.0 * value : NAN;
    }
    split_give(split, index, device, &found);
}

/* -1: it gets none. */
static int take(size_t preferred, bool leads)
{
    struct rejectd_share share;
    return split_take(split, preferred, leads, &share) ? (int)share.index : -1;
}

START_TEST(test_shares_are_taken_once)
{
    opened(3);
    ck_assert_int_eq(take(1, false), 1);
    ck_assert_int_eq(take(1, true), 2);
    ck_assert_int_eq(take(7, false), 0);
    ck_assert_int_eq(take(0, true), -1);
    ck_assert(!split_wait(split, 0.01));
    split_free(split);
}
END_TEST

START_TEST(test_what_was_found_is_joined)
{
    char devices[SPLIT_DEVICES_SIZE];
    opened(3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(take(i, i == 0), (int)i);
    }
    give(2, "cuda:0", 4, 1.0);
    give(0, "cuda:1", 0, 2.0);
    ck_assert(!split_wait(split, 0.0));
    give(1, "cuda:0", 2, 3.0);
    ck_assert(split_wait(split, 0.0));
    const struct rejectd_thresholds *found = split_found(split);
    ck_assert_uint_eq(found->n_channels, CHANNELS);
    ck_assert_double_eq(found->thresholds[0], 2.0);
    ck_assert_double_eq(found->losses[0], 4.0);
    ck_assert_double_eq(found->thresholds[2], 3.0);
    ck_assert_double_eq(found->thresholds[4], 1.0);
    ck_assert(isnan(found->thresholds[1]) && isnan(found->losses[3]));
    split_devices(split, devices);
    ck_assert_str_eq(devices, "cuda:1 cuda:0");
    split_free(split);
}
END_TEST

START_TEST(test_a_share_that_came_back_is_the_leaders)
{
    opened(2);
    ck_assert_int_eq(take(0, true), 0);
    ck_assert_int_eq(take(1, false), 1);
    give(0, "cuda:0", 0, 1.0);
    ck_assert(!split_wait(split, 0.0));
    split_give_back(split, 1);
    ck_assert(!split_wait(split, 60.0)); /* at once */
    ck_assert_int_eq(take(1, false), -1);
    ck_assert_int_eq(take(0, true), 1);
    split_free(split);
}
END_TEST

START_TEST(test_progress)
{
    opened(4);
    ck_assert_double_eq(split_progress(split), 0.0);
    ck_assert_int_eq(take(0, true), 0);
    split_set_progress(split, 0, 0.5);
    ck_assert_double_eq(split_progress(split), 0.125);
    give(0, "cuda:0", 0, 1.0);
    ck_assert_double_eq(split_progress(split), 0.25);
    split_free(split);
}
END_TEST

START_TEST(test_the_end)
{
    opened(2);
    ck_assert_int_eq(take(0, true), 0);
    ck_assert(!split_has_ended(split));
    split_end(split);
    ck_assert(split_has_ended(split));
    ck_assert_int_eq(take(1, false), -1);
    split_give_back(split, 0);
    split_free(split);
    split_free(NULL);
}
END_TEST

static void *help(void *argument)
{
    struct rejectd_share share;
    (void)argument;
    for (int tries = 0; split_take(split, 1, false, &share); tries++) {
        if (tries == 2) {
            split_give_back(split, share.index);
            return NULL;
        }
        give(share.index, "cuda:1", share.index % CHANNELS, (double)share.index);
    }
    return NULL;
}

/* Helpers that find some and fail at others; the leader ends with all of them. */
START_TEST(test_many_at_once)
{
    enum { HELPERS = 4, SHARES = 40 };
    pthread_t threads[HELPERS];
    bool all = false;
    opened(SHARES);
    for (int i = 0; i < HELPERS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, help, NULL), 0);
    }
    while (!all) {
        const int index = take(0, true);
        if (index >= 0) {
            give((size_t)index, "cuda:0", (size_t)index % CHANNELS, (double)index);
        } else {
            all = split_wait(split, 1.0);
        }
    }
    for (int i = 0; i < HELPERS; i++) {
        pthread_join(threads[i], NULL);
    }
    ck_assert_double_eq(split_progress(split), 1.0);
    split_free(split);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("split");
    TCase *tests = tcase_create("split");
    tcase_add_test(tests, test_shares_are_taken_once);
    tcase_add_test(tests, test_what_was_found_is_joined);
    tcase_add_test(tests, test_a_share_that_came_back_is_the_leaders);
    tcase_add_test(tests, test_progress);
    tcase_add_test(tests, test_the_end);
    tcase_add_test(tests, test_many_at_once);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
