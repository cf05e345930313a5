/*
 * The seam between the program and a module with a backend for GPUs, which is loaded at run time.
 *
 * A module is a shared object that exports BACKEND_MODULE_SYMBOL, a backend_module_function. What
 * it says of itself must have BACKEND_VERSION, or it isn't used. Functions that take a
 * struct backend_device want it open; memory(), residents(), evictions(), shortages() and forget()
 * may be called by any thread, also while a session of the device computes.
 */
#ifndef WORKER_MODULE_H
#define WORKER_MODULE_H

#include <rejectd/devices.h>

#include "worker/backend.h"

#define BACKEND_MODULE_SYMBOL "rejectd_backend_module"

struct backend_module {
    int version; /* BACKEND_VERSION */

    /* Its operations; a session of it wants options.device. */
    const struct backend *backend;

    /* How many devices there are, and in note[note_size] one line about them for people: versions,
     * or why there are none. */
    size_t (*count)(char *note, size_t note_size);

    /* Fills name and memory of device `ordinal`. */
    enum rejectd_status (*inform)(size_t ordinal, struct rejectd_device_info *info,
                                  struct rejectd_error *error);

    /* As rejectd_device_open(). *device is owned by the caller: close(). */
    enum rejectd_status (*open)(size_t ordinal, size_t budget, struct backend_device **device,
                                struct rejectd_error *error);
    void (*close)(struct backend_device *device); /* NULL is allowed */

    /* As rejectd_device_memory(), rejectd_device_residents() and rejectd_device_forget(). */
    void (*memory)(struct backend_device *device, size_t *free_bytes, size_t *budget);
    size_t (*residents)(struct backend_device *device, struct rejectd_resident *residents,
                        size_t capacity);
    void (*forget)(struct backend_device *device, const char *content);
    uint64_t (*evictions)(struct backend_device *device); /* as rejectd_device_evictions() */
    uint64_t (*shortages)(struct backend_device *device); /* as rejectd_device_shortages() */
};

typedef const struct backend_module *backend_module_function(void);

#endif
