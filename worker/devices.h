/* What the library itself wants to know of a device (<rejectd/devices.h>). */
#ifndef WORKER_DEVICES_H
#define WORKER_DEVICES_H

#include <rejectd/devices.h>

#include "worker/backend.h"

/* The backend that computes on a device, and the opened device for its options: NULL and NULL for
 * the processor, whose backend is chosen by name. REJECTD_DEVICE_FAILED for a GPU that is not
 * open. */
enum rejectd_status device_backend(const struct rejectd_device *device,
                                   const struct backend **backend, struct backend_device **opened,
                                   struct rejectd_error *error);

/* The opened device alone; NULL for the processor and for NULL. */
struct backend_device *device_opened(const struct rejectd_device *device);

#endif
