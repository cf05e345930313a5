#include "convert/matlab.h"
#include "convert/mat5_guard.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "convert/hdf5_guard.h"
#include "convert/mat5_guard.h"
#include "convert/mat73.h"
#include "protocol/utf8.h"

static enum rejectd_status check_container(const char *path, bool *is_hdf5,
                                           struct rejectd_error *error)
{
    char head[520] = {0};
    FILE *stream = fopen(path, "rb");
    const size_t length = stream != NULL ? fread(head, 1, sizeof head, stream) : 0;
    *is_hdf5 = length == sizeof head && memcmp(head, "MATLAB 7.3 MAT-file", 19) == 0 &&
               memcmp(head + 512, "\x89HDF\r\n\x1a\n", 8) == 0;
    const bool is_mat5 = length >= 128 && (memcmp(head + 124, "\1\0MI", 4) == 0 ||
                                           memcmp(head + 124, "\0\1IM", 4) == 0);
    if (stream != NULL)
        fclose(stream);
    if (is_mat5)
        return mat5_guard_check(path, error);
    if (*is_hdf5)
        return REJECTD_OK;
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "file",
                        "is no EEGLAB .set file: it is neither MAT 5 (v6, v7) nor MAT 7.3; save it "
                        "with EEGLAB's pop_saveset");
}

/* Opens the struct EEG, or else the root. */
static enum rejectd_status open_hdf5(const char *path, struct matlab_file *file,
                                     struct rejectd_error *error)
{
    enum rejectd_status status = hdf5_guard_open(path, &file->hdf5, error);
    if (status != REJECTD_OK)
        return status;
    file->is_hdf5 = true;
    file->group = H5Oopen(file->hdf5, H5Lexists(file->hdf5, "EEG", H5P_DEFAULT) > 0 ? "EEG" : "/",
                          H5P_DEFAULT);
    if (file->group >= 0 && H5Iget_type(file->group) == H5I_GROUP)
        return REJECTD_OK;
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "EEG",
                        "must be a struct, as pop_saveset writes it");
}

static enum rejectd_status open_mat5(const char *path, struct matlab_file *file,
                                     struct rejectd_error *error)
{
    file->mat = Mat_Open(path, MAT_ACC_RDONLY);
    if (file->mat == NULL)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "file",
                            "is a MAT file that cannot be read (is it complete?)");
    file->eeg = Mat_VarReadInfo(file->mat, "EEG");
    if (file->eeg != NULL && file->eeg->class_type != MAT_C_STRUCT)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "EEG",
                            "must be a struct, as pop_saveset writes it");
    if (file->eeg != NULL && (matlab_count(file->eeg) != 1 || file->eeg->data == NULL))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "EEG",
                            "holds several datasets or none; a .set file of one is accepted");
    return REJECTD_OK;
}

enum rejectd_status matlab_open(const char *path, struct matlab_file *file,
                                struct rejectd_error *error)
{
    *file = (struct matlab_file){0};
    bool is_hdf5 = false;
    enum rejectd_status status = check_container(path, &is_hdf5, error);
    if (status == REJECTD_OK)
        status = (is_hdf5 ? open_hdf5 : open_mat5)(path, file, error);
    file->is_open = true;
    if (status != REJECTD_OK)
        matlab_close(file);
    return status;
}

void matlab_close(struct matlab_file *file)
{
    for (size_t i = 0; file->eeg == NULL && i < file->n_known; i++)
        Mat_VarFree(file->known[i].variable);
    Mat_VarFree(file->eeg);
    if (file->mat != NULL)
        Mat_Close(file->mat);
    if (file->is_hdf5 && file->group >= 0)
        H5Oclose(file->group);
    if (file->is_hdf5)
        H5Fclose(file->hdf5);
    *file = (struct matlab_file){0};
}

static struct matlab_known *look_up(struct matlab_file *file, const char *name)
{
    for (size_t i = 0; i < file->n_known; i++)
        if (strcmp(file->known[i].name, name) == 0)
            return &file->known[i];
    if (file->n_known == MATLAB_MAX_VARIABLES)
        return NULL;
    struct matlab_known *known = &file->known[file->n_known++];
    snprintf(known->name, sizeof known->name, "%s", name);
    known->variable = file->is_hdf5       ? mat73_info(file->group, name)
                      : file->eeg != NULL ? matlab_member(file->eeg, name, 0)
                                          : Mat_VarReadInfo(file->mat, name);
    return known;
}

matvar_t *matlab_info(struct matlab_file *file, const char *name)
{
    struct matlab_known *known = look_up(file, name);
    return known != NULL ? known->variable : NULL;
}

matvar_t *matlab_field(struct matlab_file *file, const char *name)
{
    struct matlab_known *known = look_up(file, name);
    if (known == NULL || matlab_count(known->variable) == 0)
        return NULL;
    if (!known->read && file->is_hdf5) {
        Mat_VarFree(known->variable);
        known->variable = mat73_read(file->group, name);
    } else if (!known->read && Mat_VarReadDataAll(file->mat, known->variable) != 0) {
        return NULL;
    }
    known->read = true;
    if (known->variable == NULL)
        return NULL;
    return known->variable->data != NULL ? known->variable : NULL;
}

size_t matlab_count(const matvar_t *variable)
{
    size_t count = 1;
    if (variable == NULL || variable->rank < 1 || variable->dims == NULL)
        return 0;
    for (int i = 0; i < variable->rank; i++)
        if (!checked_multiply(count, variable->dims[i], &count))
            return 0;
    return count;
}

static size_t item_size(const matvar_t *variable)
{
    switch (variable->data_type) {
    case MAT_T_DOUBLE:
    case MAT_T_INT64:
    case MAT_T_UINT64:
        return 8;
    case MAT_T_SINGLE:
    case MAT_T_INT32:
    case MAT_T_UINT32:
        return 4;
    case MAT_T_INT16:
    case MAT_T_UINT16:
    case MAT_T_UTF16:
        return 2;
    case MAT_T_INT8:
    case MAT_T_UINT8:
    case MAT_T_UTF8:
        return 1;
    default:
        return 0;
    }
}

/* The data are there, as many as the shape says and as wide as the type. */
static bool holds_items(const matvar_t *variable, size_t count)
{
    size_t bytes;
    const size_t size = item_size(variable);
    return variable->data != NULL && size > 0 && checked_multiply(count, size, &bytes) &&
           variable->nbytes >= bytes;
}

bool matlab_is_numeric(const matvar_t *variable)
{
    return variable != NULL && !variable->isComplex && variable->class_type >= MAT_C_DOUBLE &&
           variable->class_type <= MAT_C_UINT64 && holds_items(variable, matlab_count(variable));
}

double matlab_number_at(const matvar_t *variable, size_t i)
{
    switch (variable->data_type) {
    case MAT_T_DOUBLE:
        return ((const double *)variable->data)[i];
    case MAT_T_SINGLE:
        return (double)((const float *)variable->data)[i];
    case MAT_T_INT64:
        return (double)((const int64_t *)variable->data)[i];
    case MAT_T_UINT64:
        return (double)((const uint64_t *)variable->data)[i];
    case MAT_T_INT32:
        return ((const int32_t *)variable->data)[i];
    case MAT_T_UINT32:
        return ((const uint32_t *)variable->data)[i];
    case MAT_T_INT16:
        return ((const int16_t *)variable->data)[i];
    case MAT_T_UINT16:
        return ((const uint16_t *)variable->data)[i];
    case MAT_T_INT8:
        return ((const int8_t *)variable->data)[i];
    case MAT_T_UINT8:
        return ((const uint8_t *)variable->data)[i];
    default:
        return NAN;
    }
}

bool matlab_number(const matvar_t *variable, double *value)
{
    if (!matlab_is_numeric(variable) || matlab_count(variable) == 0)
        return false;
    *value = matlab_number_at(variable, 0);
    return true;
}

/* Appends a code point as UTF-8; false when it doesn't fit. */
static bool append_code(char *out, size_t size, size_t *length, unsigned code)
{
    const size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (*length + n >= size)
        return false;
    for (size_t i = n; i-- > 1; code >>= 6)
        out[*length + i] = (char)(0x80 | (code & 0x3f));
    out[*length] = (char)(lead[n] | code);
    *length += n;
    return true;
}

/* The code point at *i, which moves on; '?' for half a surrogate pair. */
static unsigned take_code(const matvar_t *variable, size_t count, size_t *i)
{
    if (item_size(variable) == 1)
        return ((const uint8_t *)variable->data)[(*i)++];
    const uint16_t *units = variable->data;
    const unsigned unit = units[(*i)++];
    if (unit < 0xd800 || unit >= 0xe000)
        return unit;
    if (unit >= 0xdc00 || *i == count || units[*i] < 0xdc00 || units[*i] >= 0xe000)
        return '?';
    return 0x10000 + ((unit - 0xd800) << 10) + (units[(*i)++] - 0xdc00u);
}

/* UTF-8 that was kept as it is, one byte an item. */
static bool take_utf8(const matvar_t *variable, size_t count, char *out, size_t size)
{
    if (item_size(variable) != 1 || count >= size)
        return false;
    memcpy(out, variable->data, count);
    out[count] = 0;
    return utf8_is_valid(out);
}

bool matlab_text(const matvar_t *variable, char *out, size_t size)
{
    out[0] = 0;
    if (variable == NULL || variable->class_type != MAT_C_CHAR)
        return false;
    const size_t count = matlab_count(variable);
    if (count == 0)
        return true;
    /* UTF-8 counts characters in its shape and bytes in its size. */
    size_t items = count;
    if (variable->data_type == MAT_T_UTF8 && variable->nbytes > count)
        items = variable->nbytes;
    if (!holds_items(variable, items) || item_size(variable) > 2 || variable->rank != 2 ||
        variable->dims[0] != 1)
        return false;
    while (items > 0 && item_size(variable) == 1 && ((const char *)variable->data)[items - 1] == 0)
        items--;
    if (take_utf8(variable, items, out, size))
        return true;
    size_t length = 0;
    for (size_t i = 0; i < items;) {
        const unsigned code = take_code(variable, items, &i);
        if (code == 0 || !append_code(out, size, &length, code))
            break;
    }
    out[length] = 0;
    return true;
}

bool matlab_is_struct(const matvar_t *variable)
{
    return variable != NULL && variable->class_type == MAT_C_STRUCT;
}

/* Bytes of the pointers that a struct or cell array claims are what was allocated for them. */
static bool holds_pointers(const matvar_t *variable, size_t count)
{
    size_t bytes;
    return variable->data != NULL && checked_multiply(count, sizeof(matvar_t *), &bytes) &&
           variable->nbytes >= bytes;
}

matvar_t *matlab_member(const matvar_t *variable, const char *name, size_t i)
{
    size_t values;
    const size_t count = matlab_is_struct(variable) ? matlab_count(variable) : 0;
    if (i >= count)
        return NULL;
    char *const *names = Mat_VarGetStructFieldnames(variable);
    /* matio doesn't change it. */
    const unsigned n = Mat_VarGetNumberOfFields((matvar_t *)(uintptr_t)variable);
    if (names == NULL || !checked_multiply(count, n, &values) || !holds_pointers(variable, values))
        return NULL;
    for (unsigned f = 0; f < n; f++)
        if (names[f] != NULL && strcmp(names[f], name) == 0)
            return ((matvar_t **)variable->data)[i * n + f];
    return NULL;
}

matvar_t *matlab_cell(const matvar_t *variable, size_t i)
{
    if (variable == NULL || variable->class_type != MAT_C_CELL || i >= matlab_count(variable) ||
        !holds_pointers(variable, matlab_count(variable)))
        return NULL;
    return ((matvar_t **)variable->data)[i];
}
