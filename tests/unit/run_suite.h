/* How every program of unit tests ends. */
#ifndef TESTS_UNIT_RUN_SUITE_H
#define TESTS_UNIT_RUN_SUITE_H

#include <check.h>
#include <stdlib.h>

static inline int run_suite_forking(Suite *suite, enum fork_status forking)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, forking);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Runs the suite as $CK_FORK and $CK_VERBOSITY say, and frees it. Returns what main() does. */
static inline int run_suite(Suite *suite)
{
    return run_suite_forking(suite, CK_FORK_GETENV);
}

/* The same without forks, which OpenMP's threads and CUDA do not survive. */
static inline int run_suite_in_process(Suite *suite)
{
    return run_suite_forking(suite, CK_NOFORK);
}

#endif
