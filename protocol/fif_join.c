/*
 * Each part of a divided file has its own events, selection and metadata, and the drop log of all
 * original epochs in which those of other parts are IGNORED.
 */
#include "protocol/fif_join.h"

#include <stdlib.h>
#include <string.h>

#define SPAN(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }

const struct fif_span fif_log_ignored = SPAN("[\"IGNORED\"]");
const struct fif_span fif_log_dropped = SPAN("[\"AUTOREJECT\"]");
static const struct fif_span log_kept = SPAN("[]");

void fif_join_clear(struct fif_join *join)
{
    for (size_t i = 0; i < join->n_parts; i++)
        fif_epochs_clear(&join->parts[i]);
    free(join->parts);
    free(join->log);
    *join = (struct fif_join){0};
}

struct fif_joined_epoch fif_join_epoch(const struct fif_join *join, size_t epoch)
{
    const struct fif_epochs *part = join->parts;
    for (; epoch >= part->n_epochs; part++)
        epoch -= part->n_epochs;
    return (struct fif_joined_epoch){
        .event = part->events + 12 * epoch,
        .selected = fif_epochs_selected(part, epoch),
        .record = part->has_metadata ? &part->metadata[epoch] : NULL,
    };
}

static enum rejectd_status mismatch(size_t part, const char *what, struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                        "part %zu of the FIF file has other %s than the first part", part + 1,
                        what);
}

static enum rejectd_status check_info(const struct fif_info *first, const struct fif_info *other,
                                      size_t part, struct rejectd_error *error)
{
    const struct dataset_description *a = &first->description, *b = &other->description;
    if (a->n_channels != b->n_channels)
        return mismatch(part, "channels", error);
    if (a->n_times != b->n_times || a->sfreq != b->sfreq || a->tmin != b->tmin)
        return mismatch(part, "times", error);
    for (size_t i = 0; i < a->n_channels; i++)
        if (strcmp(a->channels[i].name, b->channels[i].name) != 0 ||
            a->channels[i].type != b->channels[i].type)
            return mismatch(part, "channels", error);
    return REJECTD_OK;
}

static enum rejectd_status read_part(const struct fif_leftover *head, size_t part,
                                     struct fif_info *info, struct fif_join *join,
                                     struct rejectd_error *error)
{
    const struct fif_head bytes = {head->head, head->head_size, head->samples_at};
    struct fif_info own = {0};
    if (head->head == NULL || head->samples_at < FIF_HEADER_SIZE ||
        head->samples_at > head->head_size)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                            "the head of part %zu of the FIF file is damaged", part + 1);
    enum rejectd_status status = fif_info_read(&bytes, &own, error);
    if (status != REJECTD_OK)
        return status;
    const size_t n_epochs = own.description.n_epochs;
    if (part == 0)
        *info = own;
    else
        status = check_info(info, &own, part, error);
    if (part > 0)
        fif_info_clear(&own);
    if (status != REJECTD_OK)
        return status;
    join->n_parts = part + 1;
    join->n_epochs += n_epochs;
    return fif_epochs_read(&bytes, n_epochs, &join->parts[part], error);
}

static int compare_samples(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Whoever reads the parts finds an epoch by the sample of its event. */
static enum rejectd_status check_events(const struct fif_join *join, struct rejectd_error *error)
{
    if (join->n_parts == 1)
        return REJECTD_OK;
    enum rejectd_status status = REJECTD_OK;
    int32_t *samples = malloc(join->n_epochs * sizeof *samples + 1);
    size_t n = 0;
    if (samples == NULL)
        return REJECTD_FAIL_MEMORY(error, join->n_epochs * sizeof *samples);
    for (size_t p = 0; p < join->n_parts; p++)
        for (size_t i = 0; i < join->parts[p].n_epochs; i++)
            samples[n++] = fif_get_i32(join->parts[p].events + 12 * i);
    qsort(samples, n, sizeof *samples, compare_samples);
    for (size_t i = 1; i < n && status == REJECTD_OK; i++)
        if (samples[i] == samples[i - 1])
            status = REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "events",
                                  "two events of the parts of the FIF file are at sample %d; they "
                                  "must be unique",
                                  (int)samples[i]);
    free(samples);
    return status;
}

static bool is_ignored(const struct fif_span *entry)
{
    return entry->length == fif_log_ignored.length &&
           memcmp(entry->text, fif_log_ignored.text, entry->length) == 0;
}

static enum rejectd_status check_together(const struct fif_join *join, struct rejectd_error *error)
{
    for (size_t p = 1; p < join->n_parts; p++) {
        const struct fif_epochs *first = &join->parts[0], *other = &join->parts[p];
        if (other->has_metadata != first->has_metadata)
            return mismatch(p, "metadata", error);
        if (other->has_log != first->has_log || other->n_log != first->n_log ||
            (other->selection == NULL) != (first->selection == NULL))
            return mismatch(p, "original epochs (drop log)", error);
    }
    return REJECTD_OK;
}

/* A file without a log, as MNE-Python before 0.8 wrote it, has lost nothing. */
static size_t count_log(const struct fif_join *join)
{
    size_t n = join->parts[0].n_log;
    for (size_t p = 0; p < join->n_parts && !join->parts[0].has_log; p++)
        for (size_t i = 0; i < join->parts[p].n_epochs; i++)
            if (fif_epochs_selected(&join->parts[p], i) >= n)
                n = fif_epochs_selected(&join->parts[p], i) + 1;
    return n;
}

static enum rejectd_status join_logs(struct fif_join *join, struct rejectd_error *error)
{
    join->n_log = count_log(join);
    join->log = malloc(join->n_log * sizeof *join->log + 1);
    if (join->log == NULL)
        return REJECTD_FAIL_MEMORY(error, join->n_log * sizeof *join->log);
    for (size_t k = 0; k < join->n_log; k++) {
        join->log[k] = fif_log_ignored;
        for (size_t p = 0; p < join->n_parts && is_ignored(&join->log[k]); p++)
            if (join->parts[p].has_log)
                join->log[k] = join->parts[p].log[k];
    }
    for (size_t p = 0; p < join->n_parts && !join->parts[0].has_log; p++)
        for (size_t i = 0; i < join->parts[p].n_epochs; i++)
            join->log[fif_epochs_selected(&join->parts[p], i)] = log_kept;
    return REJECTD_OK;
}

enum rejectd_status fif_join_read(const struct fif_leftover *heads, size_t n_heads,
                                  struct fif_info *info, struct fif_join *join,
                                  struct rejectd_error *error)
{
    *info = (struct fif_info){0};
    *join = (struct fif_join){0};
    enum rejectd_status status = REJECTD_OK;
    if (n_heads == 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "",
                            "there is no head of a FIF file to write epochs with");
    join->parts = calloc(n_heads, sizeof *join->parts);
    if (join->parts == NULL)
        return REJECTD_FAIL_MEMORY(error, n_heads * sizeof *join->parts);
    for (size_t p = 0; p < n_heads && status == REJECTD_OK; p++)
        status = read_part(&heads[p], p, info, join, error);
    if (status == REJECTD_OK && (status = check_together(join, error)) == 0 &&
        (status = check_events(join, error)) == 0)
        status = join_logs(join, error);
    join->has_metadata = status == REJECTD_OK && join->parts[0].has_metadata;
    if (status != REJECTD_OK) {
        fif_join_clear(join);
        fif_info_clear(info);
    }
    return status;
}
