/*
 * Datasets on the wire: JSON <-> struct dataset_description.
 *
 * A description is everything about epochs but the samples. Parsing is strict: unknown fields,
 * wrong types, values out of range, NaN and sizes that overflow are errors that name the field.
 */
#ifndef PROTOCOL_DATASET_JSON_H
#define PROTOCOL_DATASET_JSON_H

#include <rejectd/error.h>
#include <rejectd/types.h>

struct dataset_description {
    char name[256]; /* UTF-8, may be empty */
    double sfreq;   /* Hz, > 0 */
    double tmin;    /* s */
    size_t n_epochs;
    size_t n_channels;
    size_t n_times;
    enum rejectd_dtype dtype;
    struct rejectd_channel *channels; /* [n_channels], owned */
    char *events_json;                /* "events" as canonical JSON text, owned; NULL when absent */
    char *event_id_json;              /* "event_id", likewise */
    bool has_device_to_head;
    double device_to_head[4][4];
    struct rejectd_projector *projectors; /* [n_projectors], owned with their vectors */
    size_t n_projectors;
};

void dataset_description_clear(struct dataset_description *description); /* all-zero is allowed */

/* Bytes of the samples; never overflows for a description that was parsed or checked. */
size_t dataset_sample_bytes(const struct dataset_description *description);

/* The checks that dataset_from_json() makes on sizes, numbers, names and positions. */
enum rejectd_status dataset_description_check(const struct dataset_description *description,
                                              struct rejectd_error *error);

/*
 * Parses a posted dataset of `length` bytes. n_epochs, n_times, n_channels may be left out where
 * inline data tells them, and must agree with it where given. dtype defaults to float64.
 *
 *   *samples  the inline samples ("data": nested arrays, or {"base64": ...}) in the dataset's
 *             dtype, C order, checked to be finite; free() it. NULL when they follow by PUT.
 *
 * On failure the description is cleared and *samples is NULL.
 */
enum rejectd_status dataset_from_json(const char *text, size_t length,
                                      struct dataset_description *description, void **samples,
                                      struct rejectd_error *error);

/* The canonical JSON text of a description, without samples: what GET shows and the store keeps
 * (the server adds id, state, digest). dataset_from_json() reads it back. free() it. */
char *dataset_to_json(const struct dataset_description *description);

/* The view of a description and its samples that the numerics take. */
struct rejectd_epochs dataset_epochs(const struct dataset_description *description,
                                     const void *samples);

/* True when all `count` samples are finite; else *index is the first that is not. */
bool samples_are_finite(const void *samples, enum rejectd_dtype dtype, size_t count, size_t *index);

#endif
