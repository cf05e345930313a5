/* All figures of the service, at this moment: what /metrics answers. */
#ifndef SERVER_METRICS_COLLECT_H
#define SERVER_METRICS_COLLECT_H

#include "server/service.h"

/* Asks the store, the devices, the disk, the driver of the GPUs; takes milliseconds.
 * NULL-terminated text to free(), or NULL without memory. A store that doesn't answer is told as a
 * figure. */
char *metrics_collect(struct service *service);

#endif
