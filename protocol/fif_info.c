/*
 * The head of a FIF file as a description of its epochs.
 *
 * The head is walked once for each subject: numbers, channels, their long names, and (in
 * fif_sensors.c) what lies around them. That is cheaper to read than one walk that does all, and
 * the order of the tags, which differs between programs, doesn't matter.
 */
#include "protocol/fif_info.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNEL_SIZE = 96, LOC_NUMBERS = 12 };

enum kind {
    KIND_MEG = 1,
    KIND_EEG = 2,
    KIND_STIM = 3,
    KIND_EOG = 202,
    KIND_EMG = 302,
    KIND_ECG = 402,
    KIND_SEEG = 802,
    KIND_ECOG = 902,
    KIND_FNIRS = 1100,
};

enum { UNIT_T = 112, UNIT_T_M = 201 };
enum { COIL_EEG_CSD = 6, COIL_HBO = 300, COIL_HBR = 301 };

/* A channel of the file, and what decides its type. */
struct entry {
    int32_t kind;
    int32_t unit;
    int32_t coil;
    float cal;
    float loc[LOC_NUMBERS];
};

void fif_info_clear(struct fif_info *info)
{
    dataset_description_clear(&info->description);
    free(info->cals);
    *info = (struct fif_info){0};
}

/* The header of the samples' tag is all that a head surely has of it. */
static enum rejectd_status read_samples_header(const struct fif_head *head, struct fif_info *info,
                                               size_t *n_samples, struct rejectd_error *error)
{
    const unsigned char *header =
        (const unsigned char *)head->bytes + head->samples_at - FIF_HEADER_SIZE;
    const uint32_t type = fif_get_u32(header + 4);
    const size_t size = fif_get_u32(header + 8);
    if (type != (FIF_MATRIX | FIF_FLOAT) && type != (FIF_MATRIX | FIF_DOUBLE))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "dtype",
                            "the epochs of the FIF file (tag 302) have type 0x%x; real matrices of "
                            "single (0x40000004) or double precision (0x40000005) are accepted",
                            (unsigned)type);
    info->stored_double = type == (FIF_MATRIX | FIF_DOUBLE);
    const size_t item = info->stored_double ? 8 : 4;
    if (size < FIF_DIMENSIONS_SIZE || (size - FIF_DIMENSIONS_SIZE) % item != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "shape",
                            "the epochs of the FIF file (tag 302) have %zu bytes, which is no "
                            "matrix of (epochs, channels, times)",
                            size);
    *n_samples = (size - FIF_DIMENSIONS_SIZE) / item;
    return REJECTD_OK;
}

static enum rejectd_status missing(const char *what, struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                        "the FIF file has no %s before its epochs (tag 302)", what);
}

struct numbers {
    int32_t n_channels, first, last;
    float sfreq;
    bool has_n_channels, has_first, has_last, has_sfreq;
};

static enum rejectd_status read_number(const struct fif_walk *walk, const struct fif_tag *tag,
                                       struct numbers *numbers, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    if (fif_blocks_in_epochs(&walk->blocks)) {
        if (tag->kind == FIF_FIRST_SAMPLE) {
            status = fif_tag_i32(tag, &numbers->first, error);
            numbers->has_first = true;
        } else if (tag->kind == FIF_LAST_SAMPLE) {
            status = fif_tag_i32(tag, &numbers->last, error);
            numbers->has_last = true;
        }
    } else if (fif_blocks_innermost(&walk->blocks) == FIF_MEAS_INFO) {
        if (tag->kind == FIF_N_CHANNELS) {
            status = fif_tag_i32(tag, &numbers->n_channels, error);
            numbers->has_n_channels = true;
        } else if (tag->kind == FIF_SFREQ) {
            status = fif_tag_f32(tag, &numbers->sfreq, error);
            numbers->has_sfreq = true;
        }
    }
    return status;
}

static enum rejectd_status check_numbers(const struct numbers *n, size_t n_samples,
                                         struct dataset_description *d, struct rejectd_error *error)
{
    if (!n->has_n_channels)
        return missing("number of channels (tag 200)", error);
    if (!n->has_sfreq)
        return missing("sampling rate (tag 201)", error);
    if (!n->has_first || !n->has_last)
        return missing("first and last sample (tags 208 and 209)", error);
    if (n->n_channels < 1 || n->n_channels > REJECTD_MAX_CHANNELS)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "n_channels",
                            "tag 200 of the FIF file says %d channels; 1 to %d are accepted",
                            (int)n->n_channels, REJECTD_MAX_CHANNELS);
    if (!(n->sfreq > 0) || !isfinite(n->sfreq))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "sfreq",
                            "tag 201 of the FIF file says %g Hz; a finite number above 0 is "
                            "accepted",
                            (double)n->sfreq);
    const int64_t n_times = (int64_t)n->last - n->first + 1;
    if (n_times < 1 || n_times > REJECTD_MAX_TIMES)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "n_times",
                            "the epochs of the FIF file go from sample %d to %d (tags 208 and "
                            "209); 1 to %d samples are accepted",
                            (int)n->first, (int)n->last, REJECTD_MAX_TIMES);
    d->n_channels = (size_t)n->n_channels;
    d->n_times = (size_t)n_times;
    d->sfreq = (double)n->sfreq;
    d->tmin = n->first / d->sfreq;
    if (n_samples == 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "n_epochs",
                            "the FIF file has no epochs: all were dropped before it was saved");
    const size_t per_epoch = d->n_channels * d->n_times;
    d->n_epochs = n_samples / per_epoch;
    if (n_samples % per_epoch != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "shape",
                            "the epochs of the FIF file (tag 302) have %zu samples, no multiple of "
                            "%zu channels x %zu times",
                            n_samples, d->n_channels, d->n_times);
    return REJECTD_OK;
}

static enum rejectd_status read_numbers(const struct fif_head *head, size_t n_samples,
                                        struct dataset_description *d, struct rejectd_error *error)
{
    struct numbers numbers = {0};
    struct fif_walk walk;
    struct fif_tag tag;
    enum rejectd_status status = REJECTD_OK;
    fif_walk_begin(&walk, head->bytes, head->size, head->samples_at);
    while (status == REJECTD_OK && fif_walk_next(&walk, &tag) && !tag.is_samples)
        status = read_number(&walk, &tag, &numbers, error);
    return status == REJECTD_OK ? check_numbers(&numbers, n_samples, d, error) : status;
}

/* ---- channels ---- */

static void read_loc(const unsigned char *from, float loc[LOC_NUMBERS])
{
    for (size_t i = 0; i < LOC_NUMBERS; i++)
        loc[i] = fif_get_f32(from + 4 * i);
}

static enum rejectd_status check_name_length(size_t needed, size_t channel,
                                             struct rejectd_error *error)
{
    if (needed < REJECTD_NAME_SIZE)
        return REJECTD_OK;
    char field[64];
    snprintf(field, sizeof field, "channels[%zu].name", channel);
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                        "a channel name has 1 to %d bytes of UTF-8, this one has %zu",
                        REJECTD_NAME_SIZE - 1, needed);
}

/* Tag 203. */
static enum rejectd_status read_channel(const struct fif_tag *tag, size_t index,
                                        struct entry *entry, struct rejectd_channel *channel,
                                        struct rejectd_error *error)
{
    enum rejectd_status status = fif_tag_check(tag, FIF_CHANNEL_STRUCT, CHANNEL_SIZE, 1, error);
    if (status != REJECTD_OK)
        return status;
    entry->kind = fif_get_i32(tag->data + 8);
    entry->cal = fif_get_f32(tag->data + 16);
    entry->coil = fif_get_i32(tag->data + 20);
    read_loc(tag->data + 24, entry->loc);
    entry->unit = fif_get_i32(tag->data + 72);
    return check_name_length(
        fif_text_short_name(tag->data + 80, 16, channel->name, sizeof channel->name), index, error);
}

static enum rejectd_status read_channels(const struct fif_head *head, struct entry *entries,
                                         struct dataset_description *d, struct rejectd_error *error)
{
    struct fif_walk walk;
    struct fif_tag tag;
    size_t n = 0;
    enum rejectd_status status = REJECTD_OK;
    fif_walk_begin(&walk, head->bytes, head->size, head->samples_at);
    while (status == REJECTD_OK && fif_walk_next(&walk, &tag) && !tag.is_samples) {
        if (tag.kind != FIF_CHANNEL || fif_blocks_innermost(&walk.blocks) != FIF_MEAS_INFO)
            continue;
        if (n < d->n_channels)
            status = read_channel(&tag, n, &entries[n], &d->channels[n], error);
        n++;
    }
    if (status == REJECTD_OK && n != d->n_channels)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "channels",
                            "the FIF file has information about %zu channels (tag 203) but says "
                            "that it has %zu (tag 200)",
                            n, d->n_channels);
    return status;
}

/* A tag of block 113, which repeats what tag 203 says and has the whole name. */
static enum rejectd_status read_extra(const struct fif_tag *tag, size_t index, struct entry *entry,
                                      struct rejectd_channel *channel, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    switch (tag->kind) {
    case FIF_CHANNEL_KIND:
        return fif_tag_i32(tag, &entry->kind, error);
    case FIF_CHANNEL_CAL:
        return fif_tag_f32(tag, &entry->cal, error);
    case FIF_CHANNEL_COIL:
        return fif_tag_i32(tag, &entry->coil, error);
    case FIF_CHANNEL_UNIT:
        return fif_tag_i32(tag, &entry->unit, error);
    case FIF_CHANNEL_LOC:
        status = fif_tag_check(tag, FIF_FLOAT, 4, LOC_NUMBERS, error);
        if (status == REJECTD_OK)
            read_loc(tag->data, entry->loc);
        return status;
    case FIF_CHANNEL_NAME:
        status = fif_tag_check(tag, FIF_STRING, 1, 0, error);
        if (status != REJECTD_OK)
            return status;
        return check_name_length(
            fif_text_utf8(tag->data, tag->size, channel->name, sizeof channel->name), index, error);
    default:
        return REJECTD_OK;
    }
}

/* The blocks with long names are in the order of the channels, one for each or none at all. */
static enum rejectd_status read_extras(const struct fif_head *head, struct entry *entries,
                                       struct dataset_description *d, struct rejectd_error *error)
{
    struct fif_walk walk;
    struct fif_tag tag;
    size_t n = 0;
    enum rejectd_status status = REJECTD_OK;
    fif_walk_begin(&walk, head->bytes, head->size, head->samples_at);
    while (status == REJECTD_OK && fif_walk_next(&walk, &tag) && !tag.is_samples) {
        if (!fif_blocks_contain(&walk.blocks, FIF_MEAS_INFO))
            continue;
        if (walk.opens == FIF_CHANNEL_EXTRA)
            n++;
        else if (fif_blocks_innermost(&walk.blocks) == FIF_CHANNEL_EXTRA && n <= d->n_channels)
            status = read_extra(&tag, n - 1, &entries[n - 1], &d->channels[n - 1], error);
    }
    if (status == REJECTD_OK && n != 0 && n != d->n_channels)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "channels",
                            "the FIF file has %zu long channel names (block 113) for %zu channels",
                            n, d->n_channels);
    return status;
}

static enum rejectd_channel_type type_of(const struct entry *entry)
{
    switch (entry->kind) {
    case KIND_MEG:
        return entry->unit == UNIT_T_M ? REJECTD_CHANNEL_GRAD
               : entry->unit == UNIT_T ? REJECTD_CHANNEL_MAG
                                       : REJECTD_CHANNEL_MISC;
    case KIND_EEG:
        return entry->coil == COIL_EEG_CSD ? REJECTD_CHANNEL_MISC : REJECTD_CHANNEL_EEG;
    case KIND_STIM:
        return REJECTD_CHANNEL_STIM;
    case KIND_EOG:
        return REJECTD_CHANNEL_EOG;
    case KIND_EMG:
        return REJECTD_CHANNEL_EMG;
    case KIND_ECG:
        return REJECTD_CHANNEL_ECG;
    case KIND_SEEG:
        return REJECTD_CHANNEL_SEEG;
    case KIND_ECOG:
        return REJECTD_CHANNEL_ECOG;
    case KIND_FNIRS:
        return entry->coil == COIL_HBO   ? REJECTD_CHANNEL_HBO
               : entry->coil == COIL_HBR ? REJECTD_CHANNEL_HBR
                                         : REJECTD_CHANNEL_MISC;
    default:
        return REJECTD_CHANNEL_MISC;
    }
}

/* The loc of channels without a place on the head (triggers, gaze, reference coils) holds other
 * things or nothing, and is left to the file. */
static void place(const struct entry *entry, struct rejectd_channel *channel)
{
    channel->type = type_of(entry);
    channel->has_coil_type = true;
    channel->coil_type = entry->coil;
    if (channel->type == REJECTD_CHANNEL_MISC || channel->type == REJECTD_CHANNEL_STIM)
        return;
    channel->has_loc = true;
    for (size_t i = 0; i < LOC_NUMBERS; i++)
        channel->loc[i] = isfinite(entry->loc[i]) ? (double)entry->loc[i] : NAN;
    const double *p = channel->loc;
    const bool is_meg =
        channel->type == REJECTD_CHANNEL_MAG || channel->type == REJECTD_CHANNEL_GRAD;
    if (is_meg || isnan(p[0] + p[1] + p[2]) || (p[0] == 0.0 && p[1] == 0.0 && p[2] == 0.0))
        return;
    channel->has_position = true;
    memcpy(channel->position, p, sizeof channel->position);
}

static enum rejectd_status take_cals(const struct entry *entries, struct fif_info *info,
                                     struct rejectd_error *error)
{
    const size_t n = info->description.n_channels;
    info->cals = malloc(n * sizeof *info->cals);
    if (info->cals == NULL)
        return REJECTD_FAIL_MEMORY(error, n * sizeof *info->cals);
    for (size_t i = 0; i < n; i++) {
        info->cals[i] = (double)entries[i].cal;
        info->calibrated |= info->cals[i] != 1.0;
        if (!isfinite(info->cals[i]) || info->cals[i] == 0.0) {
            char field[64];
            snprintf(field, sizeof field, "channels[%zu]", i);
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                                "is calibrated with %g in the FIF file; a finite number but 0 is "
                                "accepted",
                                info->cals[i]);
        }
    }
    return REJECTD_OK;
}

static enum rejectd_status read_all_channels(const struct fif_head *head, struct entry *entries,
                                             struct rejectd_channel *short_names,
                                             struct fif_info *info, struct rejectd_error *error)
{
    struct dataset_description *d = &info->description;
    enum rejectd_status status = read_channels(head, entries, d, error);
    if (status != REJECTD_OK)
        return status;
    memcpy(short_names, d->channels, d->n_channels * sizeof *short_names);
    if ((status = read_extras(head, entries, d, error)) != 0 ||
        (status = take_cals(entries, info, error)) != 0)
        return status;
    for (size_t i = 0; i < d->n_channels; i++)
        place(&entries[i], &d->channels[i]);
    d->dtype = info->stored_double || info->calibrated ? REJECTD_FLOAT64 : REJECTD_FLOAT32;
    status = dataset_description_check(d, error);
    return status == REJECTD_OK ? fif_sensors_read(head, short_names, d, error) : status;
}

enum rejectd_status fif_info_read(const struct fif_head *head, struct fif_info *info,
                                  struct rejectd_error *error)
{
    *info = (struct fif_info){0};
    struct dataset_description *d = &info->description;
    struct entry *entries = NULL;
    struct rejectd_channel *short_names = NULL;
    size_t n_samples = 0;
    enum rejectd_status status;
    if ((status = read_samples_header(head, info, &n_samples, error)) != 0 ||
        (status = read_numbers(head, n_samples, d, error)) != 0)
        goto cleanup;
    entries = calloc(d->n_channels, sizeof *entries);
    short_names = calloc(d->n_channels, sizeof *short_names);
    d->channels = calloc(d->n_channels, sizeof *d->channels);
    if (entries == NULL || short_names == NULL || d->channels == NULL)
        status = REJECTD_FAIL_MEMORY(error, d->n_channels * sizeof *d->channels);
    else
        status = read_all_channels(head, entries, short_names, info, error);
cleanup:
    free(entries);
    free(short_names);
    if (status != REJECTD_OK)
        fif_info_clear(info);
    return status;
}

struct fif_layout fif_info_layout(const struct fif_info *info)
{
    return (struct fif_layout){
        .n_channels = info->description.n_channels,
        .n_times = info->description.n_times,
        .stored_double = info->stored_double,
        .dtype = info->description.dtype,
        .factors = info->calibrated ? info->cals : NULL,
    };
}
