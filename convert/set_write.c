#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "convert/files.h"
#include "convert/set.h"
#include "convert/set_parts.h"

static const size_t max_data = ((size_t)2 << 30) - ((size_t)1 << 20), /* of a MAT 5 variable */
    max_json = (size_t)256 << 20;

/* What the folder holds. */
struct input {
    struct dataset_description description;
    char *labels;     /* [n_epochs][n_channels] */
    char *bad_epochs; /* [n_epochs] */
    char *provenance; /* text of autoreject.json, or NULL */
    size_t *kept;
    size_t n_kept;
    FILE *cleaned;
    struct matlab_file original; /* all-zero when there is none */
};

static void input_clear(struct input *in)
{
    dataset_description_clear(&in->description);
    free(in->labels);
    free(in->bad_epochs);
    free(in->provenance);
    free(in->kept);
    if (in->cleaned != NULL)
        fclose(in->cleaned);
    matlab_close(&in->original);
}

/* A file of the folder; `exactly` bytes unless that is 0. */
static enum rejectd_status read_part(const char *folder, const char *name, size_t most,
                                     size_t exactly, char **bytes, size_t *length,
                                     struct rejectd_error *error)
{
    char *path = path_join(folder, name);
    if (path == NULL)
        return REJECTD_FAIL_MEMORY(error, strlen(folder));
    enum rejectd_status status = file_read(path, name, most, bytes, length, error);
    free(path);
    if (status == REJECTD_OK && exactly > 0 && *length != exactly)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, name, "has %zu bytes; %zu are expected",
                            *length, exactly);
    return status;
}

static bool part_exists(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    const bool exists = path != NULL && access(path, F_OK) == 0;
    free(path);
    return exists;
}

static enum rejectd_status read_description(const char *folder, struct input *in,
                                            struct rejectd_error *error)
{
    char *text = NULL;
    void *samples = NULL;
    size_t length;
    enum rejectd_status status =
        read_part(folder, "description.json", max_json, 0, &text, &length, error);
    if (status == REJECTD_OK)
        status = dataset_from_json(text, length, &in->description, &samples, error);
    free(samples);
    free(text);
    return status;
}

static enum rejectd_status read_log(const char *folder, struct input *in,
                                    struct rejectd_error *error)
{
    const size_t n_epochs = in->description.n_epochs,
                 n_labels = n_epochs * in->description.n_channels;
    size_t length;
    enum rejectd_status status;
    if ((status = read_part(folder, "labels.bin", n_labels, n_labels, &in->labels, &length,
                            error)) != 0 ||
        (status = read_part(folder, "bad_epochs.bin", n_epochs, n_epochs, &in->bad_epochs, &length,
                            error)) != 0)
        return status;
    in->kept = calloc(n_epochs, sizeof *in->kept);
    if (in->kept == NULL)
        return REJECTD_FAIL_MEMORY(error, n_epochs * sizeof *in->kept);
    for (size_t e = 0; e < n_epochs; e++)
        if (in->bad_epochs[e] == 0)
            in->kept[in->n_kept++] = e;
    if (in->n_kept == 0)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "bad_epochs.bin",
                            "drops every epoch; a .set file needs at least one");
    return REJECTD_OK;
}

static enum rejectd_status open_parts(const char *folder, struct input *in,
                                      struct rejectd_error *error)
{
    size_t length;
    enum rejectd_status status = REJECTD_OK;
    char *path = path_join(folder, "cleaned.bin");
    in->cleaned = path != NULL ? fopen(path, "rb") : NULL;
    free(path);
    if (in->cleaned == NULL)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "cleaned.bin", "cannot be opened");
    if (part_exists(folder, "autoreject.json"))
        status = read_part(folder, "autoreject.json", max_json, 0, &in->provenance, &length, error);
    if (status != REJECTD_OK || !part_exists(folder, "original.set"))
        return status;
    path = path_join(folder, "original.set");
    status = path != NULL ? matlab_open(path, &in->original, error)
                          : REJECTD_FAIL_MEMORY(error, strlen(folder));
    free(path);
    return status;
}

static matvar_t *original_info(struct input *in, const char *name)
{
    return in->original.is_open ? matlab_info(&in->original, name) : NULL;
}

/* A copy of a field of the original, NULL when it has none. */
static matvar_t *original_copy(struct input *in, const char *name)
{
    const matvar_t *field = in->original.is_open ? matlab_field(&in->original, name) : NULL;
    return field != NULL ? matlab_copy(field) : NULL;
}

/* ---- the fields ---- */

/* The data, [kept][n_times][n_channels], in microvolts. */
static enum rejectd_status read_data(struct input *in, bool single, void *out,
                                     struct rejectd_error *error)
{
    const struct dataset_description *d = &in->description;
    const bool wide = d->dtype == REJECTD_FLOAT64;
    const size_t n = d->n_channels * d->n_times, w = wide ? sizeof(double) : sizeof(float);
    void *epoch = malloc(n * w);
    if (epoch == NULL)
        return REJECTD_FAIL_MEMORY(error, n * w);
    enum rejectd_status status = REJECTD_OK;
    for (size_t e = 0; e < in->n_kept && status == REJECTD_OK; e++) {
        if (fread(epoch, w, n, in->cleaned) != n)
            status = REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "cleaned.bin",
                                  "is too short for %zu epochs", in->n_kept);
        for (size_t i = 0; i < n && status == REJECTD_OK; i++) {
            const size_t at = e * n + i % d->n_times * d->n_channels + i / d->n_times;
            const double volts = wide ? ((double *)epoch)[i] : (double)((float *)epoch)[i];
            if (single)
                ((float *)out)[at] = (float)(volts * 1e6);
            else
                ((double *)out)[at] = volts * 1e6;
        }
    }
    free(epoch);
    if (status == REJECTD_OK && fgetc(in->cleaned) != EOF)
        status = REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "cleaned.bin",
                              "is too long for %zu epochs", in->n_kept);
    return status;
}

/* The variable of the data; it uses *memory, to be freed after it. */
static enum rejectd_status make_data(struct input *in, matvar_t **data, void **memory,
                                     struct rejectd_error *error)
{
    const struct dataset_description *d = &in->description;
    const matvar_t *info = original_info(in, "data");
    bool single = d->dtype == REJECTD_FLOAT32;
    if (info != NULL) /* text is the name of an .fdt, which holds singles */
        single = info->class_type == MAT_C_SINGLE || info->class_type == MAT_C_CHAR;
    size_t shape[3] = {d->n_channels, d->n_times, in->n_kept}, bytes;
    if (!checked_multiply3(shape[0], shape[1], shape[2], &bytes) ||
        !checked_multiply(bytes, single ? sizeof(float) : sizeof(double), &bytes) ||
        bytes > max_data)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "cleaned.bin",
                            "is too large for a .set file: %zu epochs of %zu channels and %zu "
                            "times; take the samples as .npy",
                            shape[2], shape[0], shape[1]);
    *memory = malloc(bytes);
    if (*memory == NULL)
        return REJECTD_FAIL_MEMORY(error, bytes);
    enum rejectd_status status = read_data(in, single, *memory, error);
    if (status == REJECTD_OK)
        *data = Mat_VarCreate(NULL, single ? MAT_C_SINGLE : MAT_C_DOUBLE,
                              single ? MAT_T_SINGLE : MAT_T_DOUBLE, 3, shape, *memory,
                              MAT_F_DONT_COPY_DATA);
    return status;
}

static matvar_t *make_times(const struct dataset_description *d)
{
    double *times = malloc(d->n_times * sizeof *times);
    if (times == NULL)
        return NULL;
    for (size_t t = 0; t < d->n_times; t++)
        times[t] = (d->tmin + (double)t / d->sfreq) * 1000;
    matvar_t *value = set_new_matrix(MAT_C_DOUBLE, 1, d->n_times, times);
    free(times);
    return value;
}

static matvar_t *new_struct(void)
{
    return set_new_structs(1, NULL, 0);
}

/* The marks of EEGLAB's scroll plot. */
static matvar_t *make_reject(const struct input *in)
{
    const size_t n_channels = in->description.n_channels;
    double *marks = calloc(in->n_kept * n_channels, sizeof *marks);
    matvar_t *reject = new_struct();
    if (marks == NULL || reject == NULL) {
        free(marks);
        return reject;
    }
    set_add(reject, "rejmanual", set_new_matrix(MAT_C_DOUBLE, 1, in->n_kept, marks));
    for (size_t e = 0; e < in->n_kept; e++)
        for (size_t c = 0; c < n_channels; c++) {
            const int label = in->labels[in->kept[e] * n_channels + c];
            marks[e * n_channels + c] =
                label == REJECTD_LABEL_BAD || label == REJECTD_LABEL_INTERPOLATED;
        }
    set_add(reject, "rejmanualE", set_new_matrix(MAT_C_DOUBLE, n_channels, in->n_kept, marks));
    free(marks);
    return reject;
}

/* etc.autoreject: what was done, with the log of all epochs, dropped ones too. */
static matvar_t *make_etc(struct input *in)
{
    matvar_t *etc = original_copy(in, "etc");
    if (!matlab_is_struct(etc) || matlab_count(etc) != 1) {
        Mat_VarFree(etc);
        etc = new_struct();
    }
    matvar_t *autoreject = new_struct();
    const char *text = in->provenance != NULL ? in->provenance : "{}";
    json_t *value = json_loads(text, 0, NULL);
    const char *job = json_string_value(json_object_get(value, "job"));
    set_add(autoreject, "job", set_new_text(job != NULL ? job : ""));
    set_add(autoreject, "json", set_new_text(text));
    set_add(autoreject, "labels",
            set_new_matrix(MAT_C_INT8, in->description.n_channels, in->description.n_epochs,
                           in->labels));
    set_add(autoreject, "bad_epochs",
            set_new_matrix(MAT_C_INT8, 1, in->description.n_epochs, in->bad_epochs));
    json_decref(value);
    if (matlab_member(etc, "autoreject", 0) != NULL)
        set_put(etc, "autoreject", 0, autoreject);
    else
        set_add(etc, "autoreject", autoreject);
    return etc;
}

static void add_numbers(matvar_t *eeg, const struct input *in)
{
    const struct dataset_description *d = &in->description;
    set_add(eeg, "nbchan", set_new_number((double)d->n_channels));
    set_add(eeg, "trials", set_new_number((double)in->n_kept));
    set_add(eeg, "pnts", set_new_number((double)d->n_times));
    set_add(eeg, "srate", set_new_number(d->sfreq));
    set_add(eeg, "xmin", set_new_number(d->tmin));
    set_add(eeg, "xmax", set_new_number(d->tmin + (double)(d->n_times - 1) / d->sfreq));
    set_add(eeg, "times", make_times(d));
}

static matvar_t *make_chaninfo(void)
{
    static const char *const fields[] = {"plotrad", "shrink", "nosedir", "nodatchans",
                                         "icachansind"};
    matvar_t *chaninfo = set_new_structs(1, fields, sizeof fields / sizeof *fields);
    set_put(chaninfo, "nosedir", 0, set_new_text("+X"));
    return chaninfo;
}

/* Fields that stay true of the kept epochs; [], "" or {} without an original. */
static void add_copies(matvar_t *eeg, struct input *in)
{
    static const struct {
        const char *name;
        matvar_t *(*otherwise)(void);
    } copies[] = {
        {"icawinv", set_new_empty},
        {"icasphere", set_new_empty},
        {"icaweights", set_new_empty},
        {"icachansind", set_new_empty},
        {"urchanlocs", set_new_empty},
        {"chaninfo", make_chaninfo},
        {"urevent", set_new_empty},
        {"eventdescription", set_new_empty_cell},
        {"epochdescription", set_new_empty_cell},
        {"dipfit", set_new_empty},
    };
    static const char *const texts[] = {"subject",  "group", "condition", "session",
                                        "comments", "ref",   "history",   "splinefile"};
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        matvar_t *copy = original_copy(in, copies[i].name);
        set_add(eeg, copies[i].name, copy != NULL ? copy : copies[i].otherwise());
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        matvar_t *copy = original_copy(in, texts[i]);
        const bool is_ref = strcmp(texts[i], "ref") == 0;
        set_add(eeg, texts[i], copy != NULL ? copy : set_new_text(is_ref ? "common" : ""));
    }
}

static enum rejectd_status make_eeg(struct input *in, matvar_t *eeg, void **memory,
                                    struct rejectd_error *error)
{
    const struct set_epochs epochs = {&in->description, in->kept, in->n_kept};
    matvar_t *event, *epoch, *data = NULL, *chanlocs;
    enum rejectd_status status;
    if ((status = set_write_events(&in->original, &epochs, &event, &epoch, error)) != REJECTD_OK) {
        Mat_VarFree(event);
        Mat_VarFree(epoch);
        return status;
    }
    set_add(eeg, "setname", set_new_text(in->description.name));
    set_add(eeg, "filename", set_new_text(""));
    set_add(eeg, "filepath", set_new_text(""));
    add_numbers(eeg, in);
    add_copies(eeg, in);
    set_add(eeg, "event", event);
    set_add(eeg, "epoch", epoch);
    chanlocs = original_copy(in, "chanlocs");
    set_add(eeg, "chanlocs", chanlocs != NULL ? chanlocs : set_write_channels(&in->description));
    set_add(eeg, "icaact", set_new_empty());
    set_add(eeg, "reject", make_reject(in));
    set_add(eeg, "stats", new_struct());
    set_add(eeg, "specdata", set_new_empty());
    set_add(eeg, "specicaact", set_new_empty());
    set_add(eeg, "icasplinefile", set_new_text(""));
    set_add(eeg, "saved", set_new_text("yes"));
    set_add(eeg, "etc", make_etc(in));
    if ((status = make_data(in, &data, memory, error)) == REJECTD_OK)
        set_add(eeg, "data", data);
    return status;
}

static enum rejectd_status write_file(const char *path, matvar_t *eeg, struct rejectd_error *error)
{
    mat_t *mat = Mat_CreateVer(path, "MATLAB 5.0 MAT-file, written by rejectd", MAT_FT_MAT5);
    bool written = mat != NULL && Mat_VarWrite(mat, eeg, MAT_COMPRESSION_NONE) == 0;
    if (mat != NULL && Mat_Close(mat) != 0)
        written = false;
    return written ? REJECTD_OK
                   : REJECTD_FAIL(error, REJECTD_STORAGE, "", "cannot write the .set file");
}

enum rejectd_status set_write(const char *folder, const char *path, struct rejectd_error *error)
{
    struct input in = {0};
    void *memory = NULL;
    const size_t one[2] = {1, 1};
    matvar_t *eeg = Mat_VarCreateStruct("EEG", 2, (size_t *)(uintptr_t)one, NULL, 0);
    enum rejectd_status status = eeg != NULL ? REJECTD_OK : REJECTD_FAIL_MEMORY(error, 0);
    if (status == REJECTD_OK && (status = read_description(folder, &in, error)) == REJECTD_OK &&
        (status = read_log(folder, &in, error)) == REJECTD_OK &&
        (status = open_parts(folder, &in, error)) == REJECTD_OK &&
        (status = make_eeg(&in, eeg, &memory, error)) == REJECTD_OK)
        status = write_file(path, eeg, error);
    Mat_VarFree(eeg);
    free(memory);
    input_clear(&in);
    return status;
}
