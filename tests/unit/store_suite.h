/* The contract of server/store.h as tests, to be run over every implementation. */
#ifndef TESTS_UNIT_STORE_SUITE_H
#define TESTS_UNIT_STORE_SUITE_H

#include <check.h>

#include "server/store/store.h"

/* How to get at an implementation. Errors are failures of the test. */
struct store_under_test {
    /* An empty store. */
    struct store *(*make)(void);
    /* Closes it and opens it again with what it had. */
    struct store *(*reopen)(struct store *store);
    /* Closes it and removes what it had. */
    void (*discard)(struct store *store);
};

/* The test cases; `under_test` must stay. */
TCase *store_suite(const struct store_under_test *under_test);
TCase *store_suite_devices(const struct store_under_test *under_test);
TCase *store_suite_users(const struct store_under_test *under_test);
TCase *store_suite_partials(const struct store_under_test *under_test);
TCase *store_suite_answers(const struct store_under_test *under_test);
TCase *store_suite_removal(const struct store_under_test *under_test);

#endif
