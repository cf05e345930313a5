#include "golden_backends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden_report.h"
#include "worker/devices.h"

/*
 * What an emulated GPU may take for one part of a case: all of the golden cases, about 170 s of one
 * processor in all parity programs together; with AddressSanitizer, under which a median takes
 * three times as long, all but the longest.
 */
#if defined(__SANITIZE_ADDRESS__)
static const double most_medians = 150e3;
#else
static const double most_medians = 500e3;
#endif

/* The name of the emulation's devices begins so (tests/cuda_emulation/devices.cc). */
static const char emulated_name[] = "emulated ";

static struct golden_backend open_cuda(void)
{
    static struct rejectd_devices *devices; /* open until the program ends */
    struct golden_backend found = {.name = "cuda"};
    struct rejectd_error error = {0};
    const char *named = getenv("REJECTD_CUDA_MODULE");
    enum rejectd_status status = rejectd_devices_open(named, &devices, &error);
    struct rejectd_device *device =
        status == REJECTD_OK ? rejectd_devices_find(devices, "cuda:0") : NULL;
    if (status == REJECTD_OK && device == NULL) {
        printf("note: no cuda: %s\n", rejectd_devices_note(devices));
        if (named == NULL)
            return found;
        /* Where a module is asked for by name, its absence is no reason to compare less. */
        exit(2);
    }
    if (status == REJECTD_OK)
        status = rejectd_device_open(device, 0, &error);
    if (status == REJECTD_OK)
        status = device_backend(device, &found.backend, &found.opened, &error);
    if (status != REJECTD_OK) {
        fprintf(stderr, "cuda: %s\n", error.message);
        exit(2);
    }
    const char *name = rejectd_device_info(device)->name;
    found.device = device;
    found.emulated = strncmp(name, emulated_name, sizeof emulated_name - 1) == 0;
    printf("note: cuda is \"%s\"\n", name);
    return found;
}

const struct golden_backend *golden_backend_at(size_t index)
{
    enum { MOST_BACKENDS = 8 };
    static struct golden_backend backends[MOST_BACKENDS];
    static size_t n_backends;
    if (n_backends == 0) {
        for (; backend_at(n_backends) != NULL && n_backends < MOST_BACKENDS - 1; n_backends++)
            backends[n_backends] = (struct golden_backend){.name = backend_at(n_backends)->name,
                                                           .backend = backend_at(n_backends)};
        backends[n_backends] = open_cuda();
        n_backends += backends[n_backends].backend != NULL;
    }
    return index < n_backends ? &backends[index] : NULL;
}

static double allowed_medians(void)
{
    const char *text = getenv("REJECTD_PARITY_MEDIANS");
    return text != NULL ? strtod(text, NULL) : most_medians;
}

bool golden_affordable(const struct golden_backend *backend, const struct golden_case *golden,
                       const char *part, double n_medians)
{
    if (!backend->emulated || n_medians <= allowed_medians())
        return true;
    printf("note: cuda, emulated: %s: %s left out: %.0f medians, at most %.0f at a time\n",
           golden->name, part, n_medians, allowed_medians());
    return false;
}

double golden_medians(const struct golden_case *golden, size_t n_picks, size_t n_folds)
{
    return (double)n_picks * (double)golden->epochs.n_times * (double)n_folds;
}

double golden_medians_of_ransac(const struct golden_case *golden, size_t n_picks)
{
    return 0.1 * golden_medians(golden, n_picks, golden->epochs.n_epochs);
}
