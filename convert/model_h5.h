/*
 * Models as autoreject keeps them: the file of AutoReject.save(), which read_auto_reject() opens.
 *
 * It is h5io's form of a dict: HDF5 groups and datasets with an attribute TITLE that tells the
 * Python type, members named "key_<name>" (h5io 0.2, _h5io.py; autoreject 0.4, __getstate__ and
 * __setstate__). A name with "/" cannot be kept in it.
 */
#ifndef CONVERT_MODEL_H5_H
#define CONVERT_MODEL_H5_H

#include <rejectd/error.h>
#include <rejectd/types.h>

/*
 * Reads what model_to_json() writes: channel names, types and thresholds, and of each type
 * consensus and n_interpolate. Channels come type by type, sorted by name, because the file doesn't
 * keep their order. INVALID_VALUE, at the key of the file, for anything else and for an object that
 * was never fitted. free() *text; it is what model_from_json() accepts.
 */
enum rejectd_status model_h5_read(const char *path, char **text, struct rejectd_error *error);

/* What a model doesn't tell, but autoreject uses. */
struct model_h5_extras {
    const struct rejectd_channel *channels; /* of the dataset, [n_channels]: autoreject keeps picks
                                               as indices; NULL when the model's are all */
    size_t n_channels;
    const double *self_dots, *cross_dots; /* [n_dots][n_dots] of the MEG interpolation, or NULL:
                                             autoreject then computes them anew each time */
    size_t n_dots;
};

/* Writes the file of a model as model_from_json() takes it. */
enum rejectd_status model_h5_write(const char *path, const char *text, size_t length,
                                   const struct model_h5_extras *extras,
                                   struct rejectd_error *error);

#endif
