/* What the head of a FIF file says about its epochs. Internal to protocol/. */
#ifndef PROTOCOL_FIF_INFO_H
#define PROTOCOL_FIF_INFO_H

#include "protocol/dataset_json.h"
#include "protocol/fif_samples.h"
#include "protocol/fif_tags.h"
#include "protocol/fif_text.h"

/* A head, borrowed: the bytes of a file without its samples. */
struct fif_head {
    const void *bytes;
    size_t size;
    size_t samples_at; /* where in the bytes the samples were */
};

/* ---- shape, sampling rate, channels, transform, projectors: what stands before the samples ----
 */

struct fif_info {
    struct dataset_description description; /* owned; without events */
    double *cals;                           /* [n_channels], owned */
    bool calibrated;                        /* not all of them are 1 */
    bool stored_double;
};

void fif_info_clear(struct fif_info *info); /* all-zero is allowed */

/* Reads a head that goes at least up to the samples. On failure *info is cleared. */
enum rejectd_status fif_info_read(const struct fif_head *head, struct fif_info *info,
                                  struct rejectd_error *error);

/* The layout of the samples in the file and in the dataset; its factors are those of reading. */
struct fif_layout fif_info_layout(const struct fif_info *info);

/* Internal to fif_info.c and fif_sensors.c: fills device_to_head, bad channels and projectors.
 * short_names are the channels with the names that lists in the file use. */
enum rejectd_status fif_sensors_read(const struct fif_head *head,
                                     const struct rejectd_channel *short_names,
                                     struct dataset_description *description,
                                     struct rejectd_error *error);

/* ---- events, selection, drop log, metadata, next part: what changes when epochs are dropped ----
 */

enum { FIF_MAX_NEXT_NAME = 255 };

struct fif_epochs {
    size_t n_epochs;
    const unsigned char *events;   /* [n_epochs][3] big-endian i32, borrowed from the head */
    const unsigned char *event_id; /* "name:id;...", Latin-1, borrowed; NULL when absent */
    size_t event_id_length;
    const unsigned char *selection; /* [n_epochs] big-endian i32, borrowed; NULL when absent */
    bool has_log;
    struct fif_span *log; /* [n_log] JSON text for each original epoch, owned */
    size_t n_log;
    bool has_metadata;
    struct fif_span *metadata; /* [n_epochs] JSON text, owned */
    size_t n_metadata;
    bool has_next; /* the file goes on in another one */
    int32_t next_number;
    char next_name[FIF_MAX_NEXT_NAME + 1]; /* UTF-8, "" when only the number is known */
};

void fif_epochs_clear(struct fif_epochs *epochs);

/* Reads a complete head. The head must outlive *epochs. On failure *epochs is cleared. */
enum rejectd_status fif_epochs_read(const struct fif_head *head, size_t n_epochs,
                                    struct fif_epochs *epochs, struct rejectd_error *error);

/* The original index of an epoch. */
size_t fif_epochs_selected(const struct fif_epochs *epochs, size_t epoch);

/* Fills events_json and event_id_json. */
enum rejectd_status fif_epochs_describe(const struct fif_epochs *epochs,
                                        struct dataset_description *description,
                                        struct rejectd_error *error);

#endif
