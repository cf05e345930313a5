/*
 * The list of devices, and the module they come from.
 *
 * The module is never unloaded: what CUDA leaves behind in a process (threads, exit handlers) may
 * still run after the last device is closed.
 */
#include "worker/devices.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/module.h"

struct rejectd_device {
    struct rejectd_device_info info;
    const struct backend_module *module; /* NULL: the processor */
    size_t ordinal;
    struct backend_device *opened;
};

struct rejectd_devices {
    char note[256];
    size_t n;
    struct rejectd_device *items; /* [n], owned */
};

static const char module_name[] = "rejectd_cuda.so";

/* Where a module may lie, from the folder of the program. */
static const char *const module_folders[] = {"", "../lib/rejectd/", "../worker/cuda/",
                                             "../../worker/cuda/"};

static bool folder_of_program(char folder[PATH_MAX])
{
    const ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (length <= 0)
        return false;
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        return false;
    slash[1] = '\0';
    return true;
}

static bool find_module(char path[PATH_MAX])
{
    char folder[PATH_MAX];
    if (!folder_of_program(folder))
        return false;
    for (size_t i = 0; i < sizeof module_folders / sizeof module_folders[0]; i++) {
        const int length =
            snprintf(path, PATH_MAX, "%s%s%s", folder, module_folders[i], module_name);
        if (length > 0 && length < PATH_MAX && access(path, R_OK) == 0)
            return true;
    }
    return false;
}

/* The table of the module at a path; NULL, with a note, when it can't be used. */
static const struct backend_module *load_module(const char *path, char *note, size_t note_size)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(note, note_size, "the CUDA module can't be loaded: %s", dlerror());
        return NULL;
    }
    backend_module_function *function = NULL;
    /* POSIX promises that dlsym's pointer can hold a function; ISO C has no cast for it. */
    *(void **)&function = dlsym(handle, BACKEND_MODULE_SYMBOL);
    const struct backend_module *module = function != NULL ? function() : NULL;
    if (module == NULL || module->version != BACKEND_VERSION) {
        snprintf(note, note_size, "%.150s is no CUDA module of this version of rejectd", path);
        return NULL;
    }
    return module;
}

static enum rejectd_status add_device(struct rejectd_devices *devices,
                                      const struct rejectd_device *device,
                                      struct rejectd_error *error)
{
    const size_t bytes = (devices->n + 1) * sizeof *devices->items;
    struct rejectd_device *grown = realloc(devices->items, bytes);
    if (grown == NULL)
        return REJECTD_FAIL_MEMORY(error, bytes);
    devices->items = grown;
    devices->items[devices->n++] = *device;
    return REJECTD_OK;
}

static enum rejectd_status add_module(struct rejectd_devices *devices,
                                      const struct backend_module *module,
                                      struct rejectd_error *error)
{
    const size_t n = module->count(devices->note, sizeof devices->note);
    enum rejectd_status status = REJECTD_OK;
    for (size_t i = 0; i < n && status == REJECTD_OK; i++) {
        struct rejectd_device device = {.module = module, .ordinal = i};
        struct rejectd_error unusable;
        if (module->inform(i, &device.info, &unusable) != REJECTD_OK) {
            snprintf(devices->note, sizeof devices->note, "cuda:%zu: %.200s", i, unusable.message);
            continue;
        }
        snprintf(device.info.id, sizeof device.info.id, "cuda:%zu", i);
        status = add_device(devices, &device, error);
    }
    return status;
}

enum rejectd_status rejectd_devices_open(const char *module, struct rejectd_devices **devices,
                                         struct rejectd_error *error)
{
    char found[PATH_MAX];
    *devices = NULL;
    struct rejectd_devices *made = calloc(1, sizeof *made);
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    const struct rejectd_device processor = {.info = {.id = "cpu", .name = "processor"}};
    enum rejectd_status status = add_device(made, &processor, error);
    if (module == NULL && find_module(found))
        module = found;
    if (module == NULL) {
        snprintf(made->note, sizeof made->note, "there is no CUDA module (%s)", module_name);
    } else {
        const struct backend_module *loaded = load_module(module, made->note, sizeof made->note);
        if (status == REJECTD_OK && loaded != NULL)
            status = add_module(made, loaded, error);
    }
    if (status != REJECTD_OK) {
        rejectd_devices_close(made);
        return status;
    }
    *devices = made;
    return REJECTD_OK;
}

void rejectd_devices_close(struct rejectd_devices *devices)
{
    if (devices == NULL)
        return;
    for (size_t i = 0; i < devices->n; i++)
        if (devices->items[i].module != NULL)
            devices->items[i].module->close(devices->items[i].opened);
    free(devices->items);
    free(devices);
}

struct rejectd_device *rejectd_devices_at(struct rejectd_devices *devices, size_t index)
{
    return index < devices->n ? &devices->items[index] : NULL;
}

struct rejectd_device *rejectd_devices_find(struct rejectd_devices *devices, const char *id)
{
    for (size_t i = 0; i < devices->n; i++)
        if (strcmp(devices->items[i].info.id, id) == 0)
            return &devices->items[i];
    return NULL;
}

const char *rejectd_devices_note(const struct rejectd_devices *devices)
{
    return devices->note;
}

const struct rejectd_device_info *rejectd_device_info(const struct rejectd_device *device)
{
    return &device->info;
}

enum rejectd_status rejectd_device_open(struct rejectd_device *device, size_t budget,
                                        struct rejectd_error *error)
{
    if (device->module == NULL || device->opened != NULL)
        return REJECTD_OK;
    return device->module->open(device->ordinal, budget, &device->opened, error);
}

void rejectd_device_memory(const struct rejectd_device *device, size_t *free_bytes, size_t *budget)
{
    *free_bytes = *budget = 0;
    if (device->opened != NULL)
        device->module->memory(device->opened, free_bytes, budget);
}

size_t rejectd_device_residents(const struct rejectd_device *device,
                                struct rejectd_resident *residents, size_t capacity)
{
    return device->opened == NULL ? 0
                                  : device->module->residents(device->opened, residents, capacity);
}

uint64_t rejectd_device_evictions(const struct rejectd_device *device)
{
    return device->opened == NULL ? 0 : device->module->evictions(device->opened);
}

uint64_t rejectd_device_shortages(const struct rejectd_device *device)
{
    return device->opened == NULL ? 0 : device->module->shortages(device->opened);
}

void rejectd_device_forget(const struct rejectd_device *device, const char *content)
{
    if (device->opened != NULL)
        device->module->forget(device->opened, content);
}

enum rejectd_status device_backend(const struct rejectd_device *device,
                                   const struct backend **backend, struct backend_device **opened,
                                   struct rejectd_error *error)
{
    *backend = NULL;
    *opened = NULL;
    if (device->module == NULL)
        return REJECTD_OK;
    if (device->opened == NULL)
        return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "device", "device %s is not open",
                            device->info.id);
    *backend = device->module->backend;
    *opened = device->opened;
    return REJECTD_OK;
}

struct backend_device *device_opened(const struct rejectd_device *device)
{
    return device != NULL ? device->opened : NULL;
}
