#include "server/metrics/nvml.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* As nvml.h has them, which comes with CUDA alone. Its ABI is fixed: a function that changes gets
 * another name. */
typedef struct nvmlDevice_st *nvml_device;
struct nvml_utilization {
    unsigned gpu;
    unsigned memory;
};
struct nvml_memory {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
};
enum { NVML_SUCCESS = 0, NVML_TEMPERATURE_GPU = 0 };

struct functions {
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *count);
    int (*handle)(unsigned index, nvml_device *device);
    int (*uuid)(nvml_device device, char *uuid, unsigned length);
    int (*utilization)(nvml_device device, struct nvml_utilization *utilization);
    int (*memory)(nvml_device device, struct nvml_memory *memory);
    int (*temperature)(nvml_device device, int sensor, unsigned *celsius);
};

struct nvml {
    pthread_mutex_t lock; /* of the rest */
    const char *path;
    bool tried;
    void *library;
    struct functions functions;
};

enum rejectd_status nvml_open(const char *path, struct nvml **nvml, struct rejectd_error *error)
{
    struct nvml *made = calloc(1, sizeof *made);
    *nvml = made;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->path = path;
    made->tried = path[0] == '\0' || strcmp(path, "none") == 0;
    pthread_mutex_init(&made->lock, NULL);
    return REJECTD_OK;
}

void nvml_close(struct nvml *nvml)
{
    if (nvml != NULL) {
        if (nvml->library != NULL) {
            nvml->functions.shutdown();
            dlclose(nvml->library);
        }
        pthread_mutex_destroy(&nvml->lock);
        free(nvml);
    }
}

/* dlsym() gives a pointer to data, which POSIX lets be one to a function. */
static bool find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

static bool find_all(void *library, struct functions *functions)
{
    return find(library, "nvmlInit_v2", &functions->init) &&
           find(library, "nvmlShutdown", &functions->shutdown) &&
           find(library, "nvmlDeviceGetCount_v2", &functions->count) &&
           find(library, "nvmlDeviceGetHandleByIndex_v2", &functions->handle) &&
           find(library, "nvmlDeviceGetUUID", &functions->uuid) &&
           find(library, "nvmlDeviceGetUtilizationRates", &functions->utilization) &&
           find(library, "nvmlDeviceGetMemoryInfo", &functions->memory) &&
           find(library, "nvmlDeviceGetTemperature", &functions->temperature);
}

static void load(struct nvml *nvml)
{
    nvml->tried = true;
    void *library = dlopen(nvml->path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return;
    }
    if (find_all(library, &nvml->functions) && nvml->functions.init() == NVML_SUCCESS) {
        nvml->library = library;
    } else {
        dlclose(library);
    }
}

static void read_gpu(const struct functions *functions, nvml_device device, struct nvml_gpu *gpu)
{
    struct nvml_utilization utilization = {0};
    struct nvml_memory memory = {0};
    unsigned celsius = 0;
    if (functions->uuid(device, gpu->uuid, sizeof gpu->uuid) != NVML_SUCCESS) {
        gpu->uuid[0] = '\0';
    }
    gpu->uuid[sizeof gpu->uuid - 1] = '\0';
    gpu->has_utilization = functions->utilization(device, &utilization) == NVML_SUCCESS;
    gpu->busy = 0.01 * utilization.gpu;
    gpu->memory_busy = 0.01 * utilization.memory;
    gpu->has_memory = functions->memory(device, &memory) == NVML_SUCCESS;
    gpu->memory_used = memory.used;
    gpu->memory_total = memory.total;
    gpu->has_temperature =
        functions->temperature(device, NVML_TEMPERATURE_GPU, &celsius) == NVML_SUCCESS;
    gpu->celsius = celsius;
}

size_t nvml_read(struct nvml *nvml, struct nvml_gpu gpus[NVML_MOST_GPUS])
{
    unsigned n = 0;
    if (pthread_mutex_trylock(&nvml->lock) != 0) {
        return 0;
    }
    if (!nvml->tried) {
        load(nvml);
    }
    const struct functions *functions = &nvml->functions;
    if (nvml->library == NULL || functions->count(&n) != NVML_SUCCESS) {
        n = 0;
    }
    n = n < NVML_MOST_GPUS ? n : NVML_MOST_GPUS;
    for (unsigned i = 0; i < n; i++) {
        nvml_device device = NULL;
        gpus[i] = (struct nvml_gpu){0};
        if (functions->handle(i, &device) == NVML_SUCCESS) {
            read_gpu(functions, device, &gpus[i]);
        }
    }
    pthread_mutex_unlock(&nvml->lock);
    return n;
}
