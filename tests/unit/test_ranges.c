/* Range and If-None-Match as texts. */
#include <check.h>
#include <stdlib.h>

#include "run_suite.h"
#include "server/http/ranges.h"

static const struct {
    const char *header;
    uint64_t size;
    enum range_kind kind;
    uint64_t first;
    uint64_t count;
} ranges[] = {
    {"bytes=0-99", 1000, RANGE_PART, 0, 100},
    {"bytes=0-0", 1000, RANGE_PART, 0, 1},
    {"bytes=999-999", 1000, RANGE_PART, 999, 1},
    {"bytes=900-5000", 1000, RANGE_PART, 900, 100},
    {"bytes=900-", 1000, RANGE_PART, 900, 100},
    {"bytes=0-", 1000, RANGE_PART, 0, 1000},
    {"bytes=-100", 1000, RANGE_PART, 900, 100},
    {"bytes=-5000", 1000, RANGE_PART, 0, 1000},
    {"bytes=0-18446744073709551615", 1000, RANGE_PART, 0, 1000},
    {"bytes=1000-", 1000, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=1000-2000", 1000, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=18446744073709551615-", 1000, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=-0", 1000, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=-1", 0, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=18446744073709551616-", 1000, RANGE_WHOLE, 0, 0},
    {"bytes=5-4", 1000, RANGE_WHOLE, 0, 0},
    {"bytes=0-1,5-6", 1000, RANGE_WHOLE, 0, 0},
    {"bytes=", 1000, RANGE_WHOLE, 0, 0},
    {"bytes=-", 1000, RANGE_WHOLE, 0, 0},
    {"bytes=a-b", 1000, RANGE_WHOLE, 0, 0},
    {"bytes=+1-2", 1000, RANGE_WHOLE, 0, 0},
    {"bytes= 1-2", 1000, RANGE_WHOLE, 0, 0},
    {"bytes=1-2 ", 1000, RANGE_WHOLE, 0, 0},
    {"bytes=1", 1000, RANGE_WHOLE, 0, 0},
    {"epochs=0-1", 1000, RANGE_WHOLE, 0, 0},
    {"", 1000, RANGE_WHOLE, 0, 0},
};

START_TEST(test_range)
{
    uint64_t first = 0;
    uint64_t count = 0;
    ck_assert_int_eq(range_read(ranges[_i].header, ranges[_i].size, &first, &count),
                     ranges[_i].kind);
    if (ranges[_i].kind == RANGE_PART) {
        ck_assert_uint_eq(first, ranges[_i].first);
        ck_assert_uint_eq(count, ranges[_i].count);
    }
}
END_TEST

START_TEST(test_etags)
{
    ck_assert(etag_matches("\"abc\"", "\"abc\""));
    ck_assert(etag_matches("*", "\"abc\""));
    ck_assert(etag_matches("\"x\", \"abc\"", "\"abc\""));
    ck_assert(etag_matches("\"x\",W/\"abc\",\"y\"", "\"abc\""));
    ck_assert(!etag_matches("", "\"abc\""));
    ck_assert(!etag_matches("abc", "\"abc\""));
    ck_assert(!etag_matches("\"abcd\"", "\"abc\""));
    ck_assert(!etag_matches("\"abc\"d", "\"abc\""));
    ck_assert(!etag_matches("W/", "\"abc\""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ranges");
    TCase *tests = tcase_create("ranges");
    tcase_add_loop_test(tests, test_range, 0, sizeof ranges / sizeof ranges[0]);
    tcase_add_test(tests, test_etags);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
