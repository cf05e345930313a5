#include "protocol/reject_log_npz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "protocol/channel_index.h"
#include "protocol/npz_array.h"
#include "protocol/npz_names.h"

enum { MAX_ARRAY_BYTES = REJECT_LOG_MAX_LABELS * (int)sizeof(double) + NPY_MAX_HEADER };

/* ---- writing ---- */

void reject_log_to_npz(const struct rejectd_reject_log *log, const struct rejectd_channel *channels,
                       struct buffer *out)
{
    const size_t shape[2] = {log->n_epochs, log->n_channels};
    size_t count, bytes;
    double *labels = NULL;
    if (checked_multiply(shape[0], shape[1], &count) &&
        checked_multiply(count, sizeof *labels, &bytes))
        labels = malloc(bytes + 1);
    if (labels == NULL) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        labels[i] = log->labels[i] == REJECTD_LABEL_NOT_CONSIDERED ? NAN : log->labels[i];
    struct npz_writer writer;
    npz_writer_init(&writer, out);
    npz_writer_array(&writer, "labels", "<f8", 2, shape, labels, bytes);
    npz_writer_array(&writer, "bad_epochs", "|b1", 1, shape, log->bad_epochs, log->n_epochs);
    npz_writer_texts(&writer, "ch_names", channels[0].name, sizeof *channels, log->n_channels);
    npz_writer_finish(&writer);
    free(labels);
}

/* ---- reading ---- */

struct members {
    struct npz_array names, bad_epochs, labels;
};

static enum rejectd_status read_members(const struct npz_archive *archive, struct members *m,
                                        struct rejectd_error *error)
{
    enum rejectd_status status;
    if ((status = npz_array_read(archive, "ch_names", NPZ_MAX_NAMES_BYTES, &m->names, error)) !=
            0 ||
        (status = npz_array_read(archive, "bad_epochs", MAX_ARRAY_BYTES, &m->bad_epochs, error)) !=
            0 ||
        (status = npz_array_read(archive, "labels", MAX_ARRAY_BYTES, &m->labels, error)) != 0)
        return status;
    if (m->labels.memory != NULL && m->labels.header.n_dimensions != 2)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "labels",
                            "has %zu dimensions; (n_epochs, n_channels) is accepted",
                            m->labels.header.n_dimensions);
    const size_t *shape = m->labels.header.shape;
    if ((status = npz_array_check(&m->labels, NPZ_NUMBERS, 2, shape, error)) != 0 ||
        (status = npz_array_check(&m->bad_epochs, NPZ_NUMBERS, 1, shape, error)) != 0 ||
        (status = npz_array_check(&m->names, NPZ_TEXTS, 1, shape + 1, error)) != 0)
        return status;
    if (shape[0] == 0 || shape[0] > REJECTD_MAX_EPOCHS || shape[1] == 0 ||
        shape[1] > REJECTD_MAX_CHANNELS || m->labels.count > REJECT_LOG_MAX_LABELS)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "labels",
                            "has %zu epochs of %zu channels; 1 to %d of 1 to %d, together at most "
                            "%d labels, are accepted",
                            shape[0], shape[1], REJECTD_MAX_EPOCHS, REJECTD_MAX_CHANNELS,
                            REJECT_LOG_MAX_LABELS);
    return REJECTD_OK;
}

static enum rejectd_status convert_labels(const struct npz_array *labels,
                                          struct rejectd_reject_log *log,
                                          struct rejectd_error *error)
{
    for (size_t i = 0; i < labels->count; i++) {
        const double number = npz_array_number(labels, i);
        if (!isnan(number) && number != 0 && number != 1 && number != 2) {
            char field[64];
            snprintf(field, sizeof field, "labels[%zu][%zu]", i / log->n_channels,
                     i % log->n_channels);
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                                "is %g; NaN (not considered), 0 (good), 1 (bad) and 2 "
                                "(interpolated) are accepted",
                                number);
        }
        log->labels[i] = isnan(number) ? REJECTD_LABEL_NOT_CONSIDERED : (int8_t)number;
    }
    return REJECTD_OK;
}

static enum rejectd_status convert_bad_epochs(const struct npz_array *bad_epochs,
                                              struct rejectd_reject_log *log,
                                              struct rejectd_error *error)
{
    for (size_t i = 0; i < log->n_epochs; i++) {
        const double number = npz_array_number(bad_epochs, i);
        if (number != 0 && number != 1) {
            char field[64];
            snprintf(field, sizeof field, "bad_epochs[%zu]", i);
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                                "is %g; False and True are accepted", number);
        }
        log->bad_epochs[i] = number == 1;
    }
    return REJECTD_OK;
}

static enum rejectd_status convert(const struct members *m, struct rejectd_reject_log *log,
                                   char (**names)[REJECTD_NAME_SIZE], struct rejectd_error *error)
{
    log->n_epochs = m->labels.header.shape[0];
    log->n_channels = m->labels.header.shape[1];
    log->labels = malloc(m->labels.count);
    log->bad_epochs = malloc(log->n_epochs);
    *names = calloc(log->n_channels, sizeof **names);
    if (log->labels == NULL || log->bad_epochs == NULL || *names == NULL)
        return REJECTD_FAIL_MEMORY(error, m->labels.count);
    enum rejectd_status status;
    if ((status = convert_labels(&m->labels, log, error)) != 0 ||
        (status = convert_bad_epochs(&m->bad_epochs, log, error)) != 0)
        return status;
    return npz_names(&m->names, *names, error);
}

enum rejectd_status reject_log_from_npz(const void *bytes, size_t length,
                                        struct rejectd_reject_log *log,
                                        char (**names)[REJECTD_NAME_SIZE],
                                        struct rejectd_error *error)
{
    *log = (struct rejectd_reject_log){0};
    *names = NULL;
    struct npz_archive archive;
    struct members members = {0};
    enum rejectd_status status = npz_open(bytes, length, &archive, error);
    if (status != REJECTD_OK)
        return status;
    if ((status = read_members(&archive, &members, error)) == REJECTD_OK)
        status = convert(&members, log, names, error);
    npz_array_free(&members.names);
    npz_array_free(&members.bad_epochs);
    npz_array_free(&members.labels);
    npz_close(&archive);
    if (status != REJECTD_OK) {
        reject_log_npz_clear(log);
        free(*names);
        *names = NULL;
    }
    return status;
}

void reject_log_npz_clear(struct rejectd_reject_log *log)
{
    free(log->labels);
    free(log->bad_epochs);
    *log = (struct rejectd_reject_log){0};
}
