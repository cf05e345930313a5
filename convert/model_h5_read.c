/*
 * Only what is looked for is opened, by name. Every dataset read is a single number: its size is
 * checked before, and converted by the library from whatever number it is.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "convert/hdf5_guard.h"
#include "convert/model_h5.h"
#include "protocol/job_json.h"
#include "protocol/names.h"
#include "protocol/utf8.h"

static const char key_prefix[] = "key_";

static enum rejectd_status bad(struct rejectd_error *error, const char *field, const char *what)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                        "%s; the file of a fitted AutoReject.save() is accepted", what);
}

/* A group to H5Gclose(), -1 when there is none of that name. */
static hid_t open_group(hid_t parent, const char *name)
{
    if (H5Lexists(parent, name, H5P_DEFAULT) <= 0)
        return -1;
    const hid_t object = H5Oopen(parent, name, H5P_DEFAULT);
    if (object >= 0 && H5Iget_type(object) != H5I_GROUP) {
        H5Oclose(object);
        return -1;
    }
    return object;
}

/* The dataset of one integer or real number. */
static bool read_number(hid_t group, const char *name, double *value)
{
    bool good = false;
    const hid_t object =
        H5Lexists(group, name, H5P_DEFAULT) > 0 ? H5Oopen(group, name, H5P_DEFAULT) : -1;
    if (object < 0)
        return false;
    if (H5Iget_type(object) == H5I_DATASET) {
        const hid_t space = H5Dget_space(object), type = H5Dget_type(object);
        const H5T_class_t class = H5Tget_class(type);
        good = H5Sget_simple_extent_npoints(space) == 1 &&
               (class == H5T_INTEGER || class == H5T_FLOAT) &&
               H5Dread(object, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0;
        H5Tclose(type);
        H5Sclose(space);
    }
    H5Oclose(object);
    return good;
}

/* The members of a dict, in the order of their names. */
struct keys {
    size_t n;
    char (*names)[REJECTD_NAME_SIZE + sizeof key_prefix - 1]; /* with the prefix, owned */
    size_t most;
    const char *wrong;
};

static herr_t add_key(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    (void)group;
    (void)info;
    struct keys *keys = context;
    if (strncmp(name, key_prefix, strlen(key_prefix)) != 0)
        return 0;
    if (strlen(name) >= sizeof *keys->names || !utf8_is_valid(name))
        keys->wrong = "holds a name that is too long or no UTF-8";
    else if (keys->n == keys->most)
        keys->wrong = "holds too many names";
    else
        snprintf(keys->names[keys->n++], sizeof *keys->names, "%s", name);
    return keys->wrong != NULL;
}

static enum rejectd_status list_keys(hid_t group, const char *field, size_t most, struct keys *keys,
                                     struct rejectd_error *error)
{
    *keys = (struct keys){.most = most, .names = calloc(most, sizeof *keys->names)};
    if (keys->names == NULL)
        return REJECTD_FAIL_MEMORY(error, most * sizeof *keys->names);
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, add_key, keys) != 0 || keys->n == 0)
        return bad(error, field, keys->wrong != NULL ? keys->wrong : "is empty");
    return REJECTD_OK;
}

/* The channels of one type, from local_reject_[type].threshes_ with the values of threshes_. */
static enum rejectd_status read_channels(hid_t root, const char *type_key,
                                         enum rejectd_channel_type type,
                                         struct rejectd_model *model, struct rejectd_error *error)
{
    char path[96];
    struct keys keys = {0};
    snprintf(path, sizeof path, "key_local_reject_/%s/key_threshes_", type_key);
    const hid_t local = open_group(root, path), all = open_group(root, "key_threshes_");
    enum rejectd_status status;
    if (local < 0 || all < 0)
        status = bad(error, "local_reject_", "lacks the thresholds of a channel type");
    else
        status = list_keys(local, "threshes_", REJECTD_MAX_CHANNELS, &keys, error);
    for (size_t i = 0; i < keys.n && status == REJECTD_OK; i++) {
        double threshold = NAN;
        if (model->n_channels == REJECTD_MAX_CHANNELS)
            status = bad(error, "threshes_", "has too many channels");
        else if (!read_number(all, keys.names[i], &threshold) || !isfinite(threshold))
            status = bad(error, "threshes_", "lacks a number for a channel");
        else {
            struct rejectd_model_channel *channel = &model->channels[model->n_channels++];
            memcpy(channel->name, keys.names[i] + strlen(key_prefix),
                   strlen(keys.names[i]) + 1 - strlen(key_prefix));
            channel->type = type;
            channel->threshold = threshold;
        }
    }
    free(keys.names);
    if (local >= 0)
        H5Oclose(local);
    if (all >= 0)
        H5Oclose(all);
    return status;
}

static enum rejectd_status read_type(hid_t root, const char *key, struct rejectd_model *model,
                                     struct rejectd_error *error)
{
    char path[96];
    double consensus = NAN, n_interpolate = NAN;
    enum rejectd_channel_type type;
    if (!channel_type_from_name(key + strlen(key_prefix), &type))
        return bad(error, "consensus_", "has a channel type that is not known");
    snprintf(path, sizeof path, "key_consensus_/%s", key);
    if (!read_number(root, path, &consensus) || !(consensus >= 0 && consensus <= 1))
        return bad(error, "consensus_", "is not from 0 to 1");
    snprintf(path, sizeof path, "key_n_interpolate_/%s", key);
    if (!read_number(root, path, &n_interpolate) ||
        !(n_interpolate >= 0 && n_interpolate <= REJECTD_MAX_CHANNELS) ||
        n_interpolate != floor(n_interpolate))
        return bad(error, "n_interpolate_", "is no number of channels");
    model->types[model->n_types++] = (struct rejectd_model_type){
        .type = type, .consensus = consensus, .n_interpolate = (int)n_interpolate};
    return read_channels(root, key, type, model, error);
}

static enum rejectd_status read_root(hid_t root, struct rejectd_model *model,
                                     struct rejectd_error *error)
{
    struct keys keys = {0};
    const hid_t consensus = open_group(root, "key_consensus_");
    if (consensus < 0)
        return bad(error, "consensus_", "is missing: the object was not fitted");
    enum rejectd_status status =
        list_keys(consensus, "consensus_", REJECTD_CHANNEL_TYPE_COUNT, &keys, error);
    for (size_t i = 0; i < keys.n && status == REJECTD_OK; i++)
        status = read_type(root, keys.names[i], model, error);
    free(keys.names);
    H5Oclose(consensus);
    return status;
}

/* model_from_json() has the last word on what a model is. */
static enum rejectd_status to_json(const struct rejectd_model *model, char **text,
                                   struct rejectd_error *error)
{
    struct rejectd_model *again = NULL;
    *text = model_to_json(model);
    if (*text == NULL)
        return REJECTD_FAIL_MEMORY(error, model->n_channels * sizeof *model->channels);
    enum rejectd_status status = model_from_json(*text, strlen(*text), &again, error);
    if (status == REJECTD_OK) {
        free(again->channels);
        free(again->types);
        free(again);
        return REJECTD_OK;
    }
    free(*text);
    *text = NULL;
    return status;
}

enum rejectd_status model_h5_read(const char *path, char **text, struct rejectd_error *error)
{
    *text = NULL;
    hid_t file;
    enum rejectd_status status = hdf5_guard_open(path, &file, error);
    if (status != REJECTD_OK)
        return status;
    struct rejectd_model model = {
        .channels = calloc(REJECTD_MAX_CHANNELS, sizeof *model.channels),
        .types = calloc(REJECTD_CHANNEL_TYPE_COUNT, sizeof *model.types),
    };
    const hid_t root = open_group(file, "autoreject");
    if (model.channels == NULL || model.types == NULL)
        status = REJECTD_FAIL_MEMORY(error, REJECTD_MAX_CHANNELS * sizeof *model.channels);
    else if (root < 0)
        status = bad(error, "file", "has no group \"autoreject\"");
    else if ((status = read_root(root, &model, error)) == REJECTD_OK)
        status = to_json(&model, text, error);
    if (root >= 0)
        H5Oclose(root);
    H5Fclose(file);
    free(model.channels);
    free(model.types);
    return status;
}
