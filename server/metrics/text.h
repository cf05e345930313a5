/*
 * Figures as Prometheus reads them: its text format, version 0.0.4.
 *
 * A family is begun once, before its samples, which follow one another. Names of families and
 * labels are words of this program and go as they are; values of labels may be anything and are
 * escaped. Failures stay with the buffer (base/buffer.h).
 */
#ifndef SERVER_METRICS_TEXT_H
#define SERVER_METRICS_TEXT_H

#include "base/buffer.h"
#include "server/metrics/instruments.h"

#define METRIC_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_label {
    const char *name;
    const char *value;
};

/* help: one line. */
void metric_text_family(struct buffer *text, const char *name, enum metric_type type,
                        const char *help);
/* A sample of a counter or a gauge. */
void metric_text_sample(struct buffer *text, const char *name, const struct metric_label *labels,
                        size_t n_labels, double value);
/* The buckets, the sum and the count of a histogram. */
void metric_text_histogram(struct buffer *text, const char *name, const struct metric_label *labels,
                           size_t n_labels, const struct metric_bounds *bounds,
                           const struct metric_histogram *histogram);
/* A family of one sample without labels. */
void metric_text_single(struct buffer *text, const char *name, enum metric_type type,
                        const char *help, double value);

#endif
