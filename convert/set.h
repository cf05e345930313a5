/*
 * EEGLAB's .set files, with epochs: MAT 5 (v6, v7, either byte order) and MAT 7.3 (HDF5), as one
 * struct "EEG" or with its fields as variables. MATLAB's "MAT-File Format" R2020a for the
 * container; eeg_checkset.m and pop_saveset.m of EEGLAB for the fields.
 *
 * Failures are INVALID_VALUE or UNSUITABLE_DATASET at the field of EEG, as "chanlocs[3].labels".
 */
#ifndef CONVERT_SET_H
#define CONVERT_SET_H

#include <rejectd/error.h>
#include <stdbool.h>

/* Quiets the library; call it before any other use. */
void set_init(void);

/*
 * Reads a file into `folder`: description.json, as dataset_from_json() takes it, and samples.bin,
 * float64 in V, [n_epochs][n_channels][n_times]. Microvolts are multiplied by 1e-6 in float64, as
 * MNE-Python does. When the data are in an .fdt and fdt is NULL there is needs.json in place of
 * samples.bin, {"fdt_bytes": ..., "name": ...}, and *needs_fdt is true; the name is not opened.
 *
 * Positions X, Y, Z become head coordinates (-Y, X, Z) in metres, from the unit that their mean
 * radius tells: below 0.25 m, 2.5 dm, 25 cm, else mm. All zero or missing is no position. Types are
 * MNE's names in either case; an unknown one is "eeg", one that rejectd lacks "misc".
 *
 * events: [sample, 0, id] of the time-locking event, that whose latency in its epoch is nearest 0;
 * sample counts from 0. event_id numbers the epochs' types from 1 in order of appearance; the
 * types of several events are joined by "/".
 */
enum rejectd_status set_read(const char *path, const char *fdt, const char *folder, bool *needs_fdt,
                             struct rejectd_error *error);

/*
 * Writes the cleaned epochs of a dataset as one struct EEG in a MAT 5 file, from a folder of
 *
 *   description.json  the dataset as it was, n_epochs of them
 *   cleaned.bin       [kept][n_channels][n_times] in its dtype, V
 *   labels.bin        int8 [n_epochs][n_channels], REJECTD_LABEL_...
 *   bad_epochs.bin    uint8 [n_epochs]; the epochs that are 0 are kept
 *   autoreject.json   an object that is kept as text in etc.autoreject.json; may be missing
 *   original.set      may be missing; what it says of channels, events, reference, ICA and history
 *                     is kept, the events and epochs that were dropped taken out of it
 *
 * The data are microvolts, single where those of original.set (or without it the dtype) are. Data
 * of 2 GiB or more are TOO_LARGE. reject.rejmanual is 0 for all, reject.rejmanualE 1 for channels
 * labelled bad or interpolated.
 */
enum rejectd_status set_write(const char *folder, const char *path, struct rejectd_error *error);

#endif
