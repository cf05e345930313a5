/* The pieces of set_read() and set_write(). Internal to convert/. */
#ifndef CONVERT_SET_PARTS_H
#define CONVERT_SET_PARTS_H

#include "convert/matlab.h"
#include "protocol/dataset_json.h"

/* The name that a channel's or event's type has: text, or a number as MATLAB shows it. */
bool set_name(const matvar_t *value, char *out, size_t size);

/* description->channels from chanlocs; n_channels is already known. */
enum rejectd_status set_read_channels(struct matlab_file *file,
                                      struct dataset_description *description,
                                      struct rejectd_error *error);

/* events_json and event_id_json from event and epoch; n_epochs is already known. */
enum rejectd_status set_read_events(struct matlab_file *file,
                                    struct dataset_description *description,
                                    struct rejectd_error *error);

/* Index of the event of an epoch whose latency is nearest 0, of its lists; 0 when there are none.
 */
size_t set_locking_event(const matvar_t *epochs, size_t epoch);
/* Element i of what is one value, an array of numbers or a cell array; NULL-safe. */
bool set_list_number(const matvar_t *list, size_t i, double *value);
size_t set_list_count(const matvar_t *list);

/* Adds a field to a struct of one element; the value is owned by the struct from then on. A NULL
 * value is [], as it is where memory failed. */
void set_add(matvar_t *object, const char *name, matvar_t *value);
matvar_t *set_new_text(const char *text);
matvar_t *set_new_number(double value);
matvar_t *set_new_matrix(enum matio_classes class, size_t rows, size_t columns, const void *data);
matvar_t *set_new_empty(void);
matvar_t *set_new_empty_cell(void);
/* A row of n structs with those fields, all []. */
matvar_t *set_new_structs(size_t n, const char *const *fields, size_t n_fields);
void set_put(matvar_t *structs, const char *name, size_t i, matvar_t *value);

/* What is written, and from what. */
struct set_epochs {
    const struct dataset_description *description;
    const size_t *kept; /* [n_kept] indices of epochs, ascending */
    size_t n_kept;
};

/* chanlocs from a description. */
matvar_t *set_write_channels(const struct dataset_description *description);
/* event and epoch of the kept epochs, from the original file or, where this has none, from the
 * description. *event and *epoch are owned by the caller; [] where nothing is known. */
enum rejectd_status set_write_events(struct matlab_file *original, const struct set_epochs *epochs,
                                     matvar_t **event, matvar_t **epoch,
                                     struct rejectd_error *error);

#endif
