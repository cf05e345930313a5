#include "protocol/dataset_npz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/channel_index.h"
#include "protocol/dataset_parts.h"
#include "protocol/names.h"
#include "protocol/npz_names.h"

/* Of the events, the largest of the small members. */
enum { MAX_SMALL_BYTES = REJECTD_MAX_EPOCHS * 3 * 8 + NPY_MAX_HEADER };

static enum rejectd_status read_shape(const struct npz_archive *archive, size_t max_sample_bytes,
                                      struct dataset_description *d, struct rejectd_error *error)
{
    const struct npz_member *member;
    struct npy_header header;
    npz_find(archive, "data", &member);
    if (member == NULL)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data",
                            "is missing; the .npz needs a member \"data\" of shape (n_epochs, "
                            "n_channels, n_times)");
    enum rejectd_status status = npz_member_header(archive, member, &header, error);
    if (status != REJECTD_OK)
        return status;
    if (header.descr[1] != 'f' || header.n_dimensions != 3)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data",
                            "has dtype '%s' and %zu dimensions; float32 or float64 of shape "
                            "(n_epochs, n_channels, n_times) is accepted",
                            header.descr, header.n_dimensions);
    if (header.data_bytes > max_sample_bytes)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "data",
                            "has %zu bytes of samples; at most %zu are accepted", header.data_bytes,
                            max_sample_bytes);
    d->n_epochs = header.shape[0];
    d->n_channels = header.shape[1];
    d->n_times = header.shape[2];
    d->dtype = header.item_size == sizeof(float) ? REJECTD_FLOAT32 : REJECTD_FLOAT64;
    if (d->n_epochs == 0 || d->n_epochs > REJECTD_MAX_EPOCHS || d->n_channels == 0 ||
        d->n_channels > REJECTD_MAX_CHANNELS || d->n_times == 0 || d->n_times > REJECTD_MAX_TIMES)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data",
                            "has shape (%zu, %zu, %zu); 1 to %d epochs, 1 to %d channels and 1 to "
                            "%d times are accepted",
                            d->n_epochs, d->n_channels, d->n_times, REJECTD_MAX_EPOCHS,
                            REJECTD_MAX_CHANNELS, REJECTD_MAX_TIMES);
    return REJECTD_OK;
}

/* A member that must be there, of that kind and shape. */
static enum rejectd_status require(const struct npz_archive *archive, const char *name,
                                   enum npz_kind kind, size_t n_dimensions, const size_t *shape,
                                   struct npz_array *array, struct rejectd_error *error)
{
    enum rejectd_status status = npz_array_read(archive, name, MAX_SMALL_BYTES, array, error);
    if (status == REJECTD_OK)
        status = npz_array_check(array, kind, n_dimensions, shape, error);
    return status;
}

/* The same for one that may be missing: array->memory is then NULL. */
static enum rejectd_status look_for(const struct npz_archive *archive, const char *name,
                                    enum npz_kind kind, size_t n_dimensions, const size_t *shape,
                                    struct npz_array *array, struct rejectd_error *error)
{
    const struct npz_member *member;
    *array = (struct npz_array){0};
    npz_find(archive, name, &member);
    return member == NULL ? REJECTD_OK
                          : require(archive, name, kind, n_dimensions, shape, array, error);
}

static enum rejectd_status read_scalar(const struct npz_archive *archive, const char *name,
                                       bool required, double *out, struct rejectd_error *error)
{
    struct npz_array array = {0};
    enum rejectd_status status =
        (required ? require : look_for)(archive, name, NPZ_NUMBERS, 0, NULL, &array, error);
    if (status == REJECTD_OK && array.memory != NULL)
        *out = npz_array_number(&array, 0);
    npz_array_free(&array);
    return status;
}

static enum rejectd_status read_names(const struct npz_archive *archive,
                                      struct dataset_description *d, struct rejectd_error *error)
{
    struct npz_array array = {0};
    char(*names)[REJECTD_NAME_SIZE] = calloc(d->n_channels, sizeof *names);
    d->channels = calloc(d->n_channels, sizeof *d->channels);
    enum rejectd_status status;
    if (names == NULL || d->channels == NULL)
        status = REJECTD_FAIL_MEMORY(error, d->n_channels * sizeof *d->channels);
    else if ((status = require(archive, "ch_names", NPZ_TEXTS, 1, &d->n_channels, &array, error)) ==
             REJECTD_OK)
        status = npz_names(&array, names, error);
    for (size_t c = 0; c < d->n_channels && status == REJECTD_OK; c++)
        memcpy(d->channels[c].name, names[c], sizeof names[c]);
    free(names);
    npz_array_free(&array);
    return status;
}

static enum rejectd_status read_types(const struct npz_archive *archive,
                                      struct dataset_description *d, struct rejectd_error *error)
{
    struct npz_array array = {0};
    enum rejectd_status status =
        require(archive, "ch_types", NPZ_TEXTS, 1, &d->n_channels, &array, error);
    for (size_t c = 0; c < d->n_channels && status == REJECTD_OK; c++) {
        char type[32] = "", field[64];
        if (npz_array_text(&array, c, type, sizeof type) &&
            channel_type_from_name(type, &d->channels[c].type))
            continue;
        snprintf(field, sizeof field, "ch_types[%zu]", c);
        status = REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                              "is \"%s\", no channel type; \"eeg\", \"mag\", \"grad\", \"ecog\", "
                              "\"seeg\", \"hbo\", \"hbr\", \"eog\", \"ecg\", \"emg\", \"stim\" and "
                              "\"misc\" are",
                              type);
    }
    npz_array_free(&array);
    return status;
}

static enum rejectd_status read_bads(const struct npz_archive *archive,
                                     struct dataset_description *d, struct rejectd_error *error)
{
    struct npz_array array = {0};
    struct channel_index index = {0};
    enum rejectd_status status = npz_array_read(archive, "bads", MAX_SMALL_BYTES, &array, error);
    /* An empty list has become an array of float64. */
    if (status == REJECTD_OK && array.memory != NULL && array.count > 0) {
        status = npz_array_check(&array, NPZ_TEXTS, 1, &array.count, error);
        if (status == REJECTD_OK)
            status = channel_index_init(&index, d->channels, d->n_channels, error);
        for (size_t i = 0; i < array.count && status == REJECTD_OK; i++) {
            char name[REJECTD_NAME_SIZE] = "", field[64];
            const long c = npz_array_text(&array, i, name, sizeof name)
                               ? channel_index_find(&index, name)
                               : CHANNEL_INDEX_NONE;
            if (c != CHANNEL_INDEX_NONE) {
                d->channels[c].bad = true;
                continue;
            }
            snprintf(field, sizeof field, "bads[%zu]", i);
            status = REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                                  "\"%s\" is not among ch_names", name);
        }
        channel_index_free(&index);
    }
    npz_array_free(&array);
    return status;
}

static enum rejectd_status read_positions(const struct npz_archive *archive,
                                          struct dataset_description *d,
                                          struct rejectd_error *error)
{
    struct npz_array positions = {0}, loc = {0};
    const size_t shape[2] = {d->n_channels, 3}, loc_shape[2] = {d->n_channels, 12};
    enum rejectd_status status =
        look_for(archive, "positions", NPZ_NUMBERS, 2, shape, &positions, error);
    if (status == REJECTD_OK)
        status = look_for(archive, "loc", NPZ_NUMBERS, 2, loc_shape, &loc, error);
    for (size_t c = 0; c < d->n_channels && status == REJECTD_OK; c++) {
        struct rejectd_channel *channel = &d->channels[c];
        for (size_t i = 0; i < 3 && positions.memory != NULL; i++)
            channel->position[i] = npz_array_number(&positions, 3 * c + i);
        const double *p = channel->position;
        channel->has_position =
            positions.memory != NULL && !isnan(p[0]) && !isnan(p[1]) && !isnan(p[2]);
        for (size_t i = 0; i < 12 && loc.memory != NULL; i++) {
            const double number = npz_array_number(&loc, 12 * c + i);
            channel->loc[i] = isfinite(number) ? number : NAN;
        }
        channel->has_loc = loc.memory != NULL;
        if (channel->has_loc)
            dataset_channel_place(channel);
        if (!channel->has_position)
            memset(channel->position, 0, sizeof channel->position);
    }
    npz_array_free(&positions);
    npz_array_free(&loc);
    return status;
}

static enum rejectd_status read_coils(const struct npz_archive *archive,
                                      struct dataset_description *d, struct rejectd_error *error)
{
    struct npz_array array;
    enum rejectd_status status =
        look_for(archive, "coil_type", NPZ_INTEGERS, 1, &d->n_channels, &array, error);
    for (size_t c = 0; c < d->n_channels && status == REJECTD_OK && array.memory != NULL; c++) {
        int64_t code;
        if (!npz_array_integer(&array, c, &code) || code < INT32_MIN || code > INT32_MAX) {
            char field[64];
            snprintf(field, sizeof field, "coil_type[%zu]", c);
            status = REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                                  "does not fit 32 bits; FIFF codes are accepted");
        } else {
            d->channels[c].has_coil_type = true;
            d->channels[c].coil_type = (int32_t)code;
        }
    }
    npz_array_free(&array);
    return status;
}

static enum rejectd_status read_device_to_head(const struct npz_archive *archive,
                                               struct dataset_description *d,
                                               struct rejectd_error *error)
{
    struct npz_array array;
    const size_t shape[2] = {4, 4};
    enum rejectd_status status =
        look_for(archive, "device_to_head", NPZ_NUMBERS, 2, shape, &array, error);
    for (size_t i = 0; i < 16 && status == REJECTD_OK && array.memory != NULL; i++) {
        d->device_to_head[i / 4][i % 4] = npz_array_number(&array, i);
        if (!isfinite(d->device_to_head[i / 4][i % 4]))
            status = REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "device_to_head",
                                  "must hold finite numbers");
    }
    d->has_device_to_head = array.memory != NULL;
    npz_array_free(&array);
    return status;
}

/* Kept as JSON, as those of a posted description are. */
static enum rejectd_status read_events(const struct npz_archive *archive,
                                       struct dataset_description *d, struct rejectd_error *error)
{
    struct npz_array array;
    const size_t shape[2] = {d->n_epochs, 3};
    struct buffer text;
    buffer_init(&text, (size_t)1 << 30);
    enum rejectd_status status = look_for(archive, "events", NPZ_INTEGERS, 2, shape, &array, error);
    for (size_t i = 0; i < array.count && status == REJECTD_OK; i++) {
        int64_t value;
        if (!npz_array_integer(&array, i, &value)) {
            status = REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "events",
                                  "must hold integers of at most 63 bits");
            break;
        }
        buffer_append_text(&text, i == 0 ? "[[" : i % 3 == 0 ? "],[" : ",");
        buffer_append_format(&text, "%lld", (long long)value);
    }
    if (status == REJECTD_OK && array.memory != NULL) {
        buffer_append_text(&text, "]]");
        d->events_json = buffer_take(&text, NULL);
        if (d->events_json == NULL)
            status = REJECTD_FAIL_MEMORY(error, array.count * 8);
    }
    buffer_free(&text);
    npz_array_free(&array);
    return status;
}

enum rejectd_status dataset_npz_describe(const void *bytes, size_t length, size_t max_sample_bytes,
                                         struct dataset_description *d, struct rejectd_error *error)
{
    *d = (struct dataset_description){0};
    struct npz_archive archive;
    enum rejectd_status status = npz_open(bytes, length, &archive, error);
    if (status != REJECTD_OK)
        return status;
    if ((status = read_shape(&archive, max_sample_bytes, d, error)) == REJECTD_OK &&
        (status = read_scalar(&archive, "sfreq", true, &d->sfreq, error)) == REJECTD_OK &&
        (status = read_scalar(&archive, "tmin", false, &d->tmin, error)) == REJECTD_OK &&
        (status = read_names(&archive, d, error)) == REJECTD_OK &&
        (status = read_types(&archive, d, error)) == REJECTD_OK &&
        (status = read_bads(&archive, d, error)) == REJECTD_OK &&
        (status = read_positions(&archive, d, error)) == REJECTD_OK &&
        (status = read_coils(&archive, d, error)) == REJECTD_OK &&
        (status = read_device_to_head(&archive, d, error)) == REJECTD_OK &&
        (status = read_events(&archive, d, error)) == REJECTD_OK)
        status = dataset_description_check(d, error);
    npz_close(&archive);
    if (status != REJECTD_OK)
        dataset_description_clear(d);
    return status;
}
