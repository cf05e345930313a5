/* What a device is to forget, until its process has been told. */
#include <check.h>
#include <stdio.h>

#include "run_suite.h"
#include "server/devices/forget_list.h"

static struct forget_list list;
static char taken[FORGET_MOST][RESOURCE_SHA256_SIZE];
static size_t n_taken;

static void open_list(void)
{
    list = (struct forget_list){.n = 0};
    forget_list_init(&list);
}

static void close_list(void)
{
    forget_list_destroy(&list);
}

static void add(int count)
{
    for (int i = 0; i < count; i++) {
        char sha256[RESOURCE_SHA256_SIZE];
        snprintf(sha256, sizeof sha256, "%064d", i);
        forget_list_add(&list, sha256);
    }
}

START_TEST(test_all_that_was_added_is_taken_once)
{
    ck_assert(!forget_list_take(&list, taken, &n_taken));
    add(FORGET_MOST);
    ck_assert(forget_list_take(&list, taken, &n_taken));
    ck_assert_uint_eq(n_taken, FORGET_MOST);
    for (int i = 0; i < FORGET_MOST; i++) {
        char sha256[RESOURCE_SHA256_SIZE];
        snprintf(sha256, sizeof sha256, "%064d", i);
        ck_assert_str_eq(taken[i], sha256);
    }
    ck_assert(!forget_list_take(&list, taken, &n_taken));
}
END_TEST

START_TEST(test_more_than_there_is_room_for_is_everything)
{
    add(FORGET_MOST + 1);
    add(3);
    ck_assert(forget_list_take(&list, taken, &n_taken));
    ck_assert_uint_eq(n_taken, 0);
    ck_assert(!forget_list_take(&list, taken, &n_taken));
    add(2);
    ck_assert(forget_list_take(&list, taken, &n_taken));
    ck_assert_uint_eq(n_taken, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forget_list");
    TCase *tests = tcase_create("forget_list");
    tcase_add_checked_fixture(tests, open_list, close_list);
    tcase_add_test(tests, test_all_that_was_added_is_taken_once);
    tcase_add_test(tests, test_more_than_there_is_room_for_is_everything);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
