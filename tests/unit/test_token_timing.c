/* How long a token is looked at must not tell how much of it is right. Run by Valgrind, for which
 * the secret and its hash are memory that was never written: it reports every branch and every
 * address that depends on them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "run_suite.h"
#include "server/identity/token.h"

/* What must not be done, to see that it would be noticed. */
static bool compare_hastily(const unsigned char *a, const unsigned char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

START_TEST(test_a_branch_is_noticed)
{
    unsigned char known[32] = {0}, sent[32] = {0};
    ck_assert(RUNNING_ON_VALGRIND);
    VALGRIND_MAKE_MEM_UNDEFINED(known, sizeof known);
    const unsigned before = VALGRIND_COUNT_ERRORS;
    bool same = compare_hastily(known, sent, sizeof known);
    const unsigned after = VALGRIND_COUNT_ERRORS;
    VALGRIND_MAKE_MEM_DEFINED(&same, sizeof same);
    ck_assert(same);
    ck_assert_uint_gt(after, before);
}
END_TEST

START_TEST(test_nothing_depends_on_the_secret)
{
    struct store_token token = {0};
    char text[TOKEN_TEXT_SIZE] = "";
    ck_assert(RUNNING_ON_VALGRIND);
    token_make(&token, text);
    const size_t length = strlen(text), secret = 43;
    if (_i > 0) { /* the first or the last character is wrong */
        char *wrong = text + (_i == 1 ? length - secret : length - 1);
        *wrong = *wrong == 'A' ? 'B' : 'A';
    }
    VALGRIND_MAKE_MEM_UNDEFINED(text + length - secret, secret);
    VALGRIND_MAKE_MEM_UNDEFINED(token.hash, sizeof token.hash);
    const unsigned before = VALGRIND_COUNT_ERRORS;
    bool fits = token_fits(&token, text);
    const unsigned after = VALGRIND_COUNT_ERRORS;
    VALGRIND_MAKE_MEM_DEFINED(&fits, sizeof fits);
    ck_assert(fits == (_i == 0));
    ck_assert_uint_eq(after, before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("token timing");
    TCase *all = tcase_create("secrets");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, test_a_branch_is_noticed);
    tcase_add_loop_test(all, test_nothing_depends_on_the_secret, 0, 3);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
