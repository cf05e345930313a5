/* The pieces of dataset_from_json() and dataset_to_json(). Internal to protocol/. */
#ifndef PROTOCOL_DATASET_PARTS_H
#define PROTOCOL_DATASET_PARTS_H

#include <jansson.h>

#include "base/buffer.h"
#include "protocol/dataset_json.h"
#include "protocol/json_reader.h"

/*
 * Inline samples, "data": nested arrays [epoch][channel][time] of numbers, or {"base64": "..."}.
 *
 * The shape step sets n_epochs and n_times where they are still 0 and the data tells them, and
 * fails where the outer two levels contradict the description. The read step needs a description
 that passed dataset_description_check(), and the blob of the text; *samples is owned by the
 * caller, NULL on failure.
 */
enum rejectd_status dataset_data_shape(json_t *data, struct dataset_description *description,
                                       struct rejectd_error *error);
enum rejectd_status dataset_data_read(json_t *data, const struct json_blob *blob,
                                      const struct dataset_description *description, void **samples,
                                      struct rejectd_error *error);

/* "events" and "event_id", kept for the round trip. n_epochs is already known. */
enum rejectd_status dataset_metadata_read(const struct json_object *root,
                                          struct dataset_description *description);

/*
 * Where the sensors are: of each channel "loc" and "coil_type", and "device_to_head" and
 * "projectors" of the dataset. The channels' names are already known.
 */
enum rejectd_status dataset_channel_sensor_read(const struct json_object *object,
                                                struct rejectd_channel *channel);
enum rejectd_status dataset_sensors_read(const struct json_object *root,
                                         struct dataset_description *description);
/* Gives a channel that is no MEG coil and has no position the one that its loc tells, if any. */
void dataset_channel_place(struct rejectd_channel *channel);
/* Appends `,"loc":...,"coil_type":...` of one channel, as far as it has them. */
void dataset_channel_sensor_append(struct buffer *text, const struct rejectd_channel *channel);
/* Appends `,"device_to_head":...,"projectors":...`, likewise. */
void dataset_sensors_append(struct buffer *text, const struct dataset_description *description);

#endif
