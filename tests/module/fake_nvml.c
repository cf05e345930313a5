/*
 * A management library of GPUs that are none: REJECTD_FAKE_NVML_GPUS of them. The second one has no
 * sensor of temperature.
 */
#include <stdio.h>
#include <stdlib.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

struct gpu {
    unsigned index;
};
struct utilization {
    unsigned gpu, memory;
};
struct memory {
    unsigned long long total, free, used;
};

static struct gpu gpus[8] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **gpu);
int nvmlDeviceGetUUID(const struct gpu *gpu, char *uuid, unsigned length);
int nvmlDeviceGetUtilizationRates(const struct gpu *gpu, struct utilization *utilization);
int nvmlDeviceGetMemoryInfo(const struct gpu *gpu, struct memory *memory);
int nvmlDeviceGetTemperature(const struct gpu *gpu, int sensor, unsigned *celsius);

int nvmlInit_v2(void)
{
    return SUCCESS;
}

int nvmlShutdown(void)
{
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    const char *text = getenv("REJECTD_FAKE_NVML_GPUS");
    *count = text == NULL ? 1 : (unsigned)strtoul(text, NULL, 10);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **gpu)
{
    if (index >= sizeof gpus / sizeof gpus[0]) {
        return NOT_FOUND;
    }
    *gpu = &gpus[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(const struct gpu *gpu, char *uuid, unsigned length)
{
    snprintf(uuid, length, "GPU-fake-%u", gpu->index);
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(const struct gpu *gpu, struct utilization *utilization)
{
    *utilization = (struct utilization){.gpu = 25 + gpu->index, .memory = 10 + gpu->index};
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(const struct gpu *gpu, struct memory *memory)
{
    memory->total = 80ULL << 30;
    memory->used = (1ULL + gpu->index) << 30;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(const struct gpu *gpu, int sensor, unsigned *celsius)
{
    *celsius = 40;
    return sensor == 0 && gpu->index != 1 ? SUCCESS : NOT_SUPPORTED;
}
