/*
 * GPUs as their driver's management library (NVML) sees them: all of the machine, whoever uses
 * them. The library is loaded at run time, at the first question; without it, or without a
 * driver, there is nothing to tell.
 */
#ifndef SERVER_METRICS_NVML_H
#define SERVER_METRICS_NVML_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NVML_MOST_GPUS = 64 };

struct nvml_gpu {
    char uuid[96];
    bool has_utilization;
    double busy;        /* share of the last second or so in which a kernel ran, 0..1 */
    double memory_busy; /* likewise in which memory was read or written */
    bool has_memory;
    uint64_t memory_used; /* bytes */
    uint64_t memory_total;
    bool has_temperature;
    double celsius;
};

struct nvml;

/* path: of the library, as for dlopen(); borrowed; "" or "none": there is none. *nvml is owned by
 * the caller: nvml_close(). */
enum rejectd_status nvml_open(const char *path, struct nvml **nvml, struct rejectd_error *error);
void nvml_close(struct nvml *nvml); /* NULL is allowed */

/*
 * Asks; returns how many GPUs there are. Any thread; one that comes while another one is asking
 * gets none, so that a driver that hangs holds one thread at most.
 */
size_t nvml_read(struct nvml *nvml, struct nvml_gpu gpus[NVML_MOST_GPUS]);

#endif
