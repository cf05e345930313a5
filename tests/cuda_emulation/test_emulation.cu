/*
 * Kernels that use each feature the project's kernels may use, run by the emulation or, built by
 * nvcc, by a GPU.
 *
 *   test_emulation [CASE]     all cases, or those whose name begins with CASE; "ok NAME" or
 *                             "FAIL NAME" for each. Ends with 77 where there is no device
 */
#include "checks.h"

#include <string.h>

int failed_checks;

int main(int argc, char **argv)
{
    const Case *const lists[] = {thread_cases,  warp_cases,   arithmetic_cases, library_cases,
                                 runtime_cases, misuse_cases, last_cases};
    const char *wanted = argc > 1 ? argv[1] : "";
    int n_devices = 0;
    if (cudaGetDeviceCount(&n_devices) != cudaSuccess) {
        printf("no device: %s\n", cudaGetErrorString(cudaGetLastError()));
        return 77;
    }
    int n_failed = 0;
    for (const Case *list : lists)
        for (const Case *test = list; test->name; test++) {
            if (strncmp(test->name, wanted, strlen(wanted)) != 0)
                continue;
            failed_checks = 0;
            test->run();
            printf("%s %s\n", failed_checks ? "FAIL" : "ok", test->name);
            fflush(stdout);
            n_failed += failed_checks != 0;
        }
    return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
