/*
 * The devices of this machine: its processor, and the GPUs that a module found.
 *
 * GPUs are reached through a module that is loaded at run time when it is there (worker/module.h),
 * so that one program serves machines with and without them. Listing devices touches no GPU more
 * than asking what it is; a GPU is opened before it computes.
 */
#ifndef REJECTD_DEVICES_H
#define REJECTD_DEVICES_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { REJECTD_CONTENT_SIZE = 65 }; /* a SHA-256 in hexadecimal digits, with its NUL */

struct rejectd_devices;
struct rejectd_device;

struct rejectd_device_info {
    char id[32];   /* "cpu", "cuda:0" */
    char name[96]; /* "NVIDIA H200" */
    size_t memory; /* bytes of its own; 0 for the processor */
};

/* A dataset that a device holds. */
struct rejectd_resident {
    char content[REJECTD_CONTENT_SIZE]; /* SHA-256 of its samples */
    size_t bytes;                       /* of samples */
    size_t table_bytes;                 /* of what was computed from them and is kept */
    bool in_use;                        /* by a session: it stays */
    uint64_t n_uses;                    /* sessions that found it there or brought it */
    uint64_t serial;                    /* of the device's residents, from 1 on in their order */
};

/*
 * Lists the devices. module: path of the CUDA module, or NULL: rejectd_cuda.so beside the program,
 * in ../lib/rejectd or in ../worker/cuda of it. Having no GPU, no driver or no module is no error:
 * the list then holds the processor alone, and rejectd_devices_note() tells why. *devices is owned
 * by the caller: rejectd_devices_close(), when nothing computes any more.
 */
enum rejectd_status rejectd_devices_open(const char *module, struct rejectd_devices **devices,
                                         struct rejectd_error *error);
void rejectd_devices_close(struct rejectd_devices *devices); /* NULL is allowed */

/* "cpu" first, then "cuda:0", ... NULL beyond the last. The device belongs to the list. */
struct rejectd_device *rejectd_devices_at(struct rejectd_devices *devices, size_t index);
struct rejectd_device *rejectd_devices_find(struct rejectd_devices *devices, const char *id);

/* One line for people: what was found of CUDA, or why nothing was. */
const char *rejectd_devices_note(const struct rejectd_devices *devices);

const struct rejectd_device_info *rejectd_device_info(const struct rejectd_device *device);

/*
 * Makes a device ready: context, library handles, memory pool, staging buffers, so that the first
 * job takes no longer than the second. budget: bytes of device memory to use at most, residents
 * included; 0: nearly all that is free. Opening an open device, or the processor, does nothing.
 * REJECTD_DEVICE_FAILED when it can't be opened.
 */
enum rejectd_status rejectd_device_open(struct rejectd_device *device, size_t budget,
                                        struct rejectd_error *error);

/* Memory of an open GPU: free now, and its budget. Zeros for the processor. Any thread. */
void rejectd_device_memory(const struct rejectd_device *device, size_t *free_bytes, size_t *budget);

/* What an open device holds: up to `capacity` entries, the latest used first. Returns how many it
 * holds. Any thread. */
size_t rejectd_device_residents(const struct rejectd_device *device,
                                struct rejectd_resident *residents, size_t capacity);

/* How many datasets a device has dropped, since it was opened, because others needed their room.
 * Any thread. */
uint64_t rejectd_device_evictions(const struct rejectd_device *device);

/* How often, since it was opened, the device had no room for what it would have done at once, and
 * took a way that takes longer: samples of a session passed through it, what it worked on at a time
 * was made smaller, what could have been begun early or kept was not. Any thread. */
uint64_t rejectd_device_shortages(const struct rejectd_device *device);

/* Frees what the device holds of a dataset: now, or when the session that uses it is closed. Any
 * thread. */
void rejectd_device_forget(const struct rejectd_device *device, const char *content);

#ifdef __cplusplus
}
#endif

#endif
