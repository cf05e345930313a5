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

/*
 * What rejectd checks and keeps for the round trip but doesn't compute with: "events", "event_id",
 * "device_to_head" and of each channel "loc" and "coil_type". n_epochs is already known.
 */
enum rejectd_status dataset_metadata_read(const struct json_object *root,
                                          struct dataset_description *description);

/* channels_extra_json, parsed; NULL when there is none, or no memory. json_decref() it. */
json_t *dataset_extra_parse(const struct dataset_description *description);
/* Appends `,"loc":...,"coil_type":...` of one channel, as far as it has them. */
void dataset_extra_append_channel(struct buffer *buffer, const json_t *extra, size_t channel);

#endif
