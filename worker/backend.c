#include "worker/backend.h"

#include <string.h>

#include "worker/cpu/cpu_backend.h"
#include "worker/reference/reference_backend.h"

/* Best first. */
static const struct backend *const backends[] = {&cpu_backend, &reference_backend};

/* What autoreject calls its own backends. */
static const struct {
    const char *alias;
    const char *name;
} aliases[] = {{"numpy", "reference"}, {"numba", "cpu"}};

size_t backend_panel(const struct backend_samples *samples)
{
    /* The first touch of fresh memory costs more than the wider product saves. */
    enum { WIDE = 64, NARROW = 32, WIDE_BYTES = 1 << 30 };
    const double pick_bytes = (double)samples->n_epochs * (double)samples->n_times * sizeof(double);
    return WIDE * pick_bytes <= WIDE_BYTES ? WIDE : NARROW;
}

const struct backend *backend_at(size_t index)
{
    return index < sizeof backends / sizeof backends[0] ? backends[index] : NULL;
}

const struct backend *backend_find(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcmp(name, aliases[i].alias) == 0)
            name = aliases[i].name;
    for (size_t i = 0; backend_at(i) != NULL; i++)
        if (strcmp(name, backend_at(i)->name) == 0)
            return backend_at(i);
    return NULL;
}
