/*
 * Inline samples.
 *
 * Nested arrays cost jansson some forty bytes a sample and are meant for small datasets and for
 * trying things out by hand; base64 is decoded straight into the samples, whose size is known
 * before.
 */
#include <float.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "protocol/dataset_parts.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "samples are little-endian on the wire and used as they come");

/* Unlike isfinite() on memory of any alignment, these loops vectorise. */
static bool block32_is_finite(const unsigned char *bytes, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return bad == 0;
}

static bool block64_is_finite(const unsigned char *bytes, size_t count)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
        bad |= (bits & 0x7ff0000000000000u) == 0x7ff0000000000000u;
    }
    return bad == 0;
}

bool samples_are_finite(const void *samples, enum rejectd_dtype dtype, size_t count, size_t *index)
{
    bool single = dtype == REJECTD_FLOAT32;
    size_t item = single ? sizeof(float) : sizeof(double);
    const unsigned char *bytes = samples;
    for (size_t begin = 0; begin < count;) {
        size_t n = count - begin < 1024 ? count - begin : 1024;
        if (single ? block32_is_finite(bytes + begin * item, n)
                   : block64_is_finite(bytes + begin * item, n)) {
            begin += n;
            continue;
        }
        while (single ? block32_is_finite(bytes + begin * item, 1)
                      : block64_is_finite(bytes + begin * item, 1))
            begin++;
        *index = begin;
        return false;
    }
    return true;
}

static enum rejectd_status wrong_length(const char *field, const char *what, size_t is,
                                        size_t expected, struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field, "has %zu %s; %zu are expected", is,
                        what, expected);
}

/* ---- nested arrays ---- */

static enum rejectd_status nested_shape(const json_t *data, struct dataset_description *d,
                                        struct rejectd_error *error)
{
    size_t n_epochs = json_array_size(data);
    if (d->n_epochs == 0)
        d->n_epochs = n_epochs;
    if (n_epochs == 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data",
                            "holds no epoch; [epoch][channel][time] is expected");
    if (n_epochs != d->n_epochs)
        return wrong_length("data", "epochs", n_epochs, d->n_epochs, error);
    const json_t *epoch = json_array_get(data, 0);
    if (!json_is_array(epoch))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data[0]",
                            "must be an array of channels, not %s", json_kind(epoch));
    const json_t *channel = json_array_get(epoch, 0);
    if (d->n_times == 0 && channel != NULL) {
        if (!json_is_array(channel))
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data[0][0]",
                                "must be an array of numbers, not %s", json_kind(channel));
        if (json_array_size(channel) == 0)
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data[0][0]",
                                "holds no sample; at least one is expected");
        d->n_times = json_array_size(channel);
    }
    if (json_array_size(epoch) != d->n_channels)
        return wrong_length("data[0]", "channels", json_array_size(epoch), d->n_channels, error);
    return REJECTD_OK;
}

static enum rejectd_status sample_fail(size_t e, size_t c, size_t t, const json_t *value,
                                       struct rejectd_error *error)
{
    char field[80];
    snprintf(field, sizeof field, "data[%zu][%zu][%zu]", e, c, t);
    if (!json_is_number(value))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field, "must be a number, not %s",
                            json_kind(value));
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                        "is %g, which is too large for dtype float32", json_number_value(value));
}

static enum rejectd_status check_epoch(const json_t *epoch, size_t e,
                                       const struct dataset_description *d,
                                       struct rejectd_error *error)
{
    char field[64];
    snprintf(field, sizeof field, "data[%zu]", e);
    if (!json_is_array(epoch))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                            "must be an array of %zu channels, not %s", d->n_channels,
                            json_kind(epoch));
    if (json_array_size(epoch) != d->n_channels)
        return wrong_length(field, "channels", json_array_size(epoch), d->n_channels, error);
    for (size_t c = 0; c < d->n_channels; c++) {
        const json_t *row = json_array_get(epoch, c);
        if (json_is_array(row) && json_array_size(row) == d->n_times)
            continue;
        snprintf(field, sizeof field, "data[%zu][%zu]", e, c);
        if (json_is_array(row))
            return wrong_length(field, "samples", json_array_size(row), d->n_times, error);
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, field,
                            "must be an array of %zu numbers, not %s", d->n_times, json_kind(row));
    }
    return REJECTD_OK;
}

/* Every row, before memory is taken for what a ragged array may only promise. */
static enum rejectd_status check_nested(const json_t *data, const struct dataset_description *d,
                                        struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    for (size_t e = 0; e < d->n_epochs && status == REJECTD_OK; e++)
        status = check_epoch(json_array_get(data, e), e, d, error);
    return status;
}

static enum rejectd_status read_nested(const json_t *data, const struct dataset_description *d,
                                       void *samples, struct rejectd_error *error)
{
    bool single = d->dtype == REJECTD_FLOAT32;
    size_t i = 0;
    for (size_t e = 0; e < d->n_epochs; e++)
        for (size_t c = 0; c < d->n_channels; c++) {
            const json_t *row = json_array_get(json_array_get(data, e), c);
            for (size_t t = 0; t < d->n_times; t++, i++) {
                const json_t *value = json_array_get(row, t);
                double number = json_number_value(value);
                if (!json_is_number(value) || (single && fabs(number) > FLT_MAX))
                    return sample_fail(e, c, t, value, error);
                if (single)
                    ((float *)samples)[i] = (float)number;
                else
                    ((double *)samples)[i] = number;
            }
        }
    return REJECTD_OK;
}

/* ---- base64 ---- */

/* The characters of the base64 string: in the blob when it was long, else in the document. */
static enum rejectd_status open_base64(json_t *data, const struct json_blob *blob,
                                       struct json_blob *text, struct rejectd_error *error)
{
    struct json_object object;
    enum rejectd_status status;
    if ((status = json_object_open(data, "data", &object, error)) != 0 ||
        (status = JSON_CHECK_FIELDS(&object, "base64")) != 0 ||
        (status = json_require(&object, "base64")) != 0)
        return status;
    const json_t *value = json_field(&object, "base64");
    if (!json_is_string(value))
        return json_fail(&object, "base64", "must be a string, not %s", json_kind(value));
    *text = (struct json_blob){json_string_value(value), json_string_length(value)};
    if (blob->text != NULL && text->length == 0)
        *text = *blob;
    return REJECTD_OK;
}

static enum rejectd_status not_base64(size_t at, struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data.base64",
                        "is not base64 (A-Z, a-z, 0-9, +, /, padded with =) at character %zu", at);
}

/* Some writers escape the slash; any other escape stands for what isn't base64. */
static enum rejectd_status count_escapes(const struct json_blob *text, size_t *count,
                                         struct rejectd_error *error)
{
    const char *at = text->text, *end = text->text + text->length;
    for (*count = 0; (at = memchr(at, '\\', (size_t)(end - at))) != NULL; at += 2, ++*count)
        if (end - at < 2 || at[1] != '/')
            return not_base64((size_t)(at - text->text), error);
    return REJECTD_OK;
}

static enum rejectd_status check_base64(const struct json_blob *text,
                                        const struct dataset_description *d,
                                        struct rejectd_error *error)
{
    size_t escapes;
    enum rejectd_status status = count_escapes(text, &escapes, error);
    if (status != REJECTD_OK)
        return status;
    size_t bytes = dataset_sample_bytes(d);
    size_t expected = (bytes + 2) / 3 * 4;
    if (text->length - escapes != expected)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data.base64",
                            "has %zu characters; %zu are expected for %zu bytes (%zu epochs, %zu "
                            "channels, %zu times, little-endian, padded)",
                            text->length - escapes, expected, bytes, d->n_epochs, d->n_channels,
                            d->n_times);
    return REJECTD_OK;
}

static enum rejectd_status decode_base64(const struct json_blob *text,
                                         const struct dataset_description *d, void *samples,
                                         struct rejectd_error *error)
{
    const char *end;
    size_t decoded, index;
    size_t bytes = dataset_sample_bytes(d);
    if (sodium_base642bin(samples, bytes, text->text, text->length, "\\", &decoded, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        decoded != bytes || end != text->text + text->length)
        return not_base64((size_t)(end - text->text), error);
    if (samples_are_finite(samples, d->dtype, d->n_epochs * d->n_channels * d->n_times, &index))
        return REJECTD_OK;
    size_t row = index / d->n_times;
    size_t channel = row % d->n_channels;
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data.base64",
                        "the sample of epoch %zu, channel %zu (%s), time %zu is NaN or infinite; "
                        "all must be finite",
                        row / d->n_channels, channel, d->channels[channel].name,
                        index % d->n_times);
}

/* ---- both ---- */

enum rejectd_status dataset_data_shape(json_t *data, struct dataset_description *description,
                                       struct rejectd_error *error)
{
    if (json_is_array(data))
        return nested_shape(data, description, error);
    if (json_is_object(data))
        return REJECTD_OK;
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "data",
                        "must be nested arrays or {\"base64\": \"...\"}, not %s", json_kind(data));
}

enum rejectd_status dataset_data_read(json_t *data, const struct json_blob *blob,
                                      const struct dataset_description *description, void **samples,
                                      struct rejectd_error *error)
{
    *samples = NULL;
    bool nested = json_is_array(data);
    struct json_blob text = {0};
    enum rejectd_status status;
    if (nested)
        status = check_nested(data, description, error);
    else if ((status = open_base64(data, blob, &text, error)) == REJECTD_OK)
        status = check_base64(&text, description, error);
    if (status != REJECTD_OK)
        return status;
    size_t bytes = dataset_sample_bytes(description);
    void *memory = malloc(bytes);
    if (memory == NULL)
        return REJECTD_FAIL_MEMORY(error, bytes);
    status = nested ? read_nested(data, description, memory, error)
                    : decode_base64(&text, description, memory, error);
    if (status == REJECTD_OK)
        *samples = memory;
    else
        free(memory);
    return status;
}
