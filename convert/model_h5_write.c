/*
 * The dict is written value by value as h5io would. The first failure is kept and the rest then
 * does nothing, so that the structure of the dict can be read off the code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/hdf5_guard.h"
#include "convert/model_h5.h"
#include "protocol/channel_index.h"
#include "protocol/job_json.h"
#include "protocol/names.h"

struct writer {
    hid_t boolean; /* h5py's: an enum of int8 */
    bool failed;
};

static void set_title(struct writer *w, hid_t object, const char *title)
{
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    const hid_t attribute = H5Acreate2(object, "TITLE", type, space, H5P_DEFAULT, H5P_DEFAULT);
    w->failed |= attribute < 0 || H5Awrite(attribute, type, &title) < 0;
    if (attribute >= 0)
        H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void write_array(struct writer *w, hid_t parent, const char *key, const char *title,
                        hid_t file_type, hid_t type, int rank, const hsize_t *shape,
                        const void *data)
{
    if (w->failed)
        return;
    const hid_t space = H5Screate_simple(rank, shape, NULL);
    const hid_t set =
        H5Dcreate2(parent, key, file_type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    w->failed |= set < 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0;
    if (set >= 0) {
        set_title(w, set, title);
        H5Dclose(set);
    }
    H5Sclose(space);
}

static const hsize_t one = 1;

static void write_none(struct writer *w, hid_t parent, const char *key)
{
    const int8_t no = 0;
    write_array(w, parent, key, "None", w->boolean, w->boolean, 1, &one, &no);
}

static void write_true(struct writer *w, hid_t parent, const char *key)
{
    const int8_t yes = 1;
    write_array(w, parent, key, "int", w->boolean, w->boolean, 1, &one, &yes);
}

static void write_integer(struct writer *w, hid_t parent, const char *key, int64_t value)
{
    write_array(w, parent, key, "int", H5T_STD_I64LE, H5T_NATIVE_INT64, 1, &one, &value);
}

static void write_real(struct writer *w, hid_t parent, const char *key, double value)
{
    write_array(w, parent, key, "float", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, &one, &value);
}

static void write_text(struct writer *w, hid_t parent, const char *key, const char *text)
{
    const hsize_t length = strlen(text);
    write_array(w, parent, key, "unicode", H5T_STD_U8LE, H5T_NATIVE_UINT8, 1, &length, text);
}

static void write_integers(struct writer *w, hid_t parent, const char *key, const int64_t *values,
                           hsize_t n)
{
    write_array(w, parent, key, "ndarray", H5T_STD_I64LE, H5T_NATIVE_INT64, 1, &n, values);
}

static void write_reals(struct writer *w, hid_t parent, const char *key, const double *values,
                        int rank, const hsize_t *shape)
{
    write_array(w, parent, key, "ndarray", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, rank, shape, values);
}

/* A group to H5Gclose(). */
static hid_t begin(struct writer *w, hid_t parent, const char *key, const char *title)
{
    const hid_t group =
        w->failed ? -1 : H5Gcreate2(parent, key, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    w->failed |= group < 0;
    if (group >= 0)
        set_title(w, group, title);
    return group;
}

static void end(hid_t group)
{
    if (group >= 0)
        H5Gclose(group);
}

/* ---- the state of an AutoReject ---- */

static bool is_of(const struct rejectd_model_type *type, enum rejectd_channel_type channel)
{
    return type == NULL || type->type == channel;
}

/* threshes_ of one type, or of all for NULL. */
static void write_thresholds(struct writer *w, hid_t parent, const struct rejectd_model *model,
                             const struct rejectd_model_type *type)
{
    const hid_t group = begin(w, parent, "key_threshes_", "dict");
    char key[REJECTD_NAME_SIZE + 8];
    for (size_t i = 0; i < model->n_channels; i++) {
        const struct rejectd_model_channel *channel = &model->channels[i];
        if (!is_of(type, channel->type))
            continue;
        snprintf(key, sizeof key, "key_%s", channel->name);
        write_real(w, group, key, channel->threshold);
    }
    end(group);
}

static void write_choice(struct writer *w, hid_t parent, const struct rejectd_model *model,
                         const struct rejectd_model_type *only)
{
    char key[32];
    const hid_t consensus = begin(w, parent, "key_consensus_", "dict");
    const hid_t n_interpolate = begin(w, parent, "key_n_interpolate_", "dict");
    for (size_t i = 0; i < model->n_types; i++) {
        const struct rejectd_model_type *type = &model->types[i];
        if (!is_of(only, type->type))
            continue;
        snprintf(key, sizeof key, "key_%s", channel_type_names[type->type]);
        write_real(w, consensus, key, type->consensus);
        write_integer(w, n_interpolate, key, type->n_interpolate);
    }
    end(n_interpolate);
    end(consensus);
}

static void write_dots(struct writer *w, hid_t parent, const struct model_h5_extras *extras)
{
    const hsize_t shape[2] = {extras->n_dots, extras->n_dots};
    if (extras->self_dots == NULL) {
        write_none(w, parent, "key_dots");
        return;
    }
    const hid_t pair = begin(w, parent, "key_dots", "tuple");
    write_reals(w, pair, "idx_0", extras->self_dots, 2, shape);
    write_reals(w, pair, "idx_1", extras->cross_dots, 2, shape);
    end(pair);
}

/* The picks of a type, of all for NULL, in the order of the dataset: picks[i] is where channel i
 * of the model is. */
static void write_picks(struct writer *w, hid_t parent, const char *key,
                        const struct rejectd_model *model, const struct rejectd_model_type *type,
                        const int64_t *picks, int64_t *scratch)
{
    hsize_t n = 0;
    for (size_t i = 0; i < model->n_channels; i++) {
        if (!is_of(type, model->channels[i].type))
            continue;
        size_t at = n++;
        for (; at > 0 && scratch[at - 1] > picks[i]; at--)
            scratch[at] = scratch[at - 1];
        scratch[at] = picks[i];
    }
    write_integers(w, parent, key, scratch, n);
}

static void write_local(struct writer *w, hid_t parent, const struct rejectd_model *model,
                        const struct model_h5_extras *extras, const int64_t *picks,
                        int64_t *scratch)
{
    const hid_t all = begin(w, parent, "key_local_reject_", "dict");
    for (size_t i = 0; i < model->n_types; i++) {
        const struct rejectd_model_type *type = &model->types[i];
        char key[32];
        snprintf(key, sizeof key, "key_%s", channel_type_names[type->type]);
        const hid_t group = begin(w, all, key, "dict");
        write_real(w, group, "key_consensus", type->consensus);
        write_integer(w, group, "key_n_interpolate", type->n_interpolate);
        write_picks(w, group, "key_picks", model, type, picks, scratch);
        write_true(w, group, "key_verbose");
        write_thresholds(w, group, model, type);
        write_choice(w, group, model, type);
        write_dots(w, group, extras);
        end(group);
    }
    end(all);
}

/* The grid that was searched isn't part of a model; what was chosen of it is. */
static void write_grid(struct writer *w, hid_t root, const struct rejectd_model *model)
{
    double consensus[REJECTD_CHANNEL_TYPE_COUNT];
    int64_t n_interpolate[REJECTD_CHANNEL_TYPE_COUNT];
    const hsize_t n = model->n_types;
    for (size_t i = 0; i < model->n_types; i++) {
        consensus[i] = model->types[i].consensus;
        n_interpolate[i] = model->types[i].n_interpolate;
    }
    write_reals(w, root, "key_consensus", consensus, 1, &n);
    write_integers(w, root, "key_n_interpolate", n_interpolate, n);
}

static void write_state(struct writer *w, hid_t file, const struct rejectd_model *model,
                        const struct model_h5_extras *extras, const int64_t *picks,
                        int64_t *scratch)
{
    const hid_t root = begin(w, file, "autoreject", "dict");
    write_grid(w, root, model);
    write_none(w, root, "key_picks");
    write_true(w, root, "key_verbose");
    write_integer(w, root, "key_n_jobs", 1);
    write_integer(w, root, "key_cv", 10);
    write_integer(w, root, "key_random_state", 42);
    write_text(w, root, "key_thresh_method", "bayesian_optimization");
    write_thresholds(w, root, model, NULL);
    write_choice(w, root, model, NULL);
    write_dots(w, root, extras);
    write_picks(w, root, "key_picks_", model, NULL, picks, scratch);
    write_local(w, root, model, extras, picks, scratch);
    end(root);
}

/* ---- before writing ---- */

static enum rejectd_status check_names(const struct rejectd_model *model,
                                       struct rejectd_error *error)
{
    for (size_t i = 0; i < model->n_channels; i++)
        if (strchr(model->channels[i].name, '/') != NULL) {
            char field[64];
            snprintf(field, sizeof field, "channels[%zu].name", i);
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                                "\"%s\" has a \"/\", which an autoreject .h5 cannot hold; take "
                                "the model as JSON",
                                model->channels[i].name);
        }
    return REJECTD_OK;
}

static enum rejectd_status find_picks(const struct rejectd_model *model,
                                      const struct model_h5_extras *extras, int64_t *picks,
                                      struct rejectd_error *error)
{
    struct channel_index index = {0};
    enum rejectd_status status = REJECTD_OK;
    if (extras->channels != NULL)
        status = channel_index_init(&index, extras->channels, extras->n_channels, error);
    for (size_t i = 0; i < model->n_channels && status == REJECTD_OK; i++) {
        picks[i] = (int64_t)i;
        if (extras->channels == NULL)
            continue;
        picks[i] = channel_index_find(&index, model->channels[i].name);
        if (picks[i] == CHANNEL_INDEX_NONE)
            status = REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "channels",
                                  "\"%s\" of the model is not a channel of the dataset",
                                  model->channels[i].name);
    }
    channel_index_free(&index);
    return status;
}

static enum rejectd_status write_file(const char *path, const struct rejectd_model *model,
                                      const struct model_h5_extras *extras, const int64_t *picks,
                                      int64_t *scratch, struct rejectd_error *error)
{
    struct writer w = {.boolean = H5Tenum_create(H5T_NATIVE_INT8)};
    const int8_t no = 0, yes = 1;
    H5Tenum_insert(w.boolean, "FALSE", &no);
    H5Tenum_insert(w.boolean, "TRUE", &yes);
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    w.failed = file < 0;
    if (!w.failed)
        write_state(&w, file, model, extras, picks, scratch);
    H5Tclose(w.boolean);
    if (file >= 0 && H5Fclose(file) < 0)
        w.failed = true;
    return w.failed ? REJECTD_FAIL(error, REJECTD_STORAGE, "", "cannot write the .h5 file")
                    : REJECTD_OK;
}

enum rejectd_status model_h5_write(const char *path, const char *text, size_t length,
                                   const struct model_h5_extras *extras,
                                   struct rejectd_error *error)
{
    struct rejectd_model *model = NULL;
    enum rejectd_status status = model_from_json(text, length, &model, error);
    if (status != REJECTD_OK)
        return status;
    int64_t *picks = calloc(2 * model->n_channels, sizeof *picks);
    if (picks == NULL)
        status = REJECTD_FAIL_MEMORY(error, 2 * model->n_channels * sizeof *picks);
    else if ((status = check_names(model, error)) == REJECTD_OK &&
             (status = find_picks(model, extras, picks, error)) == REJECTD_OK)
        status = write_file(path, model, extras, picks, picks + model->n_channels, error);
    free(picks);
    free(model->channels);
    free(model->types);
    free(model);
    return status;
}
