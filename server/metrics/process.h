/* This process, as the operating system sees it, under the names that all exporters use. */
#ifndef SERVER_METRICS_PROCESS_H
#define SERVER_METRICS_PROCESS_H

#include "base/buffer.h"

/* Appends the process_* figures; what can't be read is left out. */
void process_metrics_write(struct buffer *text);

#endif
