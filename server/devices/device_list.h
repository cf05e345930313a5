/*
 * What GPUs there are, asked in a process of its own: neither the libraries of CUDA (150 MB of
 * memory) nor a driver that hangs or crashes gets into the daemon.
 */
#ifndef SERVER_DEVICES_DEVICE_LIST_H
#define SERVER_DEVICES_DEVICE_LIST_H

#include <rejectd/devices.h>
#include <stdint.h>

enum { DEVICE_LIST_MOST = 64 };

/* Goes over the channel as it is (server/worker_messages.h). */
struct device_list {
    char note[256]; /* for people: what was found, or why nothing was */
    uint32_t n;
    struct rejectd_device_info devices[DEVICE_LIST_MOST]; /* GPUs alone */
};

/* Asks. module: of CUDA, or NULL: where it is looked for. A process that fails or takes more than
 * `seconds` makes an empty list whose note says so. */
void device_list_ask(const char *module, double seconds, struct device_list *list);

/* The answer, in that process. */
void device_list_fill(struct rejectd_devices *devices, struct device_list *list);

#endif
