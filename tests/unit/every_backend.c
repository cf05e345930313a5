#include "every_backend.h"

#include <check.h>
#include <rejectd/devices.h>
#include <stdlib.h>
#include <string.h>

#include "worker/devices.h"

struct tested_backend cuda_backend_within(size_t budget, struct rejectd_devices **devices)
{
    struct tested_backend found = {NULL, NULL};
    struct rejectd_error error = {0};
    ck_assert_int_eq(rejectd_devices_open(getenv("REJECTD_CUDA_MODULE"), devices, &error),
                     REJECTD_OK);
    struct rejectd_device *device = rejectd_devices_find(*devices, "cuda:0");
    /* Where a module is asked for by name, its absence is no reason to test less. */
    ck_assert_msg(device != NULL || getenv("REJECTD_CUDA_MODULE") == NULL, "%s",
                  rejectd_devices_note(*devices));
    if (device == NULL)
        return found;
    ck_assert_msg(rejectd_device_open(device, budget, &error) == REJECTD_OK, "%s", error.message);
    ck_assert_int_eq(device_backend(device, &found.backend, &found.device, &error), REJECTD_OK);
    return found;
}

struct tested_backend every_backend(size_t index)
{
    static struct rejectd_devices *devices;
    static struct tested_backend cuda;
    const char *wanted = getenv("REJECTD_TEST_BACKENDS");
    const bool all = wanted == NULL || strcmp(wanted, "cuda") != 0;
    size_t n = 0;
    while (all && backend_at(n) != NULL)
        n++;
    if (index < n)
        return (struct tested_backend){backend_at(index), NULL};
    if (devices == NULL)
        cuda = cuda_backend_within(0, &devices);
    return index == n ? cuda : (struct tested_backend){NULL, NULL};
}
