/* devices: what computes, and what it is doing. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/ctl/ctl.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static double gigabytes_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key)) / (double)(1 << 30);
}

static void print_device(const json_t *device)
{
    const json_t *memory = json_object_get(device, "memory");
    const json_t *residents = json_object_get(device, "residents");
    const json_t *resident;
    size_t i;
    printf("%-8s %-10s %-28s", text_of(device, "id"), text_of(device, "state"),
           text_of(device, "name"));
    if (json_is_object(memory))
        printf(" %6.1f of %.1f GiB free", gigabytes_of(memory, "free"),
               gigabytes_of(memory, "total"));
    printf("  %lld jobs", (long long)json_integer_value(json_object_get(device, "jobs_done")));
    const long long restarts = json_integer_value(json_object_get(device, "restarts"));
    if (restarts > 0)
        printf(", %lld restarts", restarts);
    if (text_of(device, "job")[0] != '\0')
        printf(", runs %s", text_of(device, "job"));
    putchar('\n');
    if (text_of(device, "reason")[0] != '\0')
        printf("         %s\n", text_of(device, "reason"));
    json_array_foreach(residents, i, resident)
    {
        const json_t *datasets = json_object_get(resident, "datasets");
        const char *dataset = json_string_value(json_array_get(datasets, 0));
        printf("         holds %s: %.2f GiB, and %.2f GiB of tables%s\n",
               dataset != NULL ? dataset : text_of(resident, "sha256"),
               gigabytes_of(resident, "bytes"), gigabytes_of(resident, "table_bytes"),
               json_is_true(json_object_get(resident, "in_use")) ? ", in use" : "");
    }
    const json_t *total = json_object_get(device, "residents_total");
    const json_int_t held = json_integer_value(json_object_get(total, "datasets"));
    if (held > (json_int_t)json_array_size(residents))
        printf("         and others: %lld in all, %.2f GiB\n", (long long)held,
               gigabytes_of(total, "bytes"));
}

/* False when it isn't what this version knows. */
static bool print_readable(const char *text, size_t length)
{
    json_t *root = json_loadb(text, length, 0, NULL);
    const json_t *devices = json_object_get(root, "devices");
    const json_t *device;
    size_t i;
    if (!json_is_array(devices)) {
        json_decref(root);
        return false;
    }
    json_array_foreach(devices, i, device) print_device(device);
    if (json_array_size(devices) == 1)
        printf("no GPU: %s\n", text_of(root, "cuda"));
    json_decref(root);
    return true;
}

static int run_devices(struct ctl *ctl, int argc, char **argv)
{
    int code = ctl_take_common(ctl, &ctl_devices, argc, argv, 0, 0);
    if (code >= 0)
        return code;
    char *text = NULL;
    size_t length;
    code = ctl_get(ctl, "/v1/devices", &text, &length);
    if (code != CTL_OK)
        return code;
    if (ctl->json || !print_readable(text, length))
        printf("%s\n", text);
    free(text);
    return CTL_OK;
}

const struct ctl_command ctl_devices = {
    .name = "devices",
    .summary = "show what computes: the processor, GPUs, and what they hold",
    .help = "usage: rejectctl devices\n\n"
            "--json prints what the server says.\n\n"
            "example:\n"
            "  rejectctl devices\n",
    .run = run_devices,
};
