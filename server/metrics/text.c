#include "server/metrics/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const type_names[] = {
    [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

/* The shortest digits that read back as the same number. */
static void format_number(double value, char out[40])
{
    if (isnan(value)) {
        snprintf(out, 40, "NaN");
        return;
    }
    if (isinf(value)) {
        snprintf(out, 40, value > 0.0 ? "+Inf" : "-Inf");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, value);
        if (strtod(out, NULL) == value) {
            break;
        }
    }
}

/* Bytes that would end the value or the line. */
static void append_escaped(struct buffer *text, const char *value)
{
    for (; *value != '\0'; value++) {
        switch (*value) {
        case '\\':
            buffer_append_text(text, "\\\\");
            break;
        case '"':
            buffer_append_text(text, "\\\"");
            break;
        case '\n':
            buffer_append_text(text, "\\n");
            break;
        default:
            buffer_append(text, value, 1);
        }
    }
}

static void append_labels(struct buffer *text, const struct metric_label *labels, size_t n_labels,
                          const char *bound)
{
    if (n_labels == 0 && bound == NULL) {
        return;
    }
    buffer_append_text(text, "{");
    for (size_t i = 0; i < n_labels; i++) {
        buffer_append_format(text, "%s%s=\"", i == 0 ? "" : ",", labels[i].name);
        append_escaped(text, labels[i].value);
        buffer_append_text(text, "\"");
    }
    if (bound != NULL) {
        buffer_append_format(text, "%sle=\"%s\"", n_labels == 0 ? "" : ",", bound);
    }
    buffer_append_text(text, "}");
}

static void append_sample(struct buffer *text, const char *name, const char *suffix,
                          const struct metric_label *labels, size_t n_labels, const char *bound,
                          double value)
{
    char number[40];
    format_number(value, number);
    buffer_append_format(text, "%s%s", name, suffix);
    append_labels(text, labels, n_labels, bound);
    buffer_append_format(text, " %s\n", number);
}

void metric_text_family(struct buffer *text, const char *name, enum metric_type type,
                        const char *help)
{
    buffer_append_format(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type_names[type]);
}

void metric_text_sample(struct buffer *text, const char *name, const struct metric_label *labels,
                        size_t n_labels, double value)
{
    append_sample(text, name, "", labels, n_labels, NULL, value);
}

void metric_text_histogram(struct buffer *text, const char *name, const struct metric_label *labels,
                           size_t n_labels, const struct metric_bounds *bounds,
                           const struct metric_histogram *histogram)
{
    uint64_t below = 0;
    const double sum =
        (double)atomic_load_explicit(&histogram->nanoseconds, memory_order_relaxed) / 1e9;
    for (size_t i = 0; i <= bounds->n; i++) {
        char bound[40];
        below += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        format_number(i < bounds->n ? bounds->at[i] : INFINITY, bound);
        append_sample(text, name, "_bucket", labels, n_labels, bound, (double)below);
    }
    append_sample(text, name, "_sum", labels, n_labels, NULL, sum);
    append_sample(text, name, "_count", labels, n_labels, NULL, (double)below);
}

void metric_text_single(struct buffer *text, const char *name, enum metric_type type,
                        const char *help, double value)
{
    metric_text_family(text, name, type, help);
    metric_text_sample(text, name, NULL, 0, value);
}
