#include "server/devices/device_list.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/devices/worker_messages.h"
#include "server/devices/worker_process.h"

void device_list_fill(struct rejectd_devices *devices, struct device_list *list)
{
    const struct rejectd_device *device;
    *list = (struct device_list){0};
    snprintf(list->note, sizeof list->note, "%s", rejectd_devices_note(devices));
    for (size_t i = 1;
         list->n < DEVICE_LIST_MOST && (device = rejectd_devices_at(devices, i)) != NULL; i++) {
        list->devices[list->n++] = *rejectd_device_info(device);
    }
}

static enum rejectd_status receive(const struct worker_channel *channel, double seconds,
                                   struct device_list *list, struct rejectd_error *error)
{
    struct worker_header header;
    int fd = -1;
    if (!worker_channel_wait(channel, seconds)) {
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "", "there was no answer for %.3g s",
                            seconds);
    }
    enum rejectd_status status = worker_channel_receive_header(channel, &header, &fd, error);
    if (fd >= 0) {
        close(fd);
    }
    if (status == REJECTD_OK && (header.type != WORKER_LISTED || !worker_message_fits(&header))) {
        status = REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "", "the answer makes no sense");
    }
    if (status == REJECTD_OK) {
        status = worker_channel_receive(channel, list, sizeof *list, error);
    }
    if (status == REJECTD_OK && !worker_list_check(list)) {
        status = REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "", "the answer makes no sense");
    }
    return status;
}

void device_list_ask(const char *module, double seconds, struct device_list *list)
{
    const struct worker_process_options options = {.module = module, .patience = seconds};
    struct worker_process process;
    struct rejectd_error error = {0};
    char how[WORKER_PROCESS_END_SIZE];
    enum rejectd_status status = worker_process_start(&options, &process, &error);
    if (status == REJECTD_OK) {
        status = receive(&process.channel, seconds, list, &error);
        worker_process_end(&process, 1.0, how);
        if (status == REJECTD_IO) { /* it has ended, and how it did tells more */
            snprintf(error.message, sizeof error.message, "%s", how);
        }
    }
    if (status != REJECTD_OK) {
        *list = (struct device_list){0};
        snprintf(list->note, sizeof list->note, "the GPUs can't be listed: %.200s", error.message);
    }
}
