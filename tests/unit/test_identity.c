/* Tokens as texts, and how often users may ask. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "run_suite.h"
#include "server/http/rate_limiter.h"
#include "server/identity/principal.h"
#include "server/identity/token.h"

START_TEST(test_a_token_fits_itself_alone)
{
    struct store_token token = {0}, other = {0};
    char text[TOKEN_TEXT_SIZE] = "", other_text[TOKEN_TEXT_SIZE] = "";
    char id[STORE_TOKEN_ID_SIZE];
    token_make(&token, text);
    token_make(&other, other_text);
    ck_assert(token_read_id(text, id));
    ck_assert_str_eq(id, token.id);
    ck_assert(token_fits(&token, text));
    ck_assert(!token_fits(&token, other_text));
    ck_assert(!token_fits(&other, text));
    const size_t length = strlen(text);
    for (size_t i = length - 43; i < length; i++) {
        char changed[TOKEN_TEXT_SIZE];
        memcpy(changed, text, length + 1);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        ck_assert(!token_fits(&token, changed));
    }
}
END_TEST

static const char *const no_tokens[] = {
    "",
    "rjd_",
    "rjd_abcdefghijklmnop",
    "rjd_abcdefghijklmnop_",
    "rjd_abcdefghijklmnop_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "rjd_abcdefghijklmnop_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "rjd_abcdefghijklmno_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "rjd_ABCDEFGHIJKLMNOP_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "rjd_abcdefghijklmnop_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    " rjd_abcdefghijklmnop_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

START_TEST(test_what_is_no_token)
{
    char id[STORE_TOKEN_ID_SIZE] = "";
    ck_assert(!token_read_id(no_tokens[_i], id));
    ck_assert_str_eq(id, "");
}
END_TEST

START_TEST(test_tokens_end)
{
    ck_assert(token_is_valid(&(struct store_token){0}, 100));
    ck_assert(token_is_valid(&(struct store_token){.expires_at = 101}, 100));
    ck_assert(!token_is_valid(&(struct store_token){.expires_at = 100}, 100));
    ck_assert(!token_is_valid(&(struct store_token){.revoked_at = 1}, 100));
}
END_TEST

START_TEST(test_who_sees_what)
{
    const struct principal nobody = {0};
    const struct principal anna = {.known = true, .user = "anna"};
    const struct principal chief = {.known = true, .admin = true, .user = "carla"};
    const struct ownership hers = {.owner = "anna"};
    const struct ownership shown = {.owner = "bert", .visibility = VISIBILITY_LAB};
    const struct ownership hidden = {.owner = "bert"};
    const struct ownership old = {.owner = ""};
    ck_assert(principal_owns(&anna, &hers) && !principal_owns(&anna, &shown));
    ck_assert(principal_sees(&anna, &shown) && !principal_sees(&anna, &hidden));
    ck_assert(!principal_sees(&anna, &old));
    ck_assert(principal_owns(&chief, &hidden) && principal_owns(&chief, &old));
    /* Nobody's name is that of things without an owner. */
    ck_assert(!principal_sees(&nobody, &shown) && !principal_owns(&nobody, &old));
}
END_TEST

START_TEST(test_rates)
{
    struct rejectd_error error = {0};
    struct rate_limiter *limiter = NULL;
    double wait = 0.0;
    ck_assert_int_eq(rate_limiter_open(&limiter, &error), REJECTD_OK);
    for (int i = 0; i < 20; i++) {
        ck_assert(rate_limiter_take(limiter, "anna", 10.0, 100.0, &wait));
    }
    ck_assert(!rate_limiter_take(limiter, "anna", 10.0, 100.0, &wait));
    ck_assert_double_eq_tol(wait, 0.1, 1e-9);
    ck_assert(rate_limiter_take(limiter, "bert", 10.0, 100.0, &wait));
    ck_assert(rate_limiter_take(limiter, "anna", 10.0, 100.11, &wait));
    ck_assert(!rate_limiter_take(limiter, "anna", 10.0, 100.12, &wait));
    /* However long she was away, no more than a full bucket. */
    for (int i = 0; i < 20; i++) {
        ck_assert(rate_limiter_take(limiter, "anna", 10.0, 1000.0, &wait));
    }
    ck_assert(!rate_limiter_take(limiter, "anna", 10.0, 1000.0, &wait));
    rate_limiter_close(limiter);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("identity");
    TCase *tests = tcase_create("identity");
    if (sodium_init() < 0) {
        return EXIT_FAILURE;
    }
    tcase_add_test(tests, test_a_token_fits_itself_alone);
    tcase_add_loop_test(tests, test_what_is_no_token, 0, sizeof no_tokens / sizeof no_tokens[0]);
    tcase_add_test(tests, test_tokens_end);
    tcase_add_test(tests, test_who_sees_what);
    tcase_add_test(tests, test_rates);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
