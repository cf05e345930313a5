/* This process, as the operating system sees it, under the names that all exporters use. */
#ifndef SERVER_METRICS_PROCESS_H
#define SERVER_METRICS_PROCESS_H

#include "base/buffer.h"

/*
 * When it started, in seconds since 1970; 0 when that can't be told. To be asked once: the clocks
 * that it is computed from drift apart, and a second answer would look like a second start.
 */
double process_start_time(void);

/* Appends the process_* figures; what can't be read is left out. */
void process_metrics_write(double start_time, struct buffer *text);

#endif
